"""Gaussians in float64, and what they become once a part of them has been observed: plain linear algebra.

With y = x_S + e, e ~ N(0, r I), of the coordinates S of x ~ N(mu, C), and G = C_{:,S} (C_{S,S} + r I)^-1,

    E[x | y] = mu + G (y - mu_S),     Cov[x | y] = C - G C_{S,:}

This is the Wiener filter of a random field, and the update of a Kalman filter.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int

from jaxgen import require


class Gaussian(NamedTuple):
    """A Gaussian N(mean, covariance).

    Attributes:
        mean: Mean.
        covariance: Covariance, symmetric and positive definite.
    """

    mean: Float64[np.ndarray, " d"]
    covariance: Float64[np.ndarray, "d d"]

    @property
    def std(self) -> Float64[np.ndarray, " d"]:
        """Standard deviation of each coordinate."""
        return np.sqrt(np.diagonal(self.covariance))

    def log_prob(self, x: Float[np.ndarray, "b d"]) -> Float64[np.ndarray, " b"]:
        """Log-density log N(x; mean, covariance), in nats."""
        factor = np.linalg.cholesky(self.covariance)
        white = np.linalg.solve(factor, (np.asarray(x, np.float64) - self.mean).T)
        log_volume = np.log(np.diagonal(factor)).sum()
        return -0.5 * np.square(white).sum(axis=0) - log_volume - 0.5 * len(factor) * math.log(2 * math.pi)

    def entropy(self) -> float:
        """Entropy 1/2 log det(2 pi e covariance), in nats."""
        log_determinant = np.linalg.slogdet(self.covariance)[1]
        return 0.5 * float(log_determinant + len(self.mean) * (math.log(2 * math.pi) + 1))


def observed_in_part(
    prior: Gaussian, index: Int[np.ndarray, " s"], values: Float[np.ndarray, " _"], noise_variance: float
) -> Gaussian:
    """A Gaussian given noisy values of some of its coordinates; the module's docstring has the equations.

    Args:
        prior: Distribution before.
        index: Coordinates S that were observed.
        values: Observed values y.
        noise_variance: Variance r of the noise.

    Raises:
        ValueError: A variance that is not positive, or index and values of different lengths.

    Source: Zaroubi et al. 1995, equations 7 and 14; Rasmussen & Williams 2006, equations 2.22 to 2.24.
    """
    require.number("noise_variance", noise_variance, above=0)
    if len(index) != len(values):
        raise ValueError(f"index and values must be of one length, got {len(index)} and {len(values)}")
    cross = prior.covariance[index]
    within = cross[:, index] + noise_variance * np.eye(len(index))
    gain = np.linalg.solve(within, cross).T
    covariance = prior.covariance - gain @ cross
    mean = prior.mean + gain @ (np.asarray(values, np.float64) - prior.mean[index])
    return Gaussian(mean, 0.5 * (covariance + covariance.T))


def conditioned(prior: Gaussian, index: Int[np.ndarray, " s"], values: Float[np.ndarray, " _"]) -> Gaussian:
    """The other coordinates of a Gaussian, in their order, once some are known exactly.

        E[x_R | x_S] = mu_R + C_RS C_SS^-1 (x_S - mu_S),     Cov[x_R | x_S] = C_RR - C_RS C_SS^-1 C_SR

    Args:
        prior: Distribution before.
        index: Coordinates S that are known.
        values: Their values x_S.

    Raises:
        ValueError: index and values of different lengths, or no coordinate R that is left.

    Source: Rasmussen & Williams 2006, equation A.6.
    """
    if len(index) != len(values):
        raise ValueError(f"index and values must be of one length, got {len(index)} and {len(values)}")
    rest = np.setdiff1d(np.arange(len(prior.mean)), index)
    if not rest.size:
        raise ValueError(f"index must leave some coordinates, got all {len(prior.mean)}")
    cross = prior.covariance[np.ix_(index, rest)]
    gain = np.linalg.solve(prior.covariance[np.ix_(index, index)], cross).T
    covariance = prior.covariance[np.ix_(rest, rest)] - gain @ cross
    mean = prior.mean[rest] + gain @ (np.asarray(values, np.float64) - prior.mean[index])
    return Gaussian(mean, 0.5 * (covariance + covariance.T))
