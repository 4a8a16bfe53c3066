"""The choices of an autoencoder."""

import dataclasses
from collections.abc import Hashable
from dataclasses import dataclass

from jaxgen import optimizers, require
from jaxgen.nn.conditions import NO_CONDITIONS, Conditions, checked


@dataclass(frozen=True)
class Config:
    """Configuration of an autoencoder.

    Args:
        latent_dim: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder has them in reverse. () makes both linear.
        features: Channels of convolutional levels in front of the hidden layers, multiples of 8; () for none. For
            images of any size.
        optimizer: Optimizer of the parameters.
        see_mask: Whether the encoder is shown which dimensions are observed, beside their values: for data with
            missing dimensions ("mask" in the batch).
        condition: Fields of the data that encoder and decoder are given, by name, and how each comes in, see
            `jaxgen.nn.conditions`; no flag.
        dtype: Dtype of the computation, "float32" or "bfloat16"; parameters stay float32.
        axis_name: Mapped axis when the step runs under pmap, see `jaxgen.train.parallel.pmap_step`; no flag.

    Raises:
        ValueError: A size below 1, another dtype, or a field of another kind.
    """

    latent_dim: int = 32
    hidden: tuple[int, ...] = (400,)
    features: tuple[int, ...] = ()
    optimizer: optimizers.Adam = optimizers.Adam()
    see_mask: bool = False
    condition: Conditions = NO_CONDITIONS
    dtype: str = "float32"
    axis_name: Hashable = None

    def __post_init__(self):
        require.size("latent_dim", self.latent_dim)
        require.sizes("hidden", self.hidden)
        require.sizes("features", self.features, 8, multiple=8)
        require.one_of("dtype", self.dtype, ("float32", "bfloat16"))
        require.fields(self)
        object.__setattr__(self, "condition", checked(self.condition))

    def lasting(self, num_steps: int) -> "Config":
        """This config, with a learning-rate schedule of open end set to last `num_steps` steps."""
        return dataclasses.replace(self, optimizer=self.optimizer.lasting(num_steps))
