"""Denoisers made of denoisers: steered by a condition, or by the dimensions of the data that are known.

What changes the distribution that is sampled from is a function of `denoise` that returns another, so that every
sampler takes it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.ddpm.prediction import eps_from_x_0
from jaxgen.ddpm.process import Denoise, Denoised, diffuse, eps_and_fraction
from jaxgen.ddpm.sampler import ancestral
from jaxgen.ddpm.schedule import Schedule, check_timesteps
from jaxgen.events import require_events, require_mask

_Event: TypeAlias = Float[Array, "b *event"]
_Index: TypeAlias = Int[Array, " b"]


def guided(
    denoise: Callable[[Array, Array, Any], Denoised], w: float | Float[Array, ""], condition: Any, null: Any
) -> Denoise:
    """A denoiser that is pushed towards its condition: classifier-free guidance.

        eps_hat = eps_u + w (eps_c - eps_u)

    w = 0 is the model without the condition, w = 1 the one with it, w > 1 goes beyond. (In the paper's notation
    w - 1 is the weight.) Both are asked at once, in a batch of twice the size.

    Args:
        denoise: (x_t, t, condition) -> eps_hat, or (eps_hat, variance fraction), of which that with the condition is
            taken.
        w: Weight.
        condition: What to sample for: a pytree of arrays [B, ...], labels for instance.
        null: What the network was shown in training where the condition was left out, of the same shapes.

    Source: beyond the lecture; Ho & Salimans 2022, equation 6.
    """

    def both(x_t: Array, t: Array) -> Denoised:
        if not hasattr(w, "shape"):
            require.number("w", w)
        twice = partial(jax.tree.map, lambda a, b: jnp.concatenate([a, b]))
        _require_alike(x_t.shape[0], condition, null)
        doubled = twice(x_t, x_t)
        eps, fraction = eps_and_fraction(denoise(doubled, twice(t, t), twice(condition, null)), doubled)
        eps_c, eps_u = jnp.split(eps, 2)
        eps = eps_u + w * (eps_c - eps_u)
        return eps if fraction is None else (eps, jnp.split(fraction, 2)[0])

    return both


def inpainted(denoise: Denoise, schedule: Schedule, x: _Event, mask: Bool[Array, "b *event"]) -> Denoise:
    """A denoiser that knows the observed dimensions of the data.

    There eps_hat is what leads to the observed value, (x_t - sqrt(alpha_bar_t) x) / sqrt(1 - alpha_bar_t), so that
    they run through the forward process's own states on their way to x. The others follow the network, which sees the
    observed ones as noisy as its own. See `inpaint`.

    Args:
        denoise: (x_t, t) -> eps_hat, or (eps_hat, variance fraction).
        schedule: Of beta.
        x: Data; where they are not observed they may be anything.
        mask: True where x is observed.
    """
    require_events(x=x)
    require_mask(x.shape, mask)
    x = jnp.where(mask, x, 0)

    def knowing(x_t: Array, t: Array) -> Denoised:
        require_events(x=x, x_t=x_t)
        eps, fraction = eps_and_fraction(denoise(x_t, t), x_t)
        eps = jnp.where(mask, eps_from_x_0(schedule, x_t, t, x), eps)
        return eps if fraction is None else (eps, fraction)

    return knowing


def inpaint(
    key: PRNGKey,
    denoise: Denoise,
    schedule: Schedule,
    x_T: _Event,
    x: _Event,
    mask: Bool[Array, "b *event"],
    *,
    sampler: Callable[..., Array] = ancestral,
    index: _Index | None = None,
    timesteps: Sequence[int] | None = None,
    clip: float | None = None,
) -> _Event:
    """Draws of the missing dimensions, given the observed ones.

    Approximate: on the way down, what is missing is fitted to a noisy copy of what is observed, and p(x_t) is taken
    to be consistent with every such copy. What comes out fits the observed dimensions, but is not distributed as
    p(missing | observed) unless the two are independent.

    Args:
        key: Root of the noise.
        denoise: (x_t, t) -> eps_hat, or (eps_hat, variance fraction).
        schedule: Of beta.
        x_T: Noise, for all dimensions.
        x: Data; where they are not observed they may be anything.
        mask: True where x is observed.
        sampler: `ancestral`, or another with its choices bound by functools.partial.
        index: Number k of each sample; None counts from 0.
        timesteps: Levels to visit, descending; None for all.
        clip: c, where data lie in [-c, c].

    Returns:
        Samples; the observed dimensions as they are in x.

    Raises:
        ValueError: As the sampler.

    Source: beyond the lecture; Song et al. 2021, "Score-based generative modeling", appendix I.2; Lugmayr et al. 2022,
    section 4.1.
    """
    require_events(x_T=x_T, x=x)
    require_mask(x.shape, mask)
    levels = range(schedule.num_timesteps, 0, -1) if timesteps is None else timesteps
    check_timesteps(schedule.num_timesteps, levels)
    start = jnp.where(mask, diffuse(schedule, jnp.where(mask, x, 0), levels[0], x_T), x_T)
    knowing = inpainted(denoise, schedule, x, mask)
    samples = sampler(key, knowing, schedule, start, index=index, timesteps=timesteps, clip=clip)
    return jnp.where(mask, x, samples)


def _require_alike(num: int, condition: Any, null: Any) -> None:
    """Raises unless condition and null are alike, pytrees of arrays [B, ...]."""
    shapes, nulls = (jax.tree.map(jnp.shape, tree) for tree in (condition, null))
    if shapes != nulls or any(jnp.shape(leaf)[:1] != (num,) for leaf in jax.tree.leaves(condition)):
        raise ValueError(f"condition and null must have equal shapes [{num}, ...], got {shapes} and {nulls}")
