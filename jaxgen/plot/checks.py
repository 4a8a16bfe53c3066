"""Checks of the arguments of pictures; errors name the argument, the rule and the value received."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxgen.rehearsal import host


def numbers(name: str, value: Any) -> np.ndarray:
    """`value` as an array of real numbers on the host, float64 where it is, float32 otherwise.

    Hidden values of a masked array are NaN.

    Raises:
        ValueError: A value that is not an array of real numbers.
    """
    array = value.data if isinstance(value, np.ma.MaskedArray) else host(value)
    if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == bool) or jnp.issubdtype(
        array.dtype, np.complexfloating
    ):
        raise ValueError(f"{name} must be an array of real numbers, got {array.dtype} of shape {array.shape}")
    array = array.astype(np.float64 if array.dtype == np.float64 else np.float32)
    return np.where(np.ma.getmaskarray(value), np.nan, array) if isinstance(value, np.ma.MaskedArray) else array


def groups(name: str, value: Any, what: str) -> Mapping[str, Any]:
    """`value`, if it is a mapping that is not empty.

    Args:
        name: Name of the argument.
        value: Its value.
        what: Noun for the things in the mapping, at least one of which must be there.

    Raises:
        ValueError: A value that is not a mapping, or an empty one.
    """
    if not isinstance(value, Mapping):
        raise ValueError(f"{name} must be a mapping from names to {what}, got {type(value).__name__}")
    if not value:
        raise ValueError(f"{name} must hold at least one set of {what}, got none")
    return value
