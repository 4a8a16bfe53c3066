"""Data for which everything about a path is known: a mixture of Gaussians, of which one Gaussian is a case.

    q(x_t) = sum_k w_k N(alpha m_k, V_k I),     V_k = alpha^2 s_k^2 + sigma^2

The conditional means of the data and of the noise given x_t are known, and with them what each prediction's network
should approach: `functools.partial(data.velocity, path)` and `functools.partial(data.denoise, path)` are what solvers
and samplers take. For one Gaussian the solution of the probability flow is known too.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Float64

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.events import require_events, require_shape
from jaxgen.paths.path import Path, Time, floats, signal_and_noise
from jaxgen.paths.prediction import Ends, velocity_from_ends

_LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """Data that are N(m_k, s_k^2 I) with probability w_k.

    Args:
        means: Means m_k, [K, *event].
        stds: Standard deviations s_k, [K].
        weights: Weights w_k, [K], which sum to one.

    Raises:
        ValueError: A std or a weight that is not positive, weights that do not sum to one, or lengths that differ.

    Source: Song et al. 2021, "Score-based generative modeling", section 3; Karras et al. 2022 (EDM), appendix B.3.
    """

    means: Float64[np.ndarray, "k *event"]
    stds: Float64[np.ndarray, " k"]
    weights: Float64[np.ndarray, " k"]

    def __post_init__(self):
        lengths = {len(self.means), len(self.stds), len(self.weights)}
        if len(lengths) > 1 or not np.isfinite(self.means).all():
            raise ValueError(f"means, stds and weights must be finite and of equal lengths, got lengths {lengths}")
        if not ((self.stds > 0) & (self.stds < math.inf)).all():
            raise ValueError(f"stds must be positive and finite, got {self.stds}")
        if not (self.weights > 0).all() or not math.isclose(self.weights.sum(), 1):
            raise ValueError(f"weights must be positive and sum to 1, got {self.weights}")

    def log_prob(self, path: Path, x_t: Float[Array, "b *event"], t: Time) -> Float[Array, " b"]:
        """Log-density log q(x_t), in nats; at t = 0 that of the data."""
        return logsumexp(self._log_joint(path, x_t, t), axis=1)

    def ends(self, path: Path, x_t: Float[Array, "b *event"], t: Time) -> Ends:
        """E[x_0 | x_t] and E[eps | x_t].

        E[x_0 | x_t, k] = m_k + alpha s_k^2 / V_k (x_t - alpha m_k),  E[eps | x_t, k] = sigma / V_k (x_t - alpha m_k)
        """
        centred, spread = self._centred(path, x_t, t)
        share = jax.nn.softmax(self._log_joint(path, x_t, t), axis=1).reshape(spread.shape)
        alpha, sigma = signal_and_noise(path, t, x_t)
        means, squares = self._components(x_t)
        pull = share / spread * centred
        x_0 = (share * means).sum(axis=1) + alpha * (squares * pull).sum(axis=1)
        return Ends(x_0, sigma * pull.sum(axis=1))

    def denoise(self, path: Path, x_t: Float[Array, "b *event"], t: Time) -> Float[Array, "b *event"]:
        """E[x_0 | x_t]."""
        return self.ends(path, x_t, t).x_0

    def velocity(self, path: Path, x_t: Float[Array, "b *event"], t: Time) -> Float[Array, "b *event"]:
        """Velocity of the probability flow, E[alpha' x_0 + sigma' eps | x_t]."""
        return velocity_from_ends(path, t, self.ends(path, x_t, t))

    def score(self, path: Path, x_t: Float[Array, "b *event"], t: Time) -> Float[Array, "b *event"]:
        """Score grad log q(x_t) = -sum_k P(k | x_t) (x_t - alpha m_k) / V_k."""
        centred, spread = self._centred(path, x_t, t)
        share = jax.nn.softmax(self._log_joint(path, x_t, t), axis=1).reshape(spread.shape)
        return -(share / spread * centred).sum(axis=1)

    def sample(self, key: PRNGKey, num: int) -> Float[Array, "num *event"]:
        """Draw `num` examples of the data."""
        require.size("num", num)
        key_k, key_x = jax.random.split(key)
        k = jax.random.categorical(key_k, jnp.log(jnp.asarray(self.weights, jnp.float32)), shape=(num,))
        eps = jax.random.normal(key_x, (num, *self.means.shape[1:]), jnp.float32)
        std = jnp.asarray(self.stds, jnp.float32)[k].reshape((num,) + (1,) * (eps.ndim - 1))
        return jnp.asarray(self.means, jnp.float32)[k] + std * eps

    def _components(self, x: Array) -> tuple[Array, Array]:
        """m_k [1, K, *event] and s_k^2 [1, K, 1, ..., 1]."""
        means = jnp.asarray(self.means.astype(x.dtype))[None]
        return means, jnp.asarray((self.stds**2).astype(x.dtype)).reshape((1, -1) + (1,) * (x.ndim - 1))

    def _centred(self, path: Path, x_t: Array, t: Time) -> tuple[Array, Array]:
        """x_t - alpha m_k [B, K, *event] and V_k [B, K, 1, ..., 1]."""
        require_events(x_t=x_t)
        require_shape((x_t.shape[0], *self.means.shape[1:]), x_t=x_t)
        whole = (x_t.shape[0],) + (1,) * (x_t.ndim - 1)
        alpha, sigma = (jnp.broadcast_to(value, whole)[:, None] for value in signal_and_noise(path, t, x_t))
        means, squares = self._components(x_t)
        return x_t[:, None] - alpha * means, jnp.square(alpha) * squares + jnp.square(sigma)

    def _log_joint(self, path: Path, x_t: Array, t: Time) -> Float[Array, "b k"]:
        """log w_k + log N(x_t; alpha m_k, V_k I)."""
        centred, spread = self._centred(path, x_t, t)
        terms = -0.5 * (jnp.square(centred) / spread + jnp.log(spread) + _LOG_2PI)
        log_weights = jnp.asarray(np.log(self.weights).astype(x_t.dtype))[None]
        return log_weights + terms.sum(axis=tuple(range(2, terms.ndim)))


def mean_velocity(path: Path, x_t: Array, t: Time, s: Time, flow: Callable, velocity: Callable) -> Array:
    """Mean velocity from the solution x_s = flow(path, x_t, t, s), and the velocity where s = t."""
    require_events(x_t=x_t)
    whole = (x_t.shape[0],) + (1,) * (x_t.ndim - 1)
    gap = floats(t) - floats(s)
    gap = jnp.broadcast_to(gap.reshape(gap.shape + (1,) * (x_t.ndim - 1)) if gap.ndim else gap, whole)
    same = gap == 0
    away = (x_t - flow(path, x_t, t, s)) / jnp.where(same, 1, gap).astype(x_t.dtype)
    return jnp.where(same, velocity(path, x_t, t), away)


@dataclass(frozen=True, eq=False)
class Gaussian(GaussianMixture):
    """Data that are N(m, s^2 I): the mixture of one component, made by `gaussian`."""

    def flow(self, path: Path, x_t: Float[Array, "b *event"], t: Time, s: Time = 0) -> Float[Array, "b *event"]:
        """Solution of the probability flow from x_t at t to s, which may lie before or after t; 0 for the data.

        x_s = alpha_s m + sqrt(V_s / V_t) (x_t - alpha_t m)
        """
        centred, spread = self._centred(path, x_t, t)
        away, spread_s = self._centred(path, jnp.zeros_like(x_t), s)
        return (jnp.sqrt(spread_s / spread) * centred - away)[:, 0]

    def average_velocity(
        self, path: Path, x_t: Float[Array, "b *event"], t: Time, s: Time = 0
    ) -> Float[Array, "b *event"]:
        """Mean velocity along the probability flow from x_t at t to s, what MeanFlow's network should approach.

        (x_t - x_s) / (t - s),     the velocity itself at s = t
        """
        return mean_velocity(path, x_t, t, s, self.flow, self.velocity)


def gaussian(mean: Float64[np.ndarray, "*event"], std: float) -> Gaussian:
    """Data that are N(mean, std^2 I).

    Raises:
        ValueError: A mean that is not finite, or a std that is not positive.
    """
    require.number("std", std, above=0)
    return Gaussian(np.asarray(mean, np.float64)[None], np.array([float(std)]), np.ones(1))
