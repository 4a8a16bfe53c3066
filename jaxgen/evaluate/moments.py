"""Mean and covariance of features, in one pass over any batches, in float64.

    count, mean = 1/n sum_i x_i, scatter = sum_i (x_i - mean)(x_i - mean)^T

Two sets merge without their examples (Chan, Golub & LeVeque 1979):

    mean    = mean_a + (n_b / n) delta,                          delta = mean_b - mean_a
    scatter = scatter_a + scatter_b + (n_a n_b / n) delta delta^T

so that batches, devices and processes may each keep their own. Nothing is subtracted that is much larger than what
is left, which the sums of x and of x x^T would have to do where the mean is far from 0.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Real

from jaxgen import require

_ROWS = 4096
"""Examples that are in float64 at a time."""


class Moments(NamedTuple):
    """Moments of features that define the normal distribution fitted to them.

    Attributes:
        count: Number of examples.
        mean: Mean of the features, [d].
        scatter: Sum of the products of the deviations from the mean, [d, d].
    """

    count: int
    mean: Float[np.ndarray, " d"]
    scatter: Float[np.ndarray, "d d"]

    @property
    def covariance(self) -> Float[np.ndarray, "d d"]:
        """Unbiased, as numpy.cov has it.

        Raises:
            ValueError: Fewer than two examples.
        """
        if self.count < 2:
            raise ValueError(f"a covariance needs at least two examples, got {self.count}")
        return self.scatter / (self.count - 1)


def moments(features: Real[Array | np.ndarray, "n d"] | Iterable[Real[Array | np.ndarray, "_ d"]]) -> Moments:
    """Moments of features, given at once or in batches of any sizes.

    An array that lies on several devices is read shard by shard, those of this process; the processes' moments are
    then to be `merged`.

    Args:
        features: One array, or batches of them.

    Returns:
        Moments in float64.

    Raises:
        ValueError: No examples, no features, different numbers of features, or values that are not finite.

    Source: Chan, Golub & LeVeque 1979, "Updating formulae and a pairwise algorithm for computing sample variances".
    """
    total: Moments | None = None
    for batch in [features] if isinstance(features, jax.Array | np.ndarray) else features:
        for rows in _pieces(batch):
            some = _of(rows)
            total = some if total is None else merged(total, some)
    if total is None:
        raise ValueError("features must hold at least one example, got none")
    return total


def merged(a: Moments, b: Moments) -> Moments:
    """Moments of two sets together.

    Raises:
        ValueError: Different numbers of features.
    """
    if a.mean.shape != b.mean.shape:
        raise ValueError(f"features must agree in number, got {len(a.mean)} and {len(b.mean)}")
    count = a.count + b.count
    delta = b.mean - a.mean
    scatter = np.multiply.outer(delta, delta)
    scatter *= a.count * b.count / count
    scatter += a.scatter
    scatter += b.scatter
    return Moments(count, a.mean + (b.count / count) * delta, scatter)


def _pieces(features: Array | np.ndarray) -> Iterator[np.ndarray]:
    """The rows of an array, some at a time, without gathering an array that is sharded by rows."""
    shards = [features]
    if isinstance(features, jax.Array) and len(features.sharding.device_set) > 1:
        own = [s.data for s in features.addressable_shards if s.replica_id == 0]
        if all(s.shape[1:] == features.shape[1:] for s in own):
            shards = own
    for shard in shards:
        rows = require.plain_array("features", shard)
        for first in range(0, len(rows), _ROWS):
            yield rows[first : first + _ROWS]


def _of(rows: np.ndarray) -> Moments:
    if rows.ndim != 2 or rows.shape[1] == 0 or rows.dtype.kind not in "fiub":
        raise ValueError(f"features must be numbers [n, d] with d of at least 1, got {rows.dtype} {rows.shape}")
    x = rows.astype(np.float64)
    mean = x.mean(axis=0)
    if not np.isfinite(mean).all():
        raise ValueError("features must be finite, got NaN or infinity")
    x -= mean[None]
    return Moments(len(x), mean, x.T @ x)
