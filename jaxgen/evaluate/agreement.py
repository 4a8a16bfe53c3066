"""Samples held against a Gaussian that is known exactly: means, variances and covariances in units of the truth."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxgen import require
from jaxgen.core import Estimate
from jaxgen.evaluate.likelihood import estimate


class Agreement(NamedTuple):
    """How samples differ from the Gaussian that they should come from.

    Attributes:
        mean_error: Squared difference of the means, averaged over coordinates, in units of each one's exact variance.
            The mean value of as many exact samples is subtracted, so that exact samples have 0 on average.
        variance_ratio: Variance of the samples over the exact one, averaged over coordinates; 1 for exact samples.
        covariance_ratio: The same over the principal directions of the exact covariance, tr(C^-1 S) / d: directions in
            which the exact spread is small count as much as the others. 1 for exact samples.
    """

    mean_error: float
    variance_ratio: float
    covariance_ratio: float


def gaussian_agreement(
    x: Float[np.ndarray, "..."], mean: Float[np.ndarray, "..."], covariance: Float[np.ndarray, "..."]
) -> Agreement:
    """Compare samples with N(mean, covariance).

        mean_error = 1/d sum_i (m_i - mu_i)^2 / C_ii - 1/n        m, S: mean and covariance of n samples
        variance_ratio = 1/d sum_i S_ii / C_ii,     covariance_ratio = 1/d tr(C^-1 S)

    Args:
        x: Samples, at least two.
        mean: Exact mean mu.
        covariance: Exact covariance C.

    Raises:
        ValueError: Fewer than two samples, or shapes that do not go together.

    Source: for the expectations under N(mu, C), E[m m^T] - mu mu^T = C / n and E[S] = C.
    """
    x = require.plain_array("x", x, np.float64)
    mean, covariance = np.asarray(mean, np.float64), np.asarray(covariance, np.float64)
    if x.ndim != 2 or len(x) < 2 or mean.shape != x.shape[1:] or covariance.shape != (x.shape[1],) * 2:
        raise ValueError(
            f"x, mean and covariance must be [n, d] with n of at least 2, [d] and [d, d], got {x.shape}, {mean.shape} "
            f"and {covariance.shape}"
        )
    variance = np.diagonal(covariance)
    centred = x - x.mean(axis=0)
    white = np.linalg.solve(np.linalg.cholesky(covariance), centred.T)
    return Agreement(
        mean_error=float((np.square(x.mean(axis=0) - mean) / variance).mean() - 1 / len(x)),
        variance_ratio=float((np.square(centred).sum(axis=0) / (len(x) - 1) / variance).mean()),
        covariance_ratio=float(np.square(white).sum() / (len(x) - 1) / len(mean)),
    )


def agreements(cases: Iterable[Agreement]) -> dict[str, Estimate]:
    """Means over cases with their standard errors: over conditions, each with samples and a truth of its own."""
    columns = zip(*cases, strict=True)
    units = ("exact variances", "exact variances", "exact variances in principal directions")
    return {
        name: estimate(np.asarray(column), unit)
        for name, column, unit in zip(Agreement._fields, columns, units, strict=True)
    }
