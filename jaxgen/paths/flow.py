"""The log-density of a flow: an instantaneous change of variables, along dx / dt = u(x, t) from the data to the noise.

d log p_t(x_t) / dt = -div u(x_t, t)
log p(x_0) = log p_T(x_T) + int_0^T div u dt
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.distributions import normal_log_prob
from jaxgen.draws import example_keys
from jaxgen.events import require_events, require_integers, require_rank, sum_event
from jaxgen.paths.ode import Slope, Times, heun_step, monotone, sloped
from jaxgen.paths.prediction import Predict

_Event: TypeAlias = Float[Array, "b *event"]


def flow_log_prob(
    velocity: Predict, x_0: _Event, times: Times, *, prior_std: float = 1.0, signs: _Event | None = None
) -> Float[Array, " b"]:
    """The log-density that the probability flow gives to data, by Heun's method.

        log p(x_0) = log N(x_T; 0, prior_std^2 I) + int div u dt

    Without signs the divergence is exact, at the price of one vector-Jacobian product per dimension, and the one error
    is that of the steps, of second order. With signs r it is r^T (du / dx) r, whose mean over r is the divergence: the
    estimate is unbiased for the given steps, and costs one such product.

    Args:
        velocity: (x_t, t) -> dx / dt; no example may depend on another.
        x_0: Data, taken as states at the last of the times.
        times: Levels to go through, descending to that of x_0; the velocity is evaluated at each.
        prior_std: Standard deviation of the noise that x is taken to be at the first of the times.
        signs: Draws of `random_signs`; None for the exact divergence.

    Returns:
        One log-density per example, in nats.

    Raises:
        ValueError: Times that do not fall, or a prior_std that is not positive.

    Source: Chen et al. 2018 (neural ODEs), theorem 1; Grathwohl et al. 2019 (FFJORD), section 3; Hutchinson 1990.
    """
    require.number("prior_std", prior_std, above=0)
    require_events(x_0=x_0)
    if signs is not None:
        require_events(x_0=x_0, signs=signs)
    upwards = monotone(times, x_0.dtype)[::-1]
    return _log_prob(velocity, x_0, upwards, prior_std, signs)


class LogProb(NamedTuple):
    """A log-density with the error of the steps it was found in.

    Attributes:
        log_prob: One log-density per example, in nats, [B].
        error: Estimate of its error from above, in nats, [B]. Rounding and the noise of signs are no part of it.
    """

    log_prob: Array
    error: Array


def extrapolated_log_prob(
    velocity: Predict, x_0: _Event, times: Times, *, prior_std: float = 1.0, signs: _Event | None = None
) -> LogProb:
    """The log-density of the probability flow from two lengths of steps, with an estimate of its error.

        log p = L_2n + (L_2n - L_n) / 3,     error <= |L_2n - L_n| / 3

    L_n is `flow_log_prob` in the n steps between the times, L_2n that in their halves. The error of L_2n is a quarter
    of that of L_n, since Heun's method is of second order, so that a third of their difference is what L_2n is wrong;
    it is taken off, and given as a limit for what remains. The estimate is right where the steps are short enough for
    the order to show: double the number of times to see it fall to a quarter.

    Args:
        velocity: (x_t, t) -> dx / dt; no example may depend on another. It is called six times in every step.
        x_0: Data, taken as states at the last of the times.
        times: Levels to go through, descending to that of x_0; the velocity is evaluated at each and between them.
        prior_std: Standard deviation of the noise that x is taken to be at the first of the times.
        signs: Draws of `random_signs`, used for both; None for the exact divergence.

    Returns:
        One log-density per example and its error, in nats.

    Raises:
        ValueError: Times that do not fall, or a prior_std that is not positive.

    Source: Richardson 1911; for the log-density see `flow_log_prob`.
    """
    require.number("prior_std", prior_std, above=0)
    require_events(x_0=x_0)
    if signs is not None:
        require_events(x_0=x_0, signs=signs)
    upwards = monotone(times, x_0.dtype)[::-1]
    halves = 0.5 * (upwards[:-1] + upwards[1:])
    finer = jnp.concatenate([jnp.stack([upwards[:-1], halves], axis=1).reshape(-1), upwards[-1:]])
    coarse, fine = (_log_prob(velocity, x_0, levels, prior_std, signs) for levels in (upwards, finer))
    correction = (fine - coarse) / 3
    return LogProb(fine + correction, jnp.abs(correction))


def _log_prob(velocity: Predict, x_0: Array, upwards: Array, prior_std: float, signs: Array | None) -> Array:
    slope = change_of_variables(velocity, signs)

    def move(y: tuple[Array, Array], now: tuple[Array, Array]) -> tuple[tuple[Array, Array], None]:
        return heun_step(slope, y, *now), None

    start = x_0, jnp.zeros(x_0.shape[0], x_0.dtype)
    (x_T, total), _ = jax.lax.scan(move, start, (upwards[:-1], upwards[1:]))
    return prior_log_prob(x_T, prior_std) + total


def change_of_variables(velocity: Predict, signs: _Event | None = None) -> Slope:
    """Slopes of the state and of the integral of the divergence, (x, total) -> (u, div u), for a solver."""
    at = sloped(velocity)

    def slope(y: tuple[Array, Array], t: Array) -> tuple[Array, Array]:
        u, pullback = jax.vjp(lambda x: at(x, t), y[0])
        return u, divergence(lambda r: pullback(r)[0], y[0], signs)

    return slope


def prior_log_prob(x_T: _Event, prior_std: float) -> Float[Array, " b"]:
    """Log-density of N(0, prior_std^2 I) at the noise that the flow has led to, in nats."""
    log_var = jnp.asarray(2 * np.log(prior_std), x_T.dtype)
    return normal_log_prob(x_T, jnp.zeros_like(x_T), log_var)


def divergence(pullback: Callable[[Array], Array], x: _Event, signs: _Event | None = None) -> Float[Array, " b"]:
    """The trace of each example's Jacobian du / dx, or the estimate r^T (du / dx) r of it.

    Args:
        pullback: r -> r^T (du / dx), [B, *event], of examples that do not depend on one another.
        x: State, for its shape.
        signs: r; None for the exact trace.

    Source: Hutchinson 1990, for the estimate.
    """
    if signs is not None:
        return sum_event(pullback(signs) * signs)
    size = x.size // x.shape[0]
    basis = jnp.eye(size, dtype=x.dtype).reshape(size, 1, *x.shape[1:])
    rows = jax.vmap(lambda e: sum_event(pullback(jnp.broadcast_to(e, x.shape)) * e))(basis)
    return rows.sum(axis=0)


def random_signs(key: PRNGKey, index: Int[Array, " b"], event_shape: tuple[int, ...]) -> Float[Array, "b ..."]:
    """Draw 1 or -1 for every dimension, those of sample k from fold_in(key, k)."""
    require.typed_key("key", key)
    require_integers(index=index)
    require_rank(1, "[b]", index=index)
    return jax.vmap(lambda k: jax.random.rademacher(k, event_shape, jnp.float32))(example_keys(key, index))
