"""How straight the ways of a flow are: straight ones need a single step."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.paths.ode import Times, monotone


def straightness(states: Float[Any, "n b *event"], times: Times) -> Float[Array, ""]:
    """Mean squared distance of the velocity on the way from that of the straight line between its ends.

        S = int E ||(x_1 - x_0) - dx_t / dt||^2 dt,     t counted from 0 to 1 between the ends

    with the derivative taken from one state to the next. It is 0 for ways that are straight and gone at an even pace,
    which one step of Euler's method then goes without an error.

    Args:
        states: States of each way, as samplers return them with keep=True.
        times: Their times.

    Raises:
        ValueError: Another number of times than of states, or times that are not monotone.

    Source: Liu et al. 2023 (rectified flow), section 3.2.
    """
    x = jnp.asarray(states)
    t = monotone(times, x.dtype)
    if len(t) != len(x):
        raise ValueError(f"times must be one for each of the {len(x)} states, got {len(t)}")
    share = jnp.diff(t) / (t[-1] - t[0])
    each = share.reshape((-1,) + (1,) * (x.ndim - 1))
    away = jnp.square(jnp.diff(x, axis=0) / each - (x[-1] - x[0])[None])
    return jnp.sum(share * away.sum(axis=tuple(range(2, x.ndim))).mean(axis=1))
