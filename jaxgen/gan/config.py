"""The choices of a GAN."""

import dataclasses
from collections.abc import Hashable
from dataclasses import dataclass

from flax.core import FrozenDict

from jaxgen import optimizers, require
from jaxgen.gan import losses
from jaxgen.gan.augmentation import Augmentation
from jaxgen.gan.latent import Normal, Uniform
from jaxgen.gan.networks import DCGAN, MLP, SNResNet
from jaxgen.nn.conditions import NO_CONDITIONS, Conditions, Embed, checked

Loss = (
    losses.Minimax
    | losses.NonSaturating
    | losses.LeastSquares
    | losses.Hinge
    | losses.Wasserstein
    | losses.Relativistic
)
Penalty = losses.NoPenalty | losses.ZeroCentred | losses.GradientPenalty


@dataclass(frozen=True)
class Config:
    """Configuration of a GAN.

    Args:
        latent_dim: Dimension of z.
        prior: Distribution of z.
        network: The two networks.
        condition: Fields of the data that both networks are given, by name, and how each comes in, see
            `jaxgen.nn.conditions`; no flag. The generator gets all of them as a vector beside z; the discriminator gets
            images as channels of x (`Concat`), all others by projection.
        conditional: Whether both networks see the label, short for condition={"label": Embed(dropout=0)}.
        loss: Losses of the two players.
        penalty: Penalty added to the discriminator's loss.
        penalty_schedule: Schedule of the penalty's weight over the rounds (steps, whatever the optimizers accumulate),
            `Cosine(final=...)` lowers it from its full value: a strong penalty first makes D smooth, so that G finds
            every mode; a weak one then lets D resolve them.
        augmentation: Disturbance of images before the discriminator sees them.
        n_critic: Discriminator updates per generator update; it divides the batch, and each update takes one part.
        generator_optimizer: Optimizer of the generator.
        discriminator_optimizer: Optimizer of the discriminator.
        ema_decay: Decay of the generator's moving average per update, from which samples are drawn; 0 for the generator
            itself.
        dtype: Dtype of the computation, "float32" or "bfloat16"; parameters stay float32.
        axis_name: Mapped axis when the step runs under pmap, see `jaxgen.train.parallel.pmap_step`; not a flag.

    Raises:
        ValueError: A number outside its range, or another dtype.
    """

    latent_dim: int = 64
    prior: Normal | Uniform = Normal()
    network: MLP | DCGAN | SNResNet = MLP()
    condition: Conditions = NO_CONDITIONS
    conditional: bool = False
    loss: Loss = losses.NonSaturating()
    penalty: Penalty = losses.NoPenalty()
    penalty_schedule: optimizers.Constant | optimizers.Cosine = optimizers.Constant()
    augmentation: Augmentation = Augmentation()
    n_critic: int = 1
    generator_optimizer: optimizers.Adam = optimizers.Adam(2e-4, b1=0.5)
    discriminator_optimizer: optimizers.Adam = optimizers.Adam(2e-4, b1=0.5)
    ema_decay: float = 0.999
    dtype: str = "float32"
    axis_name: Hashable = None

    def __post_init__(self):
        for name in ("latent_dim", "n_critic"):
            require.size(name, getattr(self, name))
        require.number("ema_decay", self.ema_decay, 0, below=1)
        require.one_of("dtype", self.dtype, ("float32", "bfloat16"))
        require.fields(self)
        object.__setattr__(self, "condition", checked(self.condition, self.conditional))

    @property
    def conditions(self) -> Conditions:
        """All conditions by name, the label among them where the model is conditional."""
        label = {"label": Embed(dropout=0.0)} if self.conditional else {}
        return FrozenDict({**label, **self.condition})

    def lasting(self, num_steps: int) -> "Config":
        """The same configuration, with every schedule that has no end yet ending at the last of `num_steps` steps."""
        return dataclasses.replace(
            self,
            penalty_schedule=self.penalty_schedule.lasting(num_steps),
            generator_optimizer=self.generator_optimizer.lasting(num_steps),
            discriminator_optimizer=self.discriminator_optimizer.lasting(num_steps * self.n_critic),
        )
