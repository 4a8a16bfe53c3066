"""Rehearsals: a picture or a report is gone through before the first step, on shapes alone.

A run that dies in its last minute mostly dies of a shape, a label or an option, and these are known
from the start. `jax.eval_shape` goes through a function without compiling or computing anything; where the function
wants an array on the host (`host`), it is given zeros of that shape.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import jax
import jax.core
import numpy as np

_REHEARSING: ContextVar[bool] = ContextVar("rehearsing", default=False)

# Errors of JAX where a program asks for values of an array that has none yet.
_UNKNOWN = (
    jax.errors.ConcretizationTypeError,
    jax.errors.TracerArrayConversionError,
    jax.errors.NonConcreteBooleanIndexError,
)


def host(x: Any) -> np.ndarray:
    """An array on the host; in a rehearsal zeros of its shape, where its values are not known.

    Args:
        x: Anything that numpy takes, or a traced array.

    Raises:
        jax.errors.TracerArrayConversionError: A traced array outside of a rehearsal.
    """
    if isinstance(x, jax.core.Tracer) and _REHEARSING.get():
        return np.zeros(x.shape, x.dtype)
    return np.asarray(x)


def rehearsing() -> bool:
    """Whether this is a rehearsal, in which numbers on the host are not worth working on."""
    return _REHEARSING.get()


def rehearse(function: Callable[..., Any], key: Any, state: Any, *arguments: Any) -> Any:
    """Go through `function(key, state, *arguments)` for the errors that it raises, without computing anything.

    The numbers of the key and the state are not known, whole numbers among them (the step) are 0. A function that asks
    for values by other ways than `host` is left there: what comes after goes untried.

    Args:
        function: Function that will be called later, a picture or an evaluation.
        key: Root key.
        state: A state, or its shapes as `jax.eval_shape` gives them.
        arguments: Further arguments, as they are.

    Returns:
        Result of the function, None where it was left.

    Raises:
        Exception: Whatever the function raises.
    """
    leaves, structure = jax.tree.flatten(state)
    whole = [jax.numpy.issubdtype(leaf.dtype, np.integer) for leaf in leaves]
    known = [np.zeros(leaf.shape, leaf.dtype) if integer else None for leaf, integer in zip(leaves, whole, strict=True)]
    unknown = [
        jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf, integer in zip(leaves, whole, strict=True) if not integer
    ]
    returned = []

    def gone_through(key: Any, unknown: list[Any]) -> None:
        rest = iter(unknown)
        filled = [next(rest) if value is None else value for value in known]
        returned.append(function(key, jax.tree.unflatten(structure, filled), *arguments))

    token = _REHEARSING.set(True)
    try:
        jax.eval_shape(gone_through, key, unknown)
    except _UNKNOWN:
        return None
    finally:
        _REHEARSING.reset(token)
    return returned[0]
