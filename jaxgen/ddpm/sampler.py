"""From noise to data: the generative process p(x_{0:T}), and shorter ways down.

    p(x_{0:T}) = p(x_T) prod_t p(x_{t-1} | x_t),     p(x_T) = N(0, I)                        ancestral
    x_s = sqrt(alpha_bar_s) x_0_hat + sqrt(1 - alpha_bar_s - sigma^2) eps_hat + sigma z      ddim
    the probability flow, whose noise is all in x_T, to first or second order                dpm_solver_pp

A sampler is a free function of `denoise(x_t, t)`; a change of the distribution is a function that takes `denoise` and
returns another (`conditioning`). `timesteps` names the levels to visit, descending from the level of x_T; None stands
for all of them. The steps are one scan, so that the compiled program is as long for 1000 steps as for 10.
Compile the call (`jax.jit`) if it is made more than once.

The noise of sample k at t is normal(fold_in(fold_in(key, k), t)): it does not depend on the batch.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.ddpm.process import (
    Denoise,
    Variance,
    clipped,
    eps_and_fraction,
    posterior_variance,
    reverse,
    sample_keys,
    step_normals,
)
from jaxgen.ddpm.schedule import Schedule, check_timesteps, respaced
from jaxgen.ddpm.tables import coefficient
from jaxgen.draws import example_keys
from jaxgen.events import require_events, require_integers, require_rank

_Event: TypeAlias = Float[Array, "b *event"]
_Index: TypeAlias = Int[Array, " b"]
_Samples: TypeAlias = Float[Array, "b *event"] | Float[Array, "kept b *event"]

_Move: TypeAlias = Callable[[Array, Any, Array, Array], tuple[Array, Any]]
"""(x, memory, t, i) -> (x, memory) one level down; t is the lecture's, i counts the visited levels from below."""


def noise(key: PRNGKey, index: _Index, event_shape: tuple[int, ...]) -> Float[Array, "b ..."]:
    """Draw x_T ~ N(0, I) for the samples `index`, that of sample k from fold_in(fold_in(key, k), 0).

    The steps of a sampler are keyed by t >= 1, so that a sampler may be given the same key.
    """
    require.typed_key("key", key)
    require_integers(index=index)
    require_rank(1, "[b]", index=index)
    require.sizes("event_shape", event_shape)
    return step_normals(example_keys(key, index), jnp.int32(0), jnp.zeros((len(index), *event_shape), jnp.float32))


def ancestral(
    key: PRNGKey,
    denoise: Denoise,
    schedule: Schedule,
    x_T: _Event,
    *,
    index: _Index | None = None,
    timesteps: Sequence[int] | None = None,
    until: int = 0,
    variance: Variance = posterior_variance,
    clip: float | None = None,
    keep: int | None = None,
) -> _Samples:
    """Samples by the lecture's generative process, one draw of p(x_{t-1} | x_t) after the other.

        x_{t-1} = mu_theta(x_t, t) + sigma_t z,     z ~ N(0, I), but 0 in the step to the data

    Args:
        key: Root of the noise.
        denoise: (x_t, t) -> eps_hat, or (eps_hat, variance fraction).
        schedule: Noise schedule.
        x_T: States to start from; draws of N(0, I) if the first level is T.
        index: Number k of each sample; None counts from 0.
        timesteps: Levels to visit, descending; x_T is at the first. None for all.
        until: Level at which to end; smaller timesteps are left out; 0 for the data.
        variance: Function that gives sigma_t^2 for every t of the schedule of the visited levels; ignored when the
            variance is learned.
        clip: c if the data lie in [-c, c]: x_0_hat is clipped to that range, and eps_hat follows; None for no limit.
        keep: Number of steps from one kept state to the next; None for the last state alone.

    Returns:
        The samples; with keep, x_T and the states after every keep-th step and the last, along a new first axis.

    Raises:
        ValueError: timesteps that are not a descending sub-sequence of 1 .. T, until not below the first of them, or a
            clip or keep that is not positive.

    Source: lecture, "Generative Backward Process"; Ho et al. 2020, algorithm 2.
    """
    require_events(x_T=x_T)
    times, visited = _levels(schedule, timesteps, until)
    keys = sample_keys(key, x_T, index)

    def move(x: Array, memory: None, t: Array, i: Array) -> tuple[Array, None]:
        eps_hat, fraction = eps_and_fraction(denoise(x, _times_of(x, t)), x)
        mean, spread = reverse(visited, x, i, eps_hat, fraction, variance=variance, clip=clip)
        z = step_normals(keys, t, x)
        return mean + jnp.where(i > 1, jnp.sqrt(spread), 0) * z, memory

    return _descend(move, x_T, times, visited, keep)


def ddim(
    key: PRNGKey,
    denoise: Denoise,
    schedule: Schedule,
    x_T: _Event,
    *,
    index: _Index | None = None,
    timesteps: Sequence[int] | None = None,
    until: int = 0,
    eta: float = 0.0,
    clip: float | None = None,
    keep: int | None = None,
) -> _Samples:
    """Samples by another process with the same marginals, from t to the next level s, whose noise eta scales.

        x_s = sqrt(alpha_bar_s) x_0_hat + sqrt(1 - alpha_bar_s - sigma^2) eps_hat + sigma z
        sigma = eta sqrt((1 - alpha_bar_s) / (1 - alpha_bar_t) (1 - alpha_bar_t / alpha_bar_s))

    eta = 0 takes x_T to the data without further noise, by steps of first order along the probability flow; eta = 1 is
    `ancestral` with the posterior's variance, draw for draw.

    Args:
        key: Root of the noise; not used if eta is 0.
        denoise: (x_t, t) -> eps_hat; a variance fraction is ignored.
        schedule: Noise schedule.
        x_T: States to start from.
        index: Number k of each sample; None counts from 0.
        timesteps: Levels to visit, descending; x_T is at the first. None for all.
        until: Level at which to end; smaller timesteps are left out; 0 for the data.
        eta: Share of the ancestral noise, in [0, 1].
        clip: c if the data lie in [-c, c]: x_0_hat is clipped to that range, and eps_hat follows; None for no limit.
        keep: Number of steps from one kept state to the next; None for the last state alone.

    Returns:
        The samples; with keep, x_T and the states after every keep-th step and the last, along a new first axis.

    Raises:
        ValueError: eta outside [0, 1]; see also `ancestral`.

    Source: beyond the lecture; Song et al. 2021 (DDIM), equations 12 and 16.
    """
    require.number("eta", eta, 0, 1)
    require_events(x_T=x_T)
    times, visited = _levels(schedule, timesteps, until)
    keys = sample_keys(key, x_T, index)
    below = np.append(1.0, visited.alpha_bar[:-1])  # alpha_bar_s at the place of t
    added = eta**2 * visited.beta * (1 - below) / np.append(1.0, 1 - visited.alpha_bar[1:])
    kept = np.maximum(1 - below - added, 0)  # share of the noise already there; rounding may take it below 0

    def move(x: Array, memory: None, t: Array, i: Array) -> tuple[Array, None]:
        eps_hat, _ = eps_and_fraction(denoise(x, _times_of(x, t)), x)
        x_0_hat, eps_hat = clipped(visited, x, i, eps_hat, clip)
        x = coefficient(np.sqrt(below), i, x) * x_0_hat + coefficient(np.sqrt(kept), i, x) * eps_hat
        if eta > 0:
            x = x + coefficient(np.sqrt(added), i, x) * step_normals(keys, t, x)
        return x, memory

    return _descend(move, x_T, times, visited, keep)


def dpm_solver_pp(
    key: PRNGKey,
    denoise: Denoise,
    schedule: Schedule,
    x_T: _Event,
    *,
    index: _Index | None = None,
    timesteps: Sequence[int] | None = None,
    until: int = 0,
    order: int = 2,
    clip: float | None = None,
    keep: int | None = None,
) -> _Samples:
    """Samples by the probability flow, in steps that take x_0_hat as linear in the log signal-to-noise ratio.

        x_s = sigma_s / sigma_t x_t + sqrt(alpha_bar_s) (1 - exp(-h)) D,     sigma = sqrt(1 - alpha_bar)
        h = lambda_s - lambda_t,     lambda = log(sqrt(alpha_bar) / sigma)
        D = x_0_hat(t) + h / (2 h_before) (x_0_hat(t) - x_0_hat(t_before))

    D is x_0_hat(t) alone in the first step, which has no step before it, and in the step to the data, where h is
    infinite. With order 1, D is x_0_hat(t) in all steps, which is `ddim` with eta = 0. Each step calls `denoise` once.

    Args:
        key: Not used, because the flow has no noise; it is an argument so that samplers are interchangeable.
        denoise: (x_t, t) -> eps_hat; a variance fraction is ignored.
        schedule: Noise schedule.
        x_T: States to start from.
        index: Not used.
        timesteps: Levels to visit, descending; x_T is at the first. None for all.
        until: Level at which to end; smaller timesteps are left out; 0 for the data.
        order: Order of the steps, 1 or 2.
        clip: c if the data lie in [-c, c]: x_0_hat is clipped to that range; None for no limit.
        keep: Number of steps from one kept state to the next; None for the last state alone.

    Returns:
        The samples; with keep, x_T and the states after every keep-th step and the last, along a new first axis.

    Raises:
        ValueError: An order other than 1 or 2; see also `ancestral`.

    Source: beyond the lecture; Lu et al. 2022 (DPM-Solver++), algorithm 2 (2M).
    """
    require.one_of("order", order, (1, 2))
    require_events(x_T=x_T)
    times, visited = _levels(schedule, timesteps, until)
    signal, sigma = np.sqrt(visited.alpha_bar), np.sqrt(1 - visited.alpha_bar)
    rest = np.append(0.0, sigma[:-1] / sigma[1:])  # sigma_s / sigma_t at the place of t
    gain = np.append(0.0, signal[:-1]) - np.append(0.0, signal[1:]) * rest  # sqrt(alpha_bar_s) (1 - exp(-h))
    slope = np.zeros_like(signal)
    if order == 2:
        h = -np.diff(np.log(signal[1:] / sigma[1:]))  # h of the steps from the second level on
        slope[2:-1] = 0.5 * h[:-1] / h[1:]

    def move(x: Array, before: Array, t: Array, i: Array) -> tuple[Array, Array]:
        eps_hat, _ = eps_and_fraction(denoise(x, _times_of(x, t)), x)
        x_0_hat, _ = clipped(visited, x, i, eps_hat, clip)
        steered = x_0_hat + coefficient(slope, i, x) * (x_0_hat - before)
        return coefficient(rest, i, x) * x + coefficient(gain, i, x) * steered, x_0_hat

    return _descend(move, x_T, times, visited, keep, jnp.zeros_like(x_T))


def _levels(schedule: Schedule, timesteps: Sequence[int] | None, until: int) -> tuple[np.ndarray, Schedule]:
    """The t from which a step starts, descending, and the schedule of all levels that are visited."""
    timesteps = range(schedule.num_timesteps, 0, -1) if timesteps is None else timesteps
    check_timesteps(schedule.num_timesteps, timesteps)
    require.integer("until", until, 0, timesteps[0] - 1, "below where the steps start")
    times = tuple(t for t in timesteps if t > until)
    return np.asarray(times, np.int32), respaced(schedule, times if until == 0 else (*times, until))


def _times_of(x: Array, t: Array) -> Array:
    return jnp.broadcast_to(t, x.shape[:1])


def _descend(
    move: _Move, x_T: Array, times: np.ndarray, visited: Schedule, keep: int | None, memory: Any = None
) -> Array:
    """Run all steps in one scan."""
    if keep is not None:
        require.size("keep", keep)
    steps = len(times)
    positions = np.arange(visited.num_timesteps, visited.num_timesteps - steps, -1, dtype=np.int32)
    # Each state is written to the place of the next kept state, which overwrites it.
    places = np.arange(steps, dtype=np.int32) // (keep or steps) + 1
    chain = None if keep is None else jnp.zeros((places[-1] + 1, *x_T.shape), x_T.dtype).at[0].set(x_T)

    def step(carry: tuple, now: tuple) -> tuple[tuple, None]:
        (x, memory, chain), (t, i, place) = carry, now
        x, memory = move(x, memory, t, i)
        return (x, memory, None if chain is None else chain.at[place].set(x)), None

    (x, _, chain), _ = jax.lax.scan(step, (x_T, memory, chain), (times, positions, places))
    return x if chain is None else chain
