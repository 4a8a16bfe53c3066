"""Samplers as choices: the way from noise to the data.

Euler, Heun             steps of the probability flow, of first and second order      `jaxgen.paths.ode`
DPMSolver               steps by the denoised data, of orders 1 to 3                  `jaxgen.paths.sampler`
Ancestral, Churned      steps with noise                                              `jaxgen.paths.sampler`
Jump                    steps of a learned average velocity, one or a few             `jaxgen.flow.mean_flow`

Each has a number of steps and a grid of times, `jaxgen.flow.grids`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import Option, PRNGKey
from jaxgen.events import require_events
from jaxgen.flow.dynamics import Dynamics
from jaxgen.flow.grids import Even, Karras, LogSNR
from jaxgen.paths import ode, sampler
from jaxgen.paths.ode import Times

_Index: TypeAlias = Int[Array, " b"]


@runtime_checkable
class Sampler(Protocol):
    """A way from noise to the data, a hashable choice: `Euler`, `Heun`, `DPMSolver`, `Ancestral`, `Churned`, `Jump`."""

    def __call__(
        self,
        key: PRNGKey,
        dynamics: Dynamics,
        x_1: Float[Array, "b *event"],
        *,
        index: _Index | None = None,
        clip: float | None = None,
        keep: bool = False,
    ) -> Array:
        """The samples; with `keep` all states on the way, along a new first axis.

        Args:
            key: Root of the noise, if there is any; that of sample k at step i is keyed by k and i.
            dynamics: The network on its path.
            x_1: States at t_1.
            index: Number k of each sample; None counts from 0.
            clip: c if the data lie in [-c, c], where steps are made by the denoised data; None for no limit.
            keep: Whether all states are returned.
        """
        ...


def check_sampler(sampler: Any) -> None:
    """Refuse an argument that is not a sampler.

    Raises:
        ValueError: A class instead of an instance, or an object that cannot be called.
    """
    if isinstance(sampler, type) or not isinstance(sampler, Sampler):
        raise ValueError(f"sampler must be a sampler such as Heun(25), got {sampler!r}")


class _Way(NamedTuple):
    """What a sampler is asked for besides its own settings, see `Sampler`."""

    index: _Index | None
    clip: float | None
    keep: bool


@dataclass(frozen=True)
class _Stepped(ABC):
    """Settings that all samplers have.

    Args:
        num_steps: Number of steps.
        grid: Times that are visited.
    """

    num_steps: int = 50
    grid: Even | LogSNR | Karras = Even()

    def __post_init__(self):
        require.fields(self)
        require.size("num_steps", self.num_steps)

    def __call__(
        self,
        key: PRNGKey,
        dynamics: Dynamics,
        x_1: Float[Array, "b *event"],
        *,
        index: _Index | None = None,
        clip: float | None = None,
        keep: bool = False,
    ) -> Array:
        require_events(x_1=x_1)
        return self._moved(key, dynamics, x_1, _Way(index, clip, keep))

    @abstractmethod
    def _moved(self, key: PRNGKey, dynamics: Dynamics, x_1: Array, way: _Way) -> Array:
        """States at the data, or all on the way."""

    def times(self, dynamics: Dynamics) -> Times:
        return self.grid(dynamics.path, dynamics.t_0, dynamics.t_1, self.num_steps)


@dataclass(frozen=True)
class Euler(_Stepped):
    """Euler's steps along the probability flow, `jaxgen.paths.euler`: one call of the network each.

    Args:
        num_steps: Number of steps.
        grid: Times that are visited.
    """

    def _moved(self, key: PRNGKey, dynamics: Dynamics, x_1: Array, way: _Way) -> Array:
        return ode.euler(dynamics.velocity, x_1, self.times(dynamics), keep=way.keep)


@dataclass(frozen=True)
class Heun(_Stepped):
    """Heun's steps along the probability flow, `jaxgen.paths.heun`: two calls of the network each, one in the last.

    Args:
        num_steps: Number of steps.
        grid: Times that are visited.
    """

    num_steps: int = 25

    def _moved(self, key: PRNGKey, dynamics: Dynamics, x_1: Array, way: _Way) -> Array:
        return ode.heun(dynamics.velocity, x_1, self.times(dynamics), keep=way.keep)


@dataclass(frozen=True)
class DPMSolver(_Stepped):
    """Steps by the denoised data, `jaxgen.paths.dpm_solver_pp`: one call of the network each.

    Args:
        num_steps: Number of steps.
        grid: Times that are visited.
        order: Order of the steps, 1, 2 or 3.

    Raises:
        ValueError: num_steps below 1, or another order.
    """

    num_steps: int = 20
    grid: Even | LogSNR | Karras = Karras()
    order: int = 2

    def __post_init__(self):
        super().__post_init__()
        require.one_of("order", self.order, (1, 2, 3))

    def _moved(self, key: PRNGKey, dynamics: Dynamics, x_1: Array, way: _Way) -> Array:
        denoise, times = dynamics.within(way.clip), self.times(dynamics)
        return sampler.dpm_solver_pp(denoise, dynamics.path, x_1, times, order=self.order, keep=way.keep)


@dataclass(frozen=True)
class Ancestral(_Stepped):
    """The path's reversal with fresh noise in every step, `jaxgen.paths.ancestral`: one call of the network each.

    Args:
        num_steps: Number of steps.
        grid: Times that are visited.
        eta: Share of the noise, in [0, 1]; 0 for none (DDIM).

    Raises:
        ValueError: num_steps below 1, or eta outside [0, 1].
    """

    num_steps: int = 250
    grid: Even | LogSNR | Karras = Karras()
    eta: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        require.number("eta", self.eta, 0, 1)

    def _moved(self, key: PRNGKey, dynamics: Dynamics, x_1: Array, way: _Way) -> Array:
        denoise, times = dynamics.within(way.clip), self.times(dynamics)
        return sampler.ancestral(key, denoise, dynamics.path, x_1, times, index=way.index, eta=self.eta, keep=way.keep)


@dataclass(frozen=True)
class Churned(_Stepped):
    """Heun's steps with some noise put back before each, `jaxgen.paths.churned`.

    Args:
        num_steps: Number of steps.
        grid: Times that are visited.
        churn: Amount of noise; 0 for `Heun`.
        noise_scale: Standard deviation of the noise.

    Raises:
        ValueError: A number out of its range.
    """

    num_steps: int = 40
    grid: Even | LogSNR | Karras = Karras()
    churn: float = 10.0
    noise_scale: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        require.number("churn", self.churn, 0)
        require.number("noise_scale", self.noise_scale, 0)

    def _moved(self, key: PRNGKey, dynamics: Dynamics, x_1: Array, way: _Way) -> Array:
        return sampler.churned(
            key,
            dynamics.velocity,
            dynamics.path,
            x_1,
            self.times(dynamics),
            churn=self.churn,
            noise_scale=self.noise_scale,
            index=way.index,
            keep=way.keep,
        )


@dataclass(frozen=True)
class Jump(_Stepped):
    """Steps by a learned average velocity, x_r = x_t - (t - r) u(x_t, r, t): one call of the network each.

    Args:
        num_steps: Number of steps, usually one.
        grid: Times that are visited.

    Source: Geng et al. 2025 (MeanFlow), equation 12.
    """

    num_steps: int = 1

    def _moved(self, key: PRNGKey, dynamics: Dynamics, x_1: Array, way: _Way) -> Array:
        average = dynamics.average
        if average is None:
            raise ValueError("sampler Jump() needs a model of average velocities, average=Average(), got one without")
        times = jnp.asarray(self.times(dynamics), x_1.dtype)

        def move(x: Array, memory: None, t: Array, r: Array) -> tuple[Array, None]:
            u = average(x, ode.spread(r, x), ode.spread(t, x))
            return x - (t - r) * u, memory

        return ode.descend(move, x_1, (times[:-1], times[1:]), way.keep)


AnySampler: TypeAlias = Euler | Heun | DPMSolver | Ancestral | Churned | Jump
"""The samplers that are shipped, as a choice of a config."""

ChosenSampler: TypeAlias = Annotated[Sampler | None, Option(AnySampler | None, "Way from noise to the data.")]
"""The sampler that `sample` takes; None for the model's own."""

Guidance: TypeAlias = Annotated[
    Any, Option(float | None, "Weight of the label, see `guided`; 1 or None for the conditional model itself.")
]
"""The weight w of classifier-free guidance that `sample` takes."""

Interval: TypeAlias = Annotated[
    tuple[float, float] | None, Option(tuple[float, float] | None, "Times between which guidance acts; None for all.")
]
"""The times between which guidance acts, as `sample` takes them. Source: Kynkaanniemi et al. 2024, section 3."""
