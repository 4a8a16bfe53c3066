"""Checks of sets that are compared: sets of features, and sets of images."""

from typing import Any

import numpy as np
from jaxtyping import Array, Float, Real, Shaped

from jaxgen import require


def feature_sets(**sets: Real[Array | np.ndarray, "_ _"]) -> list[Real[np.ndarray, "_ _"]]:
    """Sets of features as numpy arrays, if a distance between their distributions has a meaning.

    Raises:
        ValueError: Fewer than two examples, different numbers of features, values that are not finite, or a set in
            which all examples have the same features.
    """
    found = {name: require.plain_array(name, features) for name, features in sets.items()}
    first, *_ = found
    for name, features in found.items():
        if features.ndim != 2 or features.dtype.kind not in "fiub":
            raise ValueError(f"{name} must be numbers [n, d], got {features.dtype} of shape {features.shape}")
        if len(features) < 2:
            raise ValueError(f"{name} must hold at least two examples, got {len(features)}")
        if features.shape[1] == 0:
            raise ValueError(f"{name} must have at least one feature, got none")
        if features.shape[1] != found[first].shape[1]:
            raise ValueError(
                f"{name} must have as many features as {first}, {found[first].shape[1]}, got {features.shape[1]}"
            )
        with np.errstate(invalid="ignore", over="ignore"):
            total = features.sum(dtype=np.float64)  # finite if all are, and takes no memory
        if not np.isfinite(total):
            raise ValueError(f"{name} must be finite, got NaN or infinity")
        if (features == features[:1]).all():
            raise ValueError(f"{name} must not be constant, got {len(features)} examples with the same features")
    return list(found.values())


def image_sets(
    *, bounded: bool = True, **sets: Shaped[Array | np.ndarray, "..."]
) -> list[Float[np.ndarray, "_ _ _ _"]]:
    """Sets of images as numpy arrays, if they are images of one kind: same size and channels, floating in [0, 1].

    Args:
        bounded: Whether values must lie in [0, 1]; real values on a scale of their own need only be finite.
        sets: Images [n, height, width, channels] by the name that an error gives them.

    Raises:
        ValueError: No images, other sizes or channels, integers, values outside [0, 1], NaN or infinity.
    """
    found = {name: require.plain_array(name, images) for name, images in sets.items()}
    first, *_ = found
    for name, images in found.items():
        if images.ndim != 4 or images.size == 0:
            raise ValueError(f"{name} must be images [n, height, width, channels], at least one, got {images.shape}")
        if images.shape[1:] != found[first].shape[1:]:
            raise ValueError(
                f"{name} must have height, width and channels of {first}, {found[first].shape[1:]}, "
                f"got {images.shape[1:]}"
            )
        _require_values(name, images, bounded)
    return list(found.values())


def _require_values(name: str, images: Any, bounded: bool) -> None:
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"{name} must be floating in [0, 1] (jaxgen.data.to_unit makes them so), got {images.dtype}")
    low, high = images.min(), images.max()
    if not bounded and not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError(f"{name} must be finite, got {low} to {high}")
    if bounded and not (low >= 0 and high <= 1):
        hint = "; they look like grey levels 0..255" if low >= 0 and 2 < high <= 255 else ""
        raise ValueError(f"{name} must lie in [0, 1], got {low} to {high}{hint}")
