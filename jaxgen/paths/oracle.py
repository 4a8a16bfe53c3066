"""Data for which everything about a path is known: a mixture of Gaussians, of which one Gaussian is a case.

    q(x_t) = sum_k w_k N(alpha m_k, V_k I),     V_k = alpha^2 s_k^2 + sigma^2

The conditional means of the data and of the noise given x_t are known, and with them what each prediction's network
should approach: `functools.partial(data.velocity, path)` and `functools.partial(data.denoise, path)` are what solvers
and samplers take. The solution of the probability flow, and with it the average velocity between two times, is known
for one Gaussian, and for mixtures of events of one dimension.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import log_ndtr, logsumexp
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

    def flow(self, path: Path, x_t: Float[Array, "b *event"], t: Time, s: Time = 0) -> Float[Array, "b *event"]:
        """Solution of the probability flow from x_t at t to s, before or after t, of events of one dimension.

        F_s(x_s) = F_t(x_t),     F_t(x) = sum_k w_k Phi((x - alpha m_k) / sqrt V_k)

        since nothing overtakes on a line. F_s is inverted by bisection; derivatives are those of the inverse.

        Raises:
            ValueError: Events of more than one dimension.
        """
        require_events(x_t=x_t)
        if self.means[0].size != 1:
            raise ValueError(f"flow must be asked for events of one dimension, got shape {self.means.shape[1:]}")
        goal = self._logit(path, x_t, t)
        centred, spread = self._centred(path, x_t, t)
        origin, spread_s = self._centred(path, jnp.zeros_like(x_t), s)
        # Where x_t would go if the data were one component: x_s lies between the furthest of these.
        alone = jax.lax.stop_gradient(jnp.sqrt(spread_s / spread) * centred - origin)

        def halve(sides: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
            left, right = sides
            middle = 0.5 * (left + right)
            beyond = self._logit(path, middle, s) > goal
            return (jnp.where(beyond, left, middle), jnp.where(beyond, middle, right)), None

        steps = 64 if x_t.dtype == jnp.float64 else 32
        (left, right), _ = jax.lax.scan(halve, (alone.min(axis=1), alone.max(axis=1)), length=steps)
        x_s = jax.lax.stop_gradient(0.5 * (left + right))
        found, rate = jax.jvp(lambda x: self._logit(path, x, s), (x_s,), (jnp.ones_like(x_s),))
        # A step of Newton's: it moves x_s by rounding, and carries the derivatives of F_t and F_s.
        return x_s + (goal - found) / jax.lax.stop_gradient(rate)

    def average_velocity(
        self, path: Path, x_t: Float[Array, "b *event"], t: Time, s: Time = 0
    ) -> Float[Array, "b *event"]:
        """Mean velocity along the probability flow from x_t at t to s: what MeanFlow's network should approach.

            (x_t - x_s) / (t - s),     the velocity itself at s = t

        Raises:
            ValueError: Data whose `flow` is not known.

        Source: Geng et al. 2025 (MeanFlow), section 4.1.
        """
        require_events(x_t=x_t)
        gap = floats(t) - floats(s)
        gap = gap.astype(x_t.dtype).reshape(gap.shape + (1,) * (x_t.ndim - 1) if gap.ndim else (1,) * x_t.ndim)
        mean = (x_t - self.flow(path, x_t, t, s)) / jnp.where(gap == 0, 1, gap)
        return jnp.where(jnp.broadcast_to(gap == 0, x_t.shape), self.velocity(path, x_t, t), mean)

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

    def _logit(self, path: Path, x_t: Array, t: Time) -> Array:
        """log F / (1 - F) of the distribution function in one dimension, with all digits in both tails."""
        centred, spread = self._centred(path, x_t, t)
        z = centred / jnp.sqrt(spread)
        log_weights = jnp.asarray(np.log(self.weights).astype(x_t.dtype)).reshape((1, -1) + (1,) * (x_t.ndim - 1))
        below, above = (logsumexp(log_weights + log_ndtr(side), axis=1) for side in (z, -z))
        return below - above

    def _log_joint(self, path: Path, x_t: Array, t: Time) -> Float[Array, "b k"]:
        """log w_k + log N(x_t; alpha m_k, V_k I)."""
        centred, spread = self._centred(path, x_t, t)
        terms = -0.5 * (jnp.square(centred) / spread + jnp.log(spread) + _LOG_2PI)
        log_weights = jnp.asarray(np.log(self.weights).astype(x_t.dtype))[None]
        return log_weights + terms.sum(axis=tuple(range(2, terms.ndim)))


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


def gaussian(mean: Float64[np.ndarray, "*event"], std: float) -> Gaussian:
    """Data that are N(mean, std^2 I).

    Raises:
        ValueError: A mean that is not finite, or a std that is not positive.
    """
    require.number("std", std, above=0)
    return Gaussian(np.asarray(mean, np.float64)[None], np.array([float(std)]), np.ones(1))
