"""Quality and variety apart: do samples lie where data do, and data where samples do?

A set of features stands for the region that it fills: the union of balls around its examples, each reaching to the
k-th nearest other example of the set. All distances are Euclidean, exact in float64 where a comparison depends on it
(`nearest`), and ball and boundary belong together.

    precision  share of the samples that lie in the region of the data
    recall     share of the data that lie in the region of the samples
    density    how many balls of the data a sample lies in, by k: 1 on average if the two are alike
    coverage   share of the data whose ball holds at least one sample

Precision counts a sample that lies in the one wide ball of an outlier as good, and recall gives a model whose samples
scatter too widely its wide balls for credit. Density and coverage take balls of the data alone, which mends both.

They keep the features of both sets in memory, as they are given, and `neighbour_memory` says how much they take beside.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int, Real

from jaxgen import require
from jaxgen.evaluate.neighbours import BLOCK_VALUES, distance_blocks, nearest, squared_distances
from jaxgen.evaluate.sets import feature_sets


class PrecisionRecall(NamedTuple):
    """Shares from 0 to 1."""

    precision: float
    recall: float


class DensityCoverage(NamedTuple):
    """Density is at least 0 and may exceed 1; coverage is a share from 0 to 1."""

    density: float
    coverage: float


def precision_recall(
    x: Real[Array | np.ndarray, "n d"],
    reference: Real[Array | np.ndarray, "m e"],
    k: int = 3,
    *,
    block_values: int = BLOCK_VALUES,
) -> PrecisionRecall:
    """Share of samples among the data, and of data among the samples.

        precision = 1/n sum_j [x_j lies in some B(r_i, distance of r_i to its k-th nearest other r)]
        recall    = 1/m sum_i [r_i lies in some B(x_j, distance of x_j to its k-th nearest other x)]

    Args:
        x: Features of the samples, best as many as of the data: the balls shrink with the number.
        reference: Features of the data.
        k: Which neighbour a ball reaches to.
        block_values: Distances in memory at a time, see `nearest`.

    Raises:
        ValueError: As `feature_sets`; k out of 1 .. n - 1 or 1 .. m - 1.

    Source: Kynkäänniemi et al. 2019, equations 1 and 2.
    """
    x, reference = feature_sets(x=x, reference=reference)
    in_reference, _ = _memberships(x, reference, _radii("reference", reference, k, block_values), block_values)
    in_x, _ = _memberships(reference, x, _radii("x", x, k, block_values), block_values)
    return PrecisionRecall(float((in_reference > 0).mean()), float((in_x > 0).mean()))


def density_coverage(
    x: Real[Array | np.ndarray, "n d"],
    reference: Real[Array | np.ndarray, "m e"],
    k: int = 5,
    *,
    block_values: int = BLOCK_VALUES,
) -> DensityCoverage:
    """How densely samples lie among the data, and how many of the data have a sample near them.

        density  = 1/(k n) sum_j sum_i [x_j in B(r_i, distance of r_i to its k-th nearest other r)]
        coverage = 1/m sum_i [some x_j in B(r_i, ...)]

    For n = m draws of one distribution the density is 1 and the coverage 1 - 2^-k on average, as m grows.

    Args:
        x: Features of the samples.
        reference: Features of the data.
        k: Which neighbour a ball reaches to.
        block_values: Distances in memory at a time, see `nearest`.

    Raises:
        ValueError: As `feature_sets`; k out of 1 .. m - 1.

    Source: Naeem et al. 2020, equations 3 and 4 and section 3.3.
    """
    x, reference = feature_sets(x=x, reference=reference)
    balls, members = _memberships(x, reference, _radii("reference", reference, k, block_values), block_values)
    return DensityCoverage(float(balls.mean() / k), float((members > 0).mean()))


def neighbour_memory(num_x: int, num_reference: int, num_features: int, block_values: int = BLOCK_VALUES) -> int:
    """Bytes that the metrics of this page take, the features of both sets in float32 included."""
    features = 4 * num_features * (num_x + num_reference)
    blocks = 8 * 6 * block_values  # distances in float64 and what is derived from them
    return features + min(blocks, 8 * 6 * num_x * num_reference) + 8 * 8 * (num_x + num_reference)


def _radii(name: str, features: np.ndarray, k: int, block_values: int) -> Float[np.ndarray, " n"]:
    if len(features) < 2:
        raise ValueError(f"{name} must hold at least two examples, got {len(features)}")
    require.integer("k", k, 1, len(features) - 1, f"below the number of examples of {name}")
    # The nearest of all is the example itself, or a copy with itself beyond.
    return nearest(features, features, k + 1, block_values=block_values).distances[:, k]


def _memberships(
    points: np.ndarray, centres: np.ndarray, radii: Float[np.ndarray, " c"], block_values: int
) -> tuple[Int[np.ndarray, " p"], Int[np.ndarray, " c"]]:
    """In how many balls each point lies, and how many points each ball holds."""
    balls, members = np.zeros(len(points), np.int64), np.zeros(len(centres), np.int64)
    for block in distance_blocks(points, centres, block_values):
        reach = radii[None, block.columns]
        beyond = block.squares - np.square(reach)
        inside = beyond <= 0
        # Where rounding could decide: where a set is compared with itself, a whole row of boundaries.
        row, column = np.nonzero(np.abs(beyond) <= block.uncertainty[:, None])
        exact = squared_distances(points, centres, row + block.rows.start, column + block.columns.start, block_values)
        inside[row, column] = np.sqrt(exact) <= reach[0, column]
        balls[block.rows] += inside.sum(axis=1)
        members[block.columns] += inside.sum(axis=0)
    return balls, members
