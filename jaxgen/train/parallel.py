"""Several devices: the same step, written for the global batch.

Under `jit` the batch is sharded over the mesh and the state replicated; XLA inserts the reductions, and the
numbers are those of one device up to the order of floating-point sums. `pmap` is the other idiom: a thin adapter
over the same step for a model whose config names the mapped axis.

A state that is too large to lie on every device is sharded as well (`state_sharding`), over the same devices:

    at rest      each device holds its part of parameters, optimizer memory and average
    in a step    parameters are gathered; the rest of the step is as before, on the device's part of the batch
    at its end   each device updates its part, for which it needs its part of the gradient alone
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from jaxgen import require
from jaxgen.core import Batch, GenerativeModel, Metrics, PRNGKey
from jaxgen.data.spread import spread
from jaxgen.learning import AXIS

SMALLEST = 2**10
"""Fewest elements of an array that is worth sharding: below, the message costs more than the memory."""

_MEMORY = ("opt_state", "ema_params", "ema_variables")
"""Parts of a state that a step updates element by element and reads for nothing else, at any depth of its paths."""


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


def state_sharding(over: Mesh, state: Any) -> Any:
    """The sharding of every array of a state: its largest axis that the devices can share evenly is divided.

    An array with fewer than `SMALLEST` elements, or without such an axis, lies whole on every device. Of several
    largest axes the first is divided.

    Args:
        over: Devices.
        state: Any pytree of arrays or of their shapes.

    Returns:
        A tree of shardings of the same structure.
    """
    count = over.devices.size

    def of(leaf: Any) -> NamedSharding:
        axes = [axis for axis, size in enumerate(leaf.shape) if size % count == 0]
        if not axes or math.prod(leaf.shape) < SMALLEST:
            return replicated(over)
        axis = max(axes, key=lambda axis: leaf.shape[axis])
        return NamedSharding(over, PartitionSpec(*[None] * axis, AXIS))

    return jax.tree.map(of, state)


def placed(state: Any, over: Mesh | None, shard_state: bool = False) -> Any:
    """A copy of a state on the devices that train it, none of whose buffers is another's.

    Args:
        state: Any pytree of arrays, numpy's among them: these go from the host to their devices part by part.
        over: Devices; None for jax's default device.
        shard_state: Whether the state is divided among the devices.
    """
    if over is not None and not replicated(over).is_fully_addressable:  # of several processes
        return spread(state, state_sharding(over, state) if shard_state else replicated(over))
    if over is None or not shard_state:
        copied = jax.tree.map(jnp.copy, state)
        return copied if over is None else jax.device_put(copied, replicated(over))
    return jax.device_put(state, state_sharding(over, state), may_alias=False)


def begun(
    init: Callable[[PRNGKey, Batch], Any], key: PRNGKey, batch: Batch, over: Mesh | None, shard_state: bool = False
) -> Any:
    """A new state; one that will be divided among devices never lies whole on any of them.

    Args:
        init: Function of a model that makes it: (key, batch) -> state.
        key: Key of its randomness.
        batch: First batch.
        over: Devices that train it; None for jax's default device.
        shard_state: Whether it is divided among the devices.

    Returns:
        The state, divided or on the default device; the numbers are the same.
    """
    if over is None or not shard_state or over.devices.size == 1:
        return init(key, batch)
    like = jax.eval_shape(lambda key: init(key, batch), key)  # models look at the values of their first batch
    shapes, tree = jax.tree.flatten(like)
    shardings = jax.tree.leaves(state_sharding(over, like))
    places = range(len(shapes))
    # Two programs: a vector may be a sum over a matrix (of a spectral norm), whose order division would change.
    matrices = [place for place in places if len(shapes[place].shape) > 1]
    vectors = [place for place in places if len(shapes[place].shape) < 2]

    def some(chosen: list[int], divided: bool) -> Any:
        made = jax.jit(
            lambda key, batch: [jax.tree.leaves(init(key, batch))[place] for place in chosen],
            out_shardings=[shardings[place] if divided else replicated(over) for place in chosen],
        )(*spread((key, batch), replicated(over)))
        return jax.device_put(made, [shardings[place] for place in chosen])

    leaves = dict(zip([*matrices, *vectors], [*some(matrices, True), *some(vectors, False)], strict=True))
    return jax.tree.unflatten(tree, [leaves[place] for place in places])


def at_rest(state: Any, over: Mesh) -> Any:
    """A traced state, held to `state_sharding`."""
    return jax.lax.with_sharding_constraint(state, state_sharding(over, state))


def in_use(state: Any, over: Mesh) -> Any:
    """A traced state as a step uses it: what is computed with lies whole on every device, memory stays divided."""
    everywhere = replicated(over)

    def of(path: Any, sharding: NamedSharding) -> NamedSharding:
        return sharding if _is_memory(path, _MEMORY) else everywhere

    return jax.lax.with_sharding_constraint(state, jax.tree_util.tree_map_with_path(of, state_sharding(over, state)))


def gathered(state: Any) -> Any:
    """A state to look at between steps: all but the memory of optimizers lies whole on every device that had a part.

    Evaluation and samples then compute what they compute with a state that was never divided, bit for bit.

    Args:
        state: Any state; arrays that are not divided are returned as they are.
    """

    def whole(path: Any, leaf: Any) -> Any:
        sharding = getattr(leaf, "sharding", None)
        if not isinstance(sharding, NamedSharding) or sharding.is_fully_replicated or _is_memory(path, ("opt_state",)):
            return leaf
        return jax.device_put(leaf, NamedSharding(sharding.mesh, PartitionSpec()))

    return jax.tree_util.tree_map_with_path(whole, state)


def _is_memory(path: Any, names: tuple[str, ...]) -> bool:
    # A network may have parameters of these names: the first name that a state gives its parts decides.
    parts = jax.tree_util.keystr(path, simple=True, separator="/").split("/")
    return next((part in names for part in parts if part in ("params", "variables", *_MEMORY)), False)


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
