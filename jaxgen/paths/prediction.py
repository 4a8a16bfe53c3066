"""Quantities that a network may predict at x_t: the noise, the data, v, the velocity or the score.

Each gives, with x_t, estimates of the two ends of the path through x_t, and the ends give each of the others:

    x_t = alpha x_0 + sigma eps          u = alpha' x_0 + sigma' eps       the velocity dx / dt at fixed ends
    v = alpha eps - sigma x_0            score = grad log q(x_t) = -E[eps | x_t] / sigma

where alpha, sigma and their derivatives alpha', sigma' are taken at t. The noise says little about the data where alpha
is small, and the data little about the noise where sigma is: rounding grows there by 1 / alpha or 1 / sigma. `Eps`,
`X0`, `V` and `Velocity` are the choices of a config; `jaxgen.paths.preconditioning` has one more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.events import require_events
from jaxgen.paths.path import Path, Time, rates, signal_and_noise

_Event: TypeAlias = Float[Array, "b *event"]

Predict: TypeAlias = Callable[[Array, Array], Array]
"""A function (x_t [B, *event], t [B]) -> [B, *event]."""


class Ends(NamedTuple):
    """The two ends of a path, or their conditional means given x_t.

    Attributes:
        x_0: Data.
        eps: Noise, of standard deviation 1.
    """

    x_0: Array
    eps: Array


def diffuse(path: Path, x_0: _Event, t: Time, eps: _Event) -> _Event:
    """x_t = alpha x_0 + sigma eps. Source: Kingma et al. 2021, equation 1."""
    require_events(x_0=x_0, eps=eps)
    alpha, sigma = signal_and_noise(path, t, x_0)
    return alpha * x_0 + sigma * eps


def ends_from_eps(path: Path, x_t: _Event, t: Time, eps: _Event) -> Ends:
    """x_0 = (x_t - sigma eps) / alpha; not where alpha is 0. Source: Ho et al. 2020, equation 15."""
    require_events(x_t=x_t, eps=eps)
    alpha, sigma = signal_and_noise(path, t, x_t)
    return Ends((x_t - sigma * eps) / alpha, eps)


def ends_from_x_0(path: Path, x_t: _Event, t: Time, x_0: _Event) -> Ends:
    """eps = (x_t - alpha x_0) / sigma; not where sigma is 0. Source: Ho et al. 2020, section 3.2."""
    require_events(x_t=x_t, x_0=x_0)
    alpha, sigma = signal_and_noise(path, t, x_t)
    return Ends(x_0, (x_t - alpha * x_0) / sigma)


def ends_from_v(path: Path, x_t: _Event, t: Time, v: _Event) -> Ends:
    """x_0 = (alpha x_t - sigma v) / (alpha^2 + sigma^2), eps = (sigma x_t + alpha v) / (alpha^2 + sigma^2), at every t.

    Source: Salimans & Ho 2022, appendix D, where alpha^2 + sigma^2 = 1.
    """
    require_events(x_t=x_t, v=v)
    alpha, sigma = signal_and_noise(path, t, x_t)
    square = jnp.square(alpha) + jnp.square(sigma)
    return Ends((alpha * x_t - sigma * v) / square, (sigma * x_t + alpha * v) / square)


def ends_from_velocity(path: Path, x_t: _Event, t: Time, velocity: _Event) -> Ends:
    """x_0 = (sigma' x_t - sigma u) / D, eps = (alpha u - alpha' x_t) / D, with D = alpha sigma' - sigma alpha'.

    D = 1 on the straight line, at every t. Where sigma' is infinite (t = 0 of some paths) the ends are not defined.

    Source: Lipman et al. 2023, theorem 3, solved for the ends; Albergo & Vanden-Eijnden 2023.
    """
    require_events(x_t=x_t, velocity=velocity)
    (alpha, sigma), (alpha_rate, sigma_rate) = signal_and_noise(path, t, x_t), rates(path, t, x_t)
    turn = alpha * sigma_rate - sigma * alpha_rate
    return Ends((sigma_rate * x_t - sigma * velocity) / turn, (alpha * velocity - alpha_rate * x_t) / turn)


def ends_from_score(path: Path, x_t: _Event, t: Time, score: _Event) -> Ends:
    """eps = -sigma score, and x_0 = (x_t - sigma eps) / alpha. Source: Vincent 2011; Efron 2011 (Tweedie's formula)."""
    require_events(x_t=x_t, score=score)
    return ends_from_eps(path, x_t, t, -signal_and_noise(path, t, x_t)[1] * score)


def v_from_ends(path: Path, t: Time, ends: Ends) -> _Event:
    """v = alpha eps - sigma x_0. Source: Salimans & Ho 2022, section 4."""
    require_events(x_0=ends.x_0, eps=ends.eps)
    alpha, sigma = signal_and_noise(path, t, ends.eps)
    return alpha * ends.eps - sigma * ends.x_0


def velocity_from_ends(path: Path, t: Time, ends: Ends) -> _Event:
    """u = alpha' x_0 + sigma' eps: the target of flow matching; its mean given x_t is dx / dt of the probability flow.

    Source: Lipman et al. 2023, theorem 3; Albergo & Vanden-Eijnden 2023 (stochastic interpolants).
    """
    require_events(x_0=ends.x_0, eps=ends.eps)
    alpha_rate, sigma_rate = rates(path, t, ends.eps)
    return alpha_rate * ends.x_0 + sigma_rate * ends.eps


def score_from_ends(path: Path, t: Time, ends: Ends) -> _Event:
    """grad log q(x_t) = -E[eps | x_t] / sigma; not where sigma is 0. Source: Vincent 2011; Song et al. 2021."""
    require_events(x_0=ends.x_0, eps=ends.eps)
    return -ends.eps / signal_and_noise(path, t, ends.eps)[1]


@runtime_checkable
class Prediction(Protocol):
    """Quantity that a network predicts, a choice of a config."""

    @property
    def num_outputs(self) -> int:
        """Number of arrays like x_t that the network returns; several are handed on as one, along a new first axis."""
        return 1

    def target(self, path: Path, x_0: _Event, t: Time, eps: _Event) -> _Event:
        """Target of the network's output at x_t = diffuse(path, x_0, t, eps)."""
        ...

    def ends(self, path: Path, x_t: _Event, t: Time, output: _Event) -> Ends:
        """Predicted ends of the path, from the network's output at x_t."""
        ...

    def inputs(self, path: Path, x_t: _Event, t: Float[Array, " b"]) -> tuple[Array, Array]:
        """State and time as the network is given them."""
        return x_t, t

    def velocity(self, path: Path, x_t: _Event, t: Time, output: _Event) -> _Event:
        """Predicted velocity dx / dt, from the network's output at x_t."""
        return velocity_from_ends(path, t, self.ends(path, x_t, t, output))


@dataclass(frozen=True)
class Eps(Prediction):
    """The network predicts the noise (Ho et al. 2020)."""

    def target(self, path: Path, x_0: _Event, t: Time, eps: _Event) -> _Event:
        require_events(x_0=x_0, eps=eps)
        return eps

    def ends(self, path: Path, x_t: _Event, t: Time, output: _Event) -> Ends:
        return ends_from_eps(path, x_t, t, output)


@dataclass(frozen=True)
class X0(Prediction):
    """The network predicts the data."""

    def target(self, path: Path, x_0: _Event, t: Time, eps: _Event) -> _Event:
        require_events(x_0=x_0, eps=eps)
        return x_0

    def ends(self, path: Path, x_t: _Event, t: Time, output: _Event) -> Ends:
        return ends_from_x_0(path, x_t, t, output)


@dataclass(frozen=True)
class V(Prediction):
    """The network predicts v = alpha eps - sigma x_0 (Salimans & Ho 2022)."""

    def target(self, path: Path, x_0: _Event, t: Time, eps: _Event) -> _Event:
        return v_from_ends(path, t, Ends(x_0, eps))

    def ends(self, path: Path, x_t: _Event, t: Time, output: _Event) -> Ends:
        return ends_from_v(path, x_t, t, output)


@dataclass(frozen=True)
class Velocity(Prediction):
    """The network predicts the velocity alpha' x_0 + sigma' eps (Lipman et al. 2023)."""

    def target(self, path: Path, x_0: _Event, t: Time, eps: _Event) -> _Event:
        return velocity_from_ends(path, t, Ends(x_0, eps))

    def ends(self, path: Path, x_t: _Event, t: Time, output: _Event) -> Ends:
        return ends_from_velocity(path, x_t, t, output)

    def velocity(self, path: Path, x_t: _Event, t: Time, output: _Event) -> _Event:
        require_events(x_t=x_t, output=output)
        return output
