"""Draws of t against their distributions, and the grids of samplers."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgen.paths import (
    Cosine,
    Linear,
    LogitNormal,
    LogNormal,
    Uniform,
    even_times,
    karras_times,
    log_snr_times,
    stratified_times,
)
from jaxgen.paths.times import restricted, spread_uniforms, stratified_uniforms

DISTRIBUTIONS = [
    (Uniform(0.1, 0.7), stats.uniform(0.1, 0.6).cdf),
    (LogitNormal(0.3, 0.8), lambda t: stats.norm(0.3, 0.8).cdf(np.log(t / (1 - t)))),
    (LogNormal(), stats.lognorm(1.2, scale=math.exp(-1.2)).cdf),
]


@pytest.mark.parametrize(("distribution", "cdf"), DISTRIBUTIONS, ids=["uniform", "logit_normal", "log_normal"])
def test_draws_have_their_distribution_and_are_spread_over_it(distribution, cdf):
    # One from each of many batches: each alone is a draw of the distribution.
    keys = jax.random.split(jax.random.key(0), 2000)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: stratified_times(key, 7, distribution)))(keys), np.float64)
    for i in (0, 3):
        assert stats.kstest(drawn[:, i], cdf).pvalue > 1e-3
    # Together they meet each seventh of it once.
    shares = np.sort(cdf(drawn), axis=1)
    np.testing.assert_allclose(np.diff(shares, axis=1), 1 / 7, atol=1e-4)


def test_no_draw_meets_an_end():
    u = jax.vmap(lambda key: stratified_uniforms(key, 64))(jax.random.split(jax.random.key(1), 500))
    assert float(u.min()) > 0 and float(u.max()) < 1
    t = LogNormal(0.0, 1.0).quantile(jnp.asarray([2.0**-25, 1 - 2.0**-24]))
    assert np.isfinite(t).all() and float(t.min()) > 0


def test_the_mean_of_a_batch_varies_less_than_with_independent_draws():
    batches = jax.vmap(lambda key: stratified_times(key, 32, Uniform()))(jax.random.split(jax.random.key(2), 300))
    assert float(jnp.square(batches).mean(axis=1).std()) < 0.2 * math.sqrt(4 / 45 / 32)


def test_numbers_of_an_example_are_its_own_and_fill_the_interval():
    key, index = jax.random.key(4), jnp.arange(1000)
    u = np.asarray(jax.jit(lambda index: spread_uniforms(key, index, 4))(index), np.float64)
    np.testing.assert_array_equal(spread_uniforms(key, index[7:9], 4), u[:, 7:9].astype(np.float32))
    assert (np.floor(4 * u) == np.arange(4)[:, None]).all()  # one in each stratum
    for of_one_stratum in 4 * u % 1:
        # The discrepancy of the golden ratio's multiples: far below 1 / sqrt(1000).
        assert stats.kstest(of_one_stratum, "uniform").statistic < 3e-3
    first = jax.vmap(lambda key: spread_uniforms(key, jnp.array([3]), 1)[0, 0])(jax.random.split(key, 2000))
    assert stats.kstest(first, "uniform").pvalue > 1e-3
    far = spread_uniforms(key, jnp.array([2**31 - 1, 2**31 - 2, -1]))
    assert float(far.min()) > 0 and float(far.max()) < 1


@pytest.mark.parametrize("distribution", [Uniform(0.0, 1.0), LogitNormal(0.3, 1.5)], ids=type)
def test_a_distribution_that_is_cut_off_gives_integrals_between_its_ends(distribution):
    u = (jnp.arange(4000, dtype=jnp.float32) + 0.5) / 4000
    t, rate = jax.jit(lambda u: restricted(distribution, 0.02, 0.9, u))(u)
    assert float(t.min()) > 0.02 and float(t.max()) < 0.9
    np.testing.assert_allclose(rate.mean(), 0.88, rtol=1e-3)
    np.testing.assert_allclose((rate * jnp.square(t)).mean(), (0.9**3 - 0.02**3) / 3, rtol=1e-3)
    with pytest.raises(ValueError, match=r"times must be drawn from 0\.2 to 0.9, got a distribution from 0.3 to 0.8"):
        restricted(Uniform(0.3, 0.8), 0.2, 0.9, u, whole=True)
    with pytest.raises(
        ValueError, match=r"times must be drawn from 0\.2 to 0\.9, got a distribution from 0\.3 to 0\.8"
    ):
        restricted(Uniform(0.3, 0.8), 0.2, 0.9, u)
    thin, _ = restricted(LogitNormal(std=0.3), 0.001, 0.999, u)  # beyond what float32 draws of it reach
    assert 0.1 < float(thin.min()) < 0.3
    to_the_data, rate = restricted(Uniform(), 0.0, 1.0, u)
    np.testing.assert_allclose(to_the_data, u, rtol=1e-6)
    np.testing.assert_allclose(rate, 1, rtol=1e-6)


def test_grids():
    np.testing.assert_allclose(even_times(4), [1, 0.75, 0.5, 0.25, 0])
    found = karras_times(18)
    assert len(found) == 19 and found[0] == 80 and found[-2:] == (0.002, 0.0)
    root = 80 ** (1 / 7) + 3 / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))
    assert math.isclose(found[3], root**7)
    np.testing.assert_allclose(karras_times(3, 3.0, 1.0, 1.0), [3, 2, 1, 0])
    for path in (Linear(), Cosine()):
        grid = log_snr_times(path, 9, 0.95, 0.01)
        assert len(grid) == 10 and grid[0] == 0.95 and grid[-2:] == (0.01, 0.0)
        steps = np.diff([float(path.log_snr(t)) for t in grid[:-1]])
        np.testing.assert_allclose(steps, steps.mean(), rtol=1e-4)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Uniform(0.5, 0.5), "high must be a finite number above 0.5"),
        (lambda: LogitNormal(std=0.0), "std must be a finite number above 0"),
        (lambda: even_times(0), "num_steps must be an integer of at least 1"),
        (lambda: even_times(3, 0.0), "start must be a finite number above 0"),
        (lambda: karras_times(5, 1.0, 2.0), "sigma_max must be a finite number above 2"),
        (lambda: log_snr_times(Linear(), 5, 1.0, 0.1), "finite log signal-to-noise ratios that grow, got -inf at t=1"),
        (lambda: stratified_times(jax.random.key(0), 0, Uniform()), "num must be an integer of at least 1"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
