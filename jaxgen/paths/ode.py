"""Solvers of the probability flow dx / dt = u(x, t), whose states have the path's marginals.

    x_s = x_t + (s - t) u(x_t, t)                                                       euler
    x_s = x_t + (s - t) / 2 (u(x_t, t) + u(x', s)),     x' the state of Euler's step    heun

A solver is a free function of `velocity(x, t)`, which takes x [B, *event] and t [B]; `bound_velocity` makes it of a
network. `times` names the levels to visit, x being at the first (`jaxgen.paths.times` has grids). The steps are one
scan, so that the compiled program is as long for 1000 steps as for 10. Compile the call (`jax.jit`) if it is made more
than once.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen.events import require_events
from jaxgen.paths.prediction import Predict

_Event: TypeAlias = Float[Array, "b *event"]
_Samples: TypeAlias = Float[Array, "b *event"] | Float[Array, "states b *event"]

Times: TypeAlias = Sequence[float] | Float[np.ndarray, " n"] | Float[Array, " n"]
"""Levels to visit, in order."""

Slope: TypeAlias = Callable[[Any, Array], Any]
"""dy / dt as a function of y and of t, a scalar; y is an array or a pytree of arrays."""


def euler_step(slope: Slope, y: Any, t: Array, s: Array) -> Any:
    """y(s) from y(t), to first order: y + (s - t) slope(y, t). Source: Euler 1768."""
    return _moved(y, s - t, slope(y, t))


def heun_step(slope: Slope, y: Any, t: Array, s: Array) -> Any:
    """y(s) from y(t), to second order: the mean of the slopes at t and where Euler's step ends. Source: Heun 1900."""
    before = slope(y, t)
    after = slope(_moved(y, s - t, before), s)
    return _moved(y, s - t, jax.tree.map(lambda a, b: 0.5 * (a + b), before, after))


def euler(velocity: Predict, x: _Event, times: Times, *, keep: bool = False) -> _Samples:
    """Samples by the probability flow, in steps of first order.

        x_s = x_t + (s - t) u(x_t, t)

    Args:
        velocity: (x_t, t) -> dx / dt.
        x: States at the first of the times.
        times: Levels to visit, descending to make samples; ascending to find the noise of data.
        keep: Whether all states are returned.

    Returns:
        The states at the last of the times; with keep those at all times, along a new first axis.

    Raises:
        ValueError: Fewer than two times, or times that are not monotone.

    Source: Lipman et al. 2023, section 2; Song et al. 2021, "Score-based generative modeling", section 4.3.
    """
    require_events(x=x)
    times = monotone(times, x.dtype, may_rise=True)

    def move(x: Array, memory: None, t: Array, s: Array) -> tuple[Array, None]:
        return euler_step(sloped(velocity), x, t, s), memory

    return descend(move, x, (times[:-1], times[1:]), keep)


def heun(velocity: Predict, x: _Event, times: Times, *, correct_last: bool = False, keep: bool = False) -> _Samples:
    """Samples by the probability flow, in steps of second order.

        x_s = x_t + (s - t) / 2 (u(x_t, t) + u(x', s)),     x' = x_t + (s - t) u(x_t, t)

    The last step is Euler's, since most predictions give no velocity at t = 0; the whole remains of second order.

    Args:
        velocity: (x_t, t) -> dx / dt; evaluated twice in every step.
        x: States at the first of the times.
        times: Levels to visit, descending to make samples; ascending to find the noise of data.
        correct_last: Whether the last step is of second order as well, for a velocity that is known at its end.
        keep: Whether all states are returned.

    Returns:
        The states at the last of the times; with keep those at all times, along a new first axis.

    Raises:
        ValueError: Fewer than two times, or times that are not monotone.

    Source: Karras et al. 2022 (EDM), algorithm 1.
    """
    require_events(x=x)
    times, slope = monotone(times, x.dtype, may_rise=True), sloped(velocity)

    def move(x: Array, memory: None, t: Array, s: Array) -> tuple[Array, None]:
        return heun_step(slope, x, t, s), memory

    if correct_last:
        return descend(move, x, (times[:-1], times[1:]), keep)
    states = descend(move, x, (times[:-2], times[1:-1]), keep)
    last = euler_step(slope, states[-1] if keep else states, times[-2], times[-1])
    return jnp.concatenate([states, last[None]]) if keep else last


def monotone(times: Times, dtype: Any, highest: float = math.inf, *, may_rise: bool = False) -> Float[Array, " n"]:
    """Times as an array, if there are two or more that fall, or may rise; a traced array's values are not checked.

    Args:
        times: Levels to visit.
        dtype: Dtype of the result.
        highest: Largest value that is allowed.
        may_rise: Whether the times may rise as well.

    Raises:
        ValueError: Another shape, or times in no such order.
    """
    found = times if isinstance(times, jax.core.Tracer) else np.asarray(times, np.float64)
    if found.ndim != 1 or len(found) < 2:
        raise ValueError(f"times must hold two or more numbers, got shape {found.shape}")
    if isinstance(found, np.ndarray):
        falls, rises = (np.diff(found) < 0).all(), (np.diff(found) > 0).all()
        right = falls or (rises and may_rise)
        if not (right and np.isfinite(found).all() and found.min() >= 0 and found.max() <= highest):
            way = "rise or fall" if may_rise else "fall"
            end = f" and at most {highest:g}" if np.isfinite(highest) else ""
            raise ValueError(f"times must hold numbers that {way} throughout, at least 0{end}, got {times}")
    return jnp.asarray(found, dtype)


def spread(t: Array, x: Array) -> Float[Array, " b"]:
    """One time as one for each example."""
    return jnp.broadcast_to(t, x.shape[:1])


def sloped(velocity: Predict) -> Slope:
    """A velocity as a slope, that of all examples at one t.

    Raises:
        ValueError: When called, a velocity of another shape than x.
    """

    def slope(x: Array, t: Array) -> Array:
        u = velocity(x, spread(t, x))
        require_events(x=x, velocity=u)
        return u

    return slope


def descend(move: Callable[..., tuple[Array, Any]], x: Array, tables: tuple, keep: bool, memory: Any = None) -> Array:
    """Run all steps in one scan.

    Args:
        move: (x, memory, *row) -> (x, memory), one step.
        x: States to start from.
        tables: Arrays with a row for each step.
        keep: Whether all states are returned, along a new first axis.
        memory: Value that each step passes to the next, beside x; this one is passed to the first.
    """

    def step(carry: tuple[Array, Any], now: tuple) -> tuple[tuple[Array, Any], Array | None]:
        x, memory = move(*carry, *now)
        return (x, memory), (x if keep else None)

    (last, _), states = jax.lax.scan(step, (x, memory), tables)
    return last if states is None else jnp.concatenate([x[None], states])


def _moved(y: Any, length: Array, slope: Any) -> Any:
    return jax.tree.map(lambda a, b: a + length * b, y, slope)
