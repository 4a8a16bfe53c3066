"""One step from noise to data: a network of the average velocity between two times.

    u(x_t, r, t) = 1 / (t - r) int_r^t v(x_s, s) ds = (x_t - x_r) / (t - r)     along the flow through x_t

    d/dt of (t - r) u gives the identity    u = v - (t - r) du/dt,     du/dt = v d_x u + d_t u

so that u can be learned from v alone, without solving the flow: one step x_0 = x_t - t u(x_t, 0, t) then makes a
sample. At r = t it is the velocity itself, and its loss that of flow matching. As in the paper, t = 0 is the data.

Everything here is a pure function of arrays; `Gaussian.average_velocity` of `jaxgen.paths.oracle` is the exact case.

Source: Geng et al. 2025 (MeanFlow).
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.events import require_events, require_per_example, require_shape

_Event: TypeAlias = Float[Array, "b *event"]
_PerExample: TypeAlias = Float[Array, " b"]

AverageVelocity: TypeAlias = Callable[[Array, Array, Array], Array]
"""A function (x_t [B, *event], r [B], t [B]) -> [B, *event], the mean velocity on the way from x_t at t to r."""


class MeanFlow(NamedTuple):
    """An average velocity and what it should be.

    Attributes:
        average: u(x_t, r, t), through which the gradient goes.
        target: v - (t - r) du/dt, through which none goes.
    """

    average: Array
    target: Array


def mean_flow(average: AverageVelocity, velocity: _Event, x_t: _Event, r: _PerExample, t: _PerExample) -> MeanFlow:
    """The average velocity and its target, from one product with the Jacobian along (v, 0, 1).

        target = v - (t - r) (v d_x u + d_t u)

    Args:
        average: (x_t, r, t) -> u. It must allow forward-mode derivatives.
        velocity: Velocity v at x_t: that of the path through one x_0 and eps, or `guided_velocity` of it.
        x_t: States.
        r: Time to go to, at most t; at r = t the target is v.
        t: Time of the states.

    Returns:
        u and its target, whose squared difference is to be minimised.

    Raises:
        ValueError: Shapes that differ.

    Source: Geng et al. 2025 (MeanFlow), section 4.1 and algorithm 1.
    """
    require_events(velocity=velocity, x_t=x_t)
    require_per_example(r=r, t=t)
    require_shape(x_t.shape[:1], t=t)
    tangents = velocity, jnp.zeros_like(r), jnp.ones_like(t)
    found, rate = jax.jvp(average, (x_t, r, t), tangents)
    require_events(x_t=x_t, average=found)
    target = velocity - _against(t - r, x_t) * rate
    return MeanFlow(found, jax.lax.stop_gradient(target))


def shortcut_target(average: AverageVelocity, x_t: _Event, r: _PerExample, t: _PerExample) -> Float[Array, "b *event"]:
    """Target of an average velocity by its own two halves: a step from t to r is one to the middle, and one from there.

        target = 1/2 u(x_t, m, t) + 1/2 u(x_t - (t - m) u(x_t, m, t), r, m),     m = (r + t) / 2

    It needs no derivative, but a share of examples with r = t, whose target is the velocity v: any steady field, 0 for
    instance, agrees with its halves.

    Args:
        average: (x_t, r, t) -> u.
        x_t: States.
        r: Time to go to.
        t: Time of the states.

    Returns:
        Target, through which no gradient goes.

    Source: Frans et al. 2024 (shortcut models), section 3.
    """
    require_events(x_t=x_t)
    require_per_example(r=r, t=t)
    require_shape(x_t.shape[:1], t=t)
    middle = 0.5 * (r + t)
    first = average(x_t, middle, t)
    second = average(x_t - _against(t - middle, x_t) * first, r, middle)
    require_events(x_t=x_t, first=first, second=second)
    return jax.lax.stop_gradient(0.5 * (first + second))


def guided_velocity(
    velocity: _Event, conditional: _Event, unconditional: _Event, w: float, kappa: float = 0.0
) -> Float[Array, "b *event"]:
    """Velocity to learn so that guidance needs no second call of the network in sampling.

        w v + kappa u(x_t, t, t | c) + (1 - w - kappa) u(x_t, t, t)

    which guides with the weight w / (1 - kappa). The two predictions are taken as constants.

    Args:
        velocity: Velocity v at x_t of the path through one x_0 and eps.
        conditional: u(x_t, t, t) under the condition.
        unconditional: u(x_t, t, t) without it.
        w: Weight of the velocity; 1 with kappa = 0 for none of the guidance.
        kappa: Share of the network's own conditional prediction, in [0, 1).

    Raises:
        ValueError: Shapes that differ, or a weight out of its range.

    Source: Geng et al. 2025 (MeanFlow), section 4.2 and, for kappa, the appendix on guidance.
    """
    require_events(velocity=velocity, conditional=conditional, unconditional=unconditional)
    require.number("w", w)
    require.number("kappa", kappa, 0, below=1)
    conditional, unconditional = jax.lax.stop_gradient((conditional, unconditional))
    return w * velocity + kappa * conditional + (1 - w - kappa) * unconditional


def adaptive_loss(squared_error: _PerExample, power: float = 1.0, tiny: float = 1e-3) -> _PerExample:
    """A squared error with a weight that makes large errors count less.

        w ||e||^2,     w = 1 / (||e||^2 + tiny)^power, taken as a constant

    Args:
        squared_error: ||e||^2 of each example.
        power: 0 for the squared error itself, 1/2 for a loss like Huber's.
        tiny: Guard against a division by 0.

    Returns:
        One loss per example. With power 1 its value is close to 1 throughout: look at the squared error instead.

    Raises:
        ValueError: A negative power, or a guard that is not positive.

    Source: Geng et al. 2025 (MeanFlow), section 4.3.
    """
    require_per_example(squared_error=squared_error)
    require.number("power", power, 0)
    require.number("tiny", tiny, above=0)
    return squared_error / jax.lax.stop_gradient((squared_error + tiny) ** power)


def _against(value: Array, x: Array) -> Array:
    return value.astype(x.dtype).reshape(value.shape + (1,) * (x.ndim - 1))
