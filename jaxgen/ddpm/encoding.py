"""From data to noise without chance: the probability flow upwards, and from one kind of data to another by it.

    encode:     x_t = sqrt(alpha_bar_t) x_0_hat + sqrt(1 - alpha_bar_t) eps_hat,     from level s up to the next level t
    translate:  x_T = encode(source, x),     y = ddim(target, x_T)

Noise that a model of the source takes for x is noise that a model of the target makes y of. No pair (x, y) is ever
seen: the two models share nothing but N(0, I) and the schedule.

Source: Song et al. 2021 (DDIM), section 4.3; Su et al. 2023 (dual diffusion implicit bridges), algorithm 1.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.ddpm.process import Denoise, eps_and_fraction
from jaxgen.ddpm.sampler import ddim
from jaxgen.ddpm.schedule import Schedule, check_timesteps
from jaxgen.events import require_events

_Event: TypeAlias = Float[Array, "b *event"]


def encode(
    denoise: Denoise,
    schedule: Schedule,
    x_0: _Event,
    *,
    timesteps: Sequence[int] | None = None,
    iterations: int = 1,
) -> _Event:
    """The state at level timesteps[0] from which `ddim` with eta = 0 comes to x_0.

    A step of `ddim` from t down to s is x_s = a x_t + b eps_hat(x_t, t). Upwards it is an equation for x_t,

        x_t = (x_s - b eps_hat(x_t, t)) / a,     a = sqrt(alpha_bar_s / alpha_bar_t)
                                                 b = sqrt(1 - alpha_bar_s) - a sqrt(1 - alpha_bar_t)

    whose right side is put into itself `iterations` times, beginning with x_s in the place of x_t: once is the usual
    inversion, of first order; more come nearer to the exact inverse of the steps, where they converge. Nothing is
    drawn.

    Args:
        denoise: (x_t, t) -> eps_hat; a variance fraction is ignored.
        schedule: Noise schedule.
        x_0: Data in model space.
        timesteps: Levels to visit, descending as those of `ddim`; the result is at the first. None for all.
        iterations: Calls of `denoise` in each step.

    Returns:
        x_T, shaped like x_0; for a perfect model and small steps a draw of N(0, I) for every draw of the data.

    Raises:
        ValueError: timesteps that are not a descending sub-sequence of 1 .. T, or iterations below 1.

    Source: beyond the lecture; Song et al. 2021 (DDIM), equation 14; the iterations, Pan et al. 2023 (accelerated
        iterative diffusion inversion), section 3.
    """
    require.size("iterations", iterations)
    require_events(x_0=x_0)
    levels = tuple(range(schedule.num_timesteps, 0, -1) if timesteps is None else timesteps)
    check_timesteps(schedule.num_timesteps, levels)
    times = np.asarray(levels[::-1], np.int32)
    alpha_bar = schedule.alpha_bar[[0, *times]]
    below, above = alpha_bar[:-1], alpha_bar[1:]
    kept = np.sqrt(above / below)  # 1 / a
    added = np.sqrt(1 - above) - kept * np.sqrt(1 - below)  # -b / a

    def step(x_s: Array, now: Any) -> tuple[Array, None]:
        t, kept, added = now

        def again(_: Any, x_t: Array) -> Array:
            eps_hat, _ = eps_and_fraction(denoise(x_t, jnp.broadcast_to(t, x_t.shape[:1])), x_t)
            return kept * x_s + added * eps_hat

        return jax.lax.fori_loop(0, iterations, again, x_s), None

    tables = (times, kept.astype(x_0.dtype), added.astype(x_0.dtype))
    return jax.lax.scan(step, x_0, tables)[0]


def translate(
    source: Denoise,
    target: Denoise,
    schedule: Schedule,
    x_0: _Event,
    *,
    timesteps: Sequence[int] | None = None,
    iterations: int = 1,
    clip: float | None = None,
) -> _Event:
    """Data of one kind as data of another: up to the noise by the one model, and down from it by the other.

    Args:
        source: Denoiser of the kind that x_0 is of, (x_t, t) -> eps_hat.
        target: Denoiser of the other kind, for the same schedule and shape. It may be the same network, told another
            condition.
        schedule: Noise schedule of both.
        x_0: Data in model space.
        timesteps: Levels to visit, descending; None for all. If the first is below T, x_0 keeps a part of its signal on
            the way: less is changed.
        iterations: Calls of `source` in each step upwards, see `encode`.
        clip: c if the target's data lie in [-c, c], see `ddim`.

    Returns:
        The translations in model space, shaped like x_0. If source and target are the same, they are x_0 again, up to
        the error of the steps.

    Raises:
        ValueError: As `encode`.

    Source: beyond the lecture; Su et al. 2023, algorithm 1.
    """
    x_T = encode(source, schedule, x_0, timesteps=timesteps, iterations=iterations)
    # Nothing is drawn where eta is 0.
    return ddim(jax.random.key(0), target, schedule, x_T, timesteps=timesteps, clip=clip)
