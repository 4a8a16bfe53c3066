"""Coefficients of the process: tables in float64 on the host, of which the entry t is cast to the dtype of x.

1 - alpha_bar_1 is about 1e-4: in float32 it would lose four of its digits.
"""

from typing import TypeAlias

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int

from jaxgen.ddpm.schedule import Schedule

_Event: TypeAlias = Float[Array, "b *event"]

Time: TypeAlias = int | np.integer | Int[Array | np.ndarray, ""] | Int[Array | np.ndarray, " b"]
"""t, one for all examples or one for each."""

Table: TypeAlias = Float64[np.ndarray, " levels"]


def check_t(t: Time, last: int, first: int = 1) -> None:
    """That t is in range, where it is concrete; a traced t passes.

    Raises:
        ValueError: A concrete t outside first .. last.
    """
    if not isinstance(t, jax.core.Tracer):
        values = np.asarray(t)
        if values.size and not (first <= values.min() and values.max() <= last):
            raise ValueError(f"t must lie in {first}..{last}, got {values.min()}..{values.max()}")


def coefficient(table: Table, t: int | np.integer | Int[Array | np.ndarray, "..."], x: _Event, first: int = 1) -> Array:
    """The entry t of a table, in x's dtype and in a shape that multiplies x.

    Args:
        table: One value for every level, entry 0 the data.
        t: One level, or one for each example.
        x: What is to be multiplied.
        first: Smallest t that is allowed.

    Returns:
        A scalar, or [B, 1, ..., 1].

    Raises:
        ValueError: A concrete t outside first .. T, or a t that is neither a scalar nor one for each example.
    """
    shape = np.shape(t)
    if shape not in ((), x.shape[:1]):
        raise ValueError(f"t must be a scalar or of shape {x.shape[:1]}, one for each example, got shape {shape}")
    check_t(t, len(table) - 1, first)
    found = jnp.asarray(table.astype(x.dtype))[jnp.asarray(t)]
    return found.reshape(shape + (1,) * (x.ndim - 1)) if shape else found


def signal_and_noise(schedule: Schedule, t: Time, x: _Event) -> tuple[Array, Array]:
    """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t)."""
    return coefficient(np.sqrt(schedule.alpha_bar), t, x), coefficient(np.sqrt(1 - schedule.alpha_bar), t, x)
