"""A deviation of its own for every value: the decoder's second group of channels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data, vae
from jaxgen.core import Spec
from jaxgen.distributions import discretized_normal_log_prob

SPEC = Spec((3, 2, 1), "uint8", levels=17)
OWN = vae.DiscretizedNormal(own_scale=True)


@pytest.fixture
def output():
    return jnp.asarray(np.random.default_rng(0).normal(size=(4, 3, 2, 2)), jnp.float32)


def test_mean_and_deviation_are_the_two_groups_of_channels(output):
    x = data.to_model(np.random.default_rng(1).integers(0, 17, (4, 3, 2, 1), np.uint8), SPEC)
    mu, log_scale = output[..., :1], -1 + 4 * jnp.tanh(output[..., 1:] / 4)
    found = OWN.log_prob(x, output, jnp.float32(-1), SPEC, None)
    np.testing.assert_array_equal(found, discretized_normal_log_prob(x, mu, log_scale, levels=17))
    np.testing.assert_array_equal(OWN.mean(output, SPEC), jnp.clip((mu + 1) / 2, 0, 1))
    np.testing.assert_allclose(OWN.probabilities(output, jnp.float32(-1), SPEC).sum(-1), 1, atol=1e-6)
    far = OWN.draw(jnp.concatenate([mu, jnp.full_like(mu, -1e9)], -1), jnp.float32(-20), jnp.ones_like(mu), SPEC)
    np.testing.assert_allclose(far, jnp.clip(jnp.round((mu + 1) * 8), 0, 16) / 8 - 1, atol=1e-6)


@pytest.mark.parametrize("features", [(), (8,)])
def test_a_model_starts_at_the_mean_of_the_data_with_one_deviation(features):
    x = np.random.default_rng(0).integers(0, 17, (20, 4, 4, 1), np.uint8)
    images = data.from_arrays(x, levels=17)
    config = vae.Config(latent_dim=2, hidden=(8,), features=features, likelihood=OWN)
    model = vae.model(config, images.spec)
    batch = {"x": x}
    variables = model.init(jax.random.key(0), batch).variables
    bias = variables["params"]["decoder"]["bias"]
    assert bias.shape == (4, 4, 2) and variables["params"]["log_scale"] == np.log(np.float32(0.2))
    np.testing.assert_allclose(bias[..., 0], data.to_model(x, images.spec).mean(axis=0)[..., 0], atol=1e-6)
    assert (bias[..., 1] == 0).all()
    assert model.parts.reconstruct(variables, x).shape == model.sample(jax.random.key(0), variables, 20).shape
    assert np.isfinite(model.evaluate(jax.random.key(0), variables, batch)["negative_elbo"]).all()


def test_a_table_of_columns_has_no_names_for_the_output():
    spec = Spec((2,), "uint8", levels=17, columns=("a", "b"))
    model = vae.model(vae.Config(latent_dim=2, hidden=(8,), likelihood=OWN), spec)
    variables = model.init(jax.random.key(0), {"x": np.zeros((3, 2), np.uint8)}).variables
    assert model.sample(jax.random.key(0), variables, 3).shape == (3, 2)
