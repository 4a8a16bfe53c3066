"""Coefficients of the process: float64 tables on the host, whose entry t is cast to the dtype of x.

1 - alpha_bar_1 is about 1e-4: in float32 it would lose four of its digits.
"""

from typing import Any, TypeAlias

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64, Int

from jaxgen.ddpm.schedule import Schedule
from jaxgen.events import require_floats

_Event: TypeAlias = Float[Array, "b *event"]

Time: TypeAlias = int | np.integer | Int[Array | np.ndarray, ""] | Int[Array | np.ndarray, " b"]
"""t, one for all examples or one for each."""

Table: TypeAlias = Float64[np.ndarray, " levels"]


def check_t(t: Any, last: int, first: int = 1) -> None:
    """Refuse a t that is not an integer or, if concrete, out of range; the value of a traced t is not checked.

    Raises:
        ValueError: Floats or bools, or a concrete t outside first .. last.
    """
    dtype = getattr(t, "dtype", type(t))
    if isinstance(t, bool) or not jnp.issubdtype(dtype, jnp.integer):
        raise ValueError(f"t must be an integer or integers in {first}..{last}, got {dtype}")
    if not isinstance(t, jax.core.Tracer):
        values = np.asarray(t)
        if values.size and not (first <= values.min() and values.max() <= last):
            raise ValueError(f"t must lie in {first}..{last}, got {values.min()}..{values.max()}")


def coefficient(table: Table, t: int | np.integer | Int[Array | np.ndarray, "..."], x: _Event, first: int = 1) -> Array:
    """Entry t of a table, in the dtype of x and in a shape that broadcasts against x.

    Args:
        table: One value for every level; entry 0 is that of the data.
        t: One level, or one for each example.
        x: Array that the entry is to multiply.
        first: Smallest allowed t.

    Returns:
        A scalar, or [B, 1, ..., 1]; NaN where a traced t is out of range.

    Raises:
        ValueError: An x of integers, a t of floats, a concrete t outside first .. T, or a t that is neither a scalar
            nor one for each example.
    """
    require_floats(x=x)
    shape = np.shape(t)
    if shape not in ((), x.shape[:1]):
        raise ValueError(f"t must be a scalar or of shape {x.shape[:1]}, one for each example, got shape {shape}")
    check_t(t, len(table) - 1, first)
    entries = table.astype(x.dtype)
    if isinstance(t, jax.core.Tracer):
        # NaN on both sides: an index beyond the end reads the last entry; one below 0, unsigned, either end.
        nan = np.full(1, np.nan, entries.dtype)
        entries[:first] = np.nan
        padded = np.concatenate([entries, nan] if first else [nan, entries, nan])
        found = jnp.asarray(padded)[(t if first else t + 1).astype(jnp.uint32)]
    else:
        found = jnp.asarray(entries)[jnp.asarray(t)]
    return found.reshape(shape + (1,) * (x.ndim - 1)) if shape else found


def signal_and_noise(schedule: Schedule, t: Time, x: _Event) -> tuple[Array, Array]:
    """sqrt(alpha_bar_t) and sqrt(1 - alpha_bar_t)."""
    return coefficient(np.sqrt(schedule.alpha_bar), t, x), coefficient(np.sqrt(1 - schedule.alpha_bar), t, x)
