"""The protocol of training data."""

from typing import Any, Protocol, runtime_checkable

from jax.sharding import Mesh

from jaxgen.core import Batch


@runtime_checkable
class BatchSource(Protocol):
    """Batches by step: `Batches`, `Stream`, what `from_iterator` returns, or a class of your own.

    Training compiles one program that makes many steps, and hands it a *feed*: a pytree of arrays that is callable,
    `feed(step) -> batch`, with a step that is traced. Data that lie on the device are their own feed; others are fed
    by blocks of steps. If the batch of a step depends on nothing but the step, a run that is resumed or repeated is
    the same to the bit.

    Attributes:
        batch_size: Examples of a batch, the same in every step.
    """

    @property
    def batch_size(self) -> int: ...

    def __call__(self, step: int) -> Batch:
        """The batch of one step; training asks for the first one, to initialise the model."""
        ...

    def feed(self, first: int, num: int) -> Any:
        """A feed that holds steps first .. first + num - 1, num at most `reach(first)`.

        All feeds have the same shapes, or the program is compiled anew.
        """
        ...

    def reach(self, first: int) -> int:
        """How many steps a feed from `first` on can hold; 0 where the data have come to their end."""
        ...

    def on(self, mesh: Mesh) -> "BatchSource":
        """The same batches for the devices of a mesh, divided or copied."""
        ...
