"""Quantities that a network may predict: the noise eps, the data x_0, v or the score. x_t turns each into the others.

x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps
v   = sqrt(alpha_bar_t) eps - sqrt(1 - alpha_bar_t) x_0
score = grad log q(x_t) = -E[eps | x_t] / sqrt(1 - alpha_bar_t)
"""

from dataclasses import dataclass
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
from jaxtyping import Array, Float

from jaxgen.ddpm.schedule import Schedule
from jaxgen.ddpm.tables import Table, Time, signal_and_noise
from jaxgen.events import require_events

_Event: TypeAlias = Float[Array, "b *event"]


def x_0_from_eps(schedule: Schedule, x_t: _Event, t: Time, eps: _Event) -> _Event:
    """x_0 = (x_t - sqrt(1 - alpha_bar_t) eps) / sqrt(alpha_bar_t). Source: Ho et al. 2020, equation 15."""
    require_events(x_t=x_t, eps=eps)
    signal, noise = signal_and_noise(schedule, t, x_t)
    return (x_t - noise * eps) / signal


def eps_from_x_0(schedule: Schedule, x_t: _Event, t: Time, x_0: _Event) -> _Event:
    """eps = (x_t - sqrt(alpha_bar_t) x_0) / sqrt(1 - alpha_bar_t). Source: Ho et al. 2020, section 3.2."""
    require_events(x_t=x_t, x_0=x_0)
    signal, noise = signal_and_noise(schedule, t, x_t)
    return (x_t - signal * x_0) / noise


def v_from_eps(schedule: Schedule, x_t: _Event, t: Time, eps: _Event) -> _Event:
    """v = (eps - sqrt(1 - alpha_bar_t) x_t) / sqrt(alpha_bar_t). Source: Salimans & Ho 2022, appendix D."""
    require_events(x_t=x_t, eps=eps)
    signal, noise = signal_and_noise(schedule, t, x_t)
    return (eps - noise * x_t) / signal


def v_from_x_0(schedule: Schedule, x_t: _Event, t: Time, x_0: _Event) -> _Event:
    """v = (sqrt(alpha_bar_t) x_t - x_0) / sqrt(1 - alpha_bar_t). Source: Salimans & Ho 2022, appendix D."""
    require_events(x_t=x_t, x_0=x_0)
    signal, noise = signal_and_noise(schedule, t, x_t)
    return (signal * x_t - x_0) / noise


def eps_from_v(schedule: Schedule, x_t: _Event, t: Time, v: _Event) -> _Event:
    """eps = sqrt(alpha_bar_t) v + sqrt(1 - alpha_bar_t) x_t. Source: Salimans & Ho 2022, appendix D."""
    require_events(x_t=x_t, v=v)
    signal, noise = signal_and_noise(schedule, t, x_t)
    return signal * v + noise * x_t


def x_0_from_v(schedule: Schedule, x_t: _Event, t: Time, v: _Event) -> _Event:
    """x_0 = sqrt(alpha_bar_t) x_t - sqrt(1 - alpha_bar_t) v. Source: Salimans & Ho 2022, appendix D."""
    require_events(x_t=x_t, v=v)
    signal, noise = signal_and_noise(schedule, t, x_t)
    return signal * x_t - noise * v


def score_from_eps(schedule: Schedule, t: Time, eps: _Event) -> _Event:
    """grad log q(x_t) = -E[eps | x_t] / sqrt(1 - alpha_bar_t). Source: Vincent 2011; Song et al. 2021, section 3."""
    require_events(eps=eps)
    return -eps / signal_and_noise(schedule, t, eps)[1]


def eps_from_score(schedule: Schedule, t: Time, score: _Event) -> _Event:
    """E[eps | x_t] = -sqrt(1 - alpha_bar_t) grad log q(x_t). Source: Vincent 2011; Song et al. 2021, section 3."""
    require_events(score=score)
    return -signal_and_noise(schedule, t, score)[1] * score


def signal_to_noise(schedule: Schedule) -> Table:
    """SNR_t = alpha_bar_t / (1 - alpha_bar_t); infinite at entry 0. Source: Kingma et al. 2021, equation 3."""
    return np.append(np.inf, schedule.alpha_bar[1:] / (1 - schedule.alpha_bar[1:]))


@runtime_checkable
class Prediction(Protocol):
    """Quantity that a network predicts, a choice of a config: `Eps`, `X0` or `V`."""

    def target(self, schedule: Schedule, x_0: _Event, t: Time, eps: _Event) -> _Event:
        """Target of the network's output at x_t = diffuse(schedule, x_0, t, eps)."""
        ...

    def eps(self, schedule: Schedule, x_t: _Event, t: Time, output: _Event) -> _Event:
        """Predicted noise eps_hat, from the network's output at x_t."""
        ...

    def error_ratio(self, schedule: Schedule) -> Table:
        """Ratio, for every t, of the squared error of the output to that of the x_0 which it implies."""
        ...


@dataclass(frozen=True)
class Eps:
    """The network predicts the noise (Ho et al. 2020)."""

    def target(self, schedule: Schedule, x_0: _Event, t: Time, eps: _Event) -> _Event:
        require_events(x_0=x_0, eps=eps)
        return eps

    def eps(self, schedule: Schedule, x_t: _Event, t: Time, output: _Event) -> _Event:
        require_events(x_t=x_t, output=output)
        return output

    def error_ratio(self, schedule: Schedule) -> Table:
        return signal_to_noise(schedule)


@dataclass(frozen=True)
class X0:
    """The network predicts the data."""

    def target(self, schedule: Schedule, x_0: _Event, t: Time, eps: _Event) -> _Event:
        require_events(x_0=x_0, eps=eps)
        return x_0

    def eps(self, schedule: Schedule, x_t: _Event, t: Time, output: _Event) -> _Event:
        return eps_from_x_0(schedule, x_t, t, output)

    def error_ratio(self, schedule: Schedule) -> Table:
        return np.ones_like(schedule.beta)


@dataclass(frozen=True)
class V:
    """The network predicts v = sqrt(alpha_bar_t) eps - sqrt(1 - alpha_bar_t) x_0 (Salimans & Ho 2022)."""

    def target(self, schedule: Schedule, x_0: _Event, t: Time, eps: _Event) -> _Event:
        require_events(x_0=x_0, eps=eps)
        signal, noise = signal_and_noise(schedule, t, x_0)
        return signal * eps - noise * x_0

    def eps(self, schedule: Schedule, x_t: _Event, t: Time, output: _Event) -> _Event:
        return eps_from_v(schedule, x_t, t, output)

    def error_ratio(self, schedule: Schedule) -> Table:
        return signal_to_noise(schedule) + 1
