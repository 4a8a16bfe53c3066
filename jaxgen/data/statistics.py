"""Statistics of real values before training: their range, mean and spread, and whether a model can take them so.

Grey levels have a scale of their own. Real values may be fluxes up to 5,000 or shares with a spread of 0.1, and a model
whose noise has a standard deviation of 1 sees a constant in the second and nothing but outliers in the first.
"""

import math
import warnings
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Bool, Float32

from jaxgen.core import Spec, Statistics

_CHUNK = 2**20  # values that are looked at in float64 at once


def measured(x: Float32[np.ndarray, "..."], mask: Bool[np.ndarray, "..."] | None = None) -> Statistics | None:
    """Range, mean and standard deviation of the observed values.

    Args:
        x: Values, the leading axis over examples.
        mask: True where a value is observed; None where all are.

    Returns:
        The statistics, in float64; None where nothing is observed.
    """
    count, total, low, high = 0, 0.0, math.inf, -math.inf
    for values in _chunks(x, mask):
        count += values.size
        total += values.sum()
        low, high = min(low, values.min()), max(high, values.max())
    if count == 0:
        return None
    mean = total / count
    variance = sum(np.square(values - mean).sum() for values in _chunks(x, mask)) / count
    return Statistics(low=float(low), high=float(high), mean=float(mean), std=float(math.sqrt(variance)))


def joined(train: Statistics | None, others: Iterable[Statistics | None]) -> Statistics | None:
    """Mean and spread of the training split with the range of all splits; None where one has no value to go by."""
    found = [train, *others]
    if train is None:
        return None
    known = [statistics for statistics in found if statistics is not None]
    low, high = min(each.low for each in known), max(each.high for each in known)
    return Statistics(low=low, high=high, mean=train.mean, std=train.std)


def far_from_unit(statistics: Statistics) -> bool:
    """Whether mean or spread is so far from 0 and 1 that a model of unit scale will not do."""
    return not 0.2 <= statistics.std <= 5 or abs(statistics.mean) > 3 * max(statistics.std, 1.0)


def warn_unscaled(spec: Spec, name: str) -> None:
    """Warn of real values without a scale whose mean or spread is far from 0 and 1.

    Args:
        spec: Description of the data; without `statistics` nothing is said.
        name: The model that assumes unit scale, as the warning calls it.
    """
    statistics = spec.statistics
    if spec.levels is not None or spec.scale is not None or statistics is None or not far_from_unit(statistics):
        return
    warnings.warn(
        f"{name} expects real values with mean near 0 and standard deviation near 1, got mean {statistics.mean:.4g}, "
        f"standard deviation {statistics.std:.4g}, values from {statistics.low:.4g} to {statistics.high:.4g}; "
        "give the data a scale: dataset.scaled(data.Standardise()), data.load(..., scale=...) or scale:standardise on "
        "the command line (also to-range; arcsinh for heavy tails)",
        UserWarning,
        stacklevel=3,
    )


def _chunks(x: np.ndarray, mask: np.ndarray | None) -> Iterator[np.ndarray]:
    rows = max(1, _CHUNK // max(1, math.prod(x.shape[1:])))
    for first in range(0, len(x), rows):
        part = x[first : first + rows]
        values = part.reshape(-1) if mask is None else part[mask[first : first + rows]]
        if values.size:
            yield values.astype(np.float64)
