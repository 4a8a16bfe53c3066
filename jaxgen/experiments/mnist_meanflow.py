"""One step from noise to digits: an average velocity on MNIST."""

from dataclasses import dataclass
from typing import ClassVar

from jaxgen import flow
from jaxgen.experiments import mnist_flow
from jaxgen.optimizers import Adam, Cosine


@dataclass(frozen=True)
class Config(mnist_flow.Config):
    """MeanFlow with the U-Net of `mnist_flow`: about two hours on one core.

    Args:
        sampler: Sampler of the samples that are shown and compared: one step.
        tried: Numbers of steps that are tried besides.
        model: Configuration of the model.
    """

    title: ClassVar[str] = "MeanFlow"

    sampler: flow.AnySampler = flow.Jump(1)
    tried: tuple[int, ...] = (2, 4)
    model: flow.Config = flow.Config(
        average=flow.Average(),
        times=flow.LogitNormal(-0.4, 1.0),
        network=flow.UNet(features=32, multipliers=(1, 2), attention=(1,), patch=2),
        optimizer=Adam(1e-3, Cosine(), clip_norm=1.0),
        ema_decay=0.999,
        num_draws=16,
    )
