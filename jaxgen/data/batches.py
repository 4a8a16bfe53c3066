"""A batch as a function of the seed and the step, and of nothing else.

    p = step * B + j        position of row j since the beginning of training, j = 0 .. B-1
    epoch = p // n          each epoch is a permutation of the n examples (jaxgen.data.permutation)
    index = permutation_epoch(p mod n)

There is no iterator whose place a checkpoint would have to store: a resumed run asks for step 1000 and gets
what the uninterrupted run got. Nothing is dropped; a batch may end one epoch and begin the next.
"""

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Integer, UInt32

from jaxgen.core import Batch
from jaxgen.data.permutation import permute, round_keys
from jaxgen.data.spread import spread
from jaxgen.require import integer


@functools.partial(jax.tree_util.register_dataclass, data_fields=("arrays", "key"), meta_fields=("batch_size", "n"))
@dataclass(frozen=True, eq=False, repr=False)
class Batches:
    """Batches of data that the device holds, as a pytree: an argument of the compiled function.

        batches(step) -> {"x" [B, *event], "index" [B], and what else the split has}

    The step may be traced, in `scan` and `fori_loop` too. Hand `batches` itself to a jitted function; one
    that closes over it carries the data set as a constant.

    Args:
        arrays: "x" [n, *event] in storage dtype, and "label", "mask" and further fields if the data have them.
        key: Typed key from which the order of every epoch comes.
        batch_size: B, at most n.
        n: Number of examples.

    Raises:
        ValueError: batch_size out of 1..n, or n * batch_size out of the 32 bits that positions have.
    """

    arrays: Any
    key: Any
    batch_size: int
    n: int

    def __post_init__(self):
        # Sizes only: as a pytree it is also rebuilt around tracers, shardings and other stand-ins for arrays.
        integer("n", self.n, 1, 2**31 - 1)
        if integer("batch_size", self.batch_size, 1) > self.n:
            raise ValueError(f"batch_size must be at most the number of examples, {self.n}, got {self.batch_size}")
        if self.n * self.batch_size >= 2**32:
            raise ValueError(
                "batch_size times the number of examples must be below 2**32, "
                f"got {self.batch_size} * {self.n} = {self.n * self.batch_size}"
            )

    def __repr__(self) -> str:
        return f"Batches({self.batch_size} of {self.n} examples, {described(self.arrays)})"

    def __call__(self, step: Integer[Array, ""] | int | np.integer) -> Batch:
        """The batch of one step.

        Args:
            step: Number of the step, 0 .. 2^31 - 1 (unchecked if it is a jax array).

        Returns:
            "x" [B, *event] in storage dtype, "index" [B] int32, and "label", "mask" and further fields if the
            data have them.

        Raises:
            ValueError: A step out of range or of another kind.
        """
        if not isinstance(step, jax.Array):
            step = integer("step", step, 0, 2**31 - 1)
        elif not jnp.issubdtype(step.dtype, jnp.integer):
            raise ValueError(f"step must be an integer, got {step.dtype}")
        return _batch(self, jnp.asarray(step, jnp.uint32))

    def feed(self, first: int, num: int) -> "Batches":
        """Batches of steps first .. first + num - 1 for a compiled loop, which calls the result as `feed(step)`.

        Here it is the object itself, since data on the device hold every step. `Stream` loads a block of steps.
        """
        del first, num
        return self

    def reach(self, first: int) -> int:
        """How many steps from `first` on a feed holds: all there are."""
        return 2**31 - first

    def on(self, mesh: Mesh) -> "Batches":
        """The same batches, with all data on every device of a mesh."""
        return spread(self, NamedSharding(mesh, PartitionSpec()))


def described(arrays: Any, leading: int = 1) -> str:
    """A few words about examples: "uint8 [8, 8, 1] with label".

    Args:
        arrays: "x" and what else there is; anything may stand in place of the arrays, as in a pytree.
        leading: Number of axes before those of an event.
    """
    if not isinstance(arrays, Mapping) or "x" not in arrays or not hasattr(arrays["x"], "shape"):
        return "..."
    x, others = arrays["x"], [name for name in arrays if name != "x"]
    return f"{x.dtype} {list(x.shape[leading:])}" + (f" with {', '.join(others)}" if others else "")


@jax.jit
def _batch(batches: Batches, step: UInt32[Array, ""]) -> Batch:
    index = _indices(batches, step)
    rows = jax.tree.map(lambda array: array.at[index].get(mode="promise_in_bounds"), batches.arrays)
    return {**rows, "index": index.astype(jnp.int32)}


def _indices(batches: Batches, step: UInt32[Array, ""]) -> UInt32[Array, " b"]:
    n, batch_size = batches.n, batches.batch_size
    # step * B outgrows 32 bits, but positions repeat: `period` steps are exactly `epochs` epochs, and within
    # a period positions stay below lcm(n, B) <= n * B < 2^32. The epoch number itself is below step.
    common = math.gcd(n, batch_size)
    period, epochs = np.uint32(n // common), np.uint32(batch_size // common)
    begin = step % period * np.uint32(batch_size)
    epoch = step // period * epochs + begin // np.uint32(n)
    position = begin % np.uint32(n) + jnp.arange(batch_size, dtype=jnp.uint32)
    # B <= n: the batch lies in this epoch and at most the next.
    following = position >= n
    this_epoch, next_epoch = round_keys(batches.key, epoch), round_keys(batches.key, epoch + np.uint32(1))
    keys = jnp.where(following[None, :], next_epoch[:, None], this_epoch[:, None])
    return permute(jnp.where(following, position - np.uint32(n), position), n, keys)
