"""The neural network of a diffusion model: the architectures, which flow models share, and what one returns.

    UNet    residual blocks and attention, down to small sizes and up again: images, signals, volumes (Ho et al. 2020)
    MLP     dense layers: points

An architecture is a frozen dataclass of numbers, a choice of the config, that builds the network for given data.
"""

from dataclasses import dataclass
from typing import NamedTuple

from jaxtyping import Array

from jaxgen.nn import UNet, timed
from jaxgen.nn.timed import Architecture, Dense

__all__ = ["MLP", "Architecture", "Dense", "Output", "UNet"]


@dataclass(frozen=True)
class MLP(timed.MLP):
    """Dense layers, each given the time embedding: for events of any shape, intended for points.

    Args:
        hidden: Widths of the hidden layers.
        time_features: Length of the sinusoidal embedding of t, even.

    Raises:
        ValueError: A number outside its range.
    """


class Output(NamedTuple):
    """Result of the network of a diffusion model; a network of the user's own may return the first array alone.

    Attributes:
        prediction: Quantity that the config names: the noise, x_0 or v, [B, *event].
        variance: Place of the learned log-variance between its two bounds, -1 to 1, [B, *event].
    """

    prediction: Array
    variance: Array | None = None
