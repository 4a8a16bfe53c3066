"""The user's own data: arrays in memory, or in a .npy or .npz file.

A file is read without pickle, so opening one runs no code of whoever wrote it. What it holds by which key:

    x.npy                                    x
    any.npz  x, label, mask, condition       one set, of which valid and test are split off
    any.npz  train_x, test_x, valid_x, ...   given splits, each with its own label, mask, condition

Only x (or train_x and test_x) must be there.
"""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen import require
from jaxgen.core import Spec
from jaxgen.data import checks
from jaxgen.data.dataset import Dataset, Split
from jaxgen.data.permutation import shuffled

_COLUMNS = ("x", "label", "mask", "condition")
_SPLITS = ("train", "valid", "test")
# What numpy and zipfile raise on files that were cut short, altered, encrypted or are something else.
_DAMAGED = (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def from_arrays(
    x: np.ndarray,
    label: np.ndarray | None = None,
    *,
    mask: np.ndarray | None = None,
    condition: Any = None,
    levels: int | None = None,
    name: str = "arrays",
    valid: float | Split | None = 0.1,
    test: float | Split = 0.1,
    seed: int = 0,
) -> Dataset:
    """A data set of the user's arrays.

    Args:
        x: [N, *event], uint8 or finite float32; never cast. The event shape is what is given: a model that
            wants (height, width, channels) is given x[..., None].
        label: [N] integers from 0. The number of classes is one more than the largest in any split.
        mask: [N, *event] bool, True = observed.
        condition: A pytree of arrays [N, ...] of bool, uint8, int32 or float32.
        levels: Number of grey levels of uint8 data, 256 unless given.
        name: What the data set is called.
        valid: The validation set itself, or the fraction of x that becomes it; None for no validation set.
        test: The test set itself, or the fraction of x that becomes it.
        seed: Of the shuffle behind the fractions; train comes first in that order, then valid, then test. Not
            used where both sets are given.

    Raises:
        ValueError: What `Split` and `Dataset` refuse, or fractions that leave a set without an example.
    """
    whole = Split(x, label, mask, condition)
    if levels is None and whole.x.dtype == np.uint8:
        levels = 256
    labels = [split.label for split in (whole, valid, test) if isinstance(split, Split) and split.label is not None]
    num_classes = max((1 + int(label.max()) for label in labels), default=None)
    spec = Spec(whole.x.shape[1:], whole.x.dtype.name, levels, num_classes, whole.condition_spec)
    if levels is not None:
        checks.below("x", whole.x, levels, "levels")
    given = {name: split for name, split in (("valid", valid), ("test", test)) if isinstance(split, Split)}
    splits = divided({"train": whole, **given}, valid, test, seed)
    return Dataset(name=name, spec=spec, **splits)


def from_file(
    path: str | Path,
    *,
    levels: int | None = None,
    valid: float | None = 0.1,
    test: float = 0.1,
    seed: int = 0,
) -> Dataset:
    """A data set from a .npy or .npz file; the module's docstring has the keys.

    Args:
        path: The file. Its name without the ending becomes the name of the data set.
        levels: Number of grey levels of uint8 data, 256 unless given.
        valid: Fraction for the validation set, None for no such set. Not used where the file gives splits.
        test: Fraction for the test set. Not used where the file gives splits.
        seed: Of the shuffle behind the fractions.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, of another format, needs pickle, has other keys, or holds what
            `from_arrays` refuses.
    """
    path = Path(path)
    groups: dict[str, dict[str, Any]] = {}
    for key, array in _read(path).items():
        split, _, column = key.rpartition("_")
        if split not in ("", *_SPLITS) or column not in _COLUMNS:
            raise ValueError(
                f"{path} must hold {', '.join(_COLUMNS)}, or these after train_, valid_ or test_, got {key!r}"
            )
        groups.setdefault(split, {})[column] = array
    for split, columns in groups.items():
        if "x" not in columns:
            raise ValueError(f"{path} must hold x in every split, got {', '.join(columns)} of {split or 'one set'}")
    if groups.keys() == {""}:
        return from_arrays(**groups[""], levels=levels, name=path.stem, valid=valid, test=test, seed=seed)
    if "" in groups or not {"train", "test"} <= groups.keys():
        found = ", ".join(split or "one set" for split in groups) or "nothing"
        raise ValueError(f"{path} must hold one set, or train_ and test_ (and valid_), got {found}")
    splits = {}
    for split, columns in groups.items():
        try:
            splits[split] = Split(**columns)
        except ValueError as error:  # begins with the name of the column
            raise ValueError(f"{split}_{error}") from None
    return from_arrays(**groups["train"], levels=levels, name=path.stem, valid=splits.get("valid"), test=splits["test"])


def divided(splits: Mapping[str, Any], valid: Any, test: Any, seed: int) -> dict[str, Any]:
    """The splits given ("train" at least), and those that are not as shuffled rows of the training set.

    Args:
        splits: Each with a length and `rows(index)`.
        valid: Fraction for the validation set where none is given, None for no such set. Otherwise not used.
        test: Fraction for the test set where none is given. Otherwise not used.
        seed: Of the shuffle; train comes first in that order, then valid, then test.

    Raises:
        ValueError: What is no fraction or seed, or fractions that leave nothing to train on.
    """
    train = splits["train"]
    num = len(train)
    num_valid = 0 if "valid" in splits or valid is None else _share("valid", valid, num)
    num_test = 0 if "test" in splits else _share("test", test, num)
    num_train = num - num_valid - num_test
    if num_train < 1:
        raise ValueError(
            f"valid and test must leave an example of x to train on, got {num_valid} + {num_test} of {num}"
        )
    order = shuffled(num, require.integer("seed", seed, 0, 2**32 - 1))
    parts = np.split(order, [num_train, num_train + num_valid])
    result = {}
    for name, index in zip(("train", "valid", "test"), parts, strict=True):
        if name in splits and (name != "train" or num_train == num):
            result[name] = splits[name]
        elif len(index):
            result[name] = train.rows(index)
    return result


def _share(name: str, fraction: Any, num: int) -> int:
    if not isinstance(fraction, float) or not 0 < fraction < 1:
        raise ValueError(f"{name} must be a Split or a fraction between 0 and 1, got {fraction!r}")
    return max(1, round(num * fraction))


def _read(path: Path) -> dict[str, Any]:
    if path.suffix not in (".npy", ".npz"):
        raise ValueError(f"path must end in .npy or .npz, got {path}")
    if not path.is_file():
        raise FileNotFoundError(f"path must be a file, there is none at {path}")
    what = str(path)
    with path.open("rb") as file:
        try:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return {"x": content}
            columns = {}
            with content:
                for key in content.files:
                    what = f"{key!r} in {path}"
                    columns[key] = content[key]
        except _DAMAGED as error:
            raise ValueError(f"{what} must be whole arrays of numbers, without pickled objects: {error}") from error
    return columns
