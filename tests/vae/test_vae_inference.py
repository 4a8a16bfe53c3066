"""Estimates of log P(X) on the model where it is known: the linear-Gaussian VAE in the network's own parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import vae
from jaxgen.core import Spec
from jaxgen.vae.inference import log_mean_exp
from jaxgen.vae.oracle import LinearGaussian


@pytest.fixture(scope="module")
def known():
    """A VAE without hidden layers, its decoder, and the oracle with the same numbers."""
    model = vae.model(vae.Config(latent_dim=2, hidden=(), likelihood=vae.Normal(0.6)), Spec((5,)))
    key = jax.random.key(1)
    state = model.init(key, {"x": np.zeros((4, 5), np.float32)})
    decoder = state.params["decoder"]
    oracle = LinearGaussian(weights=decoder["Dense_0"]["kernel"].T, bias=decoder["bias"] + 0.3, sigma=jnp.float32(0.6))
    params = {**state.params, "decoder": {**decoder, "bias": decoder["bias"] + 0.3}}
    return model, state.replace(params=params), oracle, oracle.sample(key, 6)


@pytest.mark.parametrize("name", ["log_likelihood", "monte_carlo"])
def test_both_estimates_reach_the_exact_value(known, name):
    model, state, oracle, x = known
    estimate = getattr(model.parts, name)(jax.random.key(2), state.variables, {"x": x}, num_samples=20_000)
    np.testing.assert_allclose(estimate, oracle.log_prob(x), atol=0.2)


def test_chunks_and_batches_do_not_matter(known):
    model, state, _, x = known
    key = jax.random.key(3)
    whole = model.parts.log_likelihood(
        key, state.variables, {"x": x, "index": jnp.arange(6, dtype=jnp.int32)}, 100, chunk=100
    )
    parts = model.parts.log_likelihood(
        key, state.variables, {"x": x, "index": jnp.arange(6, dtype=jnp.int32)}, 100, chunk=5
    )
    np.testing.assert_allclose(whole, parts, rtol=1e-5)
    one = model.parts.log_likelihood(key, state.variables, {"x": x[4:5], "index": jnp.array([4], jnp.int32)}, 100)
    np.testing.assert_allclose(one[0], whole[4], rtol=1e-5)


def test_the_bound_is_below_the_estimate_on_average(known):
    model, state, oracle, x = known
    bounds = jnp.stack(
        [-model.evaluate(jax.random.key(s), state.variables, {"x": x})["negative_elbo"] for s in range(200)]
    )
    assert (bounds.mean(axis=0) < oracle.log_prob(x)).all()


def test_log_mean_exp_streams():
    weights = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32) * 50
    weights[:10, 0], weights[:, 1] = -np.inf, -1e4
    exact = np.logaddexp.reduce(weights.astype(np.float64), axis=0) - np.log(30)
    for chunk in (1, 5, 30):
        found = log_mean_exp(lambda i: jnp.asarray(weights)[i], 30, chunk, 4)
        np.testing.assert_allclose(found, exact, rtol=1e-5)
    assert (log_mean_exp(lambda i: jnp.full((5, 2), -jnp.inf), 10, 5, 2) == -jnp.inf).all()
    with pytest.raises(ValueError, match="num_samples must be a positive multiple of chunk=7, got 30"):
        log_mean_exp(lambda i: jnp.asarray(weights)[i], 30, 7, 4)
