"""One result from several imputations of the same data: Rubin's rules.

Whatever is estimated from data with filled-in entries (a mean, a slope, a share) is estimated once for each imputation.
Their average is the result; its variance has the usual part and what the imputations disagree on:

    q = 1/m sum_k q_k,     W = 1/m sum_k u_k,     B = 1/(m - 1) sum_k (q_k - q)^2,     T = W + (1 + 1/m) B
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxgen import require


class Pooled(NamedTuple):
    """Result of several imputations, of the shape of one estimate.

    Attributes:
        value: q, the average of the estimates.
        variance: T, its variance.
        within: W, the average of the variances that each estimate would have if nothing were missing.
        between: B, the variance of the estimates from one imputation to the next.
        missing_share: (1 + 1/m) B / T, the share of the variance that is due to what is missing.
    """

    value: Float[np.ndarray, "*shape"]
    variance: Float[np.ndarray, "*shape"]
    within: Float[np.ndarray, "*shape"]
    between: Float[np.ndarray, "*shape"]
    missing_share: Float[np.ndarray, "*shape"]


def pooled(estimates: Float[np.ndarray, "m *shape"], variances: Float[np.ndarray, "m *shape"]) -> Pooled:
    """Combine the estimates of several imputations.

    Args:
        estimates: q_k, one for each imputation; at least two.
        variances: u_k, the variance of each, as for whole data.

    Raises:
        ValueError: Fewer than two imputations, other shapes, or a variance below 0.

    Source: Rubin 1987, "Multiple Imputation for Nonresponse in Surveys", section 3.1.
    """
    estimates, variances = np.asarray(estimates, np.float64), np.asarray(variances, np.float64)
    if estimates.shape != variances.shape or estimates.ndim == 0:
        raise ValueError(
            f"variances must have the shape of estimates, [m, ...], got {variances.shape} and {estimates.shape}"
        )
    num = require.integer("number of imputations", len(estimates), 2)
    if (variances < 0).any():
        raise ValueError(f"variances must be at least 0, got {variances.min():g}")
    within, between = variances.mean(axis=0), estimates.var(axis=0, ddof=1)
    extra = (1 + 1 / num) * between
    total = within + extra
    share = np.divide(extra, total, out=np.zeros_like(total), where=total > 0)
    return Pooled(estimates.mean(axis=0), total, within, between, share)
