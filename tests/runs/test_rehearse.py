"""Whatever a picture or a report will need is tried before step 0, and a refused command leaves no folder behind."""

# Wrong arguments are given on purpose.
# pyright: reportArgumentType=false

import dataclasses

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

from jaxgen import data, ddpm, evaluate, gan, plot, rehearsal, runs, vae
from jaxgen.experiments import _images, digits_ddpm, digits_gan, digits_vae, mnist_dcgan, mnist_ddpm, toy_ddpm
from jaxgen.runs import opening
from jaxgen.runs.rehearse import rehearsed

# What the data say of labels that start at 1, and models of values far from unit scale.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.* of the .* classes have no example:UserWarning"),
    pytest.mark.filterwarnings("ignore:.* expects real values with mean near 0:UserWarning"),
]

SHORT = {"steps": 2, "batch_size": 8, "log_every": 1, "checkpoint_every": 2}
VAE = vae.Config(latent_dim=2, hidden=(8,), likelihood=vae.Normal())
GAN = gan.Config(latent_dim=3, network=gan.MLP(generator_hidden=(8,), discriminator_hidden=(8,)))
DDPM = ddpm.Config(schedule=ddpm.Cosine(10), network=ddpm.MLP((8,)), num_draws=2)
KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def generator():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Data of every kind, by name."""
    folder, random = tmp_path_factory.mktemp("data"), generator()
    label = (np.arange(60) % 3).astype(np.int32)

    def grey(*shape):
        return random.integers(0, 256, shape).astype(np.uint8)

    def real(*shape):
        return random.normal(size=shape).astype(np.float32)

    kinds = {
        "large values": {"x": 1000 * real(60, 4, 4, 1), "label": label},
        "two channels": {"x": grey(60, 4, 4, 2), "label": label},
        "points": {"x": real(60, 2)},
        "vectors": {"x": real(60, 5), "label": label},
        "volumes": {"x": real(60, 4, 4, 4, 1)},
        "no channels": {"x": real(60, 4, 4)},
        "labels from 1": {"x": grey(60, 4, 4, 3), "label": label + 1},
        "one class": {"x": grey(60, 4, 4, 1), "label": 0 * label},
        "three test images": {"train_x": grey(40, 4, 4, 1), "test_x": grey(3, 4, 4, 1)},
    }
    for name, arrays in kinds.items():
        np.savez(folder / f"{name}.npz", **arrays)
    return {name: str(folder / f"{name}.npz") for name in kinds}


def parts_of(config):
    experiment = config.build()
    batch = experiment.dataset.train.batches(seed=0, batch_size=config.batch_size)(0)
    return experiment, batch, jax.eval_shape(experiment.model.init, KEY, batch)


def gone_through(config):
    """Figures by name, of zeros in the shapes that they will have; everything a run would do has been tried."""
    experiment, batch, like = parts_of(config)
    before = plt.get_fignums()
    rehearsed(experiment, KEY, like, batch)
    assert plt.get_fignums() == before
    draws = {"final": experiment.picture, **experiment.pictures}
    figures = {name: rehearsal.rehearse(draw, KEY, like) for name, draw in draws.items()}
    assert all(figure is not None for figure in figures.values())  # to the end, not only to where values are wanted
    if experiment.film is not None:
        frame = np.zeros((experiment.film_samples, *experiment.dataset.spec.event_shape), np.float32)
        figures["film"] = experiment.film({"step 0": frame, "step 1": frame}, "film")
    return figures


def drawn(config):
    """The same of an untrained state, with a report of finite numbers."""
    figures = gone_through(config)
    experiment, batch, _ = parts_of(config)
    state = experiment.model.init(KEY, batch)
    for name, draw in {"final": experiment.picture, **experiment.pictures}.items():
        figure = draw(KEY, state)
        figure.draw_without_rendering()
        # What lies outside of the data's range is said besides.
        for axis, tried in zip(figure.axes[:2], figures[name].axes[:2], strict=True):
            assert axis.get_title(loc="left").startswith(tried.get_title(loc="left").partition("\n")[0])
    found = (experiment.report or experiment.evaluate)(KEY, state.variables, experiment.dataset.test)
    assert all(np.isfinite(estimate.value) for estimate in found.values())


KINDS = [
    "large values", "two channels", "points", "vectors", "volumes", "no channels", "labels from 1", "one class",
    "three test images",
]  # fmt: skip
MODELS = {"vae": (digits_vae.Config, VAE), "gan": (digits_gan.Config, GAN), "ddpm": (digits_ddpm.Config, DDPM)}


FEW = {"vae": KINDS, "gan": ["two channels", "three test images"], "ddpm": ["points", "volumes"]}


@pytest.mark.parametrize(("family", "kind"), [(family, kind) for family, kinds in FEW.items() for kind in kinds])
def test_data_of_any_shape_have_pictures(files, family, kind):
    config, model = MODELS[family]
    if family == "vae" and kind in ("two channels", "labels from 1", "one class", "three test images"):
        model = dataclasses.replace(model, likelihood=vae.Bernoulli())
    assert gone_through(config(data=files[kind], model=model, **SHORT))


@pytest.mark.parametrize(("family", "kind"), [("gan", "vectors"), ("gan", "labels from 1"), ("ddpm", "labels from 1")])
def test_a_model_with_labels_draws_every_class(files, family, kind):
    config, model = MODELS[family]
    figures = gone_through(config(data=files[kind], model=dataclasses.replace(model, conditional=True), **SHORT))
    titles = [axis.get_title(loc="left").replace("\n", " ") for axis in figures["final"].axes]
    classes = "1, 2, 3" if kind == "labels from 1" else "0, 1, 2"
    assert any(f"columns by class {classes}" in title for title in titles)


@pytest.mark.slow
def test_a_gan_with_labels_and_few_test_images_is_drawn(files):
    model = dataclasses.replace(GAN, conditional=True)
    drawn(digits_gan.Config(data=files["labels from 1"], model=model, **SHORT))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", ["vae", "gan", "ddpm"])
def test_what_was_rehearsed_is_drawn(files, family, kind):
    config, model = MODELS[family]
    if family == "vae" and kind in ("two channels", "labels from 1", "one class", "three test images"):
        model = dataclasses.replace(model, likelihood=vae.Bernoulli())
    drawn(config(data=files[kind], model=model, **SHORT))


def test_the_range_of_real_data_is_that_of_their_pictures(files):
    figure = gone_through(digits_vae.Config(data=files["large values"], model=VAE, **SHORT))["final"]
    splits = digits_vae.Config(data=files["large values"], model=VAE).build().dataset.splits.values()
    limits = [image.get_clim() for axis in figure.axes for image in axis.get_images()]
    assert limits == [(min(s.x.min() for s in splits), max(s.x.max() for s in splits))] * 3


def test_a_sampler_makes_no_more_steps_than_the_model_has(files):
    config = mnist_ddpm.Config(data=files["one class"], model=DDPM, **SHORT)
    assert config.sampler.num_steps == 50 and config.build().sampling["sampler"].num_steps == 10
    gone_through(toy_ddpm.Config(num=100, model=DDPM, **SHORT))  # DPM-Solver++, 20 steps


@pytest.mark.parametrize("kind", ["large values", "labels from 1", "vectors", "one class"])
def test_a_report_with_samples_goes_through_on_any_data(files, kind, monkeypatch):
    """Values outside [0, 1], labels that are not 0, 1, ..., one class, and what is no image."""
    monkeypatch.setattr(evaluate, "train_classifier", lambda key, x, label, n, bounded, **rest: Judge(x, n, bounded))
    dataset = data.load(files[kind])
    real = np.asarray(data.to_unit(dataset.train.x[:10], dataset.spec))
    x = real if dataset.spec.levels else 3 * real  # samples of grey levels lie in [0, 1]
    found = _images.fidelity(x, dataset, dataset.test, seed=0, classifier_steps=1)
    assert all(np.isfinite(estimate.value) for estimate in found.values())
    assert ("classifier" in found) == (kind != "vectors")
    if kind == "large values":
        assert "of the samples' values beyond" in found["classifier"].unit


class Judge:
    """A classifier that always says the last class; it is trained on images in [0, 1], about."""

    def __init__(self, x, num_classes, bounded):
        self.params = {"w": np.zeros(1)}
        self.num_classes, self.bounded = num_classes, bounded
        self.predictions(x)
        assert x.dtype == np.uint8 or (x.min() >= -0.1 and x.max() <= 1.1)

    def predictions(self, x):
        assert not self.bounded or x.dtype == np.uint8 or (x.min() >= 0 and x.max() <= 1)
        return np.full(len(x), self.num_classes - 1)

    def accuracy(self, x, label):
        return evaluate.estimate((self.predictions(x) == label).astype(np.float32))


def refused(config, tmp_path, message):
    with pytest.raises(ValueError, match=message):
        runs.train(config, tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_what_cannot_work_is_refused_by_name_and_leaves_no_folder(files, tmp_path):
    refused(mnist_dcgan.Config(data=files["points"], **SHORT), tmp_path, "event_shape must be")
    refused(
        digits_gan.Config(data=files["three test images"], model=dataclasses.replace(GAN, conditional=True), **SHORT),
        tmp_path,
        "conditional=True needs labelled data",
    )
    refused(dataclasses.replace(digits_vae.Config(**SHORT), batch_size=5000), tmp_path, "batch_size")


@pytest.mark.parametrize("part", ["picture", "pictures", "samples", "evaluate", "report"])
def test_a_fault_of_the_users_own_is_found_before_step_0(files, tmp_path, monkeypatch, part):
    build = digits_vae.Config.build

    def broken(*arguments):
        raise KeyError("no such name")

    changes = {"pictures": {"mine": broken}} if part == "pictures" else {part: broken}
    monkeypatch.setattr(digits_vae.Config, "build", lambda self: build(self)._replace(**changes))
    name = {"pictures": "the picture 'mine'", "picture": "the picture", "evaluate": "the evaluation"}.get(part, part)
    refused(digits_vae.Config(data=files["points"], model=VAE, **SHORT), tmp_path, f"fail in .*{name}.*no such name")


def test_functions_that_need_values_are_left_there(monkeypatch):
    """A picture that asks for values is no fault, nor is one that divides by the zeros in their place."""
    experiment, batch, like = parts_of(digits_vae.Config(**SHORT))
    left = []

    def picture(key, state):
        x = experiment.model.sample(key, state.variables, 4)
        left.append("sampled")
        if np.asarray(x).std() > 0:
            left.append("values")
        return plot.images(x, title="mine")

    def score(key, state):
        return 1 / float(rehearsal.host(experiment.model.sample(key, state.variables, 1)).sum())

    rehearsed(experiment._replace(picture=picture, pictures={"score": score}), KEY, like, batch)
    assert left == ["sampled"]
    with pytest.raises(jax.errors.TracerArrayConversionError):
        jax.jit(lambda x: plot.images(x, title="not in a rehearsal"))(jnp.zeros((1, 2, 2)))


def test_a_rehearsal_computes_nothing_and_changes_no_bit(files, tmp_path, monkeypatch):
    config = digits_vae.Config(data=files["points"], model=VAE, **SHORT)
    outcome = runs.train(config, tmp_path / "with", progress=False)
    monkeypatch.setattr(opening, "rehearsed", lambda *arguments: None)
    without = runs.train(config, tmp_path / "without", progress=False)
    assert outcome.folder.manifest["digests"] == without.folder.manifest["digests"]
    assert {path.name for path in outcome.folder.pictures.iterdir()} == {"final.png", "curves.png"}


def test_host_gives_zeros_in_a_rehearsal_alone():
    seen = []

    def look(key, state):
        seen.append((rehearsal.host(state["w"] + 1), rehearsal.host(np.arange(2)), rehearsal.rehearsing()))
        return "done"

    state = {"w": jnp.ones((2, 3)), "step": jnp.int32(7)}
    assert rehearsal.rehearse(look, KEY, state) == "done"
    ((unknown, known, inside),) = seen
    np.testing.assert_array_equal(unknown, np.zeros((2, 3)))
    np.testing.assert_array_equal(known, [0, 1])
    assert inside and not rehearsal.rehearsing()
    assert rehearsal.rehearse(lambda key, state: int(state["step"]), KEY, state) == 0
    assert rehearsal.rehearse(lambda key, state: float(state["w"].sum()), KEY, state) is None
    np.testing.assert_array_equal(rehearsal.host(state["w"]), np.ones((2, 3)))
