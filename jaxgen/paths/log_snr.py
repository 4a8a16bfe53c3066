"""Variance-preserving paths given by their log signal-to-noise ratio lambda(t), with ends that suit a likelihood.

    alpha^2 = sigmoid(lambda),   sigma^2 = sigmoid(-lambda)

    LinearLogSNR          lambda falls at constant speed from one end to the other
    LearnedLogSNR         both ends and the way between are parameters, to be trained with the network

Unlike those of `jaxgen.paths.path` these paths have finite ratios at t = 0 and at t = 1: some noise is left in x_{t=0},
of standard deviation e^{-high / 2}, and some signal in x_{t=1}. The bound needs both to be finite, and depends on the
path through its ends alone. Samplers that step by the denoised data end at these. Along the flow, `euler` and `heun` go
to the state at t = 0 and leave that noise in it: call `denoise(x, t)` once more there, where none is wanted.
"""

from abc import abstractmethod
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.paths.path import Path, Values, floats


class VariancePreserving(Path):
    """A path given by lambda(t) and its derivative; a subclass has these and their inverse, `time`."""

    @abstractmethod
    def log_snr(self, t: Values) -> Array:
        """Log signal-to-noise ratio lambda(t), which falls."""

    @abstractmethod
    def log_snr_rate(self, t: Values) -> Array:
        """Derivative d lambda / dt."""

    def alpha(self, t: Values) -> Array:
        """Factor alpha(t) = sigmoid(lambda)^(1/2) of the data, nearly 1 at t = 0."""
        return jnp.sqrt(jax.nn.sigmoid(self.log_snr(t)))

    def sigma(self, t: Values) -> Array:
        """Standard deviation sigma(t) = sigmoid(-lambda)^(1/2) of the noise, nearly 0 at t = 0."""
        return jnp.sqrt(jax.nn.sigmoid(-self.log_snr(t)))

    def alpha_rate(self, t: Values) -> Array:
        return 0.5 * self.alpha(t) * jnp.square(self.sigma(t)) * self.log_snr_rate(t)

    def sigma_rate(self, t: Values) -> Array:
        return -0.5 * self.sigma(t) * jnp.square(self.alpha(t)) * self.log_snr_rate(t)


@dataclass(frozen=True)
class LinearLogSNR(VariancePreserving):
    """The variance-preserving path whose log signal-to-noise ratio is linear: lambda = high + (low - high) t.

    Args:
        low: lambda at t = 1: the lower, the less is lost by starting from pure noise.
        high: lambda at t = 0. With 256 grey levels on [-1, 1], 13.3 has the noise at a third of half a level.

    Raises:
        ValueError: A high that is not above low, or a ratio beyond 40, where float32 has no noise left.

    Source: Kingma et al. 2021 (VDM), appendix B; the ends are those of its experiments.
    """

    low: float = -5.0
    high: float = 13.3

    def __post_init__(self):
        require.fields(self)
        _check_ends(self.low, self.high)
        require.fields(self)

    def log_snr(self, t: Values) -> Array:
        return self.high + (self.low - self.high) * floats(t)

    def log_snr_rate(self, t: Values) -> Array:
        return jnp.full_like(floats(t), self.low - self.high)

    def time(self, log_snr: Values) -> Array:
        return (self.high - floats(log_snr)) / (self.high - self.low)


@dataclass(frozen=True)
class LearnedLogSNR:
    """A log signal-to-noise ratio with parameters, a choice of a config: `init` makes them, `path` is the path of some.

        lambda = high + (low - high) f(t),     f(t) = (g(t) - g(0)) / (g(1) - g(0))
        g(t)   = |a| t + 1/n sum_k |b_k| tanh(|c_k| (2 t - 1) + d_k)

    The ends high and low are parameters, on which the bound depends: train them to lessen it. On f, the way between,
    it does not depend, but the noise of its estimate with t uniform does: train f to lessen the mean square of that.

    Args:
        low: lambda at t = 1 before training.
        high: lambda at t = 0 before training.
        num_features: Number n of terms of the monotone function.

    Raises:
        ValueError: Ends as `LinearLogSNR` refuses them, or no features.

    Source: Kingma et al. 2021 (VDM), section 4 and appendix H, with the ends apart from the way between.
    """

    low: float = -5.0
    high: float = 13.3
    num_features: int = 1024

    def __post_init__(self):
        require.fields(self)
        _check_ends(self.low, self.high)
        require.size("num_features", self.num_features)
        require.fields(self)

    def init(self, key: PRNGKey) -> dict[str, dict[str, Array]]:
        """Parameters of a nearly linear ratio: {"ends": {"low", "high"}, "way": {"line", "gain", "speed", "place"}}."""
        require.typed_key("key", key)
        keys = jax.random.split(key, 3)
        gain, speed, place = (jax.random.normal(k, (self.num_features,), jnp.float32) for k in keys)
        ends = {"low": jnp.float32(self.low), "high": jnp.float32(self.high)}
        return {"ends": ends, "way": {"line": jnp.float32(1), "gain": 0.1 * gain, "speed": speed, "place": place}}

    def path(self, params: Any) -> "LearnedPath":
        """The path of these parameters."""
        return LearnedPath(params["ends"]["low"], params["ends"]["high"], params["way"])


@dataclass(frozen=True, eq=False)
class LearnedPath(VariancePreserving):
    """The path of some parameters of `LearnedLogSNR`, which may be traced and differentiated through.

    Args:
        low: lambda at t = 1.
        high: lambda at t = 0.
        way: Parameters of the monotone function between them.
    """

    low: Float[Array, ""]
    high: Float[Array, ""]
    way: dict[str, Array] = field(repr=False)

    def log_snr(self, t: Values) -> Array:
        t = floats(t)
        low, high = self._ends(t)
        return high + (low - high) * self._share(t)

    def log_snr_rate(self, t: Values) -> Array:
        t = floats(t)
        low, high = self._ends(t)
        return (low - high) * jax.jvp(self._share, (t,), (jnp.ones_like(t),))[1]

    def time(self, log_snr: Values) -> Array:
        """The t with this ratio, by bisection; derivatives are those of the inverse function."""
        log_snr = floats(log_snr)
        low, high = self._ends(log_snr)
        share = (high - log_snr) / (high - low)

        def halve(_: Any, sides: tuple[Array, Array]) -> tuple[Array, Array]:
            left, right = sides
            middle = 0.5 * (left + right)
            beyond = fixed(middle) > goal
            return jnp.where(beyond, left, middle), jnp.where(beyond, middle, right)

        still = LearnedPath(self.low, self.high, jax.lax.stop_gradient(self.way))
        fixed, goal = still._share, jax.lax.stop_gradient(share)
        steps = 60 if log_snr.dtype == jnp.float64 else 30
        left, right = jax.lax.fori_loop(0, steps, halve, (jnp.zeros_like(goal), jnp.ones_like(goal)))
        t = 0.5 * (left + right)
        rate = jax.jvp(fixed, (t,), (jnp.ones_like(t),))[1]
        # A step of Newton's with the way's own derivatives: it moves t by rounding, and carries them.
        return jnp.clip(t + (share - self._share(t)) / rate, 0, 1)

    def _ends(self, t: Array) -> tuple[Array, Array]:
        return self.low.astype(t.dtype), self.high.astype(t.dtype)

    def _share(self, t: Array) -> Array:
        """f(t), from 0 at t = 0 to 1 at t = 1."""
        way = {name: value.astype(t.dtype) for name, value in self.way.items()}

        def g(t: Array) -> Array:
            shape = (1,) * t.ndim + (-1,)
            gain, speed, place = (way[name].reshape(shape) for name in ("gain", "speed", "place"))
            terms = jnp.abs(gain) * jnp.tanh(jnp.abs(speed) * (2 * t[..., None] - 1) + place)
            return jnp.abs(way["line"]) * t + terms.mean(axis=-1)

        first, last = g(jnp.zeros((), t.dtype)), g(jnp.ones((), t.dtype))
        return (g(t) - first) / (last - first)


def _check_ends(low: Any, high: Any) -> None:
    require.number("low", low, -40)
    require.number("high", high, above=low)
    require.number("high", high, high=40)
