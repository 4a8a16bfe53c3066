"""The nearest images of a reference set: is a sample new, or a copy of what the model was trained on?

Distances are Euclidean and computed on the host in float64, a block of examples against a block of references at a
time, as matrix products:

    ||x - s||^2 = ||x||^2 - 2 <x, s> + ||s||^2,     both taken relative to the mean of the references

The error of cancellation between the three terms is bounded; where it could change which reference is nearest, the
distances are computed again from the differences.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int, Real

from jaxgen import require
from jaxgen.core import Estimate
from jaxgen.evaluate.likelihood import estimate
from jaxgen.progress import counted

BLOCK_VALUES = 2**20
"""Numbers in one block of distances. With a few copies and the blocks of examples themselves it makes about 50 MB."""


class Nearest(NamedTuple):
    """The k nearest references of each example, the nearest first.

    Attributes:
        indices: Their positions in the reference set, [m, k].
        distances: Euclidean, in the unit of the data, [m, k] float64.
    """

    indices: Int[np.ndarray, "m k"]
    distances: Float[np.ndarray, "m k"]


def nearest(
    x: Real[Array | np.ndarray, "m ..."],
    reference: Real[Array | np.ndarray, "n ..."],
    k: int = 1,
    *,
    block_values: int = BLOCK_VALUES,
) -> Nearest:
    """The k nearest references of each example, exactly.

        argmin_j ||x_i - s_j||,  the lowest j where distances are equal

    Distances are those of the differences in float64, so that copies have distance 0. References that are equal to
    rounding (a collapsed generator's samples) are correct too, but take much longer.

    Args:
        x: Examples.
        reference: References, in the unit of the examples: both floating, or both integers.
        k: Number of neighbours.
        block_values: Distances in memory at a time. Only time depends on it.

    Raises:
        ValueError: No examples, shapes or kinds that differ, values that are not finite, or k out of 1..n.

    Source: the test of memorisation in Goodfellow et al. 2014, figure 2, whose last column is the nearest neighbour.
    """
    x, reference = comparable(x=x, reference=reference)
    require.integer("k", k, 1, len(reference), "the number of references")
    require.size("block_values", block_values)
    squares = np.full((len(x), k), np.inf)
    indices = np.full((len(x), k), len(reference))
    for block in distance_blocks(x, reference, block_values):
        reach = squares[block.rows, -1]
        if block.squares.shape[1] >= k:
            # k = 1 apart: a minimum takes a thirtieth of the time of a partition.
            kth = block.squares.min(axis=1) if k == 1 else np.partition(block.squares, k - 1, axis=1)[:, k - 1]
            reach = np.minimum(reach, kth)
        row, column = np.nonzero(block.squares <= (reach + block.uncertainty)[:, None])
        column += block.columns.start
        exact = squared_distances(x, reference, row + block.rows.start, column, block_values)

        # The nearest so far and those that may be nearer, sorted by example, then distance, then index.
        num = len(reach)
        rows = np.concatenate([np.repeat(np.arange(num), k), row])
        candidates = np.concatenate([indices[block.rows].ravel(), column])
        exact = np.concatenate([squares[block.rows].ravel(), exact])
        order = np.lexsort((candidates, exact, rows))
        first = np.searchsorted(rows[order], np.arange(num))
        taken = order[first[:, None] + np.arange(k)]
        squares[block.rows], indices[block.rows] = exact[taken], candidates[taken]
    return Nearest(indices, np.sqrt(squares))


class Distances(NamedTuple):
    """Distances of a set of examples to their nearest training example.

    Attributes:
        mean: Mean distance, with its standard error over examples.
        median: Median distance.
        smallest: Smallest distance; 0 is a copy.
    """

    mean: Estimate
    median: float
    smallest: float


class Memorisation(NamedTuple):
    """How far from the nearest training example several sets of examples lie.

    Attributes:
        samples: The model's.
        held_out: Data that the model was not trained on: what a model that has learnt the distribution comes to.
        train: Training examples, each to the nearest of the others.
    """

    samples: Distances
    held_out: Distances
    train: Distances


def memorisation(
    samples: Real[Array | np.ndarray, "m ..."],
    train: Real[Array | np.ndarray, "n ..."],
    held_out: Real[Array | np.ndarray, "h ..."],
    *,
    block_values: int = BLOCK_VALUES,
) -> Memorisation:
    """Distances of samples to the nearest training example, beside those of held-out data to theirs.

    Samples that lie much nearer than held-out data do are copies or close to them. They may also just be smooth: a
    blurred image is nearer to all others than a sharp one. Samples that lie as far as held-out data do are no copies,
    which says nothing of their quality. Distances between training examples agree with those of held-out data if both
    are draws of one distribution, of n - 1 and n neighbours.

    Args:
        samples: The model's, in the space of the data.
        train: All that the model was trained on, at least two.
        held_out: Data of the same distribution.
        block_values: See `nearest`.

    Returns:
        Distances in the unit of the data. As many training examples as there are held-out ones are looked at, evenly
        spaced.

    Raises:
        ValueError: As `nearest`; a single training example.
    """
    if len(train) < 2:
        raise ValueError(f"train must hold at least two examples, got {len(train)}")
    train = require.plain_array("train", train)
    spaced = np.linspace(0, len(train) - 1, min(len(held_out), len(train))).astype(int)
    # The nearest to a training example is itself or a copy of it, at distance 0: the second is the one to measure.
    others = nearest(train[spaced], train, 2, block_values=block_values).distances[:, 1]
    return Memorisation(
        samples=_summary(nearest(samples, train, block_values=block_values).distances[:, 0]),
        held_out=_summary(nearest(held_out, train, block_values=block_values).distances[:, 0]),
        train=_summary(others),
    )


def comparable(**arrays: Array | np.ndarray) -> list[Real[np.ndarray, "_ d"]]:
    """Sets of examples as matrices, if distances between them have a meaning.

    Raises:
        ValueError: No examples, shapes or kinds that differ, or values that are not finite.
    """
    found = {name: require.plain_array(name, array) for name, array in arrays.items()}
    first, *_ = found
    for name, array in found.items():
        if array.ndim < 1 or array.size == 0:
            raise ValueError(f"{name} must hold at least one example and no axis of length 0, got {array.shape}")
        if array.shape[1:] != found[first].shape[1:]:
            raise ValueError(f"{name} must have events of shape {found[first].shape[1:]}, got {array.shape[1:]}")
        if np.issubdtype(array.dtype, np.floating) != np.issubdtype(found[first].dtype, np.floating):
            raise ValueError(f"{name} must be in the unit of {first}, {found[first].dtype}, got {array.dtype}")
        with np.errstate(invalid="ignore", over="ignore"):
            total = array.sum(dtype=np.float64)  # finite if all are, and takes no memory
        if not np.isfinite(total):
            raise ValueError(f"{name} must be finite, got NaN or infinity")
    return [array.reshape(len(array), -1) for array in found.values()]


class Block(NamedTuple):
    """Squared distances of some examples to some references.

    Attributes:
        rows: Which examples.
        columns: Which references.
        squares: Squared distances, at least 0, [c, r] float64.
        uncertainty: How far a squared distance may be from that of the difference, twice, [c].
    """

    rows: slice
    columns: slice
    squares: Float[np.ndarray, "c r"]
    uncertainty: Float[np.ndarray, " c"]


def distance_blocks(
    x: Real[np.ndarray, "m d"], reference: Real[np.ndarray, "n d"], block_values: int = BLOCK_VALUES
) -> Iterator[Block]:
    """All squared distances, block by block: the columns from the first to the last for the first rows, and so on.

    Raises:
        ValueError: block_values below 1.
    """
    require.size("block_values", block_values)
    dimensions = x.shape[1]
    centre = reference.mean(axis=0, dtype=np.float64)
    length = max(1, min(math.isqrt(block_values), block_values // dimensions))
    for top in counted(range(0, len(x), length), "rows of distances", len(x), length):
        a = x[top : top + length] - centre[None]
        a_squares = np.einsum("id,id->i", a, a)
        for left in range(0, len(reference), length):
            b = reference[left : left + length] - centre[None]
            b_squares = np.einsum("jd,jd->j", b, b)
            squares = a @ b.T
            squares *= -2
            squares += a_squares[:, None]
            squares += b_squares[None]
            # Rounding of a sum of d products, of the three terms and of the centring, to first order.
            largest = np.square(np.sqrt(a_squares) + math.sqrt(b_squares.max()))
            yield Block(
                rows=slice(top, top + len(a)),
                columns=slice(left, left + len(b)),
                squares=np.maximum(squares, 0, out=squares),
                uncertainty=4 * (dimensions + 4) * np.finfo(np.float64).eps * largest,
            )


def squared_distances(
    x: np.ndarray, reference: np.ndarray, rows: np.ndarray, columns: np.ndarray, block_values: int
) -> Float[np.ndarray, " pairs"]:
    """Squared distances of pairs (rows of x, columns of reference), from their differences."""
    squares = np.empty(len(rows))
    length = max(1, block_values // x.shape[1])
    for start in range(0, len(rows), length):
        some = slice(start, start + length)
        difference = x[rows[some]].astype(np.float64) - reference[columns[some]].astype(np.float64)
        squares[some] = np.square(difference, out=difference).sum(axis=1)
    return squares


def _summary(distances: Float[np.ndarray, " n"]) -> Distances:
    return Distances(estimate(distances, "distance"), float(np.median(distances)), float(distances.min()))
