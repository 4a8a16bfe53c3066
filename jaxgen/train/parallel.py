"""Several devices: the same step, written for the global batch.

Under `jit` the batch is sharded over the mesh and the state replicated; XLA inserts the reductions, and the
numbers are those of one device up to the order of floating-point sums. `pmap` is the other idiom: a thin adapter
over the same step for a model whose config names the mapped axis.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxgen import require
from jaxgen.core import Batch, GenerativeModel, Metrics, PRNGKey

AXIS = "batch"


def mesh(num_devices: int | None = None) -> Mesh:
    """A one-dimensional mesh over the first devices.

    Args:
        num_devices: Number of devices; None takes all.

    Raises:
        ValueError: More devices than there are, or less than one.
    """
    devices = jax.devices()
    count = len(devices)
    if num_devices is not None:
        count = require.integer("num_devices", num_devices, 1, len(devices), "the devices at hand")
    return Mesh(np.array(devices[:count]), (AXIS,), axis_types=(AxisType.Auto,))


def replicated(over: Mesh) -> NamedSharding:
    """The sharding that puts the whole array on every device."""
    return NamedSharding(over, PartitionSpec())


def sharded(over: Mesh) -> NamedSharding:
    """The sharding that divides the leading axis among the devices."""
    return NamedSharding(over, PartitionSpec(AXIS))


def pmap_step(model: GenerativeModel, axis_name: str) -> Callable[..., tuple[Any, Metrics]]:
    """The model's step under `jax.pmap`: (key, states, batch) -> (states, metrics).

    Args:
        model: A model whose config has this `axis_name`; without it the replicas would drift apart.
        axis_name: Name of the mapped axis.

    Returns:
        A function of one key, states with a leading axis of devices (see `replicate`) and a global batch
        [devices * B, ...]; it returns such states, identical on all devices, and metrics [devices].

        Raises ValueError where the batch is not a multiple of the number of devices.
    """
    mapped = jax.pmap(model.step, axis_name=axis_name, in_axes=(None, 0, 0))

    def step(key: PRNGKey, states: Any, batch: Batch) -> tuple[Any, Metrics]:
        count = jax.tree.leaves(states)[0].shape[0]

        def divide(x: Any) -> Any:
            if x.shape[0] % count:
                raise ValueError(f"the batch must be a multiple of the {count} devices, got {x.shape[0]}")
            return x.reshape(count, x.shape[0] // count, *x.shape[1:])

        return mapped(key, states, jax.tree.map(divide, dict(batch)))

    return step


def replicate(state: Any, num_devices: int | None = None) -> Any:
    """The state once per device, as `pmap_step` takes it: every leaf gains a leading axis."""
    over = mesh(num_devices)
    count = over.devices.size
    return jax.device_put(
        jax.tree.map(lambda x: np.broadcast_to(np.asarray(x), (count, *x.shape)), state), sharded(over)
    )
