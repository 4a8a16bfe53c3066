"""From an objective and an optimizer to a model: the one place where training steps are made.

    loss       losses [B] of the examples, from the objective; their mean is taken here, once
    gradient   of the mean, averaged over a mapped axis if there is one
    update     params <- params + tx(gradient)
    average    ema <- keep ema + (1 - keep) {params, collections}

A step is written for the global batch: under `jit` with a sharded batch XLA inserts the reductions. Under `pmap`, with
an `axis_name`, each device has a key of its own, and gradients and metrics are averaged here. Where the devices share
the state as well, parameters are gathered, and their gradients summed, at `whole`.

The two players of a game (`jaxgen.gan.game`) take their steps with the same `gradient`, `update` and `moving_average`.
"""

import functools
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax.sharding import AxisType, PartitionSpec

from jaxgen import require
from jaxgen.core import Aux, Batch, GenerativeModel, Metrics, Objective, PRNGKey, TrainState, Variables

P = TypeVar("P")

AXIS = "batch"
"""Name of the mesh axis of the devices that share a batch."""


def model(
    objective: Objective[P],
    tx: optax.GradientTransformation,
    *,
    ema_decay: float | None = None,
    axis_name: Hashable = None,
) -> GenerativeModel[TrainState, P]:
    """A model that learns an objective by gradient descent.

    Args:
        objective: Objective to learn: a family's own, or one of the user's.
        tx: Optimizer.
        ema_decay: Decay per update of the moving average of parameters and running statistics, which evaluation and
            sampling use, in [0, 1); None for no average.
        axis_name: Mapped axis when the step runs under pmap, see `jaxgen.train.parallel.pmap_step`; None under jit.

    Returns:
        The model; its metrics are "loss", "grad_norm" and those of the objective's loss.

    Raises:
        ValueError: A decay out of its range. When traced: a loss that does not return one value per example.
    """
    if ema_decay is not None:
        require.number("ema_decay", ema_decay, 0, below=1)

    @jax.jit
    def started(variables: Variables) -> TrainState:
        state = create(tx, variables["params"], rest(variables))
        # A copy: the loop donates its buffers, and none may be donated twice.
        return state if ema_decay is None else state.replace(ema=jax.tree.map(jnp.copy, state.variables))

    def init(key: PRNGKey, batch: Batch) -> TrainState:
        return started(objective.init(key, batch))

    @jax.jit
    def step(key: PRNGKey, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        require.typed_key("key", key)
        key = device_key(key, axis_name)
        change, metrics, collections = gradient(objective.loss, axis_name)(
            state.params, state.collections, key, batch, state.step
        )
        after = update(tx, state, change, collections)
        if ema_decay is not None:
            of = {"params": after.params, **after.collections}
            after = after.replace(ema=moving_average(ema_decay, state, after, state.ema, of))
        return after, metrics

    return GenerativeModel(init, step, objective.evaluate, objective.sample, objective.parts, objective)


def rest(variables: Variables) -> dict[str, Any]:
    """All collections of a network's variables but its parameters."""
    return {name: values for name, values in variables.items() if name != "params"}


def create(tx: optax.GradientTransformation, params: Any, collections: Any = None) -> TrainState:
    """Training state before the first update, without a moving average."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        opt_state = tx.init(params)
    return TrainState(jnp.zeros((), jnp.int32), params, opt_state, {} if collections is None else collections)


def update(tx: optax.GradientTransformation, state: TrainState, change: Any, collections: Any = None) -> TrainState:
    """One update by the gradient of the loss; the moving average stays.

    Optimizers promote dtypes and ranks freely (adam does not run under strict promotion), so the strict promotion of
    objectives and networks is switched off here.

    Args:
        tx: Optimizer.
        state: State before the update.
        change: Gradient of the loss with respect to the parameters.
        collections: Further collections after the loss; None where they are the same.
    """
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        updates, opt_state = tx.update(change, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
    after = state.collections if collections is None else collections
    return state.replace(step=state.step + 1, params=params, opt_state=opt_state, collections=after)


def updates_made(state: TrainState) -> jax.Array:
    """Number of updates of the parameters so far: fewer than steps where gradients are accumulated."""

    def accumulates(node: Any) -> bool:
        return isinstance(node, optax.MultiStepsState)

    counts = [node.gradient_step for node in jax.tree.leaves(state.opt_state, is_leaf=accumulates) if accumulates(node)]
    # Several counts, if parts of the parameters have optimizers of their own: take the one that updates most often.
    return functools.reduce(jnp.maximum, counts) if counts else state.step


def moving_average(decay: float, before: TrainState, after: TrainState, average: Any, of: Any) -> Any:
    """Exponential moving average after a step; it changes only if the step made an update.

        average <- keep average + (1 - keep) of,     keep = min(decay, (1 + n) / (10 + n)),     n updates made before

    The average forgets faster at first; otherwise the initial random parameters would stay in it for long.

    Args:
        decay: Largest share of the average that an update leaves, in [0, 1); 0 for no average, `of` itself.
        before: State before the step.
        after: State after the step.
        average: Average so far, a pytree.
        of: Pytree of new values, of the same structure.
    """
    n = updates_made(before).astype(jnp.float32)
    keep = jnp.minimum(jnp.float32(decay), (1 + n) / (10 + n)) if decay else jnp.float32(0)

    def towards(new: Any, old: Any) -> Any:
        # Counters and other collections of integers have no average: the average has their last value.
        return optax.incremental_update(new, old, 1 - keep) if jnp.issubdtype(new.dtype, jnp.floating) else new

    moved = jax.tree.map(towards, of, average)
    if not decay or updates_made(before) is before.step:  # every step is an update
        return moved
    updated = updates_made(after) > updates_made(before)
    return jax.tree.map(lambda new, old: jnp.where(updated, new, old), moved, average)


def gradient(
    loss: Callable[..., tuple[jax.Array, Aux]], axis_name: Hashable = None
) -> Callable[..., tuple[Any, dict[str, jax.Array], dict[str, Any]]]:
    """Gradient of the mean of a loss, with everything else that a step needs of it.

    Args:
        loss: (variables, key, batch, step) -> (losses [B], `Aux`), as an objective has it.
        axis_name: Mapped axis over which gradient and metrics are averaged; None under jit, where the step is
            written for the global batch and XLA inserts the reduction.

    Returns:
        (params, collections, key, batch, step) -> (gradient, metrics, collections after the loss); the metrics are
        means, among them "loss" and "grad_norm".
    """

    def mean(params: Any, collections: Variables, *arguments: Any) -> tuple[jax.Array, tuple[Any, Any]]:
        losses, aux = _checked(loss({"params": params, **collections}, *arguments))
        means = {"loss": losses.mean(), **{name: value.mean() for name, value in aux.metrics.items()}}
        return means["loss"], (means, {**collections, **aux.collections})

    def of_mean(params: Any, collections: Variables, *arguments: Any) -> tuple[Any, Any, Any]:
        params, collections = whole((params, collections))
        grads, (metrics, after) = whole(jax.grad(mean, has_aux=True)(params, collections, *arguments))
        if axis_name is not None:
            grads, metrics = jax.lax.pmean((grads, metrics), axis_name)
        return grads, {**metrics, "grad_norm": optax.tree.norm(grads)}, after

    return of_mean


def whole(tree: Any) -> Any:
    """Arrays that a network computes with, or their gradient: whole on every device, where the devices share the state.

    The compiler would otherwise carry the sharding of parameters on into the layers, and examples would move between
    devices. The training loop says that the state is shared by an ambient mesh (`jaxgen.train.fit`, `shard_state`);
    where it does not, the arrays are returned as they are.

    Args:
        tree: Traced arrays.
    """
    ambient = jax.sharding.get_abstract_mesh()
    # (Under pmap the axis of that name is divided by hand.)
    if dict(zip(ambient.axis_names, ambient.axis_types, strict=True)).get(AXIS) is not AxisType.Auto:
        return tree
    return jax.lax.with_sharding_constraint(tree, PartitionSpec())


def device_key(key: PRNGKey, axis_name: Hashable) -> PRNGKey:
    """Key of this device under pmap, so that the shards of a batch get different noise; otherwise the key itself."""
    return key if axis_name is None else jax.random.fold_in(key, jax.lax.axis_index(axis_name))


def shared_key(key: PRNGKey, axis_name: Hashable) -> PRNGKey:
    """One key for all devices of a mapped axis, that of the first, for draws that belong to the whole batch."""
    if axis_name is None:
        return key
    data = jax.random.key_data(key)
    of_first = jnp.where(jax.lax.axis_index(axis_name) == 0, data, jnp.zeros_like(data))
    return jax.random.wrap_key_data(jax.lax.psum(of_first, axis_name), impl=jax.random.key_impl(key))


def of_all_devices(draw: Callable[[PRNGKey, int], jax.Array], key: PRNGKey, num: int, axis_name: Hashable) -> jax.Array:
    """Draws that are made for the batch of all devices at once, spread evenly over it for instance.

    Args:
        draw: (key, num) -> `num` draws along the first axis.
        key: Key of this device.
        num: Number of examples on this device.
        axis_name: Mapped axis under pmap, of which this device's part is returned; None under jit, for all.
    """
    if axis_name is None:
        return draw(key, num)
    whole = draw(shared_key(key, axis_name), num * jax.lax.axis_size(axis_name))
    return jax.lax.dynamic_slice_in_dim(whole, jax.lax.axis_index(axis_name) * num, num)


def _checked(result: Any) -> tuple[jax.Array, Aux]:
    """Check that a step can use the result of a loss, and return it.

    Raises:
        ValueError: Anything but floating losses [B] with an `Aux`.
    """
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], Aux)):
        raise ValueError(f"loss must return (losses [B], core.Aux(metrics, collections)), got {_kind(result)}")
    losses, aux = result
    if getattr(losses, "ndim", None) != 1 or not jnp.issubdtype(losses.dtype, jnp.floating):
        raise ValueError(f"loss must return one floating value per example, [B], got {_kind(losses)}")
    if not isinstance(aux.metrics, Mapping) or {"loss", "grad_norm"} & {*aux.metrics}:
        raise ValueError(f'metrics of a loss must be a mapping without "loss" and "grad_norm", got {[*aux.metrics]}')
    return losses, aux


def _kind(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_kind, value))})"
    return f"{value.dtype}{list(value.shape)}" if hasattr(value, "shape") else type(value).__name__
