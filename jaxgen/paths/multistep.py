"""Coefficients of exponential multistep methods: the integral of a polynomial through denoised data already known."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def multistep_weights(h: Float[Array, " n"], order: int) -> list[Float[Array, " n"]]:
    """Factors of x_0_hat at t and at up to two steps before it, for every step, without alpha_s.

        int_0^h exp(u - h) P(u) du,     P the polynomial through x_0_hat at u = 0, -h_1 and -h_1 - h_2

    Where a step before is missing or infinite, the factors are those of the order below.

    Args:
        h: Lengths of all steps, half the growth of the log signal-to-noise ratio.
        order: Order of the steps, 1, 2 or 3.

    Returns:
        `order` arrays as long as h.

    Source: Lu et al. 2022 (DPM-Solver++), section 4.1 for the integral, algorithm 2 for order 2; Hochbruck & Ostermann
    2010, section 2.5, on exponential multistep methods.
    """
    first = -jnp.expm1(-h)
    if order == 1:
        return [first]
    h_1 = jnp.concatenate([jnp.full_like(h[:1], jnp.inf), h[:-1]])
    twice = jnp.isfinite(h) & jnp.isfinite(h_1)
    # (1 - exp(-h)) / 2 h / h_1 in place of the integral: published so, and of second order too.
    half = jnp.where(twice, 0.5 * first * h / jnp.where(twice, h_1, 1), 0)
    if order == 2:
        return [first + half, -half]
    h_2 = jnp.concatenate([jnp.full_like(h[:1], jnp.inf), h_1[:-1]])
    thrice = twice & jnp.isfinite(h_2)
    a, b = jnp.where(thrice, h_1, 1), jnp.where(thrice, h_1 + h_2, 2)
    u = jnp.where(thrice, h, 0)
    linear, square = _moments(u)
    # Lagrange's polynomials at 0, -a and -b.
    before = -(linear * b + square) / (a * (b - a))
    further = (linear * a + square) / (b * (b - a))
    now = first + (linear * (a + b) + square) / (a * b)
    second = [first + half, -half, jnp.zeros_like(first)]
    now, before, further = (jnp.where(thrice, *pair) for pair in zip((now, before, further), second, strict=True))
    if len(h) > 1:
        # The first step was of first order. Its end is known now, and a slope through it mends the state in hindsight.
        finite = jnp.isfinite(h[0])
        u = jnp.where(finite, h[0], 1)
        mended = jnp.where(finite, jnp.exp(-h[1]) * _moments(u)[0] / u, 0)
        now, before = now.at[1].add(mended), before.at[1].add(-mended)
    return [now, before, further]


def _moments(h: Array) -> tuple[Array, Array]:
    """int_0^h exp(u - h) u^k du for k = 1 and 2, from their series where the closed forms lose digits."""
    series = [1.0] * 2
    for n in range(12, 0, -1):
        series = [1 - h / (n + k + 1) * value for k, value in enumerate(series, 1)]
    small = jnp.abs(h) < 0.5
    linear = jnp.where(small, jnp.square(h) / 2 * series[0], jnp.expm1(-h) + h)
    square = jnp.where(small, h**3 / 3 * series[1], jnp.square(h) - 2 * (jnp.expm1(-h) + h))
    return linear, square
