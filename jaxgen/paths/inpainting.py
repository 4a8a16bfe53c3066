"""Missing dimensions drawn by a model that has never seen a mask: the known ones are put back at every level.

    x_s = mask (alpha_s known + sigma_s z') + (1 - mask) (ancestral step from x_t)       down
    x_t = alpha_t / alpha_s x_s + sqrt(sigma_t^2 - (alpha_t / alpha_s sigma_s)^2) z      up again, to repeat some steps

It needs no training of its own, and is approximate: in a step down the missing dimensions are fitted to what the known
ones were a level before, with another draw of noise. They agree the better the more often each part of the way is
repeated (RePaint), at the price of as many more steps. A model that is given the mask (`jaxgen.nn.Concat`) needs
neither. For data that are Gaussian the result is Gaussian too, with moments that linear algebra gives; the tests do.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.events import require_events, require_mask
from jaxgen.paths.ode import Times, descend, monotone
from jaxgen.paths.path import Path
from jaxgen.paths.prediction import Predict
from jaxgen.paths.sampler import denoised, levels, sample_keys, step_normals


def inpaint(
    key: PRNGKey,
    denoise: Predict,
    path: Path,
    x: Float[Array, "b *event"],
    times: Times,
    known: Float[Array, "b *event"],
    mask: Bool[Array, "b *event"],
    *,
    repeats: int = 1,
    jump: int = 1,
    index: Int[Array, " b"] | None = None,
) -> Float[Array, "b *event"]:
    """Draw the missing dimensions, given the known ones, by replacement at every level and repetition.

    With repeats=1 it is the replacement method: `ancestral`, draw for draw, in which the known dimensions are put back
    after every step. With more, each stretch of `jump` steps is gone down `repeats` times; in between, noise takes the
    state up again.

    Args:
        key: Root of the noise.
        denoise: (x_t, t) -> x_0_hat.
        path: Path that the states are on.
        x: Noise at the first of the times, sigma z.
        times: Levels to visit, descending.
        known: Data; missing dimensions may hold any value.
        mask: True where the data are known.
        repeats: How often each stretch is gone down.
        jump: Steps of a stretch.
        index: Number k of each sample; None counts from 0.

    Returns:
        The states at the last of the times; at the data, equal to `known` where that is known.

    Raises:
        ValueError: A mask of another dtype or shape, repeats or jump below 1, fewer than two times, or times that do
            not fall.

    Source: Song et al. 2021, "Score-based generative modeling", appendix I.2; with repetitions Lugmayr et al. 2022
    (RePaint), algorithm 1 and section 4.2.
    """
    require_events(x=x, known=known)
    require_mask(x.shape, mask)
    keys = sample_keys(key, x, index)
    times = monotone(times, x.dtype, path.t_max)
    starts, lifted = moves(len(times) - 1, repeats, jump)
    known = jnp.where(mask, known, 0)

    alpha, sigma, log_snr = levels(path, times)
    added = -jnp.square(sigma[1:]) * jnp.expm1(-jnp.diff(log_snr))
    kept = jnp.sqrt(jnp.maximum(jnp.square(sigma[1:]) - added, 0))
    down = (times[:-1], alpha[:-1], sigma[:-1], alpha[1:], sigma[1:], kept, jnp.sqrt(added))
    # Up from the level that the stretch ends at; 1 and 0 where there is nothing to repeat.
    up = jnp.where(lifted > starts, alpha[starts] / alpha[lifted], 1)
    noise = jnp.sqrt(jnp.maximum(jnp.square(sigma[starts]) - jnp.square(up * sigma[lifted]), 0))
    noise = jnp.where(lifted > starts, noise, 0)
    steps = jnp.arange(1, len(starts) + 1, dtype=jnp.int32)
    tables = (steps, up, noise, *(table[starts] for table in down))

    def move(x: Array, memory: None, i: Array, up: Array, noise: Array, t: Array, *now: Array) -> tuple[Array, None]:
        alpha_t, sigma_t, alpha_s, sigma_s, kept, added = now
        x = up * x + noise * step_normals(keys, i + 2 * len(starts), x)
        x_0_hat = denoised(denoise, x, t)
        eps_hat = (x - alpha_t * x_0_hat) / sigma_t
        missing = alpha_s * x_0_hat + kept * eps_hat + added * step_normals(keys, i, x)
        there = alpha_s * known + sigma_s * step_normals(keys, i + len(starts), x)
        return jnp.where(mask, there, missing), memory

    return descend(move, jnp.where(mask, alpha[0] * known + x, x), tables, keep=False)


def moves(steps: int, repeats: int, jump: int) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """Steps down in the order in which `inpaint` takes them.

    Args:
        steps: Number of steps from the first level to the last.
        repeats: How often each stretch is gone down.
        jump: Steps of a stretch; the last stretch may be shorter.

    Returns:
        The level that each step starts from, counted from the first; and the level from which noise takes the state up
        to it before, which is the same level where nothing is repeated.

    Raises:
        ValueError: repeats or jump below 1.
    """
    require.size("repeats", repeats)
    require.size("jump", jump)
    starts, lifted = [], []
    for first in range(0, steps, jump):
        end = min(first + jump, steps)
        for turn in range(repeats):
            starts += range(first, end)
            lifted += [end if turn else first, *range(first + 1, end)]
    return np.array(starts), np.array(lifted)
