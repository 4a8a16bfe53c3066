"""Paired translation: what is given and refused, the loss of the GAN, and measures on answers that are known."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import ddpm, gan, nn, runs
from jaxgen.data import Split, colour, coloured_shapes
from jaxgen.experiments import _colouring, translation_ddpm, translation_gan, translation_mean

SMALL: dict[str, Any] = {"size": 16, "num": 40, "cases": 6, "samples": 3, "steps": 2, "batch_size": 8}
MODEL = dataclasses.replace(
    translation_ddpm.Config.model, network=ddpm.MLP((8,), time_features=4), schedule=ddpm.Cosine(4), num_draws=2
)
DDPM = translation_ddpm.Config(model=MODEL, sampler=ddpm.DPMSolver(2), **SMALL)
MEAN = translation_mean.Config(model=MODEL, **SMALL)
GAN = translation_gan.Config(
    model=dataclasses.replace(
        translation_gan.Config.model, latent_dim=512, network=gan.DCGAN(features=4, levels=2, num_groups=2)
    ),
    generator=nn.UNet(features=4, multipliers=(1,), num_groups=2, attention=(), patch=4),
    **SMALL,
)


@pytest.fixture(scope="module")
def dataset():
    return DDPM.dataset()


@pytest.fixture(scope="module")
def played(dataset):
    """A GAN, its first state and a batch."""
    model = GAN.model_for(dataset.spec)
    batch = dataset.train.batches(seed=0, batch_size=8)(0)
    return model, model.init(jax.random.key(0), batch), batch


def test_the_chroma_is_modelled_and_the_luminance_given(dataset):
    assert dataset.spec.event_shape == (16, 16, 2) and dataset.spec.scale.mean == 0
    assert dataset.spec.fields["luminance"].shape == (16, 16, 1)
    shapes = DDPM.drawings(2)
    luminance, filling = coloured_shapes.rendered(shapes, 16)
    np.testing.assert_array_equal(dataset.test.fields["luminance"], luminance)
    np.testing.assert_array_equal(dataset.test.x, coloured_shapes.chroma(filling, shapes.colour))
    assert (np.asarray(DDPM.drawings(1).kind) != np.asarray(shapes.kind)).any()


def test_pictures_of_the_users_own(tmp_path):
    """Reduced by averages, divided by their own mark, and the training images turned in all eight ways."""
    rgb = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), np.uint8)
    held_out = np.arange(40) % 4 == 0
    np.savez(tmp_path / "mine.npz", x=rgb, test=held_out)
    config = dataclasses.replace(DDPM, data=f"{tmp_path / 'mine.npz'}:x=x,held_out=test", turned=True)
    found = config.dataset()
    assert {name: len(split) for name, split in found.splits.items()} == {"train": 8 * 27, "valid": 3, "test": 10}
    whole = colour.joined(found.test.fields["luminance"], found.test.x)
    small = rgb.reshape(40, 16, 2, 16, 2, 3).mean(axis=(2, 4)) / 255
    assert {round(float(x.sum()), 2) for x in whole} == {round(float(x.sum()), 2) for x in small[held_out]}
    ways = found.train.x.reshape(8, 27, -1)
    np.testing.assert_allclose(np.sort(ways, axis=-1), np.sort(ways[:1], axis=-1).repeat(8, axis=0), atol=1e-6)
    assert len(np.unique(ways[:, 0], axis=0)) == 8


def test_data_that_cannot_be_coloured(tmp_path):
    for shape in ((40, 16, 16, 1), (40, 20, 20, 3), (40, 16, 32, 3)):
        np.save(tmp_path / "x.npy", np.zeros(shape, np.uint8) + np.arange(40, dtype=np.uint8).reshape(-1, 1, 1, 1))
        with pytest.raises(ValueError, match=r"data must be uint8 colour images \[h, h, 3\] .* size=16, got uint8"):
            dataclasses.replace(DDPM, data=str(tmp_path / "x.npy")).dataset()


@pytest.mark.parametrize("kind", ["diffusion", "gan", "mean"])
def test_a_luminance_that_is_missing_or_of_another_kind_is_refused_by_name(dataset, played, kind):
    if kind == "gan":
        model, variables = played[0], played[1].variables
    else:
        model = (DDPM if kind == "diffusion" else MEAN).model_for(dataset.spec)
        batch = dataset.train.batches(seed=0, batch_size=8)(0)
        variables = model.init(jax.random.key(0), batch).variables
    right = dataset.test.fields["luminance"][0]
    for condition, message in (
        ({"luminance": right[:8]}, r"condition\['luminance'\]"),
        ({"luminance": right > 0.5}, r"condition\['luminance'\] must be float32, got bool"),
        ({"luminance": right, "luminence": right}, "'luminence'"),
        *([] if kind == "gan" else [(None, 'condition must hold "luminance", got none')]),
    ):
        with pytest.raises(ValueError, match=message):
            model.sample(jax.random.key(0), variables, 2, condition=condition)


def test_the_generators_loss_is_the_games_and_the_distance(dataset, played):
    """At the start G(z) is 0, whatever z: the distance is the mean of |x| in units of its deviation."""
    model, state, batch = played
    losses, aux = model.objective.generator_loss(state.variables, jax.random.key(1), batch, 0)
    distance = np.abs(batch["x"] / dataset.spec.scale.std).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(aux.metrics["l1"], distance, rtol=1e-4)
    np.testing.assert_allclose(losses, aux.metrics["generator_loss"] + 10 * aux.metrics["l1"], rtol=1e-5)
    logits = model.parts.discriminate(
        state.variables, jnp.zeros_like(batch["x"]), condition={"luminance": batch["luminance"]}
    )
    np.testing.assert_allclose(aux.metrics["generator_loss"], jax.nn.softplus(-logits), rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: translation_gan.Config(l1=-1.0), "l1 must be a finite number at least 0, got -1.0"),
        (lambda: translation_ddpm.Config(size=8), "size must be an integer of at least 16, got 8"),
        (lambda: translation_mean.Config(samples=1), "samples must be an integer of at least 2, got 1"),
        (lambda: dataclasses.replace(GAN, cases=41).build(), "cases must be at most 40, the test pictures, got 41"),
        (
            lambda: dataclasses.replace(GAN, model=dataclasses.replace(GAN.model, latent_dim=64)).build(),
            r"model.latent_dim must be 512, an image of noise \(16, 16, 2\), got 64",
        ),
    ],
)
def test_settings_that_cannot_be(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.fixture(scope="module")
def exact():
    """Test drawings and 8 colourings of each that are drawn from the truth itself."""
    shapes = coloured_shapes.sample(jax.random.key(7), 120)
    luminance, filling = coloured_shapes.rendered(shapes)
    test = Split(coloured_shapes.chroma(filling, shapes.colour), fields={"luminance": luminance})
    rng = np.random.default_rng(0)
    kind = np.asarray(shapes.kind)
    p = coloured_shapes.PROBABILITIES[kind].cumsum(axis=-1)
    numbers = (rng.uniform(size=(8, *kind.shape, 1)) > p).sum(axis=-1)
    x = np.stack([coloured_shapes.chroma(filling, number) for number in numbers])
    return shapes, filling, test, x


def test_exact_samples_pass_all_measures(exact):
    shapes, filling, test, x = exact
    found = _colouring.measured(x, test, test) | _colouring.of_shapes(x, test.x, shapes, filling)

    def near(name, value):
        error = found[name].standard_error
        assert error is not None and abs(found[name].value - value) < 4 * error, (name, found[name])

    near("calibration", 1)
    near("chi_squared", 9)
    assert found["clear"].value == 1
    for kind, p in zip(coloured_shapes.KINDS, coloured_shapes.PROBABILITIES, strict=True):
        near(f"differ/{kind}", 1 - np.square(p).sum())
        for name, share in zip(coloured_shapes.COLOURS, p, strict=True):
            near(f"share/{kind}/{name}", share)
    least = found["exact_mean/squared_error"].value
    assert found["sample/squared_error"].value == pytest.approx(2 * least, rel=0.15)
    assert found["mean_of_8/squared_error"].value == pytest.approx(9 / 8 * least, rel=0.1)
    assert found["mean_error"].value == pytest.approx(least / 8, rel=0.2)
    assert found["nearest_luminance/squared_error"].value == 0  # the training set is the test set here
    assert found["training/colour_distance"].value == 0 < found["mean_of_8/colour_distance"].value


def test_a_generator_that_ignores_its_noise_is_seen(exact):
    shapes, filling, test, x = exact
    same = np.broadcast_to(x[:1], x.shape)
    found = _colouring.measured(same, test, test) | _colouring.of_shapes(same, test.x, shapes, filling)
    assert found["calibration"].value < 1e-9 and found["differ/circle"].value == 0
    mean = coloured_shapes.mean_chroma(filling, shapes.kind)[None]
    alone = _colouring.measured(mean, test, test) | _colouring.of_shapes(mean, test.x, shapes, filling)
    assert alone["mean/squared_error"].value == alone["exact_mean/squared_error"].value
    assert alone["mean_error"].value == 0 and "calibration" not in alone and "chi_squared" not in alone
    # PSNR is that of red, green and blue.
    luminance = test.fields["luminance"]
    error = np.square(colour.joined(luminance, mean[0]) - colour.joined(luminance, test.x)).mean(axis=(1, 2, 3))
    assert alone["mean/psnr"].value == pytest.approx((-10 * np.log10(error)).mean(), rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("config", [DDPM, GAN, MEAN], ids=["diffusion", "gan", "mean"])
def test_from_training_to_the_picture(tmp_path, config):
    found = runs.train(config, tmp_path, progress=False).results["test"]
    assert {"grey/psnr", "nearest_luminance/psnr", "exact_mean/squared_error", "mean_error"} <= found.keys()
    assert ({"calibration", "chi_squared", "sample/psnr", "mean_of_3/psnr"} <= found.keys()) == (config is not MEAN)
    assert (tmp_path / "pictures" / "final.png").exists()


@pytest.mark.slow
def test_a_few_hundred_steps_draw_different_colours(tmp_path):
    """A shortened form of translation_ddpm: two colourings of a shape differ about as often as they should."""
    network = ddpm.UNet(features=16, multipliers=(1, 2), attention=(), patch=2)
    model = dataclasses.replace(MODEL, network=network, ema_decay=0.98, schedule=ddpm.Cosine(50), num_draws=4)
    own = {"num": 1000, "cases": 60, "samples": 4, "steps": 400, "batch_size": 16}
    config = dataclasses.replace(DDPM, model=model, sampler=ddpm.DPMSolver(8), **own)
    found = runs.train(config, tmp_path, progress=False).results["test"]
    for kind, p in zip(coloured_shapes.KINDS, coloured_shapes.PROBABILITIES, strict=True):
        assert abs(found[f"differ/{kind}"].value - (1 - np.square(p).sum())) < 0.3
    assert found["sample/colour_distance"].value < found["mean_of_4/colour_distance"].value
