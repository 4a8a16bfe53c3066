"""Power spectrum of fields on a periodic grid: how strong waves of each length are, with error bars."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int

from jaxgen import require


class Spectrum(NamedTuple):
    """Power in isotropic bins, of examples and, where it is known, of the distribution that they are drawn from.

    Attributes:
        k: Mean wavenumber of each bin, 2 pi / wavelength.
        power: Mean power of each bin over its modes and over examples.
        standard_error: Standard error of `power`, from the scatter between examples.
        modes: Number of Fourier modes of each bin.
    """

    k: Float64[np.ndarray, " bins"]
    power: Float64[np.ndarray, " bins"]
    standard_error: Float64[np.ndarray, " bins"]
    modes: Int[np.ndarray, " bins"]

    def deviations(self, expected: Float[np.ndarray, " bins"]) -> Float64[np.ndarray, " bins"]:
        """Distance of each bin from the expected power, in standard errors; their squares sum to chi^2."""
        return (self.power - np.asarray(expected, np.float64)) / self.standard_error


def bins(shape: tuple[int, ...]) -> Int[np.ndarray, "*shape"]:
    """The isotropic bin of every Fourier mode: the length of its wave vector in units of the longest wave, rounded.

    Axes of different lengths are measured in cells, so that the unit is 2 pi / (largest size * cell).

    Args:
        shape: Number of cells along each axis.

    Returns:
        Numbers from 0, the mean of the field, without gaps, in the order of `numpy.fft.fftn`.

    Raises:
        ValueError: No axis, or a number of cells below 1.
    """
    sizes = require.sizes("shape", shape, fewest=1)
    axes = np.meshgrid(*(np.fft.fftfreq(n) * max(sizes) for n in sizes), indexing="ij")
    length = np.rint(np.sqrt(sum(np.square(axis) for axis in axes))).astype(np.int64)
    return np.unique(length, return_inverse=True)[1].reshape(sizes)


def in_bins(values: Float[np.ndarray, "..."]) -> Float64[np.ndarray, " bins"]:
    """Mean over the modes of each bin of a function of the modes: of a theoretical power, say.

    Args:
        values: One value for each Fourier mode, in the order of `numpy.fft.fftn`.
    """
    places = bins(values.shape).reshape(-1)
    return np.bincount(places, np.asarray(values, np.float64).reshape(-1)) / np.bincount(places)


def power_spectrum(x: Float[np.ndarray, "..."], cell: float = 1.0) -> Spectrum:
    """Estimate the power spectrum of fields on a periodic grid.

        P(k) = a^d mean over the modes of a bin of |F x|_k^2,     F the orthonormal Fourier transform

    The sum over all modes of |F x|_k^2 is that of x^2 over all cells (Parseval).

    Args:
        x: Fields [b, *shape, 1], at least two.
        cell: Side a of a cell.

    Returns:
        Power in the squared unit of the field times length^d.

    Raises:
        ValueError: Fewer than two fields, more than one channel, no axis of space, or a side that is not positive.

    Source: Press et al. 2007, section 13.4 (periodogram).
    """
    require.number("cell", cell, above=0)
    x = require.plain_array("x", x, np.float64)
    if x.ndim < 3 or x.shape[-1] != 1 or len(x) < 2:
        raise ValueError(f"x must be two or more fields [b, *shape, 1], got shape {x.shape}")
    shape = x.shape[1:-1]
    waves = np.fft.fftn(x[..., 0], axes=tuple(range(1, 1 + len(shape))), norm="ortho")
    each = cell ** len(shape) * np.stack([in_bins(np.square(np.abs(wave))) for wave in waves])
    places = bins(shape)
    axes = np.meshgrid(*(2 * np.pi * np.fft.fftfreq(n, cell) for n in shape), indexing="ij")
    k = in_bins(np.sqrt(sum(np.square(axis) for axis in axes)))
    error = each.std(axis=0, ddof=1) / np.sqrt(len(each))
    return Spectrum(k, each.mean(axis=0), error, np.bincount(places.reshape(-1)))
