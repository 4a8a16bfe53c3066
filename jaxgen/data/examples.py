"""Examples that are read when they are asked for: what a split is when it does not fit into memory.

    files = data.open_folder("photos", size=(64, 64))          {"train", "valid", "test"}
    batches = files["train"].batches(seed=0, batch_size=128)   the batches that the same images in memory would give

Behind them stands anything with a length and an example at each index: files of images, records of TFDS, or an
array on disk, `Examples(np.load("x.npy", mmap_mode="r"), Spec(...))`.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import numpy as np

from jaxgen import require
from jaxgen.core import Spec
from jaxgen.data.dataset import Split, agree
from jaxgen.data.stream import Stream


class Examples:
    """Rows of a source, each read and checked when it is asked for.

    Args:
        source: `source[i]` is x of example i, or a mapping of "x" and "label", "mask" and the fields of
            the spec. It is called by several threads at once.
        spec: Description that every example must meet.
        index: Indices of the examples in the source, in order; None for all.

    Raises:
        ValueError: No example.
    """

    def __init__(self, source: Any, spec: Spec, index: np.ndarray | None = None):
        self.source, self.spec = source, spec
        self.index = np.arange(len(source)) if index is None else index
        if not len(self.index):
            raise ValueError("source must hold at least one example, got none")

    def __len__(self) -> int:
        return len(self.index)

    def __repr__(self) -> str:
        return f"Examples({len(self)}, {self.spec!r}, from {type(self.source).__name__})"

    def __getitem__(self, i: int) -> dict[str, Any]:
        """Example i.

        Raises:
            ValueError: It is not what the spec says.
        """
        example = self.source[int(self.index[i])]
        columns = dict(example) if isinstance(example, Mapping) else {"x": example}
        known = ("x", "label", "mask", *self.spec.fields)
        if "x" not in columns or not columns.keys() <= set(known):
            raise ValueError(f"example {i} must have x, and of {', '.join(known)} what there is, got {list(columns)}")
        try:
            # As a split of one, so that what is read one by one is checked like what is read at once.
            split = Split.of(jax.tree.map(_alone, columns))
            agree("it", split, self.spec)
        except ValueError as error:
            raise ValueError(f"example {i}: {error}") from None
        return jax.tree.map(lambda value: value[0], split.arrays)

    def rows(self, index: np.ndarray) -> "Examples":
        """The examples at `index`, in that order."""
        return Examples(self.source, self.spec, self.index[index])

    def decoded(self) -> Split:
        """All examples in memory."""
        first = self[0]
        arrays = jax.tree.map(lambda value: np.empty((len(self), *np.shape(value)), value.dtype), first)
        for i in range(len(self)):
            jax.tree.map(lambda array, value, i=i: array.__setitem__(i, value), arrays, self[i])
        return Split.of(arrays)

    def batches(self, seed: int, batch_size: int, **options: Any) -> Stream:
        """Batches for training as `Split.batches` has them, read ahead of the steps; options of `Stream`."""
        return Stream(self, seed, batch_size, **options)

    def evaluation_batches(self, batch_size: int) -> Iterator[dict[str, Any]]:
        """Every example exactly once, in order, padded as by `Split.evaluation_batches`.

        Raises:
            ValueError: batch_size below 1 or no integer.
        """
        batch_size = require.integer("batch_size", batch_size, 1)
        return (self._padded(first, batch_size) for first in range(0, len(self), batch_size))

    def _padded(self, first: int, batch_size: int) -> dict[str, Any]:
        position = np.arange(first, first + batch_size)
        real = position < len(self)
        rows = [self[i] for i in np.where(real, position, 0).tolist()]
        batch = jax.tree.map(lambda *values: np.stack(values), *rows)
        return {**batch, "index": np.where(real, position, -1).astype(np.int32)}


def _alone(value: Any) -> np.ndarray:
    """One example as a split of one."""
    return require.plain_array("a value", value)[None]
