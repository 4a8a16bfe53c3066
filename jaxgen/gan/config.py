"""The choices of a GAN."""

import dataclasses
from collections.abc import Hashable
from dataclasses import dataclass

from jaxgen import optimizers, require
from jaxgen.gan import losses
from jaxgen.gan.augmentation import Augmentation
from jaxgen.gan.latent import Normal, Uniform
from jaxgen.gan.networks import DCGAN, MLP, SNResNet

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
        prior: Where z comes from.
        network: The two networks.
        conditional: Whether both networks see the label.
        loss: What the two players minimise.
        penalty: What is added to the discriminator's loss.
        penalty_schedule: Schedule of the penalty's weight over the rounds (steps, whatever the optimizers accumulate),
            `Cosine(final=...)` from the whole of it down: a strong penalty first makes D smooth, so that G finds every
            mode, a weak one then lets it see them sharply.
        augmentation: How images are disturbed before the discriminator sees them.
        n_critic: Discriminator updates per generator update; it divides the batch, each update takes its part.
        generator_optimizer: How the generator moves.
        discriminator_optimizer: How the discriminator moves.
        ema_decay: Decay of the generator's moving average per update, from which samples are drawn; 0 for the generator
            itself.
        dtype: Of the computation, "float32" or "bfloat16"; parameters stay float32.
        axis_name: Mapped axis when the step runs under pmap, see `jaxgen.train.parallel.pmap_step`; no flag.

    Raises:
        ValueError: A number out of its range, or another dtype.
    """

    latent_dim: int = 64
    prior: Normal | Uniform = Normal()
    network: MLP | DCGAN | SNResNet = MLP()
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

    def lasting(self, num_steps: int) -> "Config":
        """With the ends of all schedules, where they are left open, at the last of `num_steps` steps."""
        return dataclasses.replace(
            self,
            penalty_schedule=self.penalty_schedule.lasting(num_steps),
            generator_optimizer=self.generator_optimizer.lasting(num_steps),
            discriminator_optimizer=self.discriminator_optimizer.lasting(num_steps * self.n_critic),
        )
