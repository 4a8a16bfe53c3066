"""GANs on real values in physical units: what the generator makes, what the discriminator is asked, what is refused."""

import jax
import numpy as np
import pytest

from jaxgen import data, gan
from jaxgen.core import Spec
from jaxgen.data import Arcsinh, Standardise, ToRange, from_arrays, space
from jaxgen.train import fit

SMALL = gan.Config(latent_dim=4, network=gan.MLP((16,), (16,)), ema_decay=0.0)


def fluxes(num=64, shape=(4, 4, 1), seed=0):
    return np.random.default_rng(seed).exponential(500, (num, *shape)).astype(np.float32)


@pytest.mark.parametrize(
    "scale",
    [Standardise(), pytest.param(ToRange(), marks=pytest.mark.slow), Arcsinh()],
    ids=lambda s: type(s).__name__,
)
def test_what_is_handed_out_is_in_the_units_of_the_data(scale, key):
    dataset = from_arrays(fluxes(), scale=scale)
    spec = dataset.spec
    model = gan.model(SMALL, spec)
    state, _ = fit(model, dataset.train.batches(0, 16), key, 3, progress=False)
    x = np.asarray(model.sample(key, state.variables, 20))
    assert 50 < np.abs(x).mean() < 1e4
    low, high = dataset.train.x.min(), dataset.train.x.max()
    if scale == ToRange():  # a tanh, as for images: nothing lies beyond the data
        assert x.min() >= low - 1e-3 * high and x.max() <= high * 1.001
    # D sees the same values whether they come as data or as samples do.
    batch = {"x": dataset.test.x}
    logits = model.parts.discriminate(state.variables, dataset.test.x)
    np.testing.assert_allclose(jax.nn.sigmoid(logits), model.evaluate(key, state.variables, batch)["d_real"], rtol=1e-5)
    z, x_hat, error = model.parts.invert(key, state.variables, x[:2], num_steps=30, num_starts=2)
    squares = np.square(np.asarray(space.seen(x_hat, spec)) - space.seen(x[:2], spec)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(error, squares, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(x_hat, model.parts.generate(state.variables, z), rtol=1e-5, atol=1e-3)


def test_images_outside_the_unit_interval_are_refused_by_discriminate_and_invert(key):
    digits = data.digits()
    model = gan.model(SMALL, digits.spec)
    state = model.init(key, {"x": digits.train.x[:4]})
    x = digits.test.x[:2].astype(np.float32)
    for ask in (
        lambda x: model.parts.discriminate(state.variables, x),
        lambda x: model.parts.invert(key, state.variables, x),
    ):
        with pytest.raises(ValueError, match=r"x must lie in \[0, 1\], got 0 to 1\d; data.to_unit"):
            ask(x)
    assert model.parts.discriminate(state.variables, x / 16).shape == (2,)
    with pytest.raises(ValueError, match=r"x must lie in \[0, 16\], got 255"):
        model.init(key, {"x": np.full((4, 8, 8, 1), 255, np.uint8)})


def test_augmentation_is_for_values_that_lie_between_minus_one_and_one(key):
    config = gan.Config(network=gan.MLP((8,), (8,)), augmentation=gan.Augmentation(translation=0.2))
    dataset = from_arrays(fluxes())
    for spec in (Spec((4, 4, 1)), dataset.scaled(Standardise()).spec):
        with pytest.raises(ValueError, match=r"augmentation is for images .* or real values with the scale ToRange"):
            gan.model(config, spec)
    model = gan.model(config, dataset.scaled(ToRange()).spec)
    batch = {"x": dataset.train.x[:8]}
    assert np.isfinite(model.step(key, model.init(key, batch), batch)[1]["discriminator_loss"])


def test_values_far_from_unit_scale_are_warned_of(key):
    with pytest.warns(UserWarning, match=r"a GAN expects real values .* give the data a scale"):
        gan.model(SMALL, from_arrays(fluxes()).spec)
    with pytest.raises(ValueError, match="x on its scale must lie in"):
        gan.model(SMALL, Spec((4, 4, 1), scale=ToRange(0.0, 1.0))).init(key, {"x": fluxes()})
