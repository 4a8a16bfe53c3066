"""Choices that are more than a number, as frozen dataclasses: the variance of a step, and the sampler."""

from dataclasses import dataclass
from typing import Annotated, Any, Protocol, TypeAlias, runtime_checkable

from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import Option, PRNGKey
from jaxgen.ddpm import sampler
from jaxgen.ddpm.process import Denoise, Variance, beta_variance, posterior_variance
from jaxgen.ddpm.schedule import Schedule, uniform_timesteps


@dataclass(frozen=True)
class PosteriorVariance:
    """Variance sigma_t^2 of the posterior, see `process.posterior_variance`."""

    @property
    def fixed(self) -> Variance:
        return posterior_variance


@dataclass(frozen=True)
class BetaVariance:
    """Variance sigma_t^2 = beta_t, see `process.beta_variance`."""

    @property
    def fixed(self) -> Variance:
        return beta_variance


@dataclass(frozen=True)
class LearnedVariance:
    """Variance sigma_t^2 predicted by the network, see `process.interpolated_variance` and `objective.hybrid_loss`.

    Args:
        weight: Weight of the bound in the loss, from which the variance is learned.

    Raises:
        ValueError: A weight that is not positive.
    """

    weight: float = 0.001

    def __post_init__(self):
        require.number("weight", self.weight, above=0)

    @property
    def fixed(self) -> Variance:
        """Ignored when the network predicts the variance."""
        return posterior_variance


@runtime_checkable
class Sampler(Protocol):
    """A way from x_T to the data, as a hashable choice: `Ancestral`, `DDIM`, `DPMSolver`."""

    def __call__(
        self,
        key: PRNGKey,
        denoise: Denoise,
        schedule: Schedule,
        x_T: Float[Array, "b *event"],
        *,
        index: Int[Array, " b"] | None = None,
        variance: Variance = posterior_variance,
        clip: float | None = None,
        keep: int | None = None,
    ) -> Array:
        """The samples; see `sampler.ancestral` for the arguments.

        Raises:
            ValueError: More steps than the schedule has.
        """
        ...


def check_sampler(sampler: Any) -> None:
    """Refuse an argument that is not a sampler.

    Raises:
        ValueError: A class instead of an instance, or an object that cannot be called.
    """
    if isinstance(sampler, type) or not isinstance(sampler, Sampler):
        raise ValueError(f"sampler must be a sampler such as DDIM(50), got {sampler!r}")


@dataclass(frozen=True)
class Ancestral:
    """`sampler.ancestral`: the lecture's generative process.

    Args:
        num_steps: Number of levels to visit, at even distances; None for all T.

    Raises:
        ValueError: num_steps below 1.
    """

    num_steps: int | None = None

    def __post_init__(self):
        require.fields(self)
        _require_steps(self.num_steps)

    def __call__(
        self,
        key: PRNGKey,
        denoise: Denoise,
        schedule: Schedule,
        x_T: Float[Array, "b *event"],
        *,
        variance: Variance = posterior_variance,
        **options: Any,
    ) -> Array:
        levels = _levels(schedule, self.num_steps)
        return sampler.ancestral(key, denoise, schedule, x_T, timesteps=levels, variance=variance, **options)


@dataclass(frozen=True)
class DDIM:
    """`sampler.ddim`: fewer steps, with a share of the noise or none.

    Args:
        num_steps: Number of levels to visit, at even distances; None for all T.
        eta: Share of the ancestral noise, in [0, 1].

    Raises:
        ValueError: num_steps below 1, or eta outside [0, 1].
    """

    num_steps: int | None = 50
    eta: float = 0.0

    def __post_init__(self):
        require.fields(self)
        _require_steps(self.num_steps)
        require.number("eta", self.eta, 0, 1)

    def __call__(
        self,
        key: PRNGKey,
        denoise: Denoise,
        schedule: Schedule,
        x_T: Float[Array, "b *event"],
        *,
        variance: Variance = posterior_variance,
        **options: Any,
    ) -> Array:
        levels = _levels(schedule, self.num_steps)
        return sampler.ddim(key, denoise, schedule, x_T, timesteps=levels, eta=self.eta, **options)


@dataclass(frozen=True)
class DPMSolver:
    """`sampler.dpm_solver_pp`: the probability flow in few steps.

    Args:
        num_steps: Number of levels to visit, at even distances; None for all T.
        order: Order of the steps, 1 or 2.

    Raises:
        ValueError: num_steps below 1, or an order other than 1 or 2.
    """

    num_steps: int | None = 20
    order: int = 2

    def __post_init__(self):
        require.fields(self)
        _require_steps(self.num_steps)
        require.one_of("order", self.order, (1, 2))

    def __call__(
        self,
        key: PRNGKey,
        denoise: Denoise,
        schedule: Schedule,
        x_T: Float[Array, "b *event"],
        *,
        variance: Variance = posterior_variance,
        **options: Any,
    ) -> Array:
        levels = _levels(schedule, self.num_steps)
        return sampler.dpm_solver_pp(key, denoise, schedule, x_T, timesteps=levels, order=self.order, **options)


ChosenSampler: TypeAlias = Annotated[Sampler, Option(Ancestral | DDIM | DPMSolver, "Way from noise to the data.")]
"""The sampler that `sample` takes."""

Guidance: TypeAlias = Annotated[
    Any, Option(float | None, "Weight of the label, see `guided`; 1 or None for the conditional model itself.")
]
"""The weight w of classifier-free guidance that `sample` takes."""


def _require_steps(num_steps: int | None) -> None:
    if num_steps is not None:
        require.size("num_steps", num_steps)


def _levels(schedule: Schedule, num_steps: int | None) -> tuple[int, ...] | None:
    return None if num_steps is None else uniform_timesteps(schedule.num_timesteps, num_steps)
