"""Checks of the data; each error names the argument, the rule and the value received.

Nothing is cast silently: a float64 array that becomes float32, or NaN that trains for a day, is found here.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from jaxgen import require
from jaxgen.core import Spec

_INT32_MAX = 2**31 - 1
_FIELD_DTYPES = tuple(np.dtype(name) for name in ("bool", "uint8", "int32", "float32"))


def events(name: str, value: Any) -> np.ndarray:
    """`value` as a read-only view, if it is [N, *event] of uint8 or finite float32.

    Raises:
        ValueError: No numpy array, another dtype, no example, an empty event, NaN or infinity.
    """
    array = _numpy(name, value)
    if array.dtype not in (np.uint8, np.float32):
        dtype = "np.uint8" if array.dtype.kind in "iub" else "np.float32"
        hint = f"; if nothing is lost by it, pass {name}.astype({dtype})" if array.dtype.kind in "iubf" else ""
        raise ValueError(f"{name} must be uint8 or float32, got {array.dtype}{hint}")
    if array.ndim < 1 or 0 in array.shape:
        raise ValueError(f"{name} must be [N, *event] with no axis of length 0, got shape {array.shape}")
    finite(name, array)
    return _frozen(array)


def labels(name: str, value: Any, num: int) -> np.ndarray:
    """`value` as read-only int32, if it is [num] of integers 0..2^31 - 1.

    Raises:
        ValueError: No integers, another shape, a negative or too large label.
    """
    array = _numpy(name, value)
    if array.dtype.kind not in "iu":
        raise ValueError(f"{name} must hold integers, got {array.dtype}")
    if array.shape != (num,):
        raise ValueError(f"{name} must hold one label for each of the {num} examples, got shape {array.shape}")
    wrong = (array < 0) | (array > _INT32_MAX)
    if wrong.any():
        first = int(wrong.argmax())
        raise ValueError(f"{name} must lie in 0..{_INT32_MAX}, got {array[first]} at index {first}")
    return _frozen(array.astype(np.int32, copy=False))


def num_classes(name: str, found: Sequence[np.ndarray]) -> int | None:
    """How many classes these labels make, one more than the largest of them; None without labels.

    Raises:
        ValueError: More than 100 classes, and more than ten for each label that occurs: an embedding, a classifier and
            a table would have a row for every number that stands for nothing.
    """
    if not found:
        return None
    occurring = np.unique(np.concatenate(found))
    num = int(occurring[-1]) + 1
    if num > max(100, 10 * len(occurring)):
        raise ValueError(
            f"{name} must number the classes 0, 1, ..., got {len(occurring)} different labels up to {num - 1}, which "
            f"would make {num} classes: renumber them with values, {name} = np.unique({name}, return_inverse=True)"
        )
    return num


def warn_of_missing(spec: Spec) -> None:
    """Name the classes that have no example in the training set, if there are any."""
    if spec.num_classes is None or spec.labels is None:
        return
    missing = np.setdiff1d(np.arange(spec.num_classes), spec.labels)
    shown = ", ".join(spec.class_name(int(c)) for c in missing[:10]) + (", ..." if len(missing) > 10 else "")
    warnings.warn(
        f"{len(missing)} of the {spec.num_classes} classes have no example in the training set ({shown}): models will "
        "not sample them. Where labels count from 1 or have gaps, np.unique(label, return_inverse=True) renumbers them",
        stacklevel=3,
    )


def observed(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """`value` as a read-only view, if it is a bool array of the shape of x.

    Raises:
        ValueError: Another dtype or shape.
    """
    array = _numpy(name, value)
    if array.dtype != np.bool_:
        raise ValueError(f"{name} must be bool (True = observed), got {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"{name} must have the shape of x, {shape}, got {array.shape}")
    return _frozen(array)


def given(name: str, value: Any, num: int) -> np.ndarray:
    """`value` as a read-only array of bool, uint8, int32 or float32, if it is one of [num, ...].

    Integers of other widths become int32, which loses nothing.

    Raises:
        ValueError: Another kind, length or dtype, a negative or too large integer, NaN or infinity.
    """
    array = _numpy(name, value)
    if array.dtype not in _FIELD_DTYPES and array.dtype.kind not in "iu":
        hint = f"; if nothing is lost by it, pass {name}.astype(np.float32)" if array.dtype.kind == "f" else ""
        raise ValueError(f"{name} must be bool, integers or float32, got {array.dtype}{hint}")
    if array.ndim < 1 or len(array) != num or 0 in array.shape:
        raise ValueError(f"{name} must hold one event for each of the {num} examples, got shape {array.shape}")
    finite(name, array)
    if array.dtype.kind in "iu" and array.dtype != np.uint8:
        wrong = (array < 0) | (array > _INT32_MAX)
        if wrong.any():
            first = _first(wrong)
            raise ValueError(
                f"{name} must hold integers in 0..{_INT32_MAX}, which stand for classes or tokens, got {array[first]} "
                f"at index {first}; quantities are float32, {name}.astype(np.float32)"
            )
        array = array.astype(np.int32, copy=False)
    return _frozen(array)


def finite(name: str, array: np.ndarray) -> None:
    """Refuse NaN and infinity.

    Raises:
        ValueError: With their number and the index of the first.
    """
    if array.dtype.kind != "f":
        return
    wrong = ~np.isfinite(array)
    if wrong.any():
        first = _first(wrong)
        raise ValueError(
            f"{name} must be finite, got {int(wrong.sum())} of {wrong.size} values NaN or infinite, "
            f"the first {array[first]} at index {first}"
        )


def below(name: str, array: np.ndarray, limit: int, rule: str) -> None:
    """Refuse values of `limit` or more; `rule` says where the limit comes from.

    Raises:
        ValueError: With the first such value and its index.
    """
    wrong = array >= limit
    if wrong.any():
        first = _first(wrong)
        raise ValueError(f"{name} must lie below {rule}={limit}, got {array[first]} at index {first}")


def _first(wrong: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(wrong.argmax(), wrong.shape))


def _numpy(name: str, value: Any) -> np.ndarray:
    if not isinstance(value, np.ndarray):
        conversion = _conversion(name, value)
        hint = f": pass {conversion}" if conversion else ""
        raise ValueError(f"{name} must be a numpy array, got {type(value).__name__}{hint}")
    array = require.plain_array(name, value)
    if value.dtype.names is not None:
        raise ValueError(
            f"{name} must hold numbers without fields, got the fields {', '.join(value.dtype.names)}: pass one of "
            f"them, {name}[{value.dtype.names[0]!r}], or numpy.lib.recfunctions.structured_to_unstructured({name})"
        )
    if value.dtype == object and value.size and all(isinstance(item, np.ndarray) for item in value.flat):
        shapes = sorted({item.shape for item in value.flat})
        if len(shapes) > 1:
            raise ValueError(f"{name} must hold examples of one shape, got an array of arrays of shapes {shapes[:3]}")
        raise ValueError(f"{name} must be one array of numbers, got an array of arrays: pass np.stack({name})")
    return array


def _conversion(name: str, value: Any) -> str | None:
    """How a numpy array is made of what is none."""
    library = type(value).__module__.partition(".")[0]
    if library == "torch":
        return f"{name}.detach().cpu().numpy()"
    if library in ("pandas", "polars"):
        return f"{name}.to_numpy()"
    if library == "scipy":
        return f"{name}.toarray()"
    if library == "cupy":
        return f"{name}.get()"
    if isinstance(value, jax.Array | list | tuple) or hasattr(value, "__array__"):
        return f"np.asarray({name})"
    return None


def _frozen(array: np.ndarray) -> np.ndarray:
    # A view: the caller's own array stays writable.
    view = array.view()
    view.flags.writeable = False
    return view
