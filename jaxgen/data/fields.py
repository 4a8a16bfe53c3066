"""Further fields of the data: what is given beside x, label and mask, each by a name of its own.

    Split(x, label, fields={"low": low, "caption": tokens})      batch["low"] [B, h, w, C], batch["caption"] [B, L]

A field is what a model may be given (a smaller image, the tokens of a text, a vector of measurements), not what it
models. `Spec.fields` describes each by shape, dtype and, for integers, the number of values that they can have.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from flax.core import FrozenDict

from jaxgen import require, spelling
from jaxgen.core import Field, field_name
from jaxgen.data import checks


def checked(fields: Any, condition: Any, num: int) -> Mapping[str, np.ndarray]:
    """Read-only arrays by name, integers of any width as int32 (uint8 stays).

    Args:
        fields: Arrays [num, ...] by name; None for none.
        condition: The array of the field named "condition"; None for none.
        num: Number of examples.

    Raises:
        ValueError: No mapping, a reserved name, or an array of another kind, length or dtype, NaN or infinity.
    """
    if fields is not None and not isinstance(fields, Mapping):
        raise ValueError(f"fields must be a mapping of names to arrays, got {type(fields).__name__}")
    given = dict(fields or {})
    if condition is not None:
        if "condition" in given:
            raise ValueError("condition must be given once, got it as an argument and in fields")
        if isinstance(condition, Mapping | list | tuple):
            raise ValueError(
                "condition must be one array, the field named condition, got several: give each a name, "
                "fields={'low': ..., 'caption': ...}"
            )
        given["condition"] = condition
    return FrozenDict({field_name(name): checks.given(name, value, num) for name, value in given.items()})


def gathered(columns: Mapping[str, Any]) -> dict[str, Any]:
    """The columns x, label and mask as they are, all others under "fields": what `Split` takes."""
    own = {name: columns[name] for name in ("x", "label", "mask") if name in columns}
    return {**own, "fields": {name: column for name, column in columns.items() if name not in own}}


def measured(
    splits: Sequence[Mapping[str, np.ndarray]], num_values: Mapping[str, int] | None = None
) -> dict[str, Field]:
    """Descriptions of the fields of some splits, the number of values of int32 as the largest of all splits has it.

    Args:
        splits: The fields of each split.
        num_values: Numbers of values that are known, by the names of their fields.

    Raises:
        ValueError: A number for no field, or values so few and so far apart that they cannot be meant as 0, 1, ...
    """
    given = dict(num_values or {})
    if strange := [name for name in given if name not in splits[0]]:
        raise ValueError(
            f"num_values must be given for fields of the data, {', '.join(splits[0]) or 'which have none'}, "
            f"got {strange[0]!r}{spelling.guess(strange[0], splits[0])}"
        )
    described = {}
    for name, array in splits[0].items():
        num = given.get(name)
        if num is None and array.dtype == np.int32:
            num = _measured(name, [split[name] for split in splits if name in split])
        try:
            described[name] = Field(array.shape[1:], array.dtype.name, num)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return described


def agree(name: str, arrays: Mapping[str, np.ndarray], fields: Mapping[str, Field]) -> None:
    """Refuse the fields of a split that are not as described.

    Args:
        name: Name of the split.
        arrays: Its fields.
        fields: `Spec.fields`.

    Raises:
        ValueError: A field that is missing or not expected, of another shape or dtype, or with values out of range.
    """
    if arrays.keys() != fields.keys():
        raise ValueError(
            f"{name} must have the fields of the spec, {', '.join(sorted(fields)) or 'none'}, "
            f"got {', '.join(sorted(arrays)) or 'none'}"
        )
    for field, described in fields.items():
        array = arrays[field]
        if (array.shape[1:], array.dtype.name) != (described.shape, described.dtype):
            raise ValueError(
                f"{name}.{field} must be {described.dtype} of shape {described.shape}, as the spec has it, "
                f"got {array.dtype} of shape {array.shape[1:]}"
            )
        if described.num_values is not None and described.num_values < _LARGEST.get(described.dtype, np.inf):
            checks.below(f"{name}.{field}", array, described.num_values, "num_values")


_LARGEST = {"uint8": 256, "bool": 2}
"""Numbers of values that no array of the dtype exceeds."""


def _measured(name: str, arrays: Sequence[np.ndarray]) -> int:
    largest = max(int(array.max()) for array in arrays)
    if largest == require.INT32_MAX:
        raise ValueError(f"{name} must lie below {require.INT32_MAX}, got {largest}")
    if largest >= 100:  # a table with a row for every number that stands for nothing
        num = len(np.unique(np.concatenate([np.unique(array) for array in arrays])))
        if largest + 1 > 10 * num:
            raise ValueError(
                f"{name} must hold integers 0, 1, ..., got {num} different values up to {largest}: say how many there "
                f"can be, num_values={{{name!r}: {largest + 1}}}, or renumber them with values, "
                f"{name} = np.unique({name}, return_inverse=True)"
            )
    return largest + 1
