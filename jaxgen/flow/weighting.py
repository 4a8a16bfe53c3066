"""Weights of the error at each t in the loss.

    Plain         ||target - output||^2, of whatever the network predicts
    Likelihood    1/2 -lambda'(t) dt/du ||eps - eps_hat||^2, whose mean over u is the bound's diffusion cost
    Sigmoid       the same integral with a factor sigmoid(b - lambda), which takes weight from the last digits

with t the quantile at u of the distribution it is drawn from, so that the last two do not depend on the distribution,
and, in lambda, not on the path.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.paths.path import Path


@runtime_checkable
class Weighting(Protocol):
    """Weight of the squared error of eps at each t, a choice of a config."""

    def __call__(self, path: Path, t: Float[Array, " b"], rate: Float[Array, " b"]) -> Float[Array, " b"] | None:
        """The weights; None for the error of the predicted quantity as it is.

        Args:
            path: Path that the model is trained on.
            t: Times of the examples.
            rate: Derivative dt / du of their quantile function, one over their density.
        """
        ...


@dataclass(frozen=True)
class Plain:
    """The squared error of the quantity that the network predicts, unweighted.

    It is flow matching for a velocity, L_simple for the noise, and EDM's loss for `Preconditioned`.
    """

    def __call__(self, path: Path, t: Float[Array, " b"], rate: Float[Array, " b"]) -> Float[Array, " b"] | None:
        return None


@dataclass(frozen=True)
class Likelihood:
    """The weight of the bound: the loss is its diffusion cost.

    Source: Kingma et al. 2021 (VDM), equation 17.
    """

    def __call__(self, path: Path, t: Float[Array, " b"], rate: Float[Array, " b"]) -> Float[Array, " b"] | None:
        return -0.5 * path.log_snr_rate(t) * rate


@dataclass(frozen=True)
class Sigmoid:
    """The weight of the bound times sigmoid(bias - lambda): less for states that are nearly data.

    Args:
        bias: Log signal-to-noise ratio at which the factor is 1/2.

    Raises:
        ValueError: A bias that is not finite.

    Source: Kingma & Gao 2023, section 4.2; Hoogeboom et al. 2024, section 3.1.
    """

    bias: float = 2.0

    def __post_init__(self):
        require.number("bias", self.bias)

    def __call__(self, path: Path, t: Float[Array, " b"], rate: Float[Array, " b"]) -> Float[Array, " b"] | None:
        share = jax.nn.sigmoid(jnp.float32(self.bias) - path.log_snr(t))
        return -0.5 * path.log_snr_rate(t) * rate * share
