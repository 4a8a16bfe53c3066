"""The choices of a diffusion model."""

import dataclasses
from collections.abc import Hashable
from dataclasses import dataclass

from flax.core import FrozenDict

from jaxgen import optimizers, require
from jaxgen.ddpm.choices import BetaVariance, LearnedVariance, PosteriorVariance
from jaxgen.ddpm.networks import MLP, UNet
from jaxgen.ddpm.prediction import X0, Eps, V
from jaxgen.ddpm.schedule import Betas, Cosine, Linear
from jaxgen.ddpm.weighting import MinSNR, Uniform
from jaxgen.nn.conditions import NO_CONDITIONS, Conditions, Embed, checked


@dataclass(frozen=True)
class Config:
    """Configuration of a diffusion model.

    Args:
        schedule: Noise schedule.
        prediction: Quantity that the network predicts.
        variance: Variance of p(x_{t-1}|x_t).
        weighting: Weight of the error at each t in the loss.
        network: Architecture of the denoiser.
        condition: Fields of the data that the denoiser is given, by name, and how each comes in, see
            `jaxgen.nn.conditions`; no flag.
        conditional: Whether the denoiser sees the label, short for condition={"label": Embed(label_dropout)}.
        label_dropout: Share of the training examples whose label is withheld, so that the network also learns the
            unconditional model, which guidance needs.
        see_mask: Whether it learns from data with missing entries ("mask" in every batch): the network is shown which
            entries it sees, 0 in the place of the others, and the loss counts the observed ones alone. Samples are
            whole; right where entries are missing completely at random.
        flip: Whether half of the training images are mirrored left to right.
        optimizer: Optimizer of the parameters.
        ema_decay: Decay per update of the parameters' moving average, which evaluation and sampling use; 0 for the
            parameters themselves.
        num_draws: Number of t that `evaluate` draws for each example to estimate the denoising cost without bias; all t
            are used if there are no more.
        dtype: Dtype of the computation, "float32" or "bfloat16"; parameters stay float32.
        axis_name: Mapped axis when the step runs under pmap, see `jaxgen.train.parallel.pmap_step`; no flag.

    Raises:
        ValueError: A number out of its range, another dtype, or see_mask with a learned variance.
    """

    schedule: Linear | Cosine | Betas = Linear()
    prediction: Eps | X0 | V = Eps()
    variance: PosteriorVariance | BetaVariance | LearnedVariance = PosteriorVariance()
    weighting: Uniform | MinSNR = Uniform()
    network: UNet | MLP = UNet()
    condition: Conditions = NO_CONDITIONS
    conditional: bool = False
    label_dropout: float = 0.1
    see_mask: bool = False
    flip: bool = False
    optimizer: optimizers.Adam = optimizers.Adam(2e-4, clip_norm=1.0)
    ema_decay: float = 0.9999
    num_draws: int = 8
    dtype: str = "float32"
    axis_name: Hashable = None

    def __post_init__(self):
        for name in ("label_dropout", "ema_decay"):
            require.number(name, getattr(self, name), 0, below=1)
        require.size("num_draws", self.num_draws)
        require.one_of("dtype", self.dtype, ("float32", "bfloat16"))
        require.fields(self)
        if self.see_mask and self.learned:
            # Its loss is a bound, for which all of x_0 is needed.
            raise ValueError(f"variance must be fixed with see_mask=True, got {self.variance}")
        object.__setattr__(self, "condition", checked(self.condition, self.conditional))

    @property
    def conditions(self) -> Conditions:
        """All conditions by name, the label among them where the model is conditional."""
        label = {"label": Embed(self.label_dropout)} if self.conditional else {}
        return FrozenDict({**label, **self.condition})

    @property
    def learned(self) -> LearnedVariance | None:
        """The variance, if it is learned."""
        return self.variance if isinstance(self.variance, LearnedVariance) else None

    def lasting(self, num_steps: int) -> "Config":
        """This config, with a learning-rate schedule of open end set to last `num_steps` steps."""
        return dataclasses.replace(self, optimizer=self.optimizer.lasting(num_steps))
