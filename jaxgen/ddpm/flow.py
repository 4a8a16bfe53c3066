"""The log-density of the probability flow: an exact change of variables from x_1 to x_T, step by step.

Let phi_t = arctan sqrt(1 / alpha_bar_t - 1), an angle that measures the share of noise. Then
x_t = cos(phi) x_0 + sin(phi) eps and

    dx / dphi = v_hat(x, t),        d log p(x) / dphi = -div v_hat(x, t)

so that log p(x_1) = log p(x_T) + the integral of the divergence, which stays bounded at both ends. The integration
steps through the levels of the schedule, the only ones that the network has been trained at; alpha_bar_t gives phi_t.
"""

from collections.abc import Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxgen.core import PRNGKey
from jaxgen.ddpm.process import Denoise, eps_and_fraction, sample_keys
from jaxgen.ddpm.schedule import Schedule, check_timesteps
from jaxgen.distributions import normal_log_prob
from jaxgen.events import require_events, sum_event

_Event: TypeAlias = Float[Array, "b *event"]


def flow_log_prob(
    key: PRNGKey,
    denoise: Denoise,
    schedule: Schedule,
    x_1: _Event,
    *,
    index: Int[Array, " b"] | None = None,
    timesteps: Sequence[int] | None = None,
) -> Float[Array, " b"]:
    """An unbiased estimate of the log-density that the probability flow gives to x_1.

        log p(x_1) = log N(x_T; 0, I) + int div v_hat dphi
        div eps_hat = E [r^T (d eps_hat / d x) r],     r of independent signs

    and v_hat = (eps_hat - sin(phi) x) / cos(phi). The estimate is unbiased over r for the given steps, which are
    Heun's method between neighbouring levels: two runs of the network and of its vector-Jacobian product per step.

    Args:
        key: Root of the signs; those of example k at t are keyed by k and t.
        denoise: (x_t, t) -> eps_hat; a variance fraction is ignored.
        schedule: Noise schedule.
        x_1: Data, taken as states of the smallest level.
        index: Number k of each example; None counts from 0.
        timesteps: Levels to go through, descending; None for all. The last is the level of x_1; x at the first is taken
            to be N(0, I). (The last step of a schedule such as `cosine` removes nearly all of the remaining signal,
            which is hard for a network that predicts eps: begin one level below.)

    Returns:
        One log-density per example, in nats.

    Raises:
        ValueError: timesteps that are not a descending sub-sequence of 1 .. T.

    Source: beyond the lecture; Song et al. 2021, "Score-based generative modeling", section 4.3 and appendix D.2;
    Hutchinson 1990; the variables are those of Karras et al. 2022, section 2.
    """
    require_events(x_1=x_1)
    levels = range(schedule.num_timesteps, 0, -1) if timesteps is None else timesteps
    check_timesteps(schedule.num_timesteps, levels)
    keys = sample_keys(key, x_1, index)
    visited = np.asarray(levels, np.int32)[::-1].copy()
    alpha_bar = schedule.alpha_bar[visited]
    lengths = np.diff(np.arctan(np.sqrt(1 / alpha_bar - 1))).astype(x_1.dtype)
    signal, noise = (np.sqrt(share).astype(x_1.dtype) for share in (alpha_bar, 1 - alpha_bar))
    dimensions = x_1.size // x_1.shape[0]

    def slope(x: Array, t: Array, signal: Array, noise: Array) -> tuple[Array, Array]:
        """v_hat and an estimate of its divergence."""
        signs = jax.vmap(lambda k: jax.random.rademacher(jax.random.fold_in(k, t), x.shape[1:], x.dtype))(keys)

        def eps_hat(x: Array) -> Array:
            return eps_and_fraction(denoise(x, jnp.broadcast_to(t, x.shape[:1])), x)[0]

        eps, pullback = jax.vjp(eps_hat, x)
        divergence = sum_event(pullback(signs)[0] * signs)
        return (eps - noise * x) / signal, (divergence - noise * dimensions) / signal

    def move(carry: tuple[Array, Array], now: tuple) -> tuple[tuple[Array, Array], None]:
        (x, total), (here, there, length) = carry, now
        v, divergence = slope(x, *here)
        v_there, divergence_there = slope(x + length * v, *there)
        x = x + 0.5 * length * (v + v_there)
        return (x, total + 0.5 * length * (divergence + divergence_there)), None

    tables = (visited, signal, noise)
    steps = (tuple(table[:-1] for table in tables), tuple(table[1:] for table in tables), lengths)
    (x_T, total), _ = jax.lax.scan(move, (x_1, jnp.zeros(x_1.shape[0], x_1.dtype)), steps)
    return normal_log_prob(x_T, jnp.zeros_like(x_T), jnp.zeros((), x_T.dtype)) + total
