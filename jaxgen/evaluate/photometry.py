"""Statistics that astronomers compare: flux, size, ellipticity, concentration and colour of galaxies in pictures.

    flux             light within a circle of half the picture's side, the sky subtracted
    radius           half-light radius, of the circle with half of that flux
    ellipticity      1 - b / a, from the second moments of the pixels that stand out
    concentration    5 log10(r_80 / r_20), from the radii of 80 and 20 % of the flux
    colour           -2.5 log10(flux in the last channel / flux in the first), magnitudes

The sky is the median of the picture's border, and its noise comes from the median of the distances from that; pixels
stand out by three times that noise. The circles are about the centroid of these pixels. All is the same for a
real picture and a sample, so that what a neighbour or the noise adds is in both.

Source: Bershady et al. 2000 (concentration); Bertin & Arnouts 1996, section 10 (second moments).
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64

from jaxgen import require

_STANDS_OUT = 3.0  # standard deviations of the noise
_OF_A_NORMAL = 1.4826  # standard deviation over the median distance from the median
_RADII_PER_PIXEL = 2


class Photometry(NamedTuple):
    """Statistics of pictures; NaN where nothing stands out of the sky.

    Attributes:
        flux: Flux of all channels, in units of the picture.
        radius: Half-light radius, in pixels.
        ellipticity: Ellipticity 1 - b / a, 0 for a round galaxy.
        concentration: Concentration; 2.1 for a Gaussian, 5.3 for an index of 4.
        colour: Colour in magnitudes, None for pictures of one channel.
    """

    flux: Float64[np.ndarray, " n"]
    radius: Float64[np.ndarray, " n"]
    ellipticity: Float64[np.ndarray, " n"]
    concentration: Float64[np.ndarray, " n"]
    colour: Float64[np.ndarray, " n"] | None

    @property
    def columns(self) -> dict[str, Float64[np.ndarray, " n"]]:
        """The statistics that there are, by name."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class TwoSamples(NamedTuple):
    """Two samples of one quantity compared.

    Attributes:
        distance: Kolmogorov-Smirnov distance, the largest difference of the two distribution functions, 0 to 1.
        p_value: Probability of at least that distance where both come from one distribution.
    """

    distance: float
    p_value: float


def photometry(x: Float[np.ndarray, "n h w c"]) -> Photometry:
    """Measure galaxies in pictures, one in the middle of each.

    Args:
        x: Pictures in which light adds up, in any unit.

    Raises:
        ValueError: Another shape, values that are not finite, or sides below 8 pixels.
    """
    x = np.asarray(require.plain_array("x", x), np.float64)
    if x.ndim != 4 or min(x.shape[1:3]) < 8 or not len(x):
        raise ValueError(f"x must be pictures [n, h, w, c] of at least 8 x 8, got {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError(f"x must be finite, got {(~np.isfinite(x)).sum()} values that are not")
    light = x - np.median(x[:, _border(x.shape[1:3])], axis=1)[:, None, None, :]
    whole = light.sum(axis=-1)
    around = whole[:, _border(x.shape[1:3])]
    noise = _OF_A_NORMAL * np.median(np.abs(around - np.median(around, axis=1, keepdims=True)), axis=1)
    down, across = np.indices(x.shape[1:3], np.float64)
    half = min(x.shape[1:3]) / 2
    inside = np.hypot(down - (x.shape[1] - 1) / 2, across - (x.shape[2] - 1) / 2) <= half
    bright = np.where((whole > _STANDS_OUT * noise[:, None, None]) & inside, whole, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        total = bright.sum(axis=(1, 2))
        share = bright / total[:, None, None]
        row, column = ((share * axis).sum(axis=(1, 2)) for axis in (down, across))
        apart = down - row[:, None, None], across - column[:, None, None]
        moments = [(share * a * b).sum(axis=(1, 2)) for a, b in ((apart[0],) * 2, (apart[1],) * 2, apart)]
        middle, spread = (moments[0] + moments[1]) / 2, np.hypot((moments[0] - moments[1]) / 2, moments[2])
        ellipticity = 1 - np.sqrt(np.clip((middle - spread) / (middle + spread), 0, 1))
        growth, radii = _growth(whole, np.hypot(*apart), half)
        r_20, r_50, r_80 = (_radius_of(share, growth, radii) for share in (0.2, 0.5, 0.8))
        colour = None
        if x.shape[-1] > 1:
            first, last = (np.where(bright > 0, light[..., c], 0).sum(axis=(1, 2)) for c in (0, -1))
            ratio = np.where((first > 0) & (last > 0), last / first, np.nan)
            colour = -2.5 * np.log10(ratio)
        concentration = 5 * np.log10(r_80 / r_20)
    seen = total > 0
    flux = np.where(seen, growth[:, -1], np.nan)
    return Photometry(flux, r_50, np.where(seen, ellipticity, np.nan), concentration, colour)


def two_samples(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " m"]) -> TwoSamples:
    """Compare two samples of one quantity; what is NaN is left out.

    Args:
        x: The one sample.
        y: The other.

    Raises:
        ValueError: A sample with fewer than two numbers.

    Source: Kolmogorov 1933; Smirnov 1948.
    """
    from scipy.stats import ks_2samp  # slow to import

    kept = [np.asarray(values, np.float64)[np.isfinite(values)] for values in (x, y)]
    for name, values in zip("xy", kept, strict=True):
        if len(values) < 2:
            raise ValueError(f"{name} must hold at least two finite numbers, got {len(values)}")
    found: Any = ks_2samp(kept[0], kept[1], method="asymp")
    return TwoSamples(float(found.statistic), float(found.pvalue))


def _border(shape: tuple[int, ...]) -> np.ndarray:
    """True for the pixels at the edge of a picture."""
    width = max(1, min(shape) // 16)
    where = np.ones(shape, bool)
    where[width:-width, width:-width] = False
    return where


def _growth(whole: np.ndarray, distance: np.ndarray, half: float) -> tuple[np.ndarray, np.ndarray]:
    """Flux within circles [n, m], and their radii [m]; a pixel at the edge counts by its share."""
    radii = np.arange(1, int(_RADII_PER_PIXEL * half) + 1) / _RADII_PER_PIXEL
    growth = np.stack([(np.clip(r - distance + 0.5, 0, 1) * whole).sum(axis=(1, 2)) for r in radii], axis=1)
    return growth, radii


def _radius_of(share: float, growth: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """First radius at which a share of the flux is reached, linear between radii; NaN where there is no flux."""
    part = np.concatenate([np.zeros((len(growth), 1)), growth / growth[:, -1:]], axis=1)
    at = np.concatenate([[0.0], radii])
    right = np.maximum((part >= share).argmax(axis=1), 1)
    row = np.arange(len(growth))
    low, high = part[row, right - 1], part[row, right]
    radius = at[right - 1] + (at[right] - at[right - 1]) * (share - low) / (high - low)
    return np.where((growth[:, -1] > 0) & np.isfinite(radius), radius, np.nan)
