"""Gaussian paths: closed forms, derivatives against jax.jvp, the inverse of the signal-to-noise ratio."""

import inspect
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.paths import Cosine, Linear, LinearBeta, Tabulated, VarianceExploding
from jaxgen.paths.path import rates, signal_and_noise

TABLE = Tabulated(tuple(np.cumprod(1 - np.linspace(1e-4, 0.3, 40)).tolist()))
PATHS = [Linear(), Cosine(), LinearBeta(), VarianceExploding(), TABLE]
TIMES = jnp.asarray([0.0131, 0.11, 0.26, 0.49, 0.73, 0.912, 0.997])  # none of them a level of the table
unchecked = inspect.unwrap(signal_and_noise)  # without the tests' checks of types


def named(value):
    return type(value).__name__


@pytest.mark.parametrize("path", PATHS, ids=named)
def test_derivatives_are_those_of_the_functions(path):
    pairs = (path.alpha, path.alpha_rate), (path.sigma, path.sigma_rate), (path.log_snr, path.log_snr_rate)
    for function, rate in pairs:
        _, found = jax.jvp(function, (TIMES,), (jnp.ones_like(TIMES),))
        np.testing.assert_allclose(rate(TIMES), found, rtol=2e-4, atol=1e-6)


@pytest.mark.parametrize("path", PATHS, ids=named)
def test_the_ratio_of_signal_to_noise_falls_and_is_inverted(path):
    ratios = path.log_snr(TIMES)
    np.testing.assert_allclose(ratios, 2 * np.log(path.alpha(TIMES) / path.sigma(TIMES)), rtol=1e-4)
    assert (np.diff(ratios) < 0).all()
    np.testing.assert_allclose(path.time(ratios), TIMES, rtol=2e-5)


@pytest.mark.parametrize("path", PATHS, ids=named)
def test_it_starts_at_the_data(path):
    assert float(path.alpha(0.0)) == 1 and float(path.sigma(0)) == 0 and float(path.log_snr(0.0)) == math.inf


@pytest.mark.parametrize("path", [Cosine(), LinearBeta(), TABLE], ids=named)
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


def test_coefficients_stand_against_events():
    x = jnp.zeros((3, 2, 4), jnp.bfloat16)
    t = jnp.array([0.1, 0.5, 1.0])
    for found in (*signal_and_noise(Linear(), t, x), *rates(Linear(), t, x)):
        assert found.shape == (3, 1, 1) and found.dtype == jnp.bfloat16
    assert signal_and_noise(Linear(), 0.25, x)[1].shape == ()
    assert float(jax.jit(lambda t: signal_and_noise(Linear(), t, x)[0])(0.5)) == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: signal_and_noise(Linear(), 500.0, jnp.zeros((2, 1))), r"t must lie in \[0, 1\], got 500..500"),
        (lambda: signal_and_noise(VarianceExploding(), -1.0, jnp.zeros((2, 1))), r"t must lie in \[0, inf\]"),
        (lambda: signal_and_noise(Linear(), float("nan"), jnp.zeros((2, 1))), r"t must lie in \[0, 1\]"),
        (lambda: unchecked(Linear(), jnp.zeros(3), jnp.zeros((2, 1))), r"t must have shape \(\) or \(2,\)"),
        (lambda: unchecked(Linear(), 0.5, jnp.zeros((2, 1), jnp.int32)), "x must have a floating dtype"),
        (lambda: LinearBeta(2.0, 1.0), "beta_max must be a finite number at least 2, got 1"),
        (lambda: Tabulated(()), "alpha_bar must hold numbers that fall strictly between 1 and 0"),
        (lambda: Tabulated((0.5, 0.6)), "alpha_bar must hold numbers that fall strictly between 1 and 0"),
        (lambda: Tabulated((1.0, 0.6)), "alpha_bar must hold numbers that fall strictly between 1 and 0"),
    ],
)
def test_what_is_no_time_or_path_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
