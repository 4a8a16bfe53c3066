"""The objectives of continuous time: matching a path's velocity, and a bound of log p(x_0) in three terms.

A path x_t = alpha x_0 + sigma eps over real t (`jaxgen.paths`) is cut at two ends, t_0 close to the data and t_1 close
to the noise. As the number of steps of the lecture's chain grows, its bound becomes

    -log p(x_0) <= E [-log p(x_0 | x_{t_0})]                                              reconstruction
                   + KL[q(x_{t_1} | x_0) || p(x_{t_1})]                                   prior
                   + 1/2 int_{t_0}^{t_1} -lambda'(t) E ||eps - eps_hat(x_t, t)||^2 dt     diffusion

with lambda the log signal-to-noise ratio. In lambda in place of t the integral knows nothing of the path but its ends,
so that the bound does not depend on the path between them. `jaxgen.flow.oracle` has data for which all is known; the
equation of average velocities, for generation in one step, is in `jaxgen.flow.mean_flow`.

Everything here is a pure function of arrays with one value per example; those of the bound are in nats.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.distributions import normal_kl, normal_log_prob
from jaxgen.draws import example_keys
from jaxgen.events import require_events, require_integers, require_levels, require_shape, sum_event
from jaxgen.paths.path import Path, log_snr_ends, signal_and_noise
from jaxgen.paths.prediction import Ends, diffuse
from jaxgen.paths.times import TimeDistribution, restricted, spread_uniforms

_Event: TypeAlias = Float[Array, "b *event"]
_PerExample: TypeAlias = Float[Array, " b"]

PredictEnds: TypeAlias = Callable[[Array, Array], Ends]
"""A function (x_t [B, *event], t [B]) -> Ends, the estimated means of the data and of the noise given x_t."""


def velocity_loss(velocity: _Event, velocity_hat: _Event) -> _PerExample:
    """Flow matching: squared error of the predicted velocity.

        ||u - u_hat(x_t, t)||^2,     u = alpha' x_0 + sigma' eps

    Args:
        velocity: Velocity u of the path through x_0 and eps.
        velocity_hat: Velocity that the network predicts.

    Returns:
        One squared distance per example.

    Raises:
        ValueError: Shapes that differ, or integers.

    Source: Lipman et al. 2023, equation 14; Liu et al. 2023 (rectified flow), equation 1.
    """
    require_events(velocity=velocity, velocity_hat=velocity_hat)
    return sum_event(jnp.square(velocity - velocity_hat))


def weighted_loss(target: _Event, output: _Event, weight: float | Float[Array, ""] | _PerExample = 1.0) -> _PerExample:
    """Weighted squared error of whatever the network predicts: x_0, eps, v, the velocity, or EDM's target.

        w(t) ||target - output||^2

    Args:
        target: Quantity to predict, as `Prediction.target` gives it.
        output: Output of the network.
        weight: Weight w(t), one for all or one for each example.

    Returns:
        One weighted squared distance per example.

    Raises:
        ValueError: Shapes that differ, integers, or a concrete weight that is negative or not finite.

    Source: Karras et al. 2022 (EDM), equation 8; Kingma & Gao 2023, equation 5.
    """
    require_events(target=target, output=output)
    if not hasattr(weight, "shape"):
        require.number("weight", weight, 0)
    else:
        require_shape((), target.shape[:1], weight=weight)
    return weight * sum_event(jnp.square(target - output))


# The three costs of the bound.


def prior_cost(path: Path, x_0: _Event, t_1: float = 1.0, prior_std: float | None = None) -> _PerExample:
    """Prior cost: the information about the data that is left at the noisy end.

        KL[q(x_{t_1} | x_0) || N(0, s^2 I)],     q = N(alpha x_0, sigma^2 I) at t_1

    Args:
        path: Path to the noise.
        x_0: Data.
        t_1: Time of the noisy end.
        prior_std: Standard deviation s of the states that a sampler starts from; None for sigma(t_1).

    Returns:
        One cost per example, in nats.

    Raises:
        ValueError: A t_1 outside the path's, or a prior_std that is not positive.

    Source: Kingma et al. 2021 (VDM), equation 11.
    """
    require_events(x_0=x_0)
    alpha, sigma = signal_and_noise(path, t_1, x_0)
    log_var = 2 * jnp.log(sigma)
    if prior_std is not None:
        require.number("prior_std", prior_std, above=0)
    prior = log_var if prior_std is None else jnp.asarray(2 * math.log(prior_std), x_0.dtype)
    return normal_kl(alpha * x_0, log_var, jnp.zeros_like(x_0), prior)


def diffusion_cost(path: Path, t: Float[Array, " b"], eps: _Event, eps_hat: _Event) -> _PerExample:
    """Diffusion cost at one t: the integrand whose integral over t is the bound's second term.

        1/2 -lambda'(t) ||eps - eps_hat||^2

    Args:
        path: Path, for the derivative of its log signal-to-noise ratio.
        t: Time of each example.
        eps: Noise in x_t.
        eps_hat: Noise that the network predicts.

    Returns:
        One cost per example and unit of t, in nats.

    Raises:
        ValueError: Shapes that differ, or integers.

    Source: Kingma et al. 2021 (VDM), equations 15 and 17.
    """
    require_events(eps=eps, eps_hat=eps_hat)
    require_shape(eps.shape[:1], t=t)
    return -0.5 * path.log_snr_rate(t).astype(eps.dtype) * sum_event(jnp.square(eps - eps_hat))


def reconstruction_cost(
    path: Path, x_0: _Event, x_t: _Event, t_0: float, levels: int | None, *, window: int | None = None
) -> _PerExample:
    """Reconstruction cost: the negative log-likelihood of the data given the state at the end that is close to them.

        P(x_0 | x_t) = N(x_t; alpha x_0, sigma^2) / sum_x N(x_t; alpha x, sigma^2)     over the grey levels x, or
        p(x_0 | x_t) = N(x_0; x_t / alpha, (sigma / alpha)^2)                          for real values

    in each dimension: what the data are given x_t if nothing is known of them beforehand.

    Args:
        path: Path from the data.
        x_0: Data; grey levels scaled to [-1, 1], or real values.
        x_t: States at t_0.
        t_0: Time of the end that is close to the data.
        levels: Number of grey levels; None for a density of real values.
        window: Number of levels on each side of the nearest one that the sum takes in, for speed; None for all.
            A level beyond them has less than exp(-w (w + 1) (spacing alpha / sigma)^2 / 2) of its probability.

    Returns:
        One cost per example, in nats.

    Raises:
        ValueError: With levels, a concrete x_0 that is not on their grid in [-1, 1].

    Source: Kingma et al. 2021 (VDM), equation 12 and appendix B.1.
    """
    require_events(x_0=x_0, x_t=x_t)
    require_levels(levels, x_0=x_0)
    alpha, sigma = signal_and_noise(path, t_0, x_0)
    if levels is None:
        return -normal_log_prob(x_0, x_t / alpha, 2 * (jnp.log(sigma) - jnp.log(alpha)))
    if window is not None:
        require.size("window", window)
    # In units of the spacing: the state y, its nearest level, and how far y is beyond that.
    spacing = 2 / (levels - 1)
    y = (x_t / alpha + 1) / spacing
    place = (x_0 + 1) / spacing
    nearest = jax.lax.stop_gradient(jnp.clip(jnp.round(y), 0, levels - 1))
    beyond = (y - nearest)[..., None]
    precision = jnp.square(alpha / sigma * spacing).astype(x_0.dtype)

    def log_odds(steps: Array) -> Array:
        """log N of the level so many steps from the nearest, less log N of that one."""
        return -0.5 * precision * steps * (steps - 2 * beyond)

    at = jnp.arange(levels) if window is None else jnp.arange(-window, window + 1)
    at = at.astype(x_0.dtype).reshape((1,) * x_0.ndim + (-1,))
    steps = at - nearest[..., None] if window is None else at + jnp.zeros_like(beyond)
    among = (steps + nearest[..., None] >= 0) & (steps + nearest[..., None] <= levels - 1)
    log_sum = jnp.log(jnp.sum(jnp.exp(log_odds(steps)), axis=-1, where=among))
    return sum_event(log_sum - log_odds((place - nearest)[..., None])[..., 0])


class Bound(NamedTuple):
    """The negative bound in its three terms, in nats.

    Attributes:
        prior: KL[q(x_{t_1} | x_0) || p(x_{t_1})], [B].
        diffusion: Estimate of the integral from t_0 to t_1, [B].
        reconstruction: -log p(x_0 | x_{t_0}), [B].
    """

    prior: Array
    diffusion: Array
    reconstruction: Array

    @property
    def negative_bound(self) -> Array:
        """Sum of the three terms, whose mean over the noise and t is at least -log p(x_0), [B]."""
        return self.prior + self.diffusion + self.reconstruction

    def of_data(self, log_volume: Array | None) -> "Bound":
        """The bound for the data in their own units, where x_0 was scaled; only the last step contains their density.

        Args:
            log_volume: sum_i log |du_i / dx_i| of the scale at each example, [B]; None for no scale.
        """
        return self if log_volume is None else self._replace(reconstruction=self.reconstruction - log_volume)


def continuous_bound(
    key: PRNGKey,
    ends: PredictEnds,
    path: Path,
    x_0: _Event,
    *,
    levels: int | None,
    t_0: float = 0.0,
    t_1: float = 1.0,
    index: Int[Array, " b"] | None = None,
    num_draws: int = 1,
    times: TimeDistribution | None = None,
    prior_std: float | None = None,
    window: int | None = None,
) -> Bound:
    """The negative bound of log p(x_0) in continuous time, from a few draws of t for each example.

        -log p(x_0) <= E [L_1 + L_diffusion + L_0]
        L_1          = KL[q(x_{t_1} | x_0) || N(0, s^2 I)]                       prior
        L_diffusion  = 1/2 int -lambda'(t) ||eps - eps_hat(x_t, t)||^2 dt        diffusion
        L_0          = -log p(x_0 | x_{t_0})                                     reconstruction

    The t of an example are spread evenly over the draws, and over the numbers k of the examples too: a mean over
    consecutive k has less noise than its standard error, taken as if they were independent, says.

    Args:
        key: Root of the noise and of t; those of example k are keyed by k and belong to no batch.
        ends: (x_t, t) -> Ends, the network's estimates of the data and of the noise.
        path: Path between data and noise.
        x_0: Data; grey levels scaled to [-1, 1], or real values.
        levels: Number of grey levels, None for a density of real values: see `reconstruction_cost`.
        t_0: End that is close to the data. Its noise must not be 0.
        t_1: End that is close to the noise. Its signal must not be 0.
        index: Number k of each example; None counts from 0.
        num_draws: Number of t drawn for each example, each with a call of `ends`.
        times: Distribution of t between the ends, for a smaller variance; None for one that is uniform in the log
            signal-to-noise ratio. The mean is the same.
        prior_std: Standard deviation s of the states that a sampler starts from; None for sigma(t_1).
        window: See `reconstruction_cost`.

    Returns:
        One value of each term per example, in nats.

    Raises:
        ValueError: Ends between which the log signal-to-noise ratio does not fall from one finite number to another,
            times that do not reach both ends, num_draws below 1 or, with levels, a concrete x_0 that is not on their
            grid.

    Source: Kingma et al. 2021 (VDM), equations 10 to 17; appendix I for the draws of t.
    """
    require.size("num_draws", num_draws)
    require.typed_key("key", key)
    require_events(x_0=x_0)
    require_integers(index=index)
    require_shape(x_0.shape[:1], index=index)
    require_levels(levels, x_0=x_0)
    if prior_std is not None:
        require.number("prior_std", prior_std, above=0)
    if window is not None:
        require.size("window", window)
    high, low = log_snr_ends(path, t_0, t_1)
    key_t, key_eps = jax.random.split(key)
    index = jnp.arange(len(x_0), dtype=jnp.int32) if index is None else index
    u, keys = spread_uniforms(key_t, index, num_draws), example_keys(key_eps, index)

    if times is None:
        t, weight = path.time(low + (high - low) * u), 0.5 * (high - low) * jnp.ones_like(u)
    else:
        t, rate = restricted(times, t_0, t_1, u, whole=True)
        weight = -0.5 * path.log_snr_rate(t) * rate

    def normals(i: Array) -> Array:
        return jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(k, i), x_0.shape[1:], x_0.dtype))(keys)

    def cost(total: Array, now: tuple[Array, Array, Array]) -> tuple[Array, None]:
        i, t, weight = now
        eps = normals(i)
        eps_hat = ends(diffuse(path, x_0, t, eps), t).eps
        require_events(x_0=x_0, eps_hat=eps_hat)
        return total + weight.astype(x_0.dtype) * sum_event(jnp.square(eps - eps_hat)), None

    # 0 is the noise at t_0.
    draws = jnp.arange(1, num_draws + 1, dtype=jnp.int32)
    total, _ = jax.lax.scan(cost, jnp.zeros(len(x_0), x_0.dtype), (draws, t.astype(x_0.dtype), weight))
    x_t = diffuse(path, x_0, t_0, normals(jnp.int32(0)))
    return Bound(
        prior=prior_cost(path, x_0, t_1, prior_std),
        diffusion=total / num_draws,
        reconstruction=reconstruction_cost(path, x_0, x_t, t_0, levels, window=window),
    )
