"""The probability of grey levels under a density, against integrals over their bins."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgen.paths import Linear, oracle
from jaxgen.paths.dequantisation import dequantise, dequantised_log_prob

LEVELS = 5  # half a unit apart, so that the density changes much within a bin
MIXTURE = oracle.GaussianMixture(np.array([[0.6], [-0.5]]), np.array([0.1, 0.3]), np.array([0.4, 0.6]))
LOG_PROB = functools.partial(MIXTURE.log_prob, Linear(), t=0.0)
GRID = np.linspace(-1, 1, LEVELS)


def exact():
    edges = np.stack([GRID - 0.25, GRID + 0.25])[..., None]
    below, above = stats.norm.cdf(edges, MIXTURE.means[:, 0], MIXTURE.stds) @ MIXTURE.weights
    return np.log(above - below)


def test_more_draws_are_tighter_and_tend_to_the_integral(key):
    num = 2000
    x = jnp.asarray(np.repeat(GRID, num)[:, None], jnp.float32)
    gaps = []
    for k in (1, 4, 64):
        found = jax.jit(lambda x, k=k: dequantised_log_prob(key, LOG_PROB, x, LEVELS, num_draws=k))(x)
        gaps.append(exact() - np.asarray(found, np.float64).reshape(LEVELS, num).mean(axis=1))
    assert (gaps[0] > gaps[1]).all() and (gaps[1] > gaps[2]).all() and (gaps[2] > -0.01).all()
    assert gaps[2].max() < 0.05 < 0.3 < gaps[0].max()
    # One draw is the plain bound: the mean log-density over the bin, by quadrature.
    inner = (np.arange(400) + 0.5) / 400 / 2 - 0.25
    points = jnp.asarray((GRID[:, None] + inner).reshape(-1, 1), jnp.float32)
    plain = np.asarray(LOG_PROB(points), np.float64).reshape(LEVELS, 400).mean(axis=1) + math.log(0.5)
    np.testing.assert_allclose(exact() - gaps[0], plain, atol=0.1)


def test_draws_belong_to_their_example_and_stay_in_its_bin(key):
    x = jnp.asarray(GRID[[0, 2, 4]][:, None].repeat(3, 1), jnp.float32)
    spread = jax.jit(lambda x: dequantise(key, x, LEVELS))(x)
    assert float(jnp.abs(spread - x).max()) < 0.25
    some = jax.jit(lambda x, index: dequantise(key, x, LEVELS, index))(x[1:], jnp.array([1, 2]))
    np.testing.assert_array_equal(some, spread[1:])

    def log_prob(x):
        return -jnp.square(x).sum(axis=1)

    one = jax.jit(lambda x: dequantised_log_prob(key, log_prob, x, LEVELS))(x)
    np.testing.assert_allclose(one, log_prob(spread) + 3 * math.log(0.5), rtol=1e-6)
    found = jax.jit(lambda x, index: dequantised_log_prob(key, log_prob, x, LEVELS, index=index, num_draws=3))
    whole = found(x, jnp.arange(3))
    np.testing.assert_allclose(found(x[1:2], jnp.array([1])), whole[1:2], rtol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda key, x: dequantise(key, x, 1), "levels must be"),
        (lambda key, x: dequantise(key, x + 0.1, LEVELS), "x_0 must be one of 5 levels"),
        (lambda key, x: dequantised_log_prob(key, lambda x: x[:, 0], x, LEVELS, num_draws=0), "num_draws must be"),
        (lambda key, x: dequantised_log_prob(key, lambda x: x[:1, 0], x, LEVELS), "log_prob must have shape"),
    ],
)
def test_what_has_no_probability_is_refused(call, message, key):
    with pytest.raises(ValueError, match=message):
        call(key, jnp.asarray(GRID[:2, None], jnp.float32))
