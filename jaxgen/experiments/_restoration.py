"""Whole pictures, restored and judged: of any size, by a model of small patches.

    picture = enlarged + residual,      residual ~ p(residual | enlarged, factor)

Nothing here knows a model or a config: residuals come from a function, `Restore`.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from jaxgen.core import PRNGKey
from jaxgen.data import low_resolution
from jaxgen.evaluate import distortion
from jaxgen.rehearsal import host

Restore: TypeAlias = Callable[[PRNGKey, Any, np.ndarray, int, int, int], np.ndarray]
"""(key, variables, enlarged [h, w] uint8, factor, first, num) -> residuals of samples k = first .. [num, h, w]."""

UNITS = {"psnr": "dB", "ssim": "", "sharpness": "of the original", "spectral_distance": "dB"}


def enlarged(
    restore: Restore, key: PRNGKey, variables: Any, low: np.ndarray, factor: int, size: int, overlap: int, num: int
) -> tuple[np.ndarray, np.ndarray]:
    """A small picture in a larger size: bicubic, and with the detail that a model adds.

    Args:
        restore: Function that draws residuals.
        key: Root of all draws.
        variables: Variables of the model.
        low: The small picture, luminance [l, m] uint8.
        factor: Factor of the enlargement.
        size: Size of the tiles.
        overlap: Pixels that tiles share.
        num: Number of samples.

    Returns:
        The bicubic enlargement [h, w], and samples [num, h, w] in grey levels, 0 .. 255.
    """
    base = low_resolution.enlarged(low, factor)
    # As large as a whole number of tiles, so that pictures of nearly one size share a program.
    step = size - overlap
    margins = [max(size, size + -(-max(0, n - size) // step) * step) - n for n in base.shape]
    padded = np.pad(base, [(0, margin) for margin in margins], mode="symmetric")
    # So many samples at a time as fill the processor, and no more than memory holds.
    together = max(1, min(num, 2**20 // padded.size))
    found = np.concatenate(
        [host(restore(key, variables, padded, factor, first, together)) for first in range(0, num, together)]
    )[:num, : base.shape[0], : base.shape[1]]
    return base, np.clip(base + found, 0, 255)


def restored(
    restore: Restore, key: PRNGKey, variables: Any, y: np.ndarray, factor: int, size: int, overlap: int, num: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A picture that is reduced and restored.

    Args:
        restore: Function that draws residuals.
        key: Root of all draws.
        variables: Variables of the model.
        y: The picture, luminance.
        factor: Factor of the reduction.
        size: Size of the tiles.
        overlap: Pixels that tiles share.
        num: Number of samples.

    Returns:
        The original cut to a multiple of the factor, its bicubic enlargement, and samples [num, h, w], all in grey
        levels, 0 .. 255.
    """
    original = low_resolution.cut(y, factor)
    low = low_resolution.reduced(original, factor)
    return original, *enlarged(restore, key, variables, low, factor, size, overlap, num)


def judged(x: np.ndarray, y: np.ndarray, factor: int) -> dict[str, float]:
    """Every measure of one restored picture."""
    return {
        "psnr": distortion.psnr(x, y, border=factor),
        "ssim": distortion.ssim(x, y, border=factor),
        "sharpness": distortion.sharpness(x, y, border=factor),
        "spectral_distance": distortion.spectral_distance(x, y, lowest=0.5 / factor, border=factor),
    }


def powers(num: int) -> list[int]:
    """1, 2, 4, ... and at last `num`."""
    return sorted({*(2**i for i in range(num.bit_length()) if 2**i <= num), num})
