"""The times that a sampler visits, as choices.

Even      times at even distances
LogSNR    at even distances in the log signal-to-noise ratio
Karras    at even distances in a root of the ratio of noise to signal, closer towards the data
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxgen import require
from jaxgen.paths.ode import Times
from jaxgen.paths.path import Path


@runtime_checkable
class Grid(Protocol):
    """Times that a sampler visits, as a hashable choice."""

    def __call__(self, path: Path, t_0: float, t_1: float, num_steps: int) -> Times:
        """`num_steps` + 1 times from t_1 down to 0, the last of them at the data.

        Args:
            path: Path of the states.
            t_0: Time of the end at the data; the last step goes from there to 0, where they differ.
            t_1: Time of the end at the noise.
            num_steps: Number of steps.
        """
        ...


@dataclass(frozen=True)
class Even:
    """Times at even distances."""

    def __call__(self, path: Path, t_0: float, t_1: float, num_steps: int) -> Times:
        return np.linspace(t_1, 0.0, num_steps + 1)


@dataclass(frozen=True)
class LogSNR:
    """Times at even distances in the log signal-to-noise ratio, and 0 after the last."""

    def __call__(self, path: Path, t_0: float, t_1: float, num_steps: int) -> Times:
        return _by_log_snr(path, t_0, t_1, num_steps, lambda high, low, share: low + (high - low) * share)


@dataclass(frozen=True)
class Karras:
    """Times at even distances in the root of order `rho` of sigma / alpha, and 0 after the last.

    Args:
        rho: Order of the root, at least 1; 1 for even distances in sigma / alpha itself.

    Raises:
        ValueError: A rho below 1.

    Source: Karras et al. 2022 (EDM), equation 5.
    """

    rho: float = 7.0

    def __post_init__(self):
        require.number("rho", self.rho, 1)

    def __call__(self, path: Path, t_0: float, t_1: float, num_steps: int) -> Times:
        def spaced(high: Any, low: Any, share: np.ndarray) -> Any:
            first, last = (jnp.exp(-ratio / (2 * self.rho)) for ratio in (low, high))
            return -2 * self.rho * jnp.log(first + (last - first) * share)

        return _by_log_snr(path, t_0, t_1, num_steps, spaced)


def _by_log_snr(path: Path, t_0: float, t_1: float, num_steps: int, spaced: Any) -> Times:
    """Times whose log signal-to-noise ratios are spaced; of a path that is being learned they are traced."""
    with jax.ensure_compile_time_eval():
        high, low = (path.log_snr(t) for t in (t_0, t_1))
    if isinstance(high, jax.core.Tracer):
        return _placed(path, t_0, t_1, num_steps, spaced, high, low)
    with jax.ensure_compile_time_eval():
        return np.asarray(_placed(path, t_0, t_1, num_steps, spaced, high, low))


def _placed(path: Path, t_0: float, t_1: float, num_steps: int, spaced: Any, high: Array, low: Array) -> Array:
    inner = num_steps if t_0 == 0 else num_steps - 1  # steps before the one to 0
    share = np.linspace(0, 1, inner + 1, dtype=np.float32)[1:-1]
    end = [0.0] if t_0 == 0 or not inner else [t_0, 0.0]
    between = path.time(spaced(high, low, share))
    return jnp.concatenate([jnp.array([t_1], jnp.float32), between, jnp.array(end, jnp.float32)])
