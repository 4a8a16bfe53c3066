"""A variational diffusion model on MNIST: a likelihood in bits per dimension, in three terms."""

from dataclasses import dataclass
from typing import ClassVar

from jaxgen import flow
from jaxgen.experiments import mnist_flow
from jaxgen.optimizers import Adam, Cosine


@dataclass(frozen=True)
class Config(mnist_flow.Config):
    """The U-Net of `mnist_flow`, trained on the bound itself; its outputs are mixtures with black and white in them.

    Args:
        samples: Draws of each sampler whose Fréchet distance is taken at the end; 0 for none.
        tried: Numbers of steps that are tried besides, by the sampler of `sampler`.
        model: Configuration of the model.
    """

    title: ClassVar[str] = "Variational diffusion"

    samples: int = 0
    tried: tuple[int, ...] = ()
    model: flow.Config = flow.Config(
        path=flow.LinearLogSNR(-8.0, 13.3),
        prediction=flow.Mixture(),
        weighting=flow.Likelihood(),
        network=flow.UNet(features=32, multipliers=(1, 2), attention=(1,), patch=2),
        optimizer=Adam(1e-3, Cosine(), clip_norm=1.0),
        ema_decay=0.999,
        num_draws=16,
    )
    steps: int = 40_000
