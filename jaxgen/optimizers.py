"""Optimizers as configs: frozen dataclasses that can be written to a manifest and become optax transformations.

Any other `optax.GradientTransformation` can be passed to the model's factory instead (`tx=...`).
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import optax

from jaxgen import require
from jaxgen.core import PRNGKey, TrainState


@dataclass(frozen=True)
class Constant:
    """The same learning rate at every update."""

    def schedule(self, peak: float) -> optax.Schedule:
        return optax.constant_schedule(peak)

    def lasting(self, num_steps: int) -> "Constant":
        """This schedule unchanged: it has no end."""
        return self


@dataclass(frozen=True)
class Cosine:
    """Linear warm-up, then half a cosine down to `final` times the peak.

    Args:
        decay_steps: Updates until the end of the decay, warm-up included; None for as long as training lasts (an
            experiment fills it in, see `Adam.lasting`).
        warmup_steps: Updates of the linear warm-up.
        final: Ratio of the last rate to the peak rate.

    Raises:
        ValueError: A number outside its range, or decay_steps that is not larger than warmup_steps or still None when
            it is needed.
    """

    decay_steps: int | None = None
    warmup_steps: int = 0
    final: float = 0.0

    def __post_init__(self):
        require.size("warmup_steps", self.warmup_steps, 0)
        require.number("final", self.final, 0, 1)
        if self.decay_steps is not None:
            require.size("decay_steps", self.decay_steps)
        if self.decay_steps is not None and self.warmup_steps >= self.decay_steps:
            raise ValueError(
                f"decay_steps must be larger than warmup_steps={self.warmup_steps}, got {self.decay_steps}"
            )

    def lasting(self, num_steps: int) -> "Cosine":
        """This schedule, with `decay_steps` set to `num_steps` where it is None."""
        return self if self.decay_steps is not None else dataclasses.replace(self, decay_steps=num_steps)

    def schedule(self, peak: float) -> optax.Schedule:
        if self.decay_steps is None:
            raise ValueError("decay_steps must be known to train, got None; give it, or use Adam.lasting(num_steps)")
        return optax.warmup_cosine_decay_schedule(
            init_value=peak if self.warmup_steps == 0 else 0.0,
            peak_value=peak,
            warmup_steps=self.warmup_steps,
            decay_steps=self.decay_steps,
            end_value=peak * self.final,
        )


class Optimizer(Protocol):
    """Interface that a model's config needs of its optimizer."""

    def transformation(self) -> optax.GradientTransformation: ...


@dataclass(frozen=True)
class Adam:
    """Adam with a learning-rate schedule, weight decay, clipping and accumulation of gradients.

    Args:
        learning_rate: Peak learning rate.
        schedule: Learning-rate schedule over the updates.
        b1: Decay of the first moment.
        b2: Decay of the second moment.
        tiny: Guard of the division (optax: eps).
        weight_decay: Decoupled weight decay (AdamW).
        clip_norm: Largest global norm of the gradient; None for no clipping.
        accumulate: Number of steps whose mean gradient makes one update.

    Raises:
        ValueError: A number outside its range.
    """

    learning_rate: float = 1e-3
    schedule: Constant | Cosine = Constant()
    b1: float = 0.9
    b2: float = 0.999
    tiny: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float | None = None
    accumulate: int = 1

    def __post_init__(self):
        require.number("learning_rate", self.learning_rate, above=0)
        for name in ("b1", "b2"):
            require.number(name, getattr(self, name), 0, below=1)
        require.number("tiny", self.tiny, above=0)
        require.number("weight_decay", self.weight_decay, 0)
        if self.clip_norm is not None:
            require.number("clip_norm", self.clip_norm, above=0)
        require.size("accumulate", self.accumulate)
        require.fields(self)

    def lasting(self, num_steps: int) -> "Adam":
        """This optimizer, with a learning-rate schedule of open end set to last `num_steps` steps."""
        return dataclasses.replace(self, schedule=self.schedule.lasting(math.ceil(num_steps / self.accumulate)))

    def transformation(self) -> optax.GradientTransformation:
        rate = self.schedule.schedule(self.learning_rate)
        tx = optax.adam(rate, b1=self.b1, b2=self.b2, eps=self.tiny)
        if self.weight_decay > 0:
            tx = optax.adamw(rate, b1=self.b1, b2=self.b2, eps=self.tiny, weight_decay=self.weight_decay)
        if self.clip_norm is not None:
            tx = optax.chain(optax.clip_by_global_norm(self.clip_norm), tx)
        if self.accumulate > 1:
            tx = optax.MultiSteps(tx, every_k_schedule=self.accumulate).gradient_transformation()
        return tx


def create(tx: optax.GradientTransformation, params: Any, variables: Any = None) -> TrainState:
    """Training state before the first update."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        opt_state = tx.init(params)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=opt_state,
        variables={} if variables is None else variables,
    )


def update(tx: optax.GradientTransformation, state: TrainState, gradient: Any, variables: Any = None) -> TrainState:
    """One update by the gradient of the loss.

    Optimizers promote dtypes and ranks freely (adam does not run under strict promotion), so the strict promotion of
    objectives and networks is switched off here.
    """
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        updates, opt_state = tx.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
    return TrainState(
        step=state.step + 1,
        params=params,
        opt_state=opt_state,
        variables=state.variables if variables is None else variables,
    )


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
    moved = optax.incremental_update(of, average, 1 - keep)
    if not decay or updates_made(before) is before.step:  # every step is an update
        return moved
    updated = updates_made(after) > updates_made(before)
    return jax.tree.map(lambda new, old: jnp.where(updated, new, old), moved, average)


def average_gradient(loss: Callable[..., tuple[jax.Array, Any]], axis_name: Hashable) -> Callable[..., tuple[Any, Any]]:
    """Gradient of `loss(params, ...) -> (scalar, metrics)`, averaged over `axis_name` under pmap.

    Args:
        loss: Mean loss of the examples at hand, with its metrics (a mapping of scalars).
        axis_name: Mapped axis over which gradient and metrics are averaged; None under jit, where the step is
            written for the global batch and XLA inserts the reduction.

    Returns:
        A function with the arguments of `loss` that returns (gradient, metrics with "grad_norm").
    """

    def gradient(params: Any, *arguments: Any) -> tuple[Any, Any]:
        grads, metrics = jax.grad(loss, has_aux=True)(params, *arguments)
        if axis_name is not None:
            grads, metrics = jax.lax.pmean((grads, metrics), axis_name)
        return grads, {**metrics, "grad_norm": optax.tree.norm(grads)}

    return gradient


def device_key(key: PRNGKey, axis_name: Hashable) -> PRNGKey:
    """Key of this device under pmap, so that the shards of a batch get different noise; otherwise the key itself."""
    return key if axis_name is None else jax.random.fold_in(key, jax.lax.axis_index(axis_name))
