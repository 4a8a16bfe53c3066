"""Few labels on digits: the three models go through a run in short forms; what cannot be is refused."""

# Wrong arguments are given on purpose.
# pyright: reportArgumentType=false

import dataclasses

import jax
import numpy as np
import pytest

from jaxgen import gan, runs, vae
from jaxgen.data.labelled import of_draw
from jaxgen.experiments import _codes, digits_gan, digits_vae, few_labels_gan, few_labels_m1_m2, few_labels_m2
from jaxgen.gan import feature_matching
from jaxgen.vae import semi_supervised

TINY = {"steps": 2, "batch_size": 8, "log_every": 1, "checkpoint_every": 2, "draws": 2, "per_class": 2}
VAE = vae.Config(latent_dim=2, hidden=(4,))
M2 = few_labels_m2.Config(model=semi_supervised.Config(vae=VAE, classifier=(4,)), **TINY)
M1_M2 = few_labels_m1_m2.Config(
    m1=VAE,
    m1_steps=2,
    model=semi_supervised.Config(vae=dataclasses.replace(VAE, likelihood=vae.Normal(1.0)), classifier=(4,)),
    **TINY,
)
GAN = few_labels_gan.Config(
    model=feature_matching.Config(gan=gan.Config(latent_dim=2), generator=(4,), classifier=(4, 4)), **TINY
)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAXGEN_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def coded():
    """The codes of the tiny VAE, and the VAE."""
    codes = M1_M2.codes()
    return M1_M2.dataset(), codes


@pytest.mark.slow
def test_the_report_lists_every_draw():
    experiment = M2.build()
    batch = experiment.dataset.train.batches(0, 8)(0)
    variables = experiment.model.init(jax.random.key(0), batch).variables
    found = experiment.report(jax.random.key(0), variables, experiment.dataset.test)
    checked(found)
    assert set(found) == {"error", "error/draw_0", "error/draw_1", "error/pixels", "error_by_bound", "negative_bound"}
    held_out = experiment.report(jax.random.key(0), variables, experiment.dataset.valid)
    assert "error/pixels" not in held_out  # the probe is asked of the test set alone


def checked(found):
    each = [found[f"error/draw_{s}"].value for s in range(2)]
    np.testing.assert_allclose(found["error"].value, np.mean(each), rtol=1e-6)
    assert found["error"].standard_error == pytest.approx(abs(each[0] - each[1]) / 2, rel=1e-4, abs=1e-6)
    assert "2 draw(s) of 20 labels" in found["error"].unit and 0 < found["error/pixels"].value < 0.6


@pytest.mark.slow
@pytest.mark.parametrize("config", [M2, M1_M2, GAN], ids=["m2", "m1_m2", "gan"])
def test_a_run_from_training_to_report(config, tmp_path):
    checked(runs.train(config, tmp_path / "run", progress=False).results["test"])
    assert (tmp_path / "run" / "pictures" / "final.png").exists()
    again = runs.load_model(tmp_path / "run")
    x = again.model.sample(jax.random.key(0), again.state.variables, 4)
    assert x.shape[1:] == again.spec.event_shape


def test_codes_have_the_labelled_examples_of_the_images(coded, monkeypatch):
    """The same images are labelled whatever they are learned from; the VAE is trained once."""
    (dataset, codes), images = coded, M2.dataset()
    np.testing.assert_array_equal(dataset.train.fields["labelled"], images.train.fields["labelled"])
    np.testing.assert_array_equal(dataset.train.label, images.train.label)
    mu, spread = codes.encode(images.train.x[:7])
    np.testing.assert_allclose(dataset.train.x[:7], mu, rtol=1e-5)
    np.testing.assert_allclose(dataset.train.fields["spread"][:7], spread, rtol=1e-5)
    monkeypatch.setattr(_codes.train, "fit", lambda *_, **__: pytest.fail("the VAE was trained again"))
    assert M1_M2.codes().digest == codes.digest


@pytest.mark.slow
def test_codes_are_drawn_anew(coded):
    """The loss of M2 is taken at z ~ N(mu, spread^2): at mu itself where the spread is 0."""
    dataset, _ = coded
    own = semi_supervised.objective(M1_M2.model, dataset.spec)
    batch = dict(of_draw(dataset.train.batches(0, 8)(0)))
    still = {**batch, **{name: np.zeros_like(batch[name]) for name in ("spread", "known_spread")}}
    variables, key = own.init(jax.random.key(0), batch), jax.random.key(1)
    loss = _codes.drawn(own).loss
    first = jax.random.split(key, 3)[0]
    np.testing.assert_allclose(loss(variables, key, still, 0)[0], own.loss(variables, first, still, 0)[0], rtol=1e-5)
    assert np.abs(loss(variables, key, batch, 0)[0] - own.loss(variables, first, batch, 0)[0]).max() > 1e-3


@pytest.mark.slow
def test_codes_of_a_run(tmp_path):
    short = {"steps": 2, "batch_size": 8, "log_every": 1, "checkpoint_every": 2}
    runs.train(digits_vae.Config(model=VAE, **short), tmp_path / "vae", progress=False)
    config = dataclasses.replace(M1_M2, features=str(tmp_path / "vae"))
    assert config.dataset().spec.event_shape == (2,)
    model = gan.Config(latent_dim=2, network=gan.MLP((4,), (4,)))
    runs.train(digits_gan.Config(model=model, **short), tmp_path / "gan", progress=False)
    with pytest.raises(ValueError, match="features must be the folder of a run of a VAE without conditions, got"):
        dataclasses.replace(M1_M2, features=str(tmp_path / "gan")).dataset()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"draws": 0}, "draws must be an integer of at least 1, got 0"),
        ({"per_class": 0}, "per_class must be an integer of at least 1, got 0"),
    ],
)
def test_settings_that_cannot_be(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(M2, **fields)
    with pytest.raises(ValueError, match="m1_steps must be an integer of at least 1, got 0"):
        dataclasses.replace(M1_M2, m1_steps=0)


def test_more_labels_than_there_are():
    with pytest.raises(ValueError, match=r"per_class must be an integer in .* the size of the smallest class, got 900"):
        dataclasses.replace(M2, per_class=900).build()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "steps", "most"),
    [(few_labels_m2, 1000, 0.11), (few_labels_m1_m2, 2000, 0.13), (few_labels_gan, 400, 0.12)],
)
def test_unlabelled_digits_help(module, steps, most, tmp_path):
    """Below the error of a logistic regression on the labelled pixels, which is above 0.12."""
    config = module.Config(steps=steps, draws=2)
    if module is few_labels_gan:
        small = dataclasses.replace(config.model, generator=(128, 128), classifier=(250, 100, 100))
        config = dataclasses.replace(config, model=small)
    found = runs.train(config, tmp_path, progress=False).results["test"]
    assert found["error"].value < most and found["error"].value < found["error/pixels"].value
