"""The diffusion model's objective: a bound of log p(x_0) in three terms, and the simple loss that trains in its place.

For any model p of the chain x_0 .. x_T, as for any latent variables,

    log p(x_0) >= E_{q(x_{1:T} | x_0)} [log p(x_{0:T}) - log q(x_{1:T} | x_0)]
               = E log p(x_0 | x_1)                                                 reconstruction
                 - KL[q(x_T | x_0) || p(x_T)]                                       prior
                 - sum_{t=2}^T E KL[q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)]      denoising

(The lecture prints "<= p(x_0)" and leaves the logarithm out.) Here the terms are costs, so that their sum bounds
-log p(x_0) from above. With fixed variances, each KL is a weighted squared error of the predicted noise; leaving out
the weight gives L_simple.

Everything here is a pure function of arrays with one value per example, in nats.
"""

import math
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.ddpm.process import (
    Denoise,
    Variance,
    diffuse,
    eps_and_fraction,
    marginal,
    posterior,
    posterior_variance,
    reverse,
    sample_keys,
    step_normals,
    transition,
)
from jaxgen.ddpm.schedule import Schedule
from jaxgen.ddpm.tables import Time, check_t
from jaxgen.ddpm.weighting import stratified_t
from jaxgen.distributions import discretized_normal_log_prob, normal_kl, normal_log_prob, standard_normal_kl
from jaxgen.events import require_events, require_levels, require_per_example, require_shape, sum_event

_Event: TypeAlias = Float[Array, "b *event"]
_PerExample: TypeAlias = Float[Array, " b"]


def simple_loss(eps: _Event, eps_hat: _Event) -> _PerExample:
    """Squared error of the predicted noise.

        L_simple = ||eps - eps_hat(x_t, t)||^2

    For a network that predicts x_0 or v, it is the same function of that target and the output.

    Args:
        eps: Noise in x_t.
        eps_hat: Noise that the network predicts.

    Returns:
        One squared distance per example.

    Raises:
        ValueError: Shapes that differ, or integers.

    Source: Ho et al. 2020, equation 14.
    """
    require_events(eps=eps, eps_hat=eps_hat)
    return sum_event(jnp.square(eps - eps_hat))


# The three costs.


def prior_cost(schedule: Schedule, x_0: _Event) -> _PerExample:
    """Prior cost: the information about the data that is left in x_T.

        KL[q(x_T | x_0) || p(x_T)],     p(x_T) = N(0, I)

    Returns:
        One cost per example, in nats.

    Source: lecture, "Objective function", prior matching; Ho et al. 2020, equation 5.
    """
    require_events(x_0=x_0)
    mean, variance = marginal(schedule, x_0, schedule.num_timesteps)
    return standard_normal_kl(mean, jnp.log(variance))


def denoising_cost(
    schedule: Schedule, x_0: _Event, x_t: _Event, t: Time, mean: _Event, variance: _Event
) -> _PerExample:
    """Denoising cost: KL of the posterior given the data from the model's step back, t = 2 .. T.

        KL[q(x_{t-1} | x_t, x_0) || N(mean, variance)]

    Args:
        schedule: Noise schedule.
        x_0: Data.
        x_t: Data after t steps.
        t: Number of steps. At t = 1 the posterior is a point and the cost infinite: see `reconstruction_cost`.
        mean: Mean of p(x_{t-1} | x_t), as `reverse` returns it.
        variance: Variance of p(x_{t-1} | x_t).

    Returns:
        One cost per example, in nats.

    Raises:
        ValueError: A concrete t outside 1 .. T.

    Source: lecture, "Objective function", denoising; Ho et al. 2020, equation 5.
    """
    require_events(x_0=x_0, x_t=x_t, mean=mean, variance=variance)
    mu_t, beta_tilde = posterior(schedule, x_0, x_t, t)
    return normal_kl(mu_t, jnp.log(beta_tilde), mean, jnp.log(variance))


def reconstruction_cost(x_0: _Event, mean: _Event, variance: _Event, levels: int | None) -> _PerExample:
    """Reconstruction cost: the negative log-likelihood of the data in the last step, from x_1.

        -log p(x_0 | x_1)

    Args:
        x_0: Data; grey levels scaled to [-1, 1], or real values.
        mean: Mean of p(x_0 | x_1), as `reverse` returns it at t = 1.
        variance: Variance of p(x_0 | x_1).
        levels: Number of grey levels, over whose bins the normal distribution is integrated; None for a density of
            real values.

    Returns:
        One cost per example, in nats.

    Raises:
        ValueError: With levels, a concrete x_0 that is not on their grid in [-1, 1].

    Source: lecture, "Objective function", reconstruction; Ho et al. 2020, equation 13.
    """
    require_events(x_0=x_0, mean=mean, variance=variance)
    require_levels(levels, x_0=x_0)
    if levels is None:
        return -normal_log_prob(x_0, mean, jnp.log(variance))
    return -discretized_normal_log_prob(x_0, mean, 0.5 * jnp.log(variance), levels=levels)


def step_cost(
    schedule: Schedule,
    x_0: _Event,
    x_t: _Event,
    t: Int[Array, " b"],
    mean: _Event,
    variance: _Event,
    levels: int | None,
) -> _PerExample:
    """Cost L_{t-1} of step t: the reconstruction cost at t = 1, the denoising cost above.

    Args:
        schedule: Noise schedule.
        x_0: Data.
        x_t: Data after t steps.
        t: Number of steps, for each example.
        mean: Mean of p(x_{t-1} | x_t), as `reverse` returns it.
        variance: Variance of p(x_{t-1} | x_t).
        levels: Number of grey levels or None, see `reconstruction_cost`.

    Returns:
        One cost per example, in nats.

    Raises:
        ValueError: A concrete t outside 1 .. T; see also `reconstruction_cost`.

    Source: Ho et al. 2020, equation 5.
    """
    check_t(t, schedule.num_timesteps)
    require_events(x_0=x_0, x_t=x_t, mean=mean, variance=variance)
    require_shape(x_0.shape[:1], t=t)
    reconstruction = reconstruction_cost(x_0, mean, variance, levels)
    if schedule.num_timesteps == 1:
        return reconstruction
    # At t = 1 the KL is infinite; t = 2 stands in for it, so that nothing infinite is computed. (For t below 1
    # `coefficient` gives NaN.)
    denoising = denoising_cost(schedule, x_0, x_t, jnp.where(t == 1, 2, t), mean, variance)
    return jnp.where(t == 1, reconstruction, denoising)


class Bound(NamedTuple):
    """The negative bound in its three terms, in nats.

    Attributes:
        prior: KL[q(x_T | x_0) || p(x_T)], [B].
        denoising: Sum over t = 2 .. T of the KL of the posterior from p(x_{t-1} | x_t), [B].
        reconstruction: -log p(x_0 | x_1), [B].
        per_t: Cost of step t in row t - 1, the reconstruction first, [T, B]; None where t was drawn.
    """

    prior: Array
    denoising: Array
    reconstruction: Array
    per_t: Array | None

    @property
    def negative_bound(self) -> Array:
        """Sum of the three terms, whose mean over the noise is at least -log p(x_0), [B]."""
        return self.prior + self.denoising + self.reconstruction

    def of_data(self, log_volume: Array | None) -> "Bound":
        """The bound for the data in their own units, where x_0 was scaled; only the last step contains their density.

        Args:
            log_volume: sum_i log |du_i / dx_i| of the scale at each example, [B]; None for no scale.
        """
        if log_volume is None:
            return self
        per_t = None if self.per_t is None else self.per_t.at[0].add(-log_volume)
        return self._replace(reconstruction=self.reconstruction - log_volume, per_t=per_t)


def variational_bound(
    key: PRNGKey,
    denoise: Denoise,
    schedule: Schedule,
    x_0: _Event,
    *,
    levels: int | None,
    index: Int[Array, " b"] | None = None,
    variance: Variance = posterior_variance,
    clip: float | None = None,
    num_draws: int | None = None,
) -> Bound:
    """The negative bound of log p(x_0), from one draw of the noise for every t.

        -log p(x_0) <= E [L_T + sum_{t=2}^T L_{t-1} + L_0]
        L_T      = KL[q(x_T | x_0) || p(x_T)]                              prior
        L_{t-1}  = KL[q(x_{t-1} | x_t, x_0) || p(x_{t-1} | x_t)]           denoising
        L_0      = -log p(x_0 | x_1)                                       reconstruction

    (The lecture prints p(x_0) for log p(x_0).) The network is run T times, or num_draws + 1 times.

    Args:
        key: Root of the noise; that of example k at t is keyed by k and t.
        denoise: (x_t, t) -> eps_hat, or (eps_hat, variance fraction).
        schedule: Noise schedule.
        x_0: Data; grey levels scaled to [-1, 1], or real values.
        levels: Number of grey levels, None for a density of real values: see `reconstruction_cost`.
        index: Number k of each example; None counts from 0.
        variance: Function that gives sigma_t^2 for every t; ignored when the variance is learned.
        clip: c if the data lie in [-c, c], see `process.clipped`; None for no limit.
        num_draws: Number of t = 2 .. T drawn for each example, spread evenly; the denoising cost is then an unbiased
            estimate, the other two do not change. None for all t.

    Returns:
        One value of each term per example, in nats.

    Raises:
        ValueError: num_draws outside 1 .. T - 1 or, with levels, a concrete x_0 that is not on their grid in [-1, 1].

    Source: lecture, "Objective function"; Ho et al. 2020, equation 5.
    """
    num_timesteps = schedule.num_timesteps
    if num_draws is not None:
        require.integer("num_draws", num_draws)
    require_events(x_0=x_0)
    require_levels(levels, x_0=x_0)
    keys = sample_keys(key, x_0, index)
    if num_draws is None:
        every = jnp.arange(1, num_timesteps + 1, dtype=jnp.int32)
        times = jnp.broadcast_to(every[:, None], (num_timesteps, x_0.shape[0]))
    elif 1 <= num_draws < num_timesteps:
        # 0 is not a step, so that its key is free.
        drawn = jax.vmap(lambda key: stratified_t(jax.random.fold_in(key, 0), num_draws, num_timesteps - 1))(keys)
        times = jnp.concatenate([jnp.ones((1, x_0.shape[0]), jnp.int32), 1 + drawn.T])
    else:
        raise ValueError(f"num_draws must lie in 1..{num_timesteps - 1}, the number of t = 2 .. T, got {num_draws}")

    def cost(_: None, t: Array) -> tuple[None, Array]:
        x_t = diffuse(schedule, x_0, t, step_normals(keys, t, x_0))
        eps_hat, fraction = eps_and_fraction(denoise(x_t, t), x_t)
        mean, spread = reverse(schedule, x_t, t, eps_hat, fraction, variance=variance, clip=clip)
        return None, step_cost(schedule, x_0, x_t, t, mean, spread, levels)

    _, costs = jax.lax.scan(cost, None, times)
    scale = 1.0 if num_draws is None else (num_timesteps - 1) / num_draws
    return Bound(
        prior=prior_cost(schedule, x_0),
        denoising=scale * costs[1:].sum(axis=0),
        reconstruction=costs[0],
        per_t=costs if num_draws is None else None,
    )


def path_negative_bound(
    key: PRNGKey,
    denoise: Denoise,
    schedule: Schedule,
    x_0: _Event,
    *,
    levels: int | None,
    index: Int[Array, " b"] | None = None,
    variance: Variance = posterior_variance,
    clip: float | None = None,
) -> _PerExample:
    """The negative bound in its first form, from one path of the forward process.

        log q(x_{1:T} | x_0) - log p(x_{0:T}),     x_{1:T} ~ q(x_{1:T} | x_0)

    Its mean is that of `variational_bound`. If p is the exact reversal, it is -log p(x_0) on every path, while the
    terms of `variational_bound`, which draws each level by itself, have noise that does not cancel.

    Args:
        key: Root of the noise; that of example k at t is keyed by k and t.
        denoise: (x_t, t) -> eps_hat, or (eps_hat, variance fraction).
        schedule: Noise schedule.
        x_0: Data; grey levels scaled to [-1, 1], or real values.
        levels: Number of grey levels, None for a density of real values: see `reconstruction_cost`.
        index: Number k of each example; None counts from 0.
        variance: Function that gives sigma_t^2 for every t; ignored when the variance is learned.
        clip: c if the data lie in [-c, c], see `process.clipped`; None for no limit.

    Returns:
        One value per example, in nats.

    Raises:
        ValueError: With levels, a concrete x_0 that is not on their grid in [-1, 1].

    Source: lecture, "Objective function", the first form of the bound; Ho et al. 2020, equation 3.
    """
    require_events(x_0=x_0)
    require_levels(levels, x_0=x_0)
    keys = sample_keys(key, x_0, index)

    def move(x_prev: Array, t: Array) -> tuple[Array, Array]:
        mean, spread = transition(schedule, x_prev, t)
        eps = step_normals(keys, t, x_prev)
        x_t = mean + jnp.sqrt(spread) * eps
        log_q = -0.5 * sum_event(jnp.square(eps) + jnp.log(2 * math.pi * spread))
        eps_hat, fraction = eps_and_fraction(denoise(x_t, jnp.broadcast_to(t, x_t.shape[:1])), x_t)
        mean, spread = reverse(schedule, x_t, t, eps_hat, fraction, variance=variance, clip=clip)
        log_p = normal_log_prob(x_prev, mean, jnp.log(spread))
        return x_t, log_q + jnp.where(t == 1, reconstruction_cost(x_0, mean, spread, levels), -log_p)

    x_T, costs = jax.lax.scan(move, x_0, jnp.arange(1, schedule.num_timesteps + 1, dtype=jnp.int32))
    return costs.sum(axis=0) + 0.5 * sum_event(jnp.square(x_T) + math.log(2 * math.pi))


def hybrid_loss(
    simple: _PerExample,
    schedule: Schedule,
    x_0: _Event,
    x_t: _Event,
    t: Int[Array, " b"],
    eps_hat: _Event,
    fraction: _Event,
    *,
    levels: int | None,
    weight: float | Float[Array, ""] = 0.001,
) -> _PerExample:
    """Hybrid loss: the simple loss for the mean and the bound for the variance.

        L_hybrid = L_simple + weight L_vlb,     L_vlb ~ T L_{t-1} at t uniform on 1 .. T

    No gradient of the bound reaches the mean: it would make the training of the mean noisy.

    Args:
        simple: L_simple of each example, for whichever quantity the network predicts.
        schedule: Noise schedule.
        x_0: Data.
        x_t: Data after t steps.
        t: Number of steps, uniform on 1 .. T.
        eps_hat: Noise that the network predicts.
        fraction: Fraction v of the learned variance, see `process.interpolated_variance`.
        levels: Number of grey levels or None, see `reconstruction_cost`.
        weight: Weight of the bound, which is in nats; both losses are summed over the event.

    Returns:
        One loss per example.

    Raises:
        ValueError: As raised by `step_cost`.

    Source: Nichol & Dhariwal 2021, equation 16.
    """
    require_events(x_0=x_0, x_t=x_t, eps_hat=eps_hat, fraction=fraction)
    require_per_example(simple=simple)
    require_shape(x_0.shape[:1], simple=simple)
    if not hasattr(weight, "shape"):
        require.number("weight", weight, 0)
    mean, variance = reverse(schedule, x_t, t, jax.lax.stop_gradient(eps_hat), fraction)
    return simple + weight * schedule.num_timesteps * step_cost(schedule, x_0, x_t, t, mean, variance, levels)
