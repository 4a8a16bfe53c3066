"""Batches of data that stay on disk: the order of `Batches`, read ahead by grain.

    step s, row j  ->  position s B + j  ->  example        as jaxgen.data.batches has it, computed on the host
    block b        =   steps b L .. (b + 1) L - 1           what the device holds at once

A compiled loop over steps cannot wait for a disk, so it is given a block of L batches and runs within it. While it
does, threads read the next block and move it to the device. Nothing of this is state that a checkpoint would need:
whoever asks for step 1000 gets the block in which it lies. Neither L nor the number of threads changes a bit.
"""

import importlib.util
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Integer

from jaxgen.core import Batch
from jaxgen.data.batches import described
from jaxgen.data.permutation import permute, round_keys
from jaxgen.require import integer

BLOCK_BYTES = 2**26
"""64 MiB a block; two of them, and for a moment three, lie on the device."""
MAX_STEPS = 128


@partial(jax.tree_util.register_dataclass, data_fields=("rows", "first"), meta_fields=())
@dataclass(frozen=True, eq=False, repr=False)
class Block:
    """The batches of L consecutive steps, as a pytree: an argument of the compiled loop.

    Attributes:
        rows: Arrays of a batch as `Batches` returns it, each [L, B, ...].
        first: First of the steps, int32 [].
    """

    rows: Any
    first: Any

    def __repr__(self) -> str:
        return f"Block({described(self.rows, leading=2)})"

    def __call__(self, step: Integer[Array, ""] | int) -> Batch:
        """The batch of one of the steps (unchecked)."""
        at = jnp.asarray(step, jnp.int32) - self.first
        return jax.tree.map(lambda rows: jax.lax.dynamic_index_in_dim(rows, at, keepdims=False), self.rows)


class Stream:
    """Batches of examples that are read when their step comes; what `Batches` is for data in memory.

    Args:
        examples: `examples[i]` is a dict of arrays, as `jaxgen.data.Examples` has it.
        seed: Seed of the order, 0 .. 2^32 - 1; `Batches` with the same seed has the same order.
        batch_size: B, at most the number of examples.
        block_steps: L, the steps of a block; None for what 64 MiB hold, at most 128.
        num_threads: Number of examples that are read and decoded at once.
        mesh: Devices that share each batch, by its rows. Each process reads the rows of its own devices only.

    Raises:
        ImportError: grain is not installed.
        ValueError: A seed, size or number that is none, or rows that the devices cannot share evenly.
    """

    def __init__(
        self,
        examples: Any,
        seed: int,
        batch_size: int,
        *,
        block_steps: int | None = None,
        num_threads: int = 16,
        mesh: Mesh | None = None,
    ):
        if importlib.util.find_spec("grain") is None:
            raise ImportError("streaming needs grain: pip install 'jaxgen[data]'")
        self.seed = integer("seed", seed, 0, 2**32 - 1)
        self.batch_size = integer("batch_size", batch_size, 1)
        if batch_size > len(examples):
            raise ValueError(f"batch_size must be at most the number of examples, {len(examples)}, got {batch_size}")
        if mesh is not None and batch_size % mesh.devices.size:
            raise ValueError(f"batch_size must be a multiple of the {mesh.devices.size} devices, got {batch_size}")
        self.examples, self._sharding = examples, None
        if mesh is not None:
            self._sharding = NamedSharding(mesh, PartitionSpec(None, mesh.axis_names))
        self.num_threads = integer("num_threads", num_threads, 1)
        if block_steps is None:
            row = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(examples[0]))
            block_steps = min(max(BLOCK_BYTES // (batch_size * row), 1), MAX_STEPS)
        self.block_steps = integer("block_steps", block_steps, 1)
        self._rows = _own_rows(self._sharding, (self.block_steps, self.batch_size))
        self._order = _Order(self.seed, len(examples), batch_size, self.block_steps)
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="jaxgen-stream")
        self._begun: tuple[int, Any] | None = None
        self._current: tuple[int, Block] | None = None
        self._next: tuple[int, Future[Block]] | None = None

    def __repr__(self) -> str:
        return f"Stream({self.batch_size} of {len(self.examples)} examples, {self.block_steps} steps a block)"

    def on(self, mesh: Mesh) -> "Stream":
        """The same batches, shared by the devices of a mesh."""
        return Stream(
            self.examples,
            self.seed,
            self.batch_size,
            block_steps=self.block_steps,
            num_threads=self.num_threads,
            mesh=mesh,
        )

    def __call__(self, step: int) -> Batch:
        """The batch of one step, all its rows, read now and apart from what is read ahead.

        Raises:
            ValueError: A step that is none.
        """
        step = integer("step", step, 0, 2**31 - 1)
        index = self._order(step)
        rows = [self.examples[i] for i in index.tolist()]
        return {**jax.tree.map(lambda *values: jnp.asarray(np.stack(values)), *rows), "index": jnp.asarray(index)}

    def reach(self, first: int) -> int:
        """How many steps from `first` on a feed holds: those to the end of its block."""
        return self.block_steps - first % self.block_steps

    def feed(self, first: int, num: int) -> Block:
        """The block that holds steps first .. first + num - 1; the next one is read in the background.

        Raises:
            ValueError: Steps that do not lie in one block, see `reach`; or an example that cannot be read.
        """
        if num > self.reach(first):
            raise ValueError(f"num must be at most reach({first}) = {self.reach(first)}, got {num}")
        number = first // self.block_steps
        if self._current is None or self._current[0] != number:
            waiting, self._next = self._next, None
            if waiting is None or waiting[0] != number:
                waiting = self._begin(number)
            self._current = (number, waiting[1].result())
            self._next = self._begin(number + 1)
        return self._current[1]

    def _begin(self, number: int) -> tuple[int, Future[Block]]:
        return number, self._reader.submit(self._block, number)

    def _block(self, number: int) -> Block:
        first, num = number * self.block_steps, self.block_steps * len(self._rows)
        begun, self._begun = self._begun, None  # what fails halfway is not continued
        iterator = begun[1] if begun is not None and begun[0] == first else self._read_from(first)
        examples = [next(iterator) for _ in range(num)]
        self._begun = (first + self.block_steps, iterator)

        def place(*values: Any) -> Array:
            own = np.stack(values).reshape(self.block_steps, len(self._rows), *np.shape(values[0]))
            if self._sharding is None:
                return jnp.asarray(own)

            def part(index: Any) -> np.ndarray:
                start, stop, _ = index[1].indices(self.batch_size)
                begin = np.searchsorted(self._rows, start)
                return own[:, begin : begin + stop - start]

            shape = (self.block_steps, self.batch_size, *own.shape[2:])
            return jax.make_array_from_callback(shape, self._sharding, part)

        return Block(rows=jax.tree.map(place, *examples), first=jnp.int32(first))

    def _read_from(self, first: int) -> Any:
        """An endless iterator over the own rows from a step on, read ahead by grain's threads."""
        import grain  # an optional dependency, two seconds of imports

        def read(position: int) -> dict[str, Any]:
            step, row = divmod(position, len(self._rows))
            index = self._order(step)[self._rows[row]]
            return {**self.examples[int(index)], "index": index}

        positions = grain.MapDataset.range(first * len(self._rows), 2**31 * len(self._rows))
        options = grain.ReadOptions(num_threads=self.num_threads, prefetch_buffer_size=max(64, 2 * self.num_threads))
        return iter(positions.map(read).to_iter_dataset(options))


def _own_rows(sharding: NamedSharding | None, shape: tuple[int, int]) -> np.ndarray:
    """Those rows of a batch that lie on devices of this process."""
    rows = np.arange(shape[1])
    if sharding is None:
        return rows
    parts = sharding.addressable_devices_indices_map(shape).values()
    return np.unique(np.concatenate([rows[part[1]] for part in parts if part is not None]))


class _Order:
    """Indices of the examples of a step, [B] int32, computed block by block on a CPU.

    Not on the accelerator: there they would wait for the steps in whose shadow the next block is read.
    """

    def __init__(self, seed: int, n: int, batch_size: int, block_steps: int):
        self._n, self._batch_size, self._block_steps = n, batch_size, block_steps
        try:
            self._device = jax.local_devices(backend="cpu")[0]
        except RuntimeError:  # JAX_PLATFORMS names an accelerator alone
            self._device = None
        with jax.default_device(self._device):
            self._key = jax.random.key(seed)
        self._lock = threading.Lock()
        self._block = lru_cache(maxsize=4)(self._compute)

    def __call__(self, step: int) -> np.ndarray:
        with self._lock:  # of many threads that need a new block, one computes it
            return self._block(step // self._block_steps)[step % self._block_steps]

    def _compute(self, number: int) -> np.ndarray:
        size = self._block_steps * self._batch_size
        epoch, within = np.divmod(np.arange(number * size, (number + 1) * size), self._n)  # int64
        epochs, which = np.unique(epoch, return_inverse=True)
        with jax.default_device(self._device):
            keys = np.stack([np.asarray(round_keys(self._key, int(e))) for e in epochs], axis=1)
            index = permute(jnp.asarray(within, jnp.uint32), self._n, jnp.asarray(keys[:, which]))
        return np.asarray(index).astype(np.int32).reshape(self._block_steps, self._batch_size)
