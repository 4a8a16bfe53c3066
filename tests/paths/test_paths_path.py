"""Gaussian paths: closed forms, derivatives against jax.jvp, the inverse of the signal-to-noise ratio."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.paths import Cosine, LearnedLogSNR, Linear, LinearBeta, LinearLogSNR, Tabulated, VarianceExploding
from jaxgen.paths.path import log_snr_ends, rates, signal_and_noise

TABLE = Tabulated(tuple(np.cumprod(1 - np.linspace(1e-4, 0.3, 40)).tolist()))
LEARNED = LearnedLogSNR(num_features=8)
CURVED = LEARNED.path(LEARNED.init(jax.random.key(3)))
PATHS = [Linear(), Cosine(), LinearBeta(), VarianceExploding(), TABLE, LinearLogSNR(), CURVED]
TIMES = jnp.asarray([0.0131, 0.11, 0.26, 0.49, 0.73, 0.912, 0.997])  # none of them a level of the table
unchecked = inspect.unwrap(signal_and_noise)  # without the tests' checks of types


def named(value):
    return type(value).__name__


@pytest.mark.parametrize("path", PATHS, ids=named)
def test_derivatives_are_those_of_the_functions(path):
    pairs = (path.alpha, path.alpha_rate), (path.sigma, path.sigma_rate), (path.log_snr, path.log_snr_rate)
    for function, rate in pairs:

        @jax.jit
        def both(t, function=function, rate=rate):
            return rate(t), jax.jvp(function, (t,), (jnp.ones_like(t),))[1]

        np.testing.assert_allclose(*both(TIMES), rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("path", PATHS, ids=named)
def test_the_ratio_of_signal_to_noise_falls_and_is_inverted(path):
    ratios = path.log_snr(TIMES)
    np.testing.assert_allclose(ratios, 2 * np.log(path.alpha(TIMES) / path.sigma(TIMES)), rtol=1e-4)
    assert (np.diff(ratios) < 0).all()
    np.testing.assert_allclose(path.time(ratios), TIMES, rtol=2e-5)


@pytest.mark.parametrize("path", PATHS[:5], ids=named)
def test_it_starts_at_the_data(path):
    assert float(path.alpha(0.0)) == 1 and float(path.sigma(0)) == 0 and float(path.log_snr(0.0)) == math.inf


@pytest.mark.parametrize("path", [Cosine(), LinearBeta(), TABLE, LinearLogSNR(), CURVED], ids=named)
def test_the_variance_is_kept(path):
    np.testing.assert_allclose(jnp.square(path.alpha(TIMES)) + jnp.square(path.sigma(TIMES)), 1, rtol=1e-6)


def test_closed_forms_in_float64():
    """At the ends too, where 1 - alpha^2 or a cosine would lose digits."""
    t = np.array([1e-4, 0.3, 0.9999])
    integral = 0.1 * t + 19.9 / 2 * t**2
    cases = [
        (Linear(), 1 - t, t),
        (Cosine(), np.cos(math.pi / 2 * t), np.sin(math.pi / 2 * t)),
        (LinearBeta(), np.exp(-integral / 2), np.sqrt(-np.expm1(-integral))),
        (VarianceExploding(), np.ones(3), t),
    ]
    for path, alpha, sigma in cases:
        # What t itself loses in float32 counts where 1 - t is small.
        np.testing.assert_allclose(path.alpha(jnp.asarray(t, jnp.float32)), alpha, rtol=5e-4)
        np.testing.assert_allclose(path.sigma(jnp.asarray(t, jnp.float32)), sigma, rtol=1e-6)
    assert float(Cosine().alpha(1.0)) == float(Linear().alpha(1.0)) == 0


def test_linear_beta_with_equal_rates_is_an_exponential():
    path = LinearBeta(3.0, 3.0)
    np.testing.assert_allclose(path.alpha(TIMES), np.exp(-1.5 * np.asarray(TIMES)), rtol=1e-6)
    np.testing.assert_allclose(path.time(path.log_snr(TIMES)), TIMES, rtol=1e-5)


def test_a_table_is_met_at_its_levels_and_crossed_at_constant_speed():
    levels = jnp.arange(1, 41) / 40
    np.testing.assert_allclose(jnp.square(TABLE.alpha(levels)), TABLE.alpha_bar, rtol=2e-6)
    np.testing.assert_allclose(jnp.square(TABLE.sigma(levels)), 1 - np.array(TABLE.alpha_bar), rtol=2e-6)
    np.testing.assert_allclose(TABLE.time(TABLE.log_snr(levels)), levels, rtol=1e-5)
    arc = Tabulated(tuple(np.cos(math.pi / 2 * np.arange(1, 10) / 10) ** 2))  # a part of `Cosine`
    t = jnp.linspace(0.05, 1.0, 7)
    np.testing.assert_allclose(arc.alpha(t), Cosine().alpha(0.9 * t), rtol=1e-6)
    np.testing.assert_allclose(arc.sigma_rate(t), 0.9 * Cosine().sigma_rate(0.9 * t), rtol=1e-5)


def test_a_linear_ratio_is_the_chain_of_the_variational_diffusion_model():
    path = LinearLogSNR(-6.0, 12.0)
    np.testing.assert_allclose(path.log_snr(jnp.array([0.0, 0.25, 1.0])), [12, 7.5, -6], rtol=1e-6)
    np.testing.assert_allclose(jnp.square(path.sigma(0.0)), 1 / (1 + math.exp(12)), rtol=1e-5)
    assert [float(value) for value in log_snr_ends(path, 0.0, 1.0)] == [12, -6]


def test_a_learned_ratio_has_its_ends_and_derivatives_through_its_inverse():
    assert [round(float(value), 4) for value in log_snr_ends(CURVED, 0.0, 1.0)] == [13.3, -5.0]
    params = LEARNED.init(jax.random.key(3))
    slope = jax.jit(jax.grad(lambda p: LEARNED.path(p).log_snr(0.0) - 2 * LEARNED.path(p).log_snr(1.0)))(params)
    np.testing.assert_allclose([slope["ends"]["high"], slope["ends"]["low"]], [1, -2], atol=1e-5)
    assert all(np.abs(leaf).max() < 1e-4 for leaf in jax.tree.leaves(slope["way"]))

    @jax.jit
    def back(params, t):
        """What it goes back to does not depend on the parameters."""
        return LEARNED.path(params).time(LEARNED.path(params).log_snr(t))

    slope = jax.jit(jax.grad(lambda p: back(p, TIMES).sum()))(params)
    assert all(np.abs(leaf).max() < 1e-4 for leaf in jax.tree.leaves(slope))
    _, rate = jax.jvp(CURVED.time, (jnp.float32(3.0),), (jnp.float32(1.0),))
    np.testing.assert_allclose(rate, 1 / CURVED.log_snr_rate(CURVED.time(3.0)), rtol=1e-4)


def test_coefficients_stand_against_events():
    x = jnp.zeros((3, 2, 4), jnp.bfloat16)
    t = jnp.array([0.1, 0.5, 1.0])
    for found in (*signal_and_noise(Linear(), t, x), *rates(Linear(), t, x)):
        assert found.shape == (3, 1, 1) and found.dtype == jnp.bfloat16
    assert signal_and_noise(Linear(), 0.25, x)[1].shape == ()
    assert float(jax.jit(lambda t: signal_and_noise(Linear(), t, x)[0])(0.5)) == 0.5


class Vanishing(Linear):
    """A path of which nothing is left at t = 1."""

    def sigma(self, t):
        return (1 - t) * t


class Rising(Linear):
    """A path that is turned round."""

    def log_snr(self, t):
        return -Linear().log_snr(t)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: signal_and_noise(Linear(), 500.0, jnp.zeros((2, 1))), r"t must lie in \[0, 1\], got 500..500"),
        (lambda: signal_and_noise(VarianceExploding(), -1.0, jnp.zeros((2, 1))), r"t must lie in \[0, inf\]"),
        (lambda: signal_and_noise(Linear(), float("nan"), jnp.zeros((2, 1))), r"t must lie in \[0, 1\]"),
        (lambda: unchecked(Linear(), jnp.zeros(3), jnp.zeros((2, 1))), r"t must have shape \(\) or \(2,\)"),
        (lambda: unchecked(Linear(), 0.5, jnp.zeros((2, 1), jnp.int32)), "x must have a floating dtype"),
        (lambda: LinearBeta(2.0, 1.0), "beta_max must be a finite number at least 2, got 1"),
        (lambda: LinearLogSNR(1.0, 1.0), "high must be a finite number above 1, got 1"),
        (lambda: LinearLogSNR(-50.0), "low must be a finite number at least -40, got -50"),
        (lambda: LearnedLogSNR(high=50.0), "high must be a finite number at most 40, got 50"),
        (lambda: LearnedLogSNR(num_features=0), "num_features must be"),
        (lambda: log_snr_ends(Linear(), 0.0, 0.5), "t_0 must be a time at which the path has signal and noise"),
        (lambda: log_snr_ends(Linear(), 0.5, 1.0), "t_1 must be a time at which .* alpha=0 and sigma=1"),
        (lambda: log_snr_ends(Linear(), 0.5, 2.0), "t_1 must be at most 1, the path's largest t, got 2"),
        (lambda: log_snr_ends(Vanishing(), 0.5, 1.0), "t_1 must be .* alpha=0 and sigma=0"),
        (lambda: log_snr_ends(Rising(), 0.4, 0.6), "path must lose signal as t grows, got .* -0.8.* 0.8"),
        (lambda: Tabulated(()), "alpha_bar must hold numbers that fall strictly between 1 and 0"),
        (lambda: Tabulated((0.5, 0.6)), "alpha_bar must hold numbers that fall strictly between 1 and 0"),
        (lambda: Tabulated((1.0, 0.6)), "alpha_bar must hold numbers that fall strictly between 1 and 0"),
    ],
)
def test_what_is_no_time_or_path_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
