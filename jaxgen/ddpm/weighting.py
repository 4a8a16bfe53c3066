"""The draw of t in a training step, and the weight of the error at each t in the loss."""

from dataclasses import dataclass
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.ddpm.prediction import Prediction, signal_to_noise
from jaxgen.ddpm.schedule import Schedule
from jaxgen.ddpm.tables import coefficient
from jaxgen.events import require_integers, require_rank

_PerExample: TypeAlias = Float[Array, " b"]


@dataclass(frozen=True)
class Uniform:
    """Equal weight for every t in the loss: L_simple unchanged."""

    def __call__(self, schedule: Schedule, t: Int[Array, " b"], prediction: Prediction) -> _PerExample:
        _require_times(t)
        return jnp.ones(t.shape, jnp.float32)


@dataclass(frozen=True)
class MinSNR:
    """Weight of the squared error of x_0 by the signal-to-noise ratio, at most gamma.

        w_t ||x_0 - x_0_hat||^2,     w_t = min(SNR_t, gamma)

    The equivalent weights are min(SNR, gamma) / SNR for the squared error of eps and min(SNR, gamma) / (SNR + 1) for v.

    Args:
        gamma: Largest weight.

    Raises:
        ValueError: A gamma that is not positive.

    Source: Hang et al. 2023, section 3.4.
    """

    gamma: float = 5.0

    def __post_init__(self):
        require.number("gamma", self.gamma, above=0)

    def __call__(self, schedule: Schedule, t: Int[Array, " b"], prediction: Prediction) -> _PerExample:
        """The weight of each example's squared error, given what the network predicts."""
        _require_times(t)
        # Entry 0, where SNR is infinite, is not used.
        ratio = np.append(1.0, prediction.error_ratio(schedule)[1:])
        weights = np.minimum(signal_to_noise(schedule), self.gamma) / ratio
        return coefficient(weights, t, jnp.zeros(t.shape, jnp.float32))


def _require_times(t: Array) -> None:
    require_integers(t=t)
    require_rank(1, "[b]", t=t)


def stratified_t(key: PRNGKey, num: int, num_timesteps: int) -> Int[Array, " num"]:
    """Draw `num` times t, each uniform on 1 .. T and all of them spread evenly.

        t_i = 1 + floor(T ((u + i / num) mod 1)),     u ~ U[0, 1)

    The mean loss over the batch then varies less than with independent t.

    Args:
        key: Key of the draw of u.
        num: Number of times t.
        num_timesteps: Number T of steps.

    Raises:
        ValueError: num or T below 1, or num T of 2^31 or more.

    Source: Kingma et al. 2021 (VDM), appendix I.1.
    """
    require.size("num", num)
    require.size("num_timesteps", num_timesteps)
    if num * num_timesteps >= 2**31:
        raise ValueError(f"num * num_timesteps must be below 2^31, got {num} * {num_timesteps}")
    # With u = offset / (T num) in integers, every t is exactly as likely as the others.
    offset = jax.random.randint(key, (), 0, num * num_timesteps, jnp.int32)
    start, rest = offset // num, offset % num
    steps = np.arange(num) * num_timesteps
    whole, part = jnp.asarray(steps // num, jnp.int32), jnp.asarray(steps % num, jnp.int32)
    return 1 + (start + whole + (rest + part) // num) % num_timesteps
