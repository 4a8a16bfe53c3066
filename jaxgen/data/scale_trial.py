"""A scale is tried on the data before anything is trained on it."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.data.scale import Arcsinh, Functions, Identity, Standardise, ToRange

_ROWS = 64


def checked(scale: Any, x: np.ndarray, mask: np.ndarray | None = None) -> Any:
    """The scale, fitted to the training split and tried on some of it.

    Args:
        scale: One of the scales above.
        x: Training examples, float32 [N, *event].
        mask: True where a value is observed.

    Raises:
        ValueError: No scale; one that does not fit the values, is not finite or not invertible on them, or moves values
            by others than themselves; bounded, and values beyond [-1, 1].
    """
    if not isinstance(scale, Identity | Standardise | ToRange | Arcsinh | Functions):
        raise ValueError(
            "scale must be Identity(), Standardise(), ToRange(), Arcsinh() or Functions(...) of jaxgen.data, "
            f"got {scale!r}"
        )
    scale = scale.fitted(x, mask)
    seen = x if mask is None else np.where(mask, x, np.float32(0))
    ends = np.unravel_index([seen.argmin(), seen.argmax()], seen.shape)[0]
    rows = np.concatenate([ends, np.linspace(0, len(x) - 1, min(len(x), _ROWS)).astype(int)])
    some = jnp.asarray(x[rows])
    observed = np.ones(some.shape, bool) if mask is None else mask[rows]
    u, slope = jax.jvp(scale.forward, (some,), (jnp.ones_like(some),))
    if u.shape != some.shape or u.dtype != some.dtype:
        raise ValueError(f"scale must keep shape and dtype, {some.shape} {some.dtype}, got {u.shape} {u.dtype}")
    log_derivative, back = scale.log_derivative(some), scale.inverse(u)
    finite = np.isfinite(np.asarray(u)) & np.isfinite(np.asarray(log_derivative)) & np.isfinite(np.asarray(back))
    _refuse(scale, x[rows], observed & ~finite, "must be finite, with a finite slope that is not 0,")
    spread = float(np.ptp(x[rows][observed])) if observed.any() else 1.0
    wrong = np.abs(np.asarray(back) - x[rows]) > 1e-3 * (np.abs(x[rows]) + 1e-2 * spread)
    _refuse(scale, x[rows], observed & wrong, "must have an inverse that leads back")
    direction = jnp.asarray(np.random.default_rng(0).uniform(0.5, 1.5, some.shape), some.dtype)
    moved = np.asarray(jax.jvp(scale.forward, (some,), (direction,))[1])
    mixed = np.abs(moved - np.asarray(slope * direction)) > 1e-3 * np.abs(np.asarray(slope))
    _refuse(scale, x[rows], observed & mixed, "must move each value by itself, without its neighbours,")
    if scale.bounded:
        _refuse(scale, x[rows], observed & (np.abs(np.asarray(u)) > 1 + 1e-4), "must lead to [-1, 1], as it says,")
    return scale


def _refuse(scale: Any, x: np.ndarray, wrong: np.ndarray, rule: str) -> None:
    if wrong.any():
        raise ValueError(f"scale {rule} got {scale} at x = {x[wrong][0]:g}")
