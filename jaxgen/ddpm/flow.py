"""The log-density of the probability flow: an exact change of variables from x_1 to x_T, step by step.

With y = x_t / sqrt(alpha_bar_t) and s_t = sqrt(1 / alpha_bar_t - 1), the noise over the signal, the flow is

    dy / ds = eps_hat(x_t, t),        d log p(y) / ds = -sqrt(alpha_bar_t) div eps_hat(x_t, t)

so that log p(y_1) = log p(y_T) + the integral of the divergence. It is taken through the levels of the schedule
themselves, the only ones that the network has been trained at; s is what log alpha_bar makes of t.
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
from jaxgen.events import sum_event

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

        log p(x_1) = log N(x_T; 0, I) + D/2 log(alpha_bar_T / alpha_bar_1) + int sqrt(alpha_bar) div eps_hat ds
        div eps_hat = E [v^T (d eps_hat / d x) v],     v of independent signs

    Unbiased as to v, given the steps: Heun's method between neighbouring levels, two runs of the network and its
    vector-Jacobian product per step.

    Args:
        key: Root of the signs; those of example k at t are keyed by k and t.
        denoise: (x_t, t) -> eps_hat; a variance fraction is passed over.
        schedule: Of beta.
        x_1: Data, which the smallest level stands for.
        index: Number k of each example; None counts from 0.
        timesteps: Levels to go through, descending; None for all. The last is that of x_1.

    Returns:
        One log-density per example, in nats.

    Raises:
        ValueError: timesteps not a descending sub-sequence of 1 .. T.

    Source: beyond the lecture; Song et al. 2021, "Score-based generative modeling", section 4.3 and appendix D.2;
    Hutchinson 1990; the variables are those of Karras et al. 2022, section 2.
    """
    levels = range(schedule.num_timesteps, 0, -1) if timesteps is None else timesteps
    check_timesteps(schedule.num_timesteps, levels)
    keys = sample_keys(key, x_1, index)
    visited = np.asarray(levels, np.int32)[::-1].copy()
    alpha_bar = schedule.alpha_bar[visited]
    signal = np.sqrt(alpha_bar).astype(x_1.dtype)
    lengths = np.diff(np.sqrt(1 / alpha_bar - 1)).astype(x_1.dtype)

    def slope(y: Array, t: Array, signal: Array) -> tuple[Array, Array]:
        """eps_hat and sqrt(alpha_bar) times an estimate of its divergence."""
        v = jax.vmap(lambda k: jax.random.rademacher(jax.random.fold_in(k, t), y.shape[1:], y.dtype))(keys)

        def eps_hat(x_t: Array) -> Array:
            return eps_and_fraction(denoise(x_t, jnp.broadcast_to(t, y.shape[:1])))[0]

        eps, pullback = jax.vjp(eps_hat, signal * y)
        return eps, signal * sum_event(pullback(v)[0] * v)

    def move(carry: tuple[Array, Array], now: tuple) -> tuple[tuple[Array, Array], None]:
        (y, total), (t, t_next, signal, signal_next, length) = carry, now
        eps, divergence = slope(y, t, signal)
        eps_next, divergence_next = slope(y + length * eps, t_next, signal_next)
        y = y + 0.5 * length * (eps + eps_next)
        return (y, total + 0.5 * length * (divergence + divergence_next)), None

    steps = (visited[:-1], visited[1:], signal[:-1], signal[1:], lengths)
    (y, total), _ = jax.lax.scan(move, (x_1 / signal[0], jnp.zeros(x_1.shape[0], x_1.dtype)), steps)
    dimensions = x_1.size // x_1.shape[0]
    change = 0.5 * dimensions * float(np.log(alpha_bar[-1] / alpha_bar[0]))
    x_T = signal[-1] * y
    return normal_log_prob(x_T, jnp.zeros_like(x_T), jnp.zeros((), x_T.dtype)) + change + total
