"""A prediction that is pushed towards its condition."""

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.events import require_events

Tree = TypeVar("Tree")

Conditioned: TypeAlias = Callable[[Array, Array, Any], Tree]
"""A function (x_t [B, *event], t [B], condition) -> [B, *event], or a pytree of such arrays."""


def guided(
    predict: Conditioned[Tree],
    w: float | Float[Array, ""],
    condition: Any,
    null: Any,
    *,
    interval: tuple[float, float] | None = None,
) -> Callable[[Array, Array], Tree]:
    """Classifier-free guidance of any prediction that is linear in the score: eps, x_0, v or the velocity.

        u + w (c - u)

    with c the prediction under the condition and u the one without. w = 0 is the unconditional model, w = 1 the
    conditional one, and w > 1 extrapolates beyond it. (In the paper's notation w - 1 is the weight.) Both predictions
    are made at once, in a batch of twice the size.

    Args:
        predict: (x_t, t, condition) -> prediction, an array or a pytree of arrays (`Ends`).
        w: Guidance weight.
        condition: Condition of each sample: a pytree of arrays [B, ...], labels for instance.
        null: Stand-in that the network saw in training where the condition was withheld, of the same shapes.
        interval: Smallest and largest t at which w is the weight; elsewhere it is 1. At strong noise guidance takes
            away variety, near the data it does nothing. None for all t.

    Returns:
        (x_t, t) -> guided prediction.

    Raises:
        ValueError: No condition, a weight that is not finite, an interval whose ends are not in order, or, when called,
            conditions of different shapes.

    Source: Ho & Salimans 2022, equation 6; for velocities Zheng et al. 2023, section 3; for the interval Kynkaanniemi
    et al. 2024, equation 5.
    """
    if not hasattr(w, "shape"):
        require.number("w", w)
    if not jax.tree.leaves(condition):
        raise ValueError(f"condition must be a pytree of arrays [B, ...] to guide towards, got {condition!r}")
    if interval is not None:
        low, high = interval
        require.number("interval[0]", low, 0)
        require.number("interval[1]", high, above=low)

    def both(x_t: Array, t: Array) -> Tree:
        c, u = conditional_and_not(predict, x_t, t, condition, null)
        weight = w
        if interval is not None:
            inside = (t >= interval[0]) & (t <= interval[1])
            weight = jnp.where(inside, w, 1).astype(x_t.dtype).reshape(inside.shape + (1,) * (x_t.ndim - 1))
        return jax.tree.map(lambda c, u: u + weight * (c - u), c, u)

    return both


def conditional_and_not(
    predict: Callable[[Array, Array, Any], Tree], x_t: Array, t: Array, condition: Any, null: Any
) -> tuple[Tree, Tree]:
    """Predictions under the condition and under its stand-in, made at once in a batch of twice the size.

    Raises:
        ValueError: A condition and a null that are not pytrees of arrays [B, ...] of equal shapes, or a prediction that
            is not shaped like x_t.
    """
    require_events(x_t=x_t)
    shapes, nulls = (jax.tree.map(jnp.shape, tree) for tree in (condition, null))
    num = x_t.shape[0]
    if shapes != nulls or any(jnp.shape(leaf)[:1] != (num,) for leaf in jax.tree.leaves(condition)):
        raise ValueError(f"condition and null must have equal shapes [{num}, ...], got {shapes} and {nulls}")
    x_t, t, condition = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), (x_t, t, condition), (x_t, t, null))
    predicted = predict(x_t, t, condition)
    for leaf in jax.tree.leaves(predicted):
        require_events(x_t=x_t, prediction=leaf)
    halves = jax.tree.map(lambda leaf: tuple(jnp.split(leaf, 2)), predicted)
    return jax.tree.transpose(jax.tree.structure(predicted), jax.tree.structure((0, 0)), halves)
