"""How far a restored picture is from the original, and how far from looking real: two questions with two answers.

    PSNR = 10 log10(peak^2 / mean (x - y)^2)                                 dB, distortion
    SSIM = mean (2 mu_x mu_y + c_1) (2 s_xy + c_2) / ((mu_x^2 + mu_y^2 + c_1) (s_x^2 + s_y^2 + c_2))
    sharpness = mean (laplacian x)^2 / mean (laplacian y)^2                  1: as much fine detail as the original
    spectral distance = mean_f |10 log10 (P_x(f) / P_y(f))|                  dB over fine scales, whatever their place

The mean of all possible originals has the best PSNR of all estimates and is blurred; a sample from them looks real and
is 3 dB worse, at best. No estimate is best in both.

Source: SSIM, Wang et al. 2004; the trade-off, Blau & Michaeli 2018 (perception and distortion), theorem 2.
"""

from typing import TypeAlias

import numpy as np
from jaxtyping import Real

from jaxgen import require

Picture: TypeAlias = Real[np.ndarray, "..."]
"""A picture [h, w]; the functions check it themselves, so that their message names the argument."""


def psnr(x: Picture, y: Picture, *, peak: float = 255.0, border: int = 0) -> float:
    """Peak signal-to-noise ratio in dB; infinite for equal pictures.

    Args:
        x: Estimate.
        y: Original.
        peak: Largest possible value.
        border: Pixels left out along every edge.

    Raises:
        ValueError: Different shapes, or a border that leaves nothing.
    """
    a, b = _inner(x, y, border)
    error = float(np.mean(np.square(a - b)))
    return float("inf") if error == 0 else 10 * float(np.log10(require.number("peak", peak, above=0) ** 2 / error))


def ssim(x: Picture, y: Picture, *, peak: float = 255.0, border: int = 0) -> float:
    """Structural similarity, 1 for equal pictures: Gaussian windows of 11 x 11, standard deviation 1.5.

    Args:
        x: Estimate.
        y: Original.
        peak: Largest possible value.
        border: Pixels left out along every edge.

    Raises:
        ValueError: Different shapes, or fewer than 11 pixels in a dimension.

    Source: Wang et al. 2004, section III.B: k_1 = 0.01, k_2 = 0.03; windows that lie inside of the picture.
    """
    from scipy.ndimage import correlate1d

    a, b = _inner(x, y, border)
    if min(a.shape) < 11:
        raise ValueError(f"x must be at least 11 x 11 without its border, got {a.shape[0]} x {a.shape[1]}")
    kernel = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    kernel /= kernel.sum()

    def local(values: np.ndarray) -> np.ndarray:
        return correlate1d(correlate1d(values, kernel, 0), kernel, 1)[5:-5, 5:-5]

    c_1, c_2 = (0.01 * peak) ** 2, (0.03 * peak) ** 2
    mu_x, mu_y = local(a), local(b)
    var_x, var_y, cov = local(a * a) - mu_x**2, local(b * b) - mu_y**2, local(a * b) - mu_x * mu_y
    same = (2 * mu_x * mu_y + c_1) * (2 * cov + c_2) / ((mu_x**2 + mu_y**2 + c_1) * (var_x + var_y + c_2))
    return float(same.mean())


def sharpness(x: Picture, y: Picture, *, border: int = 0) -> float:
    """Energy of the Laplacian of a picture as a share of the original's: below 1 where it is blurred.

    Args:
        x: Estimate.
        y: Original.
        border: Pixels left out along every edge.

    Raises:
        ValueError: Different shapes, fewer than 3 pixels in a dimension, or an original without any detail.
    """
    a, b = _inner(x, y, border)
    if min(a.shape) < 3:
        raise ValueError(f"x must be at least 3 x 3 without its border, got {a.shape[0]} x {a.shape[1]}")
    energies = [
        float(np.mean((4 * v[1:-1, 1:-1] - v[:-2, 1:-1] - v[2:, 1:-1] - v[1:-1, :-2] - v[1:-1, 2:]) ** 2))
        for v in (a, b)
    ]
    if energies[1] == 0:
        raise ValueError("y must have some detail, got a picture without any")
    return energies[0] / energies[1]


def spectral_distance(x: Picture, y: Picture, *, lowest: float, border: int = 0, bins: int = 16) -> float:
    """Mean difference of two power spectra at fine scales, in dB: 0 for the same amount of detail at every scale.

    Args:
        x: Estimate.
        y: Original.
        lowest: Lowest frequency that counts, in cycles per pixel: 0.5 / s is the finest that a picture reduced by the
            factor s still holds.
        border: Pixels left out along every edge.
        bins: Number of rings of frequencies, from `lowest` to 0.5.

    Raises:
        ValueError: Different shapes, a frequency outside [0, 0.5), or a ring without a frequency.
    """
    require.number("lowest", lowest, 0, below=0.5)
    a, b = _inner(x, y, border)
    taper = np.outer(*(np.hanning(n + 2)[1:-1] for n in a.shape))
    frequency = np.hypot(np.fft.fftfreq(a.shape[0])[:, None], np.fft.fftfreq(a.shape[1])[None])
    ring = np.floor((frequency - lowest) / (0.5 - lowest) * require.size("bins", bins)).astype(int)
    inside = (ring >= 0) & (ring < bins)
    counts = np.bincount(ring[inside], minlength=bins)
    if (counts == 0).any():
        raise ValueError(f"bins must be fewer for a picture of {a.shape[0]} x {a.shape[1]}, got {bins}")
    powers = [
        np.bincount(ring[inside], (np.abs(np.fft.fft2((v - v.mean()) * taper)) ** 2)[inside], bins) / counts
        for v in (a, b)
    ]
    tiny = 1e-12 * max(1.0, float(powers[1].max()))  # a flat estimate has no power at all
    return float(np.mean(np.abs(10 * np.log10((powers[0] + tiny) / (powers[1] + tiny)))))


def _inner(x: Picture, y: Picture, border: int) -> tuple[np.ndarray, np.ndarray]:
    a, b = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(f"x and y must be two pictures [h, w] of one size, got {a.shape} and {b.shape}")
    require.integer("border", border, 0, (min(a.shape) - 1) // 2, "leaving something of the picture")
    inside = slice(border, -border or None)
    return a[inside, inside], b[inside, inside]
