"""Small pictures of one thing each, in frames of one size: what two sets of digits need to be two kinds of one event.

The square around the centre of each picture's ink is cut out, as large as the widest ink of all, and resized. MNIST
puts digits of at most 20 pixels by their centre of mass into 28 x 28, USPS fills 16 x 16 with them; framed, both fill
the frame, and no label is used.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Shaped, UInt8

from jaxgen import require

_INK = 0.25  # share of the top grey level from which on a pixel is ink


def extent(x: Shaped[np.ndarray, "..."], levels: int = 256) -> int:
    """Side of the smallest square that holds the ink of every picture, in pixels.

    Args:
        x: Bright ink on dark paper [n, h, w, 1], uint8, 0 .. levels - 1.
        levels: Number of grey levels.

    Raises:
        ValueError: A picture without ink, or other arrays.
    """
    low, high = _box(x, levels)
    return int((high - low).max())


def framed(x: Shaped[np.ndarray, "..."], side: int, size: int, levels: int = 256) -> UInt8[np.ndarray, "n s s 1"]:
    """The square around the ink's centre of each picture, resized to size x size, in 0 .. 255.

    Args:
        x: Bright ink on dark paper [n, h, w, 1], uint8, 0 .. levels - 1.
        side: Side of the square in pixels of x; what lies beyond the picture is dark.
        size: Height and width of the result.
        levels: Number of grey levels of x.

    Raises:
        ValueError: A picture without ink, other arrays, or a size below 1.
    """
    require.size("side", side)
    require.size("size", size)
    low, high = _box(x, levels)
    first = (low + high - side) // 2
    padded = np.pad(x[..., 0], ((0, 0), (side, side), (side, side)))
    rows, columns = (side + first[:, axis, None] + np.arange(side) for axis in (0, 1))
    cut = padded[np.arange(len(x))[:, None, None], rows[:, :, None], columns[:, None, :]]
    unit = jnp.asarray(cut, jnp.float32) / np.float32(levels - 1)
    resized = jax.image.resize(unit, (len(x), size, size), "linear")
    return np.rint(255 * np.clip(np.asarray(resized), 0, 1)).astype(np.uint8)[..., None]


def _box(x: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """First row and column of the ink, and those behind its last, both [n, 2]."""
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[-1] != 1:
        raise ValueError(f"x must be uint8 pictures [n, h, w, 1], got {x.dtype} {x.shape}")
    ink = x[..., 0] >= _INK * (levels - 1)
    if len(x) == 0 or not ink.any(axis=(1, 2)).all():
        raise ValueError("x must hold pictures with some ink each, got one without")
    low, high = [], []
    for axis in (2, 1):
        there = np.asarray(ink.any(axis=axis))
        low.append(there.argmax(axis=1))
        high.append(there.shape[1] - there[:, ::-1].argmax(axis=1))
    return np.stack(low, axis=1), np.stack(high, axis=1)
