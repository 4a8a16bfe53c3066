"""A data set: its splits, what a model must know of it, and a fingerprint of every byte.

Arrays stay in storage dtype from the file to the device. They are checked once, here, whatever source they
come from; after that they are read-only, so that the fingerprint in a manifest stays true.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import require
from jaxgen.core import Spec, Statistics
from jaxgen.data import checks, scale, scale_trial, statistics
from jaxgen.data import fields as further
from jaxgen.data.batches import Batches, described


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Split:
    """Examples that are used together: for training, for choosing, or for the one final figure.

    Args:
        x: [N, *event], uint8 or finite float32. The event shape is what is given: no channel axis is added.
        label: [N] integers of any width, kept as int32.
        mask: [N, *event] bool, True = observed.
        fields: Further arrays [N, ...] by name: bool, uint8, float32 or integers from 0, kept as int32. Each is a
            field of every batch.
        condition: An array for the field named "condition".

    Raises:
        ValueError: Another dtype or shape, NaN or infinity, negative integers, or a reserved name.
    """

    x: np.ndarray
    label: np.ndarray | None
    mask: np.ndarray | None
    fields: Mapping[str, np.ndarray]

    def __init__(self, x: Any, label: Any = None, mask: Any = None, fields: Any = None, *, condition: Any = None):
        x = checks.events("x", x)
        label = None if label is None else checks.labels("label", label, len(x))
        mask = None if mask is None else checks.observed("mask", mask, x.shape)
        columns = {"x": x, "label": label, "mask": mask, "fields": further.checked(fields, condition, len(x))}
        for name, column in columns.items():
            object.__setattr__(self, name, column)

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> "Split":
        """The split of these columns by name, as `arrays` has them.

        Raises:
            ValueError: Columns that `Split` refuses.
        """
        return cls(**further.gathered(columns))

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        return f"Split({len(self)} of {described(self.arrays)})"

    @property
    def arrays(self) -> dict[str, Any]:
        """Arrays that the split has, by the names that a batch uses."""
        columns = {"x": self.x, "label": self.label, "mask": self.mask, **self.fields}
        return {name: column for name, column in columns.items() if column is not None}

    def rows(self, index: np.ndarray) -> "Split":
        """The examples at `index`, in that order."""
        return Split.of(jax.tree.map(lambda array: array[index], self.arrays))

    def batches(self, seed: int, batch_size: int) -> Batches:
        """Batches for training, in an order that belongs to the seed. Copies the arrays to the device.

        Args:
            seed: 0 .. 2^32 - 1.
            batch_size: At most the number of examples.

        Raises:
            ValueError: A seed or batch_size that is none.
        """
        seed = require.integer("seed", seed, 0, 2**32 - 1)
        batch_size = require.integer("batch_size", batch_size, 1)
        return Batches(jax.tree.map(jnp.array, self.arrays), jax.random.key(seed), batch_size, len(self))

    def evaluation_batches(self, batch_size: int) -> Iterator[dict[str, Any]]:
        """Every example exactly once, in order, as numpy arrays of one shape.

        The last batch is filled up with copies of example 0 whose index is -1, so that evaluating it traces
        nothing anew.

        Args:
            batch_size: Rows of each batch; may exceed the number of examples.

        Returns:
            An iterator over batches with "index" [B] int32.

        Raises:
            ValueError: batch_size below 1 or no integer.
        """
        batch_size = require.integer("batch_size", batch_size, 1)
        return (self._padded(first, batch_size) for first in range(0, len(self), batch_size))

    def _padded(self, first: int, batch_size: int) -> dict[str, Any]:
        position = np.arange(first, first + batch_size)
        real = position < len(self)
        rows = np.where(real, position, 0)
        batch = jax.tree.map(lambda array: array[rows], self.arrays)
        return {**batch, "index": np.where(real, position, -1).astype(np.int32)}


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Splits of one kind of data.

    Args:
        name: Name in a run's folder and in tables.
        spec: Description that every split keeps. Where it does not say which labels occur in training, they are
            filled in; the statistics of real values are measured.
        train: Training split.
        test: Test split, used once, for the final figures.
        valid: Validation split, on which choices are made; None if there is none.

    Raises:
        ValueError: A split that the spec does not describe.
    """

    name: str
    spec: Spec
    train: Split
    test: Split
    valid: Split | None = None

    def __post_init__(self):
        for name, split in self.splits.items():
            agree(name, split, self.spec)
        object.__setattr__(self, "spec", dataclasses.replace(self.spec, statistics=self._statistics()))
        if self.train.label is None:
            return
        found = np.unique(self.train.label)
        if self.spec.labels is None:
            object.__setattr__(self, "spec", dataclasses.replace(self.spec, labels=tuple(found.tolist())))
        elif (strange := np.setdiff1d(found, self.spec.labels)).size:
            raise ValueError(f"train.label must be one of spec.labels, {self.spec.labels}, got {strange[0]}")

    def _statistics(self) -> Statistics | None:
        if self.spec.levels is not None:
            return None
        others = (split for name, split in self.splits.items() if name != "train")
        measured = statistics.measured
        return statistics.joined(
            measured(self.train.x, self.train.mask), (measured(split.x, split.mask) for split in others)
        )

    def scaled(self, by: scale.Scale | scale.Functions) -> "Dataset":
        """The same data with a scale for models to see them by; arrays and fingerprint stay as they are.

        Args:
            by: How real values are scaled. What it leaves open is measured on the training split.

        Raises:
            ValueError: A scale for grey levels, or one that does not fit the values.
        """
        if isinstance(by, scale.Identity):
            return dataclasses.replace(self, spec=dataclasses.replace(self.spec, scale=None))
        if self.spec.levels is not None:
            raise ValueError(
                f"scale must be Identity() for {self.name}: grey levels 0..{self.spec.levels - 1} have a scale of "
                f"their own, got {by}"
            )
        fitted = scale_trial.checked(by, self.train.x, self.train.mask)
        return dataclasses.replace(self, spec=dataclasses.replace(self.spec, scale=fitted))

    @property
    def splits(self) -> dict[str, Split]:
        """The splits there are, by name."""
        splits = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}

    def __repr__(self) -> str:
        sizes = ", ".join(f"{name} {len(split)}" for name, split in self.splits.items())
        return f"Dataset({self.name!r}: {sizes}, {self.spec!r})"

    @functools.cached_property
    def fingerprint(self) -> str:
        """sha256, in hex, of the spec and of the name, dtype, shape and bytes of every array."""
        spec = self.spec
        digest = hashlib.sha256(repr((spec.event_shape, spec.dtype, spec.levels, spec.num_classes)).encode())
        if spec.fields:  # data without any keep the fingerprints that they have always had
            digest.update(repr([(name, vars(field)) for name, field in spec.fields.items()]).encode())
        for name, split in self.splits.items():
            for path, array in jax.tree_util.tree_leaves_with_path(split.arrays):
                # Little-endian on every machine, and contiguous: the bytes of the values, not of the memory.
                array = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
                header = (name, jax.tree_util.keystr(path), array.dtype.name, array.shape)
                digest.update(repr(header).encode())
                digest.update(array.data)
        return digest.hexdigest()


def agree(name: str, split: Split, spec: Spec) -> None:
    """Refuse a split that the spec does not describe.

    Raises:
        ValueError: Another shape or dtype, labels or levels out of range, labels missing or not expected, or further
            fields that are not as described.
    """
    own = {"event_shape": split.x.shape[1:], "dtype": split.x.dtype.name}
    for what, value in own.items():
        if value != getattr(spec, what):
            raise ValueError(f"{name} must have the {what} of the spec, {getattr(spec, what)}, got {value}")
    if (split.label is None) != (spec.num_classes is None):
        raise ValueError(
            f"{name}.label goes with num_classes and only with it, "
            f"got label {'missing' if split.label is None else 'given'}, num_classes={spec.num_classes}"
        )
    if split.label is not None and spec.num_classes is not None:
        checks.below(f"{name}.label", split.label, spec.num_classes, "num_classes")
    if spec.levels is not None:
        checks.below(f"{name}.x", split.x, spec.levels, "levels")
    further.agree(name, split.fields, spec.fields)
