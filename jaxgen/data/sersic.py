"""Sersic profiles: how the light of a galaxy is spread over the sky, in closed form.

    I(r) = F b^(2n) / (2 pi n R^2 Gamma(2n)) exp(-b (r / R)^(1/n)),     P(2n, b) = 1/2

F is the total flux, R the radius of the circle with half of it, n the index: 1/2 is a Gaussian, 1 the exponential disc
of a spiral galaxy, 4 the law of de Vaucouleurs for elliptical ones, with a sharp peak and wide wings. P is the
regularised incomplete gamma function.

All functions are of float64 numpy arrays, which broadcast against each other; radii are in units of R.

Source: Graham & Driver 2005, equations 1 to 20; Ciotti 1991.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Float64

_LOG_RANGE = 20.0  # natural logarithm of the largest radius over R, and of R over the smallest
_CELLS = 3072
_LOG_FIRST = -7.0  # natural logarithm of the wavenumber below which a transform is taken for 1


class Transfer(NamedTuple):
    """Fourier transforms of round profiles of flux 1 and half-light radius 1, one for each index.

    Attributes:
        first: Natural logarithm of the first wavenumber.
        step: Difference of the logarithms of two neighbouring wavenumbers.
        values: The transforms.
    """

    first: float
    step: float
    values: Float64[np.ndarray, "n k"]

    def __call__(self, k: Float64[np.ndarray, "n *shape"]) -> Float64[np.ndarray, "n *shape"]:
        """The transform of profile i at the wavenumbers k[i], in 1 / R; linear between the logarithms, and 1 below."""
        place = (np.log(np.maximum(k, math.exp(self.first))) - self.first) / self.step
        left = np.minimum(place.astype(np.int64), self.values.shape[1] - 2)
        share = np.minimum(place - left, 1.0)
        row = np.arange(len(k)).reshape(-1, *(1,) * (k.ndim - 1))
        between = (1 - share) * self.values[row, left] + share * self.values[row, left + 1]
        return np.where(place > 0, between, 1.0)


def b(index: Float[np.ndarray, "*n"] | float) -> Float64[np.ndarray, "*n"]:
    """The number b of an index n, for which half of the flux lies within R: P(2n, b) = 1/2."""
    return np.asarray(_special().gammaincinv(2 * np.asarray(index, np.float64), 0.5))


def intensity(
    r: Float[np.ndarray, "..."] | float, index: Float[np.ndarray, "..."] | float
) -> Float64[np.ndarray, "..."]:
    """Flux per area I(r) of a profile with F = 1 and R = 1."""
    n, scale = np.asarray(index, np.float64), b(index)
    log_centre = 2 * n * np.log(scale) - np.log(2 * math.pi * n) - _special().gammaln(2 * n)
    return np.asarray(np.exp(log_centre - scale * np.asarray(r, np.float64) ** (1 / n)))


def flux_within(
    r: Float[np.ndarray, "..."] | float, index: Float[np.ndarray, "..."] | float
) -> Float64[np.ndarray, "..."]:
    """Share of the flux within the radius r: P(2n, b r^(1/n))."""
    n = np.asarray(index, np.float64)
    return np.asarray(_special().gammainc(2 * n, b(n) * np.asarray(r, np.float64) ** (1 / n)))


def radius_of(
    share: Float[np.ndarray, "..."] | float, index: Float[np.ndarray, "..."] | float
) -> Float64[np.ndarray, "..."]:
    """Radius of the circle that holds a share of the flux, the inverse of `flux_within`."""
    n = np.asarray(index, np.float64)
    return np.asarray((_special().gammaincinv(2 * n, np.asarray(share, np.float64)) / b(n)) ** n)


def concentration(index: Float[np.ndarray, "*n"] | float) -> Float64[np.ndarray, "*n"]:
    """Concentration C = 5 log10(r_80 / r_20), from the radii of 80 and 20 % of the flux.

    Source: Kent 1985; Bershady et al. 2000, equation 4.
    """
    return np.asarray(5 * np.log10(radius_of(0.8, index) / radius_of(0.2, index)))


def mean_square_radius(index: Float[np.ndarray, "*n"] | float) -> Float64[np.ndarray, "*n"]:
    """Mean of r^2 over the flux: b^(-2n) Gamma(4n) / Gamma(2n)."""
    n = np.asarray(index, np.float64)
    return np.asarray(np.exp(_special().gammaln(4 * n) - _special().gammaln(2 * n) - 2 * n * np.log(b(n))))


def transfer(index: Float[np.ndarray, " n"]) -> Transfer:
    """Fourier transforms of round profiles of F = 1 and R = 1.

        H(k) = 2 pi integral_0^inf I(r) J_0(k r) r dr

    H is (1 + (k / b)^2)^(-3/2) for an index of 1, and exp(-k^2 / (4 b)) for 1/2.

    Args:
        index: Indices of the profiles.

    Source: Hamilton 2000 for the transform on a logarithmic grid.
    """
    from scipy.fft import fht  # slow to import

    log_r, step = np.linspace(-_LOG_RANGE, _LOG_RANGE, _CELLS, retstep=True)
    r = np.exp(log_r)
    # fht gives the integral of a(r) J_0(k r) k dr, at k = exp(log_r).
    waves = fht(2 * math.pi * r * intensity(r[None], np.asarray(index, np.float64)[:, None]), float(step), mu=0)
    # At the ends of its range the transform is not to be relied on.
    kept = np.searchsorted(log_r, _LOG_FIRST)
    return Transfer(float(log_r[kept]), float(step), (waves / r)[:, kept:])


def _special() -> Any:
    """Functions of scipy, which takes long to import."""
    from scipy import special

    return special
