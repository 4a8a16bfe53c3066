"""The choices of a VAE."""

import dataclasses
from collections.abc import Hashable
from dataclasses import dataclass

from jaxgen import optimizers, require
from jaxgen.nn.conditions import NO_CONDITIONS, Conditions, checked
from jaxgen.vae.likelihood import Bernoulli, DiscretizedNormal, Normal
from jaxgen.vae.missingness import Agnostic, SelfMasking


@dataclass(frozen=True)
class Config:
    """Configuration of a VAE.

    Args:
        latent_dim: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder has them in reverse.
        features: Channels of convolutional levels in front of the hidden layers, multiples of 8; () for none. For
            images of any size.
        likelihood: Likelihood P(X|z).
        beta: Weight of the rate in the training loss; 1 is the bound.
        warmup_steps: Steps over which that weight rises from 0 to beta, so that the latents are in use before the
            rate counts; 0 for none. Steps count batches, however many of them the optimizer accumulates.
        num_samples: Draws of Q(z|X) per example in the training loss: 1 for the ELBO, k for the importance-weighted
            bound of Burda et al.
        path_gradient: Whether Q learns through its draw alone (`objective.path_negative_elbo`): the same bound, with a
            gradient that is less noisy the closer Q is to the posterior.
        optimizer: Optimizer of the parameters.
        see_mask: Whether the encoder is shown which dimensions are observed, beside their values: for data with
            missing dimensions ("mask" in the batch).
        missing: Distribution of the mask given x, `SelfMasking()` or `Agnostic()`, for data whose entries are missing
            because of their values ("mask" in every batch): the bound is then that of what is observed and of the mask.
            None where the mask says nothing about what it hides.
        condition: Fields of the data that encoder and decoder are given, by name, and how each comes in, see
            `jaxgen.nn.conditions`; no flag.
        dtype: Dtype of the computation, "float32" or "bfloat16"; parameters stay float32.
        axis_name: Mapped axis when the step runs under pmap, see `jaxgen.train.parallel.pmap_step`; no flag.

    Raises:
        ValueError: A size below 1, a negative weight or number of steps, another dtype, path_gradient with several
            draws, or a distribution of the mask beside another likelihood than Normal; a field of another kind.
    """

    latent_dim: int = 20
    hidden: tuple[int, ...] = (400,)
    features: tuple[int, ...] = ()
    likelihood: Normal | Bernoulli | DiscretizedNormal = Bernoulli()
    beta: float = 1.0
    warmup_steps: int = 0
    num_samples: int = 1
    path_gradient: bool = False
    optimizer: optimizers.Adam = optimizers.Adam()
    see_mask: bool = False
    missing: SelfMasking | Agnostic | None = None
    condition: Conditions = NO_CONDITIONS
    dtype: str = "float32"
    axis_name: Hashable = None

    def __post_init__(self):
        require.size("latent_dim", self.latent_dim)
        require.sizes("hidden", self.hidden)
        require.sizes("features", self.features, 8, multiple=8)
        require.number("beta", self.beta, 0)
        require.size("warmup_steps", self.warmup_steps, 0)
        require.size("num_samples", self.num_samples)
        if self.path_gradient and self.num_samples != 1:
            # For the importance-weighted bound the path gradient is wrong (Tucker et al. 2019).
            raise ValueError(f"path_gradient needs num_samples=1, got {self.num_samples}")
        require.one_of("dtype", self.dtype, ("float32", "bfloat16"))
        require.fields(self)
        if self.missing is not None and not isinstance(self.likelihood, Normal):
            # The bound needs a gradient through the draws of what is missing.
            raise ValueError(f"missing must be None unless the likelihood is Normal(), got {self.missing}")
        object.__setattr__(self, "condition", checked(self.condition))

    def lasting(self, num_steps: int) -> "Config":
        """This config, with a learning-rate schedule of open end set to last `num_steps` steps."""
        return dataclasses.replace(self, optimizer=self.optimizer.lasting(num_steps))
