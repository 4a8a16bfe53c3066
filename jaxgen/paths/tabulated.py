"""The path through the levels of a discrete schedule, such as the lecture's alpha_bar_t."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxgen import require
from jaxgen.paths.path import Path, Values, floats


@dataclass(frozen=True)
class Tabulated(Path):
    """The path through the levels of a discrete variance-preserving schedule: level i of T is t = i / T.

        alpha = cos phi(t),   sigma = sin phi(t),   phi(i / T) = arctan sqrt(1 / alpha_bar_i - 1)

    and phi is linear between neighbouring levels, from phi(0) = 0. What was trained on the schedule can be sampled
    along this path. The speed of phi jumps at the levels, so that `heun` is of first order in steps from one to the
    next; `dpm_solver_pp`, which needs no derivative, keeps its second.

    Args:
        alpha_bar: Share of the signal's variance at the levels 1 .. T, falling.

    Raises:
        ValueError: No levels, or shares that do not fall strictly between 1 and 0.

    Source: Song et al. 2021 (DDIM), section 4.3, on the chain as steps along a continuous path.
    """

    alpha_bar: tuple[float, ...]

    def __post_init__(self):
        require.fields(self)
        shares = np.asarray([1.0, *self.alpha_bar, 0.0])
        if not self.alpha_bar or not (np.diff(shares) < 0).all():
            raise ValueError(f"alpha_bar must hold numbers that fall strictly between 1 and 0, got {self.alpha_bar}")

    def alpha(self, t: Values) -> Array:
        return jnp.sin(self._between(t, self._angles()[1]))

    def sigma(self, t: Values) -> Array:
        return jnp.sin(self._between(t, self._angles()[0]))

    def alpha_rate(self, t: Values) -> Array:
        return -self.sigma(t) * self._speed(t)

    def sigma_rate(self, t: Values) -> Array:
        return self.alpha(t) * self._speed(t)

    def time(self, log_snr: Values) -> Array:
        log_snr = floats(log_snr)
        levels, angles = (jnp.asarray(table, log_snr.dtype) for table in (self._levels(), self._angles()[0]))
        return jnp.interp(jnp.arctan(jnp.exp(-log_snr / 2)), angles, levels)

    def _levels(self) -> np.ndarray:
        return np.arange(len(self.alpha_bar) + 1) / len(self.alpha_bar)

    def _angles(self) -> tuple[np.ndarray, np.ndarray]:
        """phi and pi / 2 - phi of the levels 0 .. T: the sine of either has all its digits."""
        ratio = np.sqrt(1 / np.asarray([1.0, *self.alpha_bar]) - 1)
        return np.arctan(ratio), np.arctan2(1.0, ratio)

    def _between(self, t: Values, table: np.ndarray) -> Array:
        t = floats(t)
        return jnp.interp(t, jnp.asarray(self._levels(), t.dtype), jnp.asarray(table, t.dtype))

    def _speed(self, t: Values) -> Array:
        t, num = floats(t), len(self.alpha_bar)
        slopes = jnp.asarray(np.diff(self._angles()[0]) * num, t.dtype)
        segment = jnp.searchsorted(jnp.asarray(self._levels(), t.dtype), t, side="right") - 1
        return slopes[jnp.clip(segment, 0, num - 1)]
