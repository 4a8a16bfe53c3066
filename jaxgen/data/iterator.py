"""Batches from anything that can be iterated over: a list, a generator, grain's data sets, a loader of another library.

An iterator goes forwards only, and knows no step. What `Batches` and `Stream` promise is therefore promised for
sequences alone (with a length and `[i]`): that a run which is resumed or repeated gets the same batches.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxgen import require
from jaxgen.core import Batch
from jaxgen.data import naming
from jaxgen.data.dataset import Dataset, Split
from jaxgen.data.source import BatchSource
from jaxgen.data.spread import spread
from jaxgen.data.stream import Block

BLOCK_BYTES = 2**24
MAX_STEPS = 32
"""A block holds so many bytes or steps at most. It is filled with the batches that are used next and no others."""


def from_iterator(batches: Any, batch_size: int | None = None) -> "IteratorBatches":
    """Batches for training from an iterable of dictionaries.

    A dictionary has "x" and, where the data have them, "label", "mask" and further fields by names of their own: numpy
    arrays (or what `numpy.asarray` takes) as a `Split` has them, with the examples on the first axis.

    A sequence is a function of the step: batch i is `batches[i % len(batches)]`. Of anything else the next item is
    taken whatever the step is. An iterable that can be begun anew (a grain data set, a loader) is, at its end; with a
    generator training ends where that ends, see `History.stopped`. Nothing is read that is not trained on.

    One promise is lost, other than with sequences: a run that is repeated or resumed is the same only where the
    iterator gives the same batches again, and to bring it back to its place is up to you. For data in arrays take
    `from_arrays`, for data on disk `Stream`, which have none of these limits.

    Args:
        batches: Iterable of batches, or of single examples where `batch_size` is given.
        batch_size: Examples that make a batch, where the items are single examples; None where they are batches.

    Raises:
        ValueError: Batches that are no iterable of dictionaries; an item without "x", of another kind than the first,
            or with arrays that a `Split` refuses (when it is read).
    """
    if isinstance(batches, Mapping | str | bytes | np.ndarray | jax.Array | Dataset | Split) or not (
        isinstance(batches, Iterable) or _is_sequence(batches)
    ):
        raise ValueError(f"batches must be an iterable of dictionaries, got {_kind(batches)}")
    if batch_size is not None:
        batch_size = require.integer("batch_size", batch_size, 1)
    return IteratorBatches(batches, batch_size)


class IteratorBatches:
    """Batches of an iterable, made by `from_iterator`; a `BatchSource`."""

    def __init__(self, items: Any, examples: int | None):
        self._items, self._examples = items, examples
        self._iterator: Iterator[Any] | None = None
        self._read = 0
        self._first, self._ahead = 0, []  # what has been read and not yet left behind
        self._ended = False
        self._structure: Any = None
        self._block_steps = 1

    @property
    def batch_size(self) -> int:
        """Examples of a batch."""
        if self._examples is not None:
            return self._examples
        if self._structure is None:
            self(self._first)
        return jax.tree.leaves(self._structure)[0].shape[0]

    def __call__(self, step: int) -> Batch:
        """The batch of one step; it is kept until training has gone beyond it.

        Raises:
            ValueError: The iterable has come to its end.
        """
        self._fill(step, 1)
        if not self._ahead:
            raise ValueError(f"batches must hold another batch for step {step}, got {self._read} items in all")
        return jax.tree.map(jnp.asarray, self._ahead[0])

    def reach(self, first: int) -> int:
        """How many steps from `first` on a feed holds; 0 where the iterable has come to its end."""
        self._fill(first, 1)
        return len(self._ahead) if self._ended else self._block_steps

    def feed(self, first: int, num: int, over: Mesh | None = None) -> Block:
        """The next batches, divided among the devices of a mesh where there is one.

        Fewer than `num`, as `reach` then says, where the iterable comes to its end.
        """
        self._fill(first, num)
        if not self._ahead:
            raise ValueError(f"batches must hold another batch for step {first}, got {self._read} items in all")
        some = self._ahead[:num]
        # One shape for all blocks, or the loop would be compiled anew: what is not used is filled up.
        some = some + [some[-1]] * (self._block_steps - len(some))
        sharding = None if over is None else NamedSharding(over, PartitionSpec(None, over.axis_names))
        blocks = jax.tree.map(lambda *values: np.stack(values), *some)
        rows = jax.device_put(blocks) if sharding is None else spread(blocks, sharding)
        return Block(rows=rows, first=jnp.int32(first))

    def on(self, mesh: Mesh) -> "BatchSource":
        """The same iterable, its batches divided among the devices of a mesh."""
        return _OnMesh(self, mesh)

    def _fill(self, first: int, num: int) -> None:
        """Have steps first .. first + num - 1 ahead, as far as there are any."""
        past = first - self._first
        # Steps that were never read, or a run that begins again: the next items, whatever their number.
        self._ahead = self._ahead[past:] if 0 <= past <= len(self._ahead) else []
        self._first = first
        while len(self._ahead) < num and not self._ended:
            batch = self._batch(first + len(self._ahead))
            if batch is None:
                self._ended = True
            else:
                self._ahead.append(batch)

    def _batch(self, step: int) -> dict[str, Any] | None:
        if self._examples is None:
            batch = self._item(step)
        else:
            items = []
            while len(items) < self._examples:
                item = self._item(step * self._examples + len(items))
                if item is None:
                    return None  # what is left does not make a batch
                items.append(item)
            batch = jax.tree.map(lambda *values: np.stack([np.asarray(value) for value in values]), *items)
        return None if batch is None else self._checked(batch, step)

    def _item(self, position: int) -> dict[str, Any] | None:
        if _is_sequence(self._items):
            return self._mapping(self._items[position % len(self._items)]) if len(self._items) else None
        begun = self._iterator is not None
        if self._iterator is None:
            self._iterator = iter(self._items)
        for item in self._iterator:
            return self._mapping(item)
        if not begun or hasattr(self._items, "__next__"):
            return None  # empty, or a generator at its end
        self._iterator = None  # once more from the beginning
        return self._item(position)

    def _mapping(self, item: Any) -> dict[str, Any]:
        if not isinstance(item, Mapping) or "x" not in item:
            got = f"keys {sorted(map(str, item))}" if isinstance(item, Mapping) else _kind(item)
            raise ValueError(f'an item of batches must be a dictionary with "x", got {got} at item {self._read}')
        for name in item:
            if name != "index" and (meant := naming.misspelt(str(name))):
                raise ValueError(
                    f"an item of batches must have x, label, mask and further fields by names of their own, "
                    f"got {name}: rename it {meant}, or otherwise if it is something else"
                )
        self._read += 1
        return {name: value for name, value in item.items() if name != "index" and value is not None}

    def _checked(self, batch: dict[str, Any], step: int) -> dict[str, Any]:
        """As a split has it: dtypes, shapes, finite values."""
        try:
            arrays = Split.of({name: np.asarray(value) for name, value in batch.items()}).arrays
        except ValueError as error:
            raise ValueError(f"batch of step {step}: {error}") from error
        structure = jax.tree.map(lambda array: jax.ShapeDtypeStruct(array.shape, array.dtype), arrays)
        if self._structure is None:
            self._structure = structure
            size = sum(array.nbytes for array in jax.tree.leaves(arrays))
            self._block_steps = min(max(BLOCK_BYTES // size, 1), MAX_STEPS)
        if structure != self._structure:
            names = sorted({*structure, *self._structure})
            name = next(name for name in names if structure.get(name) != self._structure.get(name))
            raise ValueError(
                f"every batch must have the shapes of the first one, {name} {self._structure.get(name)}, got "
                f"{structure.get(name)} at step {step}; leave out a smaller last batch, or give single examples and "
                "batch_size="
            )
        num = len(arrays["x"])
        index = (np.arange(num, dtype=np.int64) + step * num) % 2**31
        return {**arrays, "index": index.astype(np.int32)}


class _OnMesh:
    """Batches of an iterable for the devices of a mesh."""

    def __init__(self, batches: IteratorBatches, over: Mesh):
        self._batches, self._over = batches, over

    @property
    def batch_size(self) -> int:
        return self._batches.batch_size

    def __call__(self, step: int) -> Batch:
        return self._batches(step)

    def reach(self, first: int) -> int:
        return self._batches.reach(first)

    def feed(self, first: int, num: int) -> Block:
        return self._batches.feed(first, num, self._over)

    def on(self, mesh: Mesh) -> BatchSource:
        return self._batches.on(mesh)


def _is_sequence(items: Any) -> bool:
    return hasattr(items, "__getitem__") and hasattr(items, "__len__")


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"one dictionary with {sorted(map(str, value))}; a list of it trains on this batch alone"
    if isinstance(value, np.ndarray | jax.Array):
        return f"an array of shape {value.shape}; data.from_arrays makes a data set of it"
    return type(value).__name__
