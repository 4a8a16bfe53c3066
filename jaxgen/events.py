"""Checks of events, the [b, *event] of one example each, and sums over them, for all equations.

Shapes and dtypes are known while a function is traced, so that checks cost nothing when it runs. Without them jnp
broadcasts [b, 1] against [b] to b^2 pairs, and casts a table of coefficients below 1 to integers, which makes it 0.
"""

from typing import Any

import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxgen import require


def require_floats(**arrays: Any) -> None:
    """Raises where integers, bools or what is no array stand for real numbers. None passes."""
    _require_kind("a floating dtype", jnp.floating, arrays)


def require_integers(**arrays: Any) -> None:
    """Raises where floats, bools or what is no array stand for integers. None passes."""
    _require_kind("an integer dtype", jnp.integer, arrays)


def require_bools(**arrays: Any) -> None:
    """Raises where anything but an array of bools stands for a mask. None passes."""
    _require_kind("dtype bool", jnp.bool_, arrays)


def require_shape(*allowed: tuple[int, ...], **arrays: Any) -> None:
    """Raises where jnp would broadcast silently. None, a mask that is not there, passes."""
    for name, array in arrays.items():
        if array is not None and _shape(array) not in allowed:
            raise ValueError(f"{name} must have shape {' or '.join(map(str, allowed))}, got {_shape(array)}")


def require_rank(rank: int, axes: str, **arrays: Any) -> None:
    """Raises where an array has another number of axes; `axes` names them in the message, as in "[k, b]"."""
    for name, array in arrays.items():
        if array is not None and len(_shape(array)) != rank:
            raise ValueError(f"{name} must have shape {axes}, got {_shape(array)}")


def require_equal_shapes(**arrays: Any) -> None:
    """Raises where jnp would broadcast silently: [b, 1] against [b] makes b^2 pairs."""
    shapes = {name: _shape(array) for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(
            f"{' and '.join(shapes)} must have equal shapes, got {' and '.join(map(str, shapes.values()))}"
        )


def require_events(**arrays: Any) -> None:
    """Raises unless all are floats [b, *event] of one shape: none would be broadcast against another."""
    require_floats(**arrays)
    for name, array in arrays.items():
        if len(_shape(array)) < 1:
            raise ValueError(f"{name} must have shape [b, *event], got ()")
    require_equal_shapes(**arrays)


def require_per_example(**arrays: Any) -> None:
    """Raises unless all are floats [b], one value per example, of one length."""
    require_floats(**arrays)
    require_equal_shapes(**arrays)
    require_rank(1, "[b]", **arrays)


def require_latent(latent_dim: int, **arrays: Any) -> None:
    """Raises unless all are floats [b, latent_dim] of one shape."""
    require_floats(**arrays)
    for name, array in arrays.items():
        if len(_shape(array)) != 2 or array.shape[1] != latent_dim:
            raise ValueError(f"{name} must have shape [b, {latent_dim}], got {_shape(array)}")
    require_equal_shapes(**arrays)


def require_mask(shape: tuple[int, ...], mask: Any) -> None:
    """Raises unless a mask, where there is one, holds bools and has this shape."""
    require_bools(mask=mask)
    require_shape(shape, mask=mask)


def require_levels(levels: int | None, **arrays: Any) -> None:
    """Raises where concrete grey levels do not lie on their grid in [-1, 1]; NaN passes, and real values (None) do."""
    if levels is None:
        return
    require.size("levels", levels, 2)
    for name, array in arrays.items():
        if isinstance(array, jax.core.Tracer):
            continue
        x = np.asarray(array, np.float64)
        if (np.abs(x) > 1 + 1e-6).any():
            raise ValueError(f"{name} must lie in [-1, 1] for {levels} levels, got {x.min()}..{x.max()}")
        place = (x + 1) / 2 * (levels - 1)
        off = np.abs(place - np.round(place))
        if (off > 0.01).any():
            raise ValueError(f"{name} must be one of {levels} levels on [-1, 1], got {x.flat[off.argmax()]}")


def flat(*arrays: Any) -> tuple[Any, ...]:
    """Events as vectors, [b, d]; scalars and None as they are.

    XLA's CPU backend does not vectorise a sum over [h, w, 1], nor what is fused into it: on images of one channel that
    took 15 times as long.
    """
    return tuple(a if a is None or a.ndim < 2 else a.reshape(a.shape[0], -1) for a in arrays)


def sum_event(values: Array, mask: Array | None = None) -> Array:
    """The sum over all axes but the first; over the observed dimensions where there is a mask."""
    return jnp.sum(values, axis=tuple(range(1, values.ndim)), where=mask)


def _require_kind(rule: str, kind: Any, arrays: dict[str, Any]) -> None:
    for name, array in arrays.items():
        if array is None:
            continue
        if not hasattr(array, "dtype") or not hasattr(array, "shape"):
            raise ValueError(f"{name} must be an array of {rule}, got {type(array).__name__} {array!r}")
        if not jnp.issubdtype(array.dtype, kind):
            raise ValueError(f"{name} must have {rule}, got {array.dtype}")


def _shape(array: Any) -> tuple[int, ...]:
    return array.shape if hasattr(array, "shape") else np.shape(array)
