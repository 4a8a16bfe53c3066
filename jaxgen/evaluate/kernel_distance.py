"""The kernel distance: squared maximum mean discrepancy of two sets of features under a cubic polynomial.

    k(x, y) = (<x, y> / d + 1)^3
    MMD^2   = E k(x, x') + E k(y, y') - 2 E k(x, y)

which sees the first three moments of the features. Unlike the Fréchet distance it assumes no normal distribution and
has an unbiased estimate, at any number of examples. With Inception's features this is the KID.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from jaxgen import require
from jaxgen.core import Estimate, PRNGKey
from jaxgen.evaluate.sets import feature_sets
from jaxgen.progress import counted


def squared_discrepancy(x: Real[Array | np.ndarray, "n d"], y: Real[Array | np.ndarray, "m e"]) -> float:
    """Unbiased estimate of MMD^2 under the cubic polynomial; it may be negative.

        1/(n(n-1)) sum_{i≠j} k(x_i, x_j) + 1/(m(m-1)) sum_{i≠j} k(y_i, y_j) - 2/(nm) sum_{ij} k(x_i, y_j)

    Float64 on the host, with n x m numbers in memory at a time.

    Raises:
        ValueError: Fewer than two examples, constant features, values that are not finite, different d.

    Source: Gretton et al. 2012, lemma 6; Bińkowski et al. 2018, section 4, for the kernel.
    """
    x, y = feature_sets(x=x, y=y)
    return _discrepancy(x.astype(np.float64), y.astype(np.float64))


def kernel_distance(
    key: PRNGKey,
    x: Real[Array | np.ndarray, "n d"],
    reference: Real[Array | np.ndarray, "m e"],
    *,
    num_subsets: int = 100,
    subset_size: int = 1000,
) -> Estimate:
    """Mean of `squared_discrepancy` over random subsets of both sets, with its standard error.

    The subsets overlap: 100 of 1,000 out of 10,000 examples are worth no more than 10 independent ones, so that the
    standard error is their standard deviation by the square root of min(num_subsets, min(n, m) / subset_size), which
    cautiously leaves out that larger sets average more than linearly where the two distributions are close. Sets of
    fewer than twice subset_size examples have subsets of half the smaller set.

    Args:
        key: Key of the choice of subsets.
        x: Features of the samples.
        reference: Features of the data.
        num_subsets: Number of subsets, at least 2.
        subset_size: Examples of each set in a subset, at least 2.

    Returns:
        MMD^2 without a unit (the features are divided by the square root of d alone). It may be negative.

    Raises:
        ValueError: As `squared_discrepancy`; fewer than four examples, num_subsets or subset_size below 2.

    Source: Bińkowski et al. 2018 (KID).
    """
    require.typed_key("key", key)
    require.size("num_subsets", num_subsets, 2)
    require.size("subset_size", subset_size, 2)
    x, reference = feature_sets(x=x, reference=reference)
    smaller = min(len(x), len(reference))
    if smaller < 4:
        raise ValueError(f"x and reference must hold at least four examples, got {len(x)} and {len(reference)}")
    size = min(subset_size, smaller // 2)
    rng = np.random.default_rng(int(jax.random.bits(key, (), jnp.uint32)))
    values = np.empty(num_subsets)
    for i in counted(range(num_subsets), "subsets"):
        some = (found[rng.choice(len(found), size, replace=False)].astype(np.float64) for found in (x, reference))
        values[i] = _discrepancy(*some)
    independent = min(num_subsets, smaller / size)
    return Estimate(float(values.mean()), float(values.std(ddof=1) / math.sqrt(independent)), "squared MMD")


def _discrepancy(x: Float[np.ndarray, "n d"], y: Float[np.ndarray, "m d"]) -> float:
    within = sum((_kernel(a, a).sum() - _kernel_diagonal(a).sum()) / (len(a) * (len(a) - 1)) for a in (x, y))
    return float(within - 2 * _kernel(x, y).mean())


def _kernel(x: np.ndarray, y: np.ndarray) -> Float[np.ndarray, "n m"]:
    products = x @ y.T
    products /= x.shape[1]
    products += 1
    return products * products * products  # a power of floats takes ten times as long


def _kernel_diagonal(x: np.ndarray) -> Float[np.ndarray, " n"]:
    return (np.einsum("id,id->i", x, x) / x.shape[1] + 1) ** 3
