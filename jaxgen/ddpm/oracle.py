"""Data for which everything about diffusion is known: a Gaussian, and a mixture of Gaussians.

For N(m, s^2 I) every level is Gaussian,

    q(x_t) = N(sqrt(alpha_bar_t) m, V_t I),     V_t = alpha_bar_t s^2 + 1 - alpha_bar_t

and the best denoiser, the exact reversal q(x_{t-1} | x_t) and the probability flow are known in closed form.
For a mixture, the score is the mean of the components' scores, weighted by how likely each component is at x_t.

Samplers and bounds can be compared with these: `functools.partial(oracle.denoise, schedule)` is the function that a
trained network should approach. Here t = 0, the data, is a level like any other.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Bool, Float, Float64

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.ddpm.schedule import Schedule
from jaxgen.ddpm.tables import Table, Time, coefficient
from jaxgen.events import require_events, require_mask, require_shape

_LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True, eq=False)
class GaussianData:
    """Data that are N(m, s^2 I).

    Args:
        mean: Mean m, of the event's shape.
        std: Standard deviation s.

    Raises:
        ValueError: A std that is not positive, or a mean that is not finite.

    Source: lecture, "Forward Diffusion Process"; Song et al. 2021, "Score-based generative modeling", appendix B.
    """

    mean: Float64[np.ndarray, "*event"]
    std: float = 1.0

    def __post_init__(self):
        require.number("std", self.std, above=0)
        if not np.isfinite(self.mean).all():
            raise ValueError(f"mean must be finite, got {self.mean}")

    def variances(self, schedule: Schedule) -> Table:
        """Variance V_t of every level."""
        return schedule.alpha_bar * self.std**2 + 1 - schedule.alpha_bar

    def log_prob(self, schedule: Schedule, x_t: Float[Array, "b *event"], t: Time) -> Float[Array, " b"]:
        """Log-density log q(x_t), in nats; at t = 0 that of the data."""
        variance = self.variances(schedule)
        square = jnp.square(self._centred(schedule, x_t, t)) / coefficient(variance, t, x_t, first=0)
        log_variance = jnp.broadcast_to(coefficient(np.log(variance), t, x_t, first=0), x_t.shape)
        return -0.5 * (square + log_variance + _LOG_2PI).sum(axis=tuple(range(1, x_t.ndim)))

    def score(self, schedule: Schedule, x_t: Float[Array, "b *event"], t: Time) -> Float[Array, "b *event"]:
        """Score grad log q(x_t) = -(x_t - sqrt(alpha_bar_t) m) / V_t."""
        return -self._centred(schedule, x_t, t) / coefficient(self.variances(schedule), t, x_t, first=0)

    def denoise(self, schedule: Schedule, x_t: Float[Array, "b *event"], t: Time) -> Float[Array, "b *event"]:
        """E[eps | x_t] = sqrt(1 - alpha_bar_t) (x_t - sqrt(alpha_bar_t) m) / V_t, the minimiser of L_simple."""
        weight = np.sqrt(1 - schedule.alpha_bar) / self.variances(schedule)
        return coefficient(weight, t, x_t, first=0) * self._centred(schedule, x_t, t)

    def reverse_variance(self, schedule: Schedule) -> Table:
        """Variance beta_t V_{t-1} / V_t of q(x_{t-1} | x_t), which is Gaussian.

        With it, and with `denoise`, `reverse` is the exact reversal. For s = 1 it is `beta_variance`; as s tends to 0
        it becomes that of the posterior.
        """
        variance = self.variances(schedule)
        return np.append(0.0, schedule.beta[1:] * variance[:-1] / variance[1:])

    def flow(self, schedule: Schedule, x_t: Float[Array, "b *event"], t: Time, s: Time = 0) -> Float[Array, "b *event"]:
        """Solution of the probability flow from x_t at level s, which may lie before or after t; 0 for the data.

        x_s = sqrt(alpha_bar_s) m + sqrt(V_s / V_t) (x_t - sqrt(alpha_bar_t) m)
        """
        spread = np.sqrt(self.variances(schedule))
        ratio = coefficient(spread, s, x_t, first=0) / coefficient(spread, t, x_t, first=0)
        return self._level_mean(schedule, x_t, s) + ratio * self._centred(schedule, x_t, t)

    def entropy(self) -> float:
        """Entropy D/2 log(2 pi e s^2), in nats: a lower limit of every mean negative bound."""
        return 0.5 * self.mean.size * (_LOG_2PI + 1 + 2 * math.log(self.std))

    def prior_gap(self, schedule: Schedule) -> float:
        """KL[q(x_T) || N(0, I)], in nats: the excess of the exact reversal's mean negative bound over the entropy."""
        variance, signal = self.variances(schedule)[-1], schedule.alpha_bar[-1]
        square = signal * float(np.square(self.mean).sum())
        return 0.5 * (self.mean.size * (variance - 1 - math.log(variance)) + square)

    def sample(self, key: PRNGKey, num: int) -> Float[Array, "num *event"]:
        """Draw `num` examples of the data."""
        eps = jax.random.normal(key, (num, *self.mean.shape), jnp.float32)
        require.size("num", num)
        return jnp.asarray(self.mean, jnp.float32)[None] + self.std * eps

    def _level_mean(self, schedule: Schedule, x: Array, t: Time) -> Array:
        require_events(x=x)
        require_shape((x.shape[0], *self.mean.shape), x=x)
        mean = jnp.asarray(self.mean.astype(x.dtype))[None]
        return coefficient(np.sqrt(schedule.alpha_bar), t, x, first=0) * mean

    def _centred(self, schedule: Schedule, x_t: Array, t: Time) -> Array:
        return x_t - self._level_mean(schedule, x_t, t)


@dataclass(frozen=True, eq=False)
class GaussianMixtureData:
    """Data that are N(m_k, s_k^2 I) with probability w_k.

        q(x_t) = sum_k w_k N(sqrt(alpha_bar_t) m_k, V_kt I),     V_kt = alpha_bar_t s_k^2 + 1 - alpha_bar_t

    Args:
        means: Means m_k, [K, *event].
        stds: Standard deviations s_k, [K].
        weights: Weights w_k, [K], which sum to one.

    Raises:
        ValueError: A std or a weight that is not positive, weights that do not sum to one, or lengths that differ.

    Source: beyond the lecture, its q(x_t | x_0) averaged over a mixture; Song et al. 2021, "Score-based generative
    modeling", section 3.
    """

    means: Float64[np.ndarray, "k *event"]
    stds: Float64[np.ndarray, " k"]
    weights: Float64[np.ndarray, " k"]

    def __post_init__(self):
        if not (len(self.means) == len(self.stds) == len(self.weights) and np.isfinite(self.means).all()):
            raise ValueError(
                f"means, stds and weights must have equal lengths and finite means, got {len(self.means)}, "
                f"{len(self.stds)} and {len(self.weights)}"
            )
        if not ((self.stds > 0) & (self.stds < math.inf)).all():
            raise ValueError(f"stds must be positive and finite, got {self.stds}")
        if not (self.weights > 0).all() or not math.isclose(self.weights.sum(), 1):
            raise ValueError(f"weights must be positive and sum to 1, got {self.weights}")

    def log_prob(self, schedule: Schedule, x_t: Float[Array, "b *event"], t: Time) -> Float[Array, " b"]:
        """Log-density log q(x_t), in nats; at t = 0 that of the data."""
        return logsumexp(self._log_joint(schedule, x_t, t), axis=1)

    def responsibilities(
        self, schedule: Schedule, x_t: Float[Array, "b *event"], t: Time, mask: Bool[Array, "b *event"] | None = None
    ) -> Float[Array, "b k"]:
        """Probability P(k | x_t) of each component; with a mask, given only the dimensions where it is True."""
        return jax.nn.softmax(self._log_joint(schedule, x_t, t, mask), axis=1)

    def score(self, schedule: Schedule, x_t: Float[Array, "b *event"], t: Time) -> Float[Array, "b *event"]:
        """Score grad log q(x_t) = -sum_k P(k | x_t) (x_t - sqrt(alpha_bar_t) m_k) / V_kt."""
        centred, variance = self._centred(schedule, x_t, t)
        share = self.responsibilities(schedule, x_t, t).reshape(variance.shape)
        return -(share / variance * centred).sum(axis=1)

    def denoise(self, schedule: Schedule, x_t: Float[Array, "b *event"], t: Time) -> Float[Array, "b *event"]:
        """E[eps | x_t] = -sqrt(1 - alpha_bar_t) grad log q(x_t)."""
        return -coefficient(np.sqrt(1 - schedule.alpha_bar), t, x_t, first=0) * self.score(schedule, x_t, t)

    def sample(self, key: PRNGKey, num: int) -> Float[Array, "num *event"]:
        """Draw `num` examples of the data."""
        require.size("num", num)
        key_k, key_x = jax.random.split(key)
        k = jax.random.categorical(key_k, jnp.log(jnp.asarray(self.weights, jnp.float32)), shape=(num,))
        eps = jax.random.normal(key_x, (num, *self.means.shape[1:]), jnp.float32)
        std = jnp.asarray(self.stds, jnp.float32)[k].reshape((num,) + (1,) * (eps.ndim - 1))
        return jnp.asarray(self.means, jnp.float32)[k] + std * eps

    def _centred(self, schedule: Schedule, x_t: Array, t: Time) -> tuple[Array, Array]:
        """x_t - sqrt(alpha_bar_t) m_k [B, K, *event] and V_kt [B, K, 1, ..., 1]."""
        require_events(x_t=x_t)
        require_shape((x_t.shape[0], *self.means.shape[1:]), x_t=x_t)
        signal = jnp.broadcast_to(coefficient(schedule.alpha_bar, t, x_t, first=0), (len(x_t),) + (1,) * (x_t.ndim - 1))
        noise = jnp.broadcast_to(coefficient(1 - schedule.alpha_bar, t, x_t, first=0), signal.shape)
        means = jnp.asarray(self.means.astype(x_t.dtype))[None]
        squares = jnp.asarray((self.stds**2).astype(x_t.dtype)).reshape((1, -1) + (1,) * (x_t.ndim - 1))
        return x_t[:, None] - jnp.sqrt(signal)[:, None] * means, signal[:, None] * squares + noise[:, None]

    def _log_joint(self, schedule: Schedule, x_t: Array, t: Time, mask: Array | None = None) -> Array:
        """log w_k + log N(x_t; sqrt(alpha_bar_t) m_k, V_kt I), [B, K]."""
        require_mask(x_t.shape, mask)
        centred, variance = self._centred(schedule, x_t, t)
        terms = -0.5 * (jnp.square(centred) / variance + jnp.log(variance) + _LOG_2PI)
        observed = None if mask is None else mask[:, None]
        log_weights = jnp.asarray(np.log(self.weights).astype(x_t.dtype))[None]
        return log_weights + terms.sum(axis=tuple(range(2, terms.ndim)), where=observed)
