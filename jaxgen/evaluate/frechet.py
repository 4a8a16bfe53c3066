"""The Fréchet distance of the normal distributions that have the moments of two sets of features.

    F = ||mu_1 - mu_2||^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2))

The product S_1 S_2 is not symmetric and, with fewer examples than features, has no full rank; its matrix square root is
where published values go wrong. It is not needed: with any factors S = A A^T the trace is the nuclear norm (the sum of
the singular values) of A_1^T A_2, which is computed to rounding whatever the rank.

With Inception's features this is the FID. It compares only under the same features, and only at the same number of
examples: it is biased upwards by a term of order 1/n, which is larger for some models than for others (Chong & Forsyth
2020).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.evaluate.moments import Moments, moments
from jaxgen.evaluate.sets import feature_sets


def frechet_distance(
    x: Moments | Real[Array | np.ndarray, "n d"], reference: Moments | Real[Array | np.ndarray, "m e"]
) -> float:
    """Squared Fréchet (2-Wasserstein) distance between normal distributions fitted to two sets of features.

        F = ||mu_1 - mu_2||^2 + tr S_1 + tr S_2 - 2 ||A_1^T A_2||_*,     S = A A^T

    Float64 on the host. Memory is that of about six d x d matrices beside the features: 200 MB at d = 2,048.

    Args:
        x: Features of the samples, or their moments.
        reference: Features of the data, or their moments.

    Returns:
        The distance in the squared unit of the features, at least 0. What is within the rounding error of its terms
        is 0: two sets of the same examples are at distance 0 in whatever batches they came.

    Raises:
        ValueError: Fewer than two examples, constant features, values that are not finite, different d.

    Source: Dowson & Landau 1982; Heusel et al. 2017 for its use on features. The nuclear norm: ||A_1^T A_2||_* is the
        sum of the square roots of the eigenvalues of A_1^T S_2 A_1, which are those of S_1 S_2.
    """
    a, b = (_checked(name, found) for name, found in (("x", x), ("reference", reference)))
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"x must have as many features as reference, {len(b.mean)}, got {len(a.mean)}")
    cov_a, cov_b = a.covariance, b.covariance
    traces = float(np.trace(cov_a) + np.trace(cov_b))
    if np.array_equal(cov_a, cov_b):
        common = traces / 2
    else:
        common = np.linalg.svd(_factor(a, cov_a).T @ _factor(b, cov_b), compute_uv=False).sum()
    difference = a.mean - b.mean
    distance = float(difference @ difference + traces - 2 * common)
    # Rounding error of d products in each entry of the covariances.
    rounding = 16 * np.finfo(np.float64).eps * len(a.mean) * traces
    return distance if distance > rounding else 0.0


def frechet_bias(key: PRNGKey, x: Real[Array | np.ndarray, "n d"], reference: Real[Array | np.ndarray, "m e"]) -> float:
    """How much the Fréchet distance of two finite sets is expected to exceed that of their distributions.

        F(n, m) = F + c / n + c' / m + ...      so that      F(n/2, m/2) - F(n, m) = c / n + c' / m + ...

    F(n/2, m/2) is the mean over two disjoint halves of both sets. The expansion needs several times as many examples as
    features; with fewer the bias falls more slowly than 1 / n and the difference is a lower bound of it. It is as noisy
    as the distance of the halves.

    Args:
        key: Key of the random halves.
        x: Features of the samples.
        reference: Features of the data.

    Returns:
        The expected excess, to be subtracted; noise may make it negative.

    Raises:
        ValueError: As `frechet_distance`; fewer than four examples.

    Source: Chong & Forsyth 2020, section 3, who extrapolate along 1 / n.
    """
    require.typed_key("key", key)
    x, reference = feature_sets(x=x, reference=reference)
    if min(len(x), len(reference)) < 4:
        raise ValueError(f"x and reference must hold at least four examples, got {len(x)} and {len(reference)}")
    rng = np.random.default_rng(int(jax.random.bits(key, (), jnp.uint32)))
    halves = [np.array_split(found[rng.permutation(len(found))], 2) for found in (x, reference)]
    of_halves = [frechet_distance(a, b) for a, b in zip(*halves, strict=True)]
    return float(np.mean(of_halves) - frechet_distance(x, reference))


def _checked(name: str, found: Moments | Array | np.ndarray) -> Moments:
    if not isinstance(found, Moments):
        return moments(feature_sets(**{name: found})[0])
    if found.count < 2:
        raise ValueError(f"{name} must hold at least two examples, got {found.count}")
    if not (np.isfinite(found.mean).all() and np.isfinite(found.scatter).all()):
        raise ValueError(f"{name} must have finite moments, got NaN or infinity")
    if not np.trace(found.scatter) > 0:
        raise ValueError(f"{name} must not be constant, got {found.count} examples with the same features")
    return found


def _factor(found: Moments, covariance: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d r"]:
    """A with A A^T = S, of no more columns than n examples can have: n - 1."""
    dimensions = len(found.mean)
    if found.count > dimensions:
        try:
            return np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:  # a feature that never varies
            pass
    values, vectors = np.linalg.eigh(covariance)
    # The rest of the spectrum is rounding, and its square roots would not be small.
    rank = min(dimensions, found.count - 1)
    values, vectors = values[-rank:], vectors[:, -rank:]
    kept = values > dimensions * np.finfo(np.float64).eps * values[-1]
    return vectors[:, kept] * np.sqrt(values[kept])[None]
