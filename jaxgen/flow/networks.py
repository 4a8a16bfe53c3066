"""The neural network of a model in continuous time: the architectures, which diffusion models share.

    UNet    residual blocks and attention, down to small sizes and up again: images, signals, volumes
    MLP     dense layers: points

A shipped network is told 1000 times its t, 10 times where it learns an average velocity: its target has the derivative
of the network by t, which sines of high frequency would make large and wild.

A network of the user's own (`jaxgen.nn.network`) is called with x_t [B, *event], t [B] and, where there are any, the
dictionary of conditions, to which belong

    "span"       an average velocity's t - r, [B, 33]: sines and cosines of 10 (t - r), and a 0
    "fourier"    the features of x_t that the config asks for, [B, *space, features + 1]

and returns the prediction, [B, *event], for `Mixture` a tuple of them. For `Preconditioned` it sees c_in x_t in the
place of x_t and c_noise in that of t.
"""

from dataclasses import dataclass

from jaxgen.nn import UNet, timed
from jaxgen.nn.timed import Architecture

__all__ = ["AVERAGE_TIME_SCALE", "MLP", "TIME_SCALE", "Architecture", "UNet"]

TIME_SCALE = 1000.0
"""Factor of t for the shipped networks, which are made for steps counted in hundreds."""

AVERAGE_TIME_SCALE = 10.0
"""The same factor, and that of t - r, for networks whose derivative by t is part of their target.

Source: Lu & Song 2024 (continuous-time consistency models), section 4.1, on the scale of the embedding.
"""


@dataclass(frozen=True)
class MLP(timed.MLP):
    """Dense layers, each given the time embedding: for events of any shape, intended for points.

    Args:
        hidden: Widths of the hidden layers.
        time_features: Length of the sinusoidal embedding of t, even.

    Raises:
        ValueError: A number outside its range.
    """
