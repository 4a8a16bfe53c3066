"""Checks of arguments, for functions and configs: one way to refuse, with the argument, the rule and the value.

NaN passes every check that is written `if x < 0: raise`, and so does 2.5 where an integer is meant. Here a number is
finite and an integer is one, whatever else is asked of it.
"""

import dataclasses
import functools
import operator
import types
import typing
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

INT32_MAX = 2**31 - 1
"""The largest size, step or position that arrays and loops of a device count to."""

UINT32_MAX = 2**32 - 1
"""The largest seed: jax would take a larger one modulo 2^32, so that it equals another."""


def integer(name: str, value: Any, low: int | None = None, high: int | None = None, note: str = "") -> int:
    """`value` as an int in low..high; neither 2.0 nor True is one.

    Args:
        name: Name of the argument.
        value: Its value.
        low: The smallest value that is allowed; None for no limit.
        high: The largest value that is allowed; None for no limit.
        note: Reason for the limits, as in "the number of references".

    Raises:
        ValueError: Not an integer, or out of range.
    """
    rule = "an integer"
    if low is not None:
        rule += f" of at least {low}" if high is None else f" in {low}..{high}"
    elif high is not None:
        rule += f" of at most {high}"
    if note:
        rule += f", {note}"
    try:
        number = operator.index(value)
    except TypeError:
        raise ValueError(f"{name} must be {rule}, got {value!r}") from None
    if isinstance(value, bool | np.bool_) or not (low is None or number >= low) or not (high is None or number <= high):
        raise ValueError(f"{name} must be {rule}, got {value!r}")
    return number


def number(
    name: str,
    value: Any,
    low: int | float | None = None,
    high: int | float | None = None,
    *,
    above: int | float | None = None,
    below: int | float | None = None,
) -> float:
    """`value` as a float, if it is finite and in range; True, strings and arrays of several numbers are refused.

    The number is used in float32, so that it must be finite and keep its distance from open ends there too: a decay of
    1 - 1e-9 would be 1, a rate of 1e-50 would be 0.

    Args:
        name: Name of the argument.
        value: Its value.
        low: The smallest value that is allowed.
        high: The largest value that is allowed.
        above: A lower limit that is itself not allowed.
        below: An upper limit that is itself not allowed.

    Raises:
        ValueError: No number, NaN, infinite, or out of range.
    """
    limits = (("at least", low), ("above", above), ("at most", high), ("below", below))
    rules = [f"{word} {limit:g}" for word, limit in limits if limit is not None]
    rule = "a finite number" + (f" {' and '.join(rules)}" if rules else "")
    is_number = isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)
    if not is_number or not abs(value) <= _LARGEST:
        raise ValueError(f"{name} must be {rule}, got {value!r}")
    used = np.float32(value)
    inside = (
        (low is None or value >= low)
        and (high is None or value <= high)
        and (above is None or (value > above and used > np.float32(above)))
        and (below is None or (value < below and used < np.float32(below)))
    )
    if not inside:
        raise ValueError(f"{name} must be {rule}, got {value!r}")
    return float(value)


def size(name: str, value: Any, low: int = 1) -> int:
    """`value` as an int from `low` to the largest that int32 holds: a size, or a number of steps or draws.

    Raises:
        ValueError: Not an integer, or out of range.
    """
    integer(name, value, low)
    return integer(name, value, high=INT32_MAX)


def even(name: str, value: Any, low: int) -> int:
    """`value` as an int, if it is an even size of at least `low`.

    Raises:
        ValueError: Not an integer, odd, or out of range.
    """
    if size(name, value, low) % 2:
        raise ValueError(f"{name} must be an even integer of at least {low}, got {value!r}")
    return int(value)


def sizes(name: str, values: Any, low: int = 1, *, fewest: int = 0, multiple: int = 1) -> tuple[int, ...]:
    """`values` as a tuple of sizes: the widths of layers, say.

    Args:
        name: Name of the argument.
        values: Its value.
        low: The smallest size that is allowed.
        fewest: How many sizes there must be at least.
        multiple: Number that every size must be a multiple of.

    Raises:
        ValueError: No tuple or list, too short, or a value that is no such size.
    """
    rule = f"integers of at least {low}" if multiple == 1 else f"multiples of {multiple} of at least {low}"
    if fewest:
        rule = f"{fewest} or more {rule}"
    message = f"{name} must hold {rule}, got {values!r}"
    if not isinstance(values, tuple | list) or len(values) < fewest:
        raise ValueError(message)
    try:
        checked = tuple(size(name, value, low) for value in values)
    except ValueError:
        raise ValueError(message) from None
    if any(value % multiple for value in checked):
        raise ValueError(message)
    return checked


def seed(name: str, value: Any) -> int:
    """`value` as an int in 0..2^32 - 1: a larger seed would equal one of these.

    Raises:
        ValueError: Not an integer, or out of range.
    """
    return integer(name, value, 0, UINT32_MAX)


def one_of(name: str, value: Any, allowed: Sequence[Any]) -> Any:
    """`value`, if it is one of a few, of the same type too (1.0 and True are not 1).

    Raises:
        ValueError: It is none of them.
    """
    if not any(type(value) is type(other) and value == other for other in allowed):
        raise ValueError(f"{name} must be {' or '.join(map(repr, allowed))}, got {value!r}")
    return value


def whole(**splits: Any) -> None:
    """Refuse data of which something is missing, for functions that look at whole examples.

    Args:
        splits: By name, `jaxgen.data.Split` or anything with the attribute `mask`; None passes.

    Raises:
        ValueError: A split with a mask.
    """
    for name, split in splits.items():
        if getattr(split, "mask", None) is not None:
            raise ValueError(
                f"{name} must have no mask, got one: whole examples are looked at here, not observed parts"
            )


def fields(config: Any) -> None:
    """Refuse a dataclass that has a field of another kind than its annotation says.

    A number is finite, an integer is one, a flag is True or False, a tuple holds what it says, and a choice (a
    dataclass in the annotation) is an instance of some class: not its class, nor a string or a number. Any class
    will do, since a user's own may stand in the place of the library's. A config checks its ranges first and calls
    this at the end, so that a field which nobody thought of is covered.

    Args:
        config: A dataclass, or a flax module.

    Raises:
        ValueError: With the name of the field, what it must be and what it is.
    """
    for name, annotation in _annotations(type(config)).items():
        _of_kind(name, getattr(config, name), annotation)


def typed_key(name: str, value: Any) -> None:
    """Refuse what is no typed key of shape []: an int, or the raw words of `jax.random.PRNGKey`.

    Raises:
        ValueError: With what was given in its place.
    """
    if not isinstance(value, jax.Array) or not jnp.issubdtype(value.dtype, jax.dtypes.prng_key) or value.shape != ():
        what = f"{value.dtype}{list(value.shape)}" if hasattr(value, "dtype") and hasattr(value, "shape") else value
        raise ValueError(f"{name} must be one typed key, as jax.random.key(0) makes it, got {what!r}")


_LARGEST = float(np.finfo(np.float32).max)

_PLAIN = (str, bytes, int, float, complex, list, tuple, dict, set, np.ndarray, np.generic, type(None), type)
"""Kinds that are never an instance that was meant as a choice."""


@functools.cache
def _annotations(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    return {f.name: hints[f.name] for f in dataclasses.fields(kind) if f.init and f.name in hints}


def _of_kind(name: str, value: Any, annotation: Any) -> None:
    options = _options(annotation)
    if (value is None and type(None) in options) or Any in options:
        return
    plain = {int: integer, float: number}
    found = [option for option in options if option in plain]
    if found and not {str, bool} & set(options):
        # (float for int | float: it allows both.)
        plain[float if float in found else int](name, value)
    elif options == [bool] and not isinstance(value, bool):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    elif options in ([str], [str, type(None)]) and not isinstance(value, str):
        raise ValueError(f"{name} must be a string, got {value!r}")
    elif len(options) == 1 and typing.get_origin(options[0]) is tuple:
        inner = typing.get_args(options[0])
        if not isinstance(value, tuple | list):
            raise ValueError(f"{name} must be a tuple, got {value!r}")
        if len(inner) == 2 and inner[1] is Ellipsis:
            for position, item in enumerate(value):
                _of_kind(f"{name}[{position}]", item, inner[0])
    elif any(dataclasses.is_dataclass(option) for option in options) and isinstance(value, _PLAIN):
        allowed = " or ".join(f"{option.__name__}(...)" for option in options if option is not type(None))
        raise ValueError(f"{name} must be {allowed}, got {value!r}")


def _options(annotation: Any) -> list[Any]:
    """The members of a union, or the annotation alone."""
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return list(typing.get_args(annotation))
    return [annotation]


def plain_array(name: str, value: Any, dtype: Any = None) -> np.ndarray:
    """`value` as a numpy array, if it carries no more than numbers: no mask, no unit, no other rules of multiplication.

    `np.asarray` drops all of these without a word.

    Args:
        name: Name of the argument.
        value: An array of numpy or JAX, or what numpy makes one of.
        dtype: Type to convert to; None to leave it as it is.

    Raises:
        ValueError: A masked array, a matrix, or any other subclass of numpy's array, with the conversion to use.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise ValueError(
            f"{name} must be a plain numpy array, got a masked array, whose mask would be lost: "
            f"pass {name}.filled(0), and mask=~np.ma.getmaskarray({name}) where a mask is taken"
        )
    if isinstance(value, np.ndarray) and type(value) not in (np.ndarray, np.memmap):
        raise ValueError(f"{name} must be a plain numpy array, got {type(value).__name__}: pass np.asarray({name})")
    return np.asarray(value, dtype)
