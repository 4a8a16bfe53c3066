"""Luminance and chroma: a picture as how bright it is and, at a right angle to that, of what colour.

    luminance = (R + G + B) / 3
    chroma    = ((R - B) / sqrt(2), (2 G - R - B) / sqrt(6))
    (R, G, B) = luminance (1, 1, 1) + chroma_1 (1, 0, -1) / sqrt(2) + chroma_2 (-1, 2, -1) / sqrt(6)

The three directions are orthogonal, so that a change of the chroma leaves the luminance as it is, and a squared error
of the chroma is the squared error of the picture: 3 mean (RGB error)^2 = |chroma error|^2.
"""

import numpy as np
from jaxtyping import Float, Shaped

from jaxgen import require

DIRECTIONS = np.array([[1, 0, -1], [-1, 2, -1]], np.float64) / np.sqrt([[2.0], [6.0]])
"""The two directions of chroma, orthonormal, as red, green, blue."""


def separated(
    rgb: Shaped[np.ndarray, "..."],
) -> tuple[Float[np.ndarray, "*b 1"], Float[np.ndarray, "*b 2"]]:
    """Luminance and chroma of pictures.

    Args:
        rgb: Red, green and blue along the last axis: uint8, or float32 in [0, 1].

    Returns:
        Luminance in [0, 1] and chroma (grey: 0, 0), both float32.

    Raises:
        ValueError: Another dtype or number of channels.
    """
    rgb = require.plain_array("rgb", rgb)
    if rgb.dtype not in (np.uint8, np.float32) or rgb.ndim < 1 or rgb.shape[-1] != 3:
        raise ValueError(f"rgb must be uint8 or float32 [..., 3], got {rgb.dtype} of shape {rgb.shape}")
    unit = rgb.astype(np.float32) / np.float32(255) if rgb.dtype == np.uint8 else rgb
    return unit.mean(axis=-1, keepdims=True), unit @ DIRECTIONS.T.astype(np.float32)


def joined(luminance: Float[np.ndarray, "*b 1"], chroma: Float[np.ndarray, "*b 2"]) -> Float[np.ndarray, "*b 3"]:
    """Pictures of a luminance and a chroma; values beyond [0, 1], which no screen can show, are left as they are.

    Args:
        luminance: Luminance in [0, 1].
        chroma: Chroma.
    """
    return np.asarray(luminance, np.float32) + np.asarray(chroma, np.float32) @ DIRECTIONS.astype(np.float32)
