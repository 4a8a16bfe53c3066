"""Denoisers made of denoisers: steered by a condition, or by the dimensions of the data that are known.

A change of the sampled distribution is a function that takes `denoise` and returns another `denoise`, so that it works
with every sampler.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.ddpm.prediction import eps_from_x_0
from jaxgen.ddpm.process import Denoise, Denoised, diffuse, eps_and_fraction
from jaxgen.ddpm.sampler import ancestral
from jaxgen.ddpm.schedule import Schedule, check_timesteps
from jaxgen.events import require_events, require_mask
from jaxgen.paths.guidance import conditional_and_not

_Event: TypeAlias = Float[Array, "b *event"]
_Index: TypeAlias = Int[Array, " b"]


def guided(
    denoise: Callable[[Array, Array, Any], Array | Denoised], w: float | Float[Array, ""], condition: Any, null: Any
) -> Callable[[Array, Array], Denoised]:
    """A denoiser that is pushed towards its condition: classifier-free guidance.

        eps_hat = eps_u + w (eps_c - eps_u)

    w = 0 is the unconditional model, w = 1 the conditional one, and w > 1 extrapolates beyond it. (In the paper's
    notation w - 1 is the weight.) Both predictions are made at once, in a batch of twice the size.

    Args:
        denoise: (x_t, t, condition) -> eps_hat or `Denoised`; the fraction is that of the
            conditional prediction.
        w: Guidance weight.
        condition: Condition of each sample: a pytree of arrays [B, ...], labels for instance.
        null: Stand-in that the network saw in training where the condition was withheld, of the same shapes.

    Source: beyond the lecture; Ho & Salimans 2022, equation 6.
    """

    if not hasattr(w, "shape"):
        require.number("w", w)

    def denoised(x_t: Array, t: Array, condition: Any) -> Denoised:
        return eps_and_fraction(denoise(x_t, t, condition), x_t)

    def both(x_t: Array, t: Array) -> Denoised:
        c, u = conditional_and_not(denoised, x_t, t, condition, null)
        return Denoised(u.eps_hat + w * (c.eps_hat - u.eps_hat), c.variance_fraction)

    return both


def inpainted(denoise: Denoise, schedule: Schedule, x: _Event, mask: Bool[Array, "b *event"]) -> Denoise:
    """A denoiser that knows the observed dimensions of the data.

    In the observed dimensions eps_hat is the noise that leads to the observed value,
    (x_t - sqrt(alpha_bar_t) x) / sqrt(1 - alpha_bar_t), so that they pass through states of the forward process on
    their way to x. The other dimensions follow the network, to which the observed ones are as noisy as the others. See
    `inpaint`.

    Args:
        denoise: (x_t, t) -> eps_hat or `Denoised`.
        schedule: Noise schedule.
        x: Data; unobserved dimensions may hold any value.
        mask: True where x is observed.
    """
    require_events(x=x)
    require_mask(x.shape, mask)
    x = jnp.where(mask, x, 0)

    def knowing(x_t: Array, t: Array) -> Denoised:
        require_events(x=x, x_t=x_t)
        eps, fraction = eps_and_fraction(denoise(x_t, t), x_t)
        eps = jnp.where(mask, eps_from_x_0(schedule, x_t, t, x), eps)
        return Denoised(eps, fraction)

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
    """Draw the missing dimensions, given the observed ones.

    The method is approximate: on the way down, the missing dimensions are fitted to a noisy copy of the observed ones,
    and p(x_t) is taken to be consistent with every such copy. The samples fit the observed dimensions, but are not
    distributed as p(missing | observed) unless the two are independent.

    Args:
        key: Root of the noise.
        denoise: (x_t, t) -> eps_hat or `Denoised`.
        schedule: Noise schedule.
        x_T: Noise, for all dimensions.
        x: Data; unobserved dimensions may hold any value.
        mask: True where x is observed.
        sampler: `ancestral`, or another sampler with its options bound by functools.partial.
        index: Number k of each sample; None counts from 0.
        timesteps: Levels to visit, descending; None for all.
        clip: c if the data lie in [-c, c]; None for no limit.

    Returns:
        Samples, equal to x in the observed dimensions.

    Raises:
        ValueError: As raised by the sampler.

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
