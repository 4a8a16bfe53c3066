"""The forward process, its exact reversal given the data, and the reverse process that a network steers.

    q(x_t | x_{t-1})      = N(sqrt(alpha_t) x_{t-1}, beta_t I)                       transition
    q(x_t | x_0)          = N(sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I)            marginal; diffuse draws from it
    q(x_{t-1} | x_t, x_0) = N(mu_t, beta_tilde_t I)                                  posterior
    p(x_{t-1} | x_t)      = N(mu_theta(x_t, t), sigma_t^2 I)                         reverse

The lecture says that the backward process is Gaussian because the forward one is. That holds only as beta tends to 0;
otherwise a Gaussian p(x_{t-1} | x_t) is a choice of the model. Given x_0 as well, q(x_{t-1} | x_t, x_0) is Gaussian.

t is an integer in 1 .. T, one for all examples or one for each. A concrete t out of range is an error; a traced
one gives NaN.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.ddpm.prediction import eps_from_x_0, x_0_from_eps
from jaxgen.ddpm.schedule import Schedule
from jaxgen.ddpm.tables import Table, Time, coefficient, signal_and_noise
from jaxgen.draws import example_keys
from jaxgen.events import require_events, require_floats, require_integers, require_shape

_Event: TypeAlias = Float[Array, "b *event"]

Variance: TypeAlias = Callable[[Schedule], Table]
"""sigma_t^2 of the reverse process for every t of a schedule: `posterior_variance`, `beta_variance` or another."""


class Denoised(NamedTuple):
    """Prediction of a denoiser.

    Attributes:
        eps_hat: Noise in x_t, [B, *event].
        variance_fraction: Fraction of a learned variance, likewise; None where the variance is not learned.
    """

    eps_hat: Array
    variance_fraction: Array | None = None


Denoise: TypeAlias = Callable[[Array, Array], Array | Denoised]
"""(x_t [B, *event], t [B] int32) -> eps_hat, or `Denoised`."""


def sample_keys(key: PRNGKey, x: _Event, index: Int[Array, " b"] | None) -> Array:
    """The key `fold_in(key, k)` of each example, [B]; k counts from 0 where there is no index."""
    require.typed_key("key", key)
    require_events(x=x)
    if index is not None:
        require_integers(index=index)
        require_shape(x.shape[:1], index=index)
    return example_keys(key, jnp.arange(len(x), dtype=jnp.int32) if index is None else index)


def step_normals(keys: Array, t: Int[Array, ""] | Int[Array, " b"], x: _Event) -> _Event:
    """Noise of an example at a step: normal(fold_in(fold_in(key, k), t)) for example k at t.

    Args:
        keys: `fold_in(key, k)` of each example, [B].
        t: Step, one for all examples or one for each.
        x: Array that gives the noise its shape and dtype.
    """
    require_events(x=x)
    require_integers(t=t)
    require_shape((), x.shape[:1], t=t)
    require_shape(x.shape[:1], keys=keys)

    def draw(key: PRNGKey, t: Array) -> Array:
        return jax.random.normal(jax.random.fold_in(key, t), x.shape[1:], x.dtype)

    return jax.vmap(draw)(keys, jnp.broadcast_to(t, x.shape[:1]))


# The forward process.


def transition(schedule: Schedule, x_prev: _Event, t: Time) -> tuple[_Event, _Event]:
    """One step of the forward process.

        q(x_t | x_{t-1}) = N(sqrt(1 - beta_t) x_{t-1}, beta_t I)

    Args:
        schedule: Noise schedule.
        x_prev: x_{t-1}.
        t: Number of the step.

    Returns:
        Mean and variance of x_t.

    Raises:
        ValueError: A concrete t outside 1 .. T.

    Source: lecture, "Forward Diffusion Process"; Ho et al. 2020, equation 2.
    """
    require_events(x_prev=x_prev)
    mean = coefficient(np.sqrt(schedule.alpha), t, x_prev) * x_prev
    return _normal(x_prev, mean, coefficient(schedule.beta, t, x_prev))


def marginal(schedule: Schedule, x_0: _Event, t: Time) -> tuple[_Event, _Event]:
    """The first t steps of the forward process at once.

        q(x_t | x_0) = N(sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I)

    Args:
        schedule: Noise schedule.
        x_0: Data.
        t: Number of steps.

    Returns:
        Mean and variance of x_t.

    Raises:
        ValueError: A concrete t outside 1 .. T.

    Source: lecture, "Forward Diffusion Process", its q(x_{1:T} | x_0) summed; Ho et al. 2020, equation 4.
    """
    require_events(x_0=x_0)
    mean = coefficient(np.sqrt(schedule.alpha_bar), t, x_0) * x_0
    return _normal(x_0, mean, coefficient(1 - schedule.alpha_bar, t, x_0))


def diffuse(schedule: Schedule, x_0: _Event, t: Time, eps: _Event) -> _Event:
    """A draw of q(x_t | x_0) as a function of its noise.

        x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps

    Args:
        schedule: Noise schedule.
        x_0: Data.
        t: Number of steps.
        eps: Standard normal noise.

    Raises:
        ValueError: A concrete t outside 1 .. T.

    Source: Ho et al. 2020, section 3.2.
    """
    require_events(x_0=x_0, eps=eps)
    signal, noise = signal_and_noise(schedule, t, x_0)
    return signal * x_0 + noise * eps


def forward_chain(
    key: PRNGKey, schedule: Schedule, x_0: _Event, index: Int[Array, " b"] | None = None
) -> Float[Array, "levels b *event"]:
    """A draw of q(x_{1:T} | x_0), step by step.

        q(x_{1:T} | x_0) = prod_t q(x_t | x_{t-1})

    Args:
        key: Root of the noise; that of example k at t is keyed by k and t.
        schedule: Noise schedule.
        x_0: Data.
        index: Number k of each example; None counts from 0.

    Returns:
        x_0, x_1 .. x_T.

    Source: lecture, "Forward Diffusion Process".
    """
    keys = sample_keys(key, x_0, index)

    def move(x: Array, t: Array) -> tuple[Array, Array]:
        mean, variance = transition(schedule, x, t)
        x = mean + jnp.sqrt(variance) * step_normals(keys, t, x)
        return x, x

    _, chain = jax.lax.scan(move, x_0, jnp.arange(1, schedule.num_timesteps + 1, dtype=jnp.int32))
    return jnp.concatenate([x_0[None], chain])


# The reverse process.


def posterior(schedule: Schedule, x_0: _Event, x_t: _Event, t: Time) -> tuple[_Event, _Event]:
    """The step back from x_t if the data are known.

        q(x_{t-1} | x_t, x_0) = N(mu_t, beta_tilde_t I)
        mu_t = (sqrt(alpha_bar_{t-1}) (1 - alpha_t) x_0 + sqrt(alpha_t) (1 - alpha_bar_{t-1}) x_t) / (1 - alpha_bar_t)
        beta_tilde_t = (1 - alpha_t) (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t)

    (The lecture prints the first term as sqrt(alpha_bar_{t-1} (1 - alpha_t)) x_0, with 1 - alpha_t under the root.)

    Args:
        schedule: Noise schedule.
        x_0: Data.
        x_t: Data after t steps.
        t: Number of steps.

    Returns:
        Mean and variance of x_{t-1}; at t = 1 these are x_0 and 0.

    Raises:
        ValueError: A concrete t outside 1 .. T.

    Source: lecture, "Objective function"; Ho et al. 2020, equations 6 and 7.
    """
    require_events(x_0=x_0, x_t=x_t)
    before, noise = _before(schedule.alpha_bar), 1 - schedule.alpha_bar
    noise[0] = 1  # entry 0 is not used
    of_x_0 = np.sqrt(before) * schedule.beta / noise
    of_x_t = np.sqrt(schedule.alpha) * (1 - before) / noise
    mean = coefficient(of_x_0, t, x_0) * x_0 + coefficient(of_x_t, t, x_t) * x_t
    return _normal(x_t, mean, coefficient(schedule.beta * (1 - before) / noise, t, x_t))


def beta_variance(schedule: Schedule) -> Table:
    """sigma_t^2 = beta_t: the variance of the exact reversal when the data are N(0, I).

    Source: Ho et al. 2020, section 3.2.
    """
    return schedule.beta.copy()


def posterior_variance(schedule: Schedule) -> Table:
    """sigma_t^2 = beta_tilde_t: the variance of the exact reversal when the data are a single point.

        beta_tilde_t = (1 - alpha_bar_{t-1}) / (1 - alpha_bar_t) beta_t

    At t = 1 beta_tilde is 0; the value of t = 2 stands in for it (if T = 1, beta_1), so that the decoder and the
    logarithm do not meet a zero variance.

    Source: lecture, "Objective function"; Ho et al. 2020, section 3.2; for t = 1 Nichol & Dhariwal 2021, their code.
    """
    variance = schedule.beta.copy()
    variance[1:] *= (1 - schedule.alpha_bar[:-1]) / (1 - schedule.alpha_bar[1:])
    variance[1] = variance[2] if schedule.num_timesteps > 1 else schedule.beta[1]
    return variance


def interpolated_variance(schedule: Schedule, fraction: _Event, t: Time) -> _Event:
    """Learned variance: an interpolation between beta_tilde_t and beta_t in log space.

        sigma_t^2 = exp(v log beta_t + (1 - v) log beta_tilde_t)

    Args:
        schedule: Noise schedule.
        fraction: v, 0 for `posterior_variance` and 1 for `beta_variance`; it may go beyond. A network's output in
            [-1, 1] is mapped to it by v = (output + 1) / 2.
        t: Number of the step.

    Raises:
        ValueError: A concrete t outside 1 .. T.

    Source: Nichol & Dhariwal 2021, equation 15.
    """
    require_events(fraction=fraction)
    low, high = np.zeros_like(schedule.beta), np.zeros_like(schedule.beta)
    low[1:], high[1:] = np.log(posterior_variance(schedule)[1:]), np.log(schedule.beta[1:])
    return jnp.exp(coefficient(low, t, fraction) + coefficient(high - low, t, fraction) * fraction)


def clipped(
    schedule: Schedule, x_t: _Event, t: Time, eps_hat: _Event, clip: float | None = None
) -> tuple[_Event, _Event]:
    """Prediction of the data that eps_hat implies, clipped to the range of the data.

        x_0_hat = clip((x_t - sqrt(1 - alpha_bar_t) eps_hat) / sqrt(alpha_bar_t)),   eps_hat from x_0_hat again

    Args:
        schedule: Noise schedule.
        x_t: State at which eps_hat was predicted.
        t: Number of steps up to x_t.
        eps_hat: Predicted noise.
        clip: c if the data lie in [-c, c]; None for no limit.

    Returns:
        x_0_hat and the eps_hat that belongs to it.

    Raises:
        ValueError: A clip that is not positive, or a concrete t outside 1 .. T.
    """
    require_events(x_t=x_t, eps_hat=eps_hat)
    x_0_hat = x_0_from_eps(schedule, x_t, t, eps_hat)
    if clip is None:
        return x_0_hat, eps_hat
    require.number("clip", clip, above=0)
    x_0_hat = jnp.clip(x_0_hat, -clip, clip)
    return x_0_hat, eps_from_x_0(schedule, x_t, t, x_0_hat)


def reverse(
    schedule: Schedule,
    x_t: _Event,
    t: Time,
    eps_hat: _Event,
    fraction: _Event | None = None,
    *,
    variance: Variance = posterior_variance,
    clip: float | None = None,
) -> tuple[_Event, _Event]:
    """One step of the generative process, shared by the samplers and the bound.

        p(x_{t-1} | x_t) = N(mu_theta, sigma_t^2 I)
        mu_theta = mu_t(x_t, x_0_hat) = (x_t - beta_t / sqrt(1 - alpha_bar_t) eps_hat) / sqrt(alpha_t)

    Args:
        schedule: Noise schedule.
        x_t: State at which the step begins.
        t: Number of the step.
        eps_hat: Noise that the network predicts at x_t.
        fraction: Fraction of `interpolated_variance` if the variance is learned; `variance` is then ignored.
        variance: Function of the schedule that gives sigma_t^2 for every t.
        clip: c if the data lie in [-c, c], see `clipped`; None for no limit.

    Returns:
        Mean and variance of x_{t-1}.

    Raises:
        ValueError: A concrete t outside 1 .. T, or a clip that is not positive.

    Source: lecture, "Generative Backward Process"; Ho et al. 2020, equation 11.
    """
    require_events(x_t=x_t, eps_hat=eps_hat)
    x_0_hat, _ = clipped(schedule, x_t, t, eps_hat, clip)
    mean, _ = posterior(schedule, x_0_hat, x_t, t)
    if fraction is not None:
        require_events(x_t=x_t, fraction=fraction)
        return mean, interpolated_variance(schedule, fraction, t)
    table = variance(schedule)
    if np.shape(table) != schedule.beta.shape:
        raise ValueError(f"variance must give a table of shape {schedule.beta.shape}, got {np.shape(table)}")
    return _normal(x_t, mean, coefficient(table, t, x_t))


def eps_and_fraction(denoised: Any, x_t: Array) -> Denoised:
    """Result of a user's or a trained denoiser as a `Denoised`.

    Raises:
        ValueError: A value that is neither an array nor a pair of arrays, integers, or a shape other than that of x_t.
    """
    parts = denoised if isinstance(denoised, tuple | list) else (denoised,)
    if isinstance(denoised, Denoised) and denoised.variance_fraction is None:
        parts = parts[:1]
    if len(parts) not in (1, 2) or any(part is None for part in parts):
        raise ValueError(f"denoise must return eps_hat, or (eps_hat, variance fraction), got {denoised!r}")
    for name, part in zip(("eps_hat of denoise", "variance fraction of denoise"), parts, strict=False):
        require_floats(**{name: part})
        require_shape(x_t.shape, **{name: part})
    return Denoised(*parts)


def _normal(x: _Event, mean: Array, variance: Array) -> tuple[_Event, _Event]:
    return mean, jnp.broadcast_to(variance, x.shape)


def _before(table: Table) -> Table:
    """The table shifted so that entry t is that of t - 1; entry 0 stays."""
    return np.concatenate([table[:1], table[:-1]])
