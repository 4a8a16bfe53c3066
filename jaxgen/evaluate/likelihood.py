"""Numbers over a whole split: every example once, exact means, standard errors."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxgen import require
from jaxgen.core import Estimate, GenerativeModel, PRNGKey
from jaxgen.progress import counted
from jaxgen.rehearsal import host


def per_example(
    model: GenerativeModel, key: PRNGKey, state: Any, split: Any, batch_size: int = 500
) -> dict[str, Float[np.ndarray, " n"]]:
    """What `model.evaluate` says of every example of a split, in the order of the split.

    Args:
        model: Any model of the contract.
        key: Root of the draws; those of example k are keyed by k, so that batch_size does not matter to them.
        state: The model's state.
        split: Data with `evaluation_batches(batch_size)`, see `jaxgen.data.Split`.
        batch_size: Examples per call; the last batch is padded, so that one compilation serves all.

    Returns:
        One array per quantity.
    """
    parts: dict[str, list[np.ndarray]] = {}
    num = len(split) if hasattr(split, "__len__") else None
    for batch in counted(split.evaluation_batches(batch_size), "examples", num, batch_size):
        real = np.asarray(batch["index"]) >= 0
        for name, values in model.evaluate(key, state, batch).items():
            parts.setdefault(name, []).append(host(values)[real])
    return {name: np.concatenate(values) for name, values in parts.items()}


def estimate(values: Float[np.ndarray, " n"], unit: str = "nats") -> Estimate:
    """Mean and standard error over examples, computed in float64.

    Raises:
        ValueError: No values.
    """
    if values.size == 0:
        raise ValueError("values must hold at least one example, got none")
    exact = values.astype(np.float64)
    error = exact.std(ddof=1) / math.sqrt(exact.size) if exact.size > 1 else None
    return Estimate(float(exact.mean()), None if error is None else float(error), unit)


def estimates(values: Mapping[str, np.ndarray], unit: str = "nats") -> dict[str, Estimate]:
    """`estimate` for each of several quantities."""
    return {name: estimate(column, unit) for name, column in values.items()}


def bits_per_dim(nats: Estimate, num_dimensions: int) -> Estimate:
    """Nats per example as bits per dimension.

        bits/dim = nats / (ln 2 * D)

    Args:
        nats: A negative log-probability, or a bound of it, of discrete data (or of dequantised data with the
            Jacobian of their scaling).
        num_dimensions: Observed dimensions D, channels included.

    Raises:
        ValueError: No dimension.
    """
    require.size("num_dimensions", num_dimensions)
    scale = 1 / (math.log(2) * num_dimensions)
    error = None if nats.standard_error is None else nats.standard_error * scale
    return Estimate(nats.value * scale, error, "bits/dim")
