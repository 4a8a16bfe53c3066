"""What all equations do with events, the [b, *event] of one example each: check their shapes, and sum over them."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array


def require_shape(*allowed: tuple[int, ...], **arrays: Array | None) -> None:
    """Raises where jnp would broadcast silently. None, a mask that is not there, passes."""
    for name, array in arrays.items():
        if array is not None and array.shape not in allowed:
            raise ValueError(f"{name} must have shape {' or '.join(map(str, allowed))}, got {array.shape}")


def require_equal_shapes(**arrays: Array) -> None:
    """Raises where jnp would broadcast silently: [b, 1] against [b] makes b^2 pairs."""
    shapes = {name: array.shape for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(
            f"{' and '.join(shapes)} must have equal shapes, got {' and '.join(map(str, shapes.values()))}"
        )


def flat(*arrays: Any) -> tuple[Any, ...]:
    """Events as vectors, [b, d]; scalars and None as they are.

    XLA's CPU backend does not vectorise a sum over [h, w, 1], nor what is fused into it: on images of one channel that
    took 15 times as long.
    """
    return tuple(a if a is None or a.ndim < 2 else a.reshape(a.shape[0], -1) for a in arrays)


def sum_event(values: Array, mask: Array | None = None) -> Array:
    """The sum over all axes but the first; over the observed dimensions where there is a mask."""
    return jnp.sum(values, axis=tuple(range(1, values.ndim)), where=mask)
