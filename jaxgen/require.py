"""What functions and configs ask of their arguments: one way to refuse, with the argument, the rule and the value.

NaN passes every check that is written `if x < 0: raise`, and so does 2.5 where an integer is meant. Here a number is
finite and an integer is one, whatever else is asked of it.
"""

import math
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def integer(name: str, value: Any, low: int | None = None, high: int | None = None) -> int:
    """`value` as an int in low..high; neither 2.0 nor True is one.

    Args:
        name: Name of the argument.
        value: Its value.
        low: The smallest value that is allowed; None for no limit.
        high: The largest value that is allowed; None for no limit.

    Raises:
        ValueError: Not an integer, or out of range.
    """
    rule = "an integer"
    if low is not None:
        rule += f" of at least {low}" if high is None else f" in {low}..{high}"
    elif high is not None:
        rule += f" of at most {high}"
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
    if not is_number or not math.isfinite(value):
        raise ValueError(f"{name} must be {rule}, got {value!r}")
    inside = (
        (low is None or value >= low)
        and (high is None or value <= high)
        and (above is None or value > above)
        and (below is None or value < below)
    )
    if not inside:
        raise ValueError(f"{name} must be {rule}, got {value!r}")
    return float(value)


def typed_key(name: str, value: Any) -> None:
    """Refuse what is no typed key of shape []: an int, or the raw words of `jax.random.PRNGKey`.

    Raises:
        ValueError: With what was given in its place.
    """
    if not isinstance(value, jax.Array) or not jnp.issubdtype(value.dtype, jax.dtypes.prng_key) or value.shape != ():
        what = f"{value.dtype}{list(value.shape)}" if hasattr(value, "dtype") and hasattr(value, "shape") else value
        raise ValueError(f"{name} must be one typed key, as jax.random.key(0) makes it, got {what!r}")
