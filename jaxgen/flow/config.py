"""The choices of a model in continuous time."""

import dataclasses
from collections.abc import Hashable
from dataclasses import dataclass

from flax.core import FrozenDict

from jaxgen import optimizers, require
from jaxgen.flow.average import Average
from jaxgen.flow.ends import path_ends
from jaxgen.flow.networks import MLP, UNet
from jaxgen.flow.weighting import Likelihood, Plain, Sigmoid
from jaxgen.nn.conditions import NO_CONDITIONS, Conditions, Embed, checked
from jaxgen.paths.log_snr import LearnedLogSNR, LinearLogSNR
from jaxgen.paths.mixture import Mixture
from jaxgen.paths.path import Cosine, Linear, LinearBeta, VarianceExploding
from jaxgen.paths.preconditioning import Preconditioned
from jaxgen.paths.prediction import X0, Eps, V, Velocity
from jaxgen.paths.times import LogitNormal, LogNormal, Uniform


@dataclass(frozen=True)
class Config:
    """Configuration of a model in continuous time: flow matching, EDM, a variational diffusion model, MeanFlow.

    Args:
        path: Path from the data to noise. One that is learned has the whole bound as its loss: weighting=Likelihood().
        prediction: Quantity that the network predicts.
        times: Distribution of t in training, cut off at the two ends of `log_snr`.
        weighting: Weight of the error at each t in the loss.
        average: Settings of the average velocity between two times, for samples in one step; None for the velocity at
            one time.
        log_snr: Log signal-to-noise ratios (at the noise, at the data) of the two ends between which the model is
            trained, sampled and bounded; None for the path's own ends where its ratio is finite, and elsewhere for -10
            and what suits the number of grey levels, 13.3 for 256.
        network: Architecture of the network.
        fourier: Exponents (smallest, largest) n of sin(2^n pi x) and cos(2^n pi x), which the network is given beside
            x, for the last digits of the data; None for x alone.
        condition: Fields of the data that the network is given, by name, and how each comes in, see
            `jaxgen.nn.conditions`; no flag.
        conditional: Whether the network sees the label, short for condition={"label": Embed(label_dropout)}.
        label_dropout: Share of the training examples whose label is withheld, so that the network also learns the
            unconditional model, which guidance needs.
        dequantise: Whether uniform noise spreads grey levels over their bins in training: for log-densities by the
            probability flow.
        flip: Whether half of the training images are mirrored left to right.
        optimizer: Optimizer of the parameters.
        ema_decay: Decay per update of the parameters' moving average, which evaluation and sampling use; 0 for the
            parameters themselves.
        num_draws: Number of t that `evaluate` draws for each example to estimate the diffusion cost without bias.
        dtype: Dtype of the computation, "float32" or "bfloat16"; parameters stay float32.
        axis_name: Mapped axis when the step runs under pmap, see `jaxgen.train.parallel.pmap_step`; no flag.

    Raises:
        ValueError: A number out of its range, another dtype, ends that are not in order, or an average of another
            quantity than the velocity.
    """

    path: Linear | Cosine | LinearBeta | VarianceExploding | LinearLogSNR | LearnedLogSNR = Linear()
    prediction: Velocity | Eps | X0 | V | Preconditioned | Mixture = Velocity()
    times: Uniform | LogitNormal | LogNormal = Uniform()
    weighting: Plain | Likelihood | Sigmoid = Plain()
    average: Average | None = None
    log_snr: tuple[float, float] | None = None
    network: UNet | MLP = UNet()
    fourier: tuple[int, int] | None = None
    condition: Conditions = NO_CONDITIONS
    conditional: bool = False
    label_dropout: float = 0.1
    dequantise: bool = False
    flip: bool = False
    optimizer: optimizers.Adam = optimizers.Adam(1e-3, clip_norm=1.0)
    ema_decay: float = 0.999
    num_draws: int = 8
    dtype: str = "float32"
    axis_name: Hashable = None

    def __post_init__(self):
        for name in ("label_dropout", "ema_decay"):
            require.number(name, getattr(self, name), 0, below=1)
        require.size("num_draws", self.num_draws)
        require.one_of("dtype", self.dtype, ("float32", "bfloat16"))
        require.fields(self)
        if self.log_snr is not None:
            require.number("log_snr[0]", self.log_snr[0])
            require.number("log_snr[1]", self.log_snr[1], above=self.log_snr[0])
        if self.fourier is not None:
            require.integer("fourier[0]", self.fourier[0], 0)
            require.integer("fourier[1]", self.fourier[1], self.fourier[0])
        if self.average is not None and not (self.prediction == Velocity() and self.weighting == Plain()):
            raise ValueError(
                "average is of a velocity: prediction must be Velocity() and weighting Plain(), got "
                f"{self.prediction} and {self.weighting}"
            )
        plain = self.weighting == Plain()
        if isinstance(self.prediction, Mixture) and plain:
            raise ValueError(
                "weighting must be Likelihood() or Sigmoid() with prediction=Mixture(), whose error is that of eps, "
                f"got {self.weighting}"
            )
        if isinstance(self.path, LearnedLogSNR) and not (
            self.weighting == Likelihood() and self.times == Uniform() and self.log_snr is None
        ):
            raise ValueError(
                "path=LearnedLogSNR() needs weighting=Likelihood(), times=Uniform() and log_snr=None, since its ends "
                f"are learned by the bound, got {self.weighting}, {self.times} and {self.log_snr}"
            )
        object.__setattr__(self, "condition", checked(self.condition, self.conditional))

    @property
    def conditions(self) -> Conditions:
        """All conditions by name, the label among them where the model is conditional."""
        label = {"label": Embed(self.label_dropout)} if self.conditional else {}
        return FrozenDict({**label, **self.condition})

    def ends(self, levels: int | None) -> tuple[float, float]:
        """The times (t_0, t_1) of the two ends, at the data and at the noise.

        Args:
            levels: Number of grey levels of the data; None for real values.

        Raises:
            ValueError: Ends that the path does not reach.
        """
        return (0.0, 1.0) if isinstance(self.path, LearnedLogSNR) else path_ends(self.path, self.log_snr, levels)

    def lasting(self, num_steps: int) -> "Config":
        """This config, with a learning-rate schedule of open end set to last `num_steps` steps."""
        return dataclasses.replace(self, optimizer=self.optimizer.lasting(num_steps))
