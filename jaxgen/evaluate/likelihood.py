"""Numbers over a whole split: every example once, exact means, standard errors."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Real

from jaxgen import require
from jaxgen.core import Estimate, GenerativeModel, PRNGKey
from jaxgen.progress import counted
from jaxgen.rehearsal import host


def per_example(
    model: GenerativeModel, key: PRNGKey, variables: Any, split: Any, batch_size: int = 500
) -> dict[str, Float[np.ndarray, " n"]]:
    """Metrics that `model.evaluate` gives for each example of a split, in the order of the split.

    Args:
        model: Any model of the contract.
        key: Root of the draws; those of example k are keyed by k, so that batch_size does not matter to them.
        variables: Variables of the model, `state.variables`.
        split: Data with `evaluation_batches(batch_size)`, see `jaxgen.data.Split`.
        batch_size: Examples per call; the last batch is padded, so that one compilation serves all.

    Returns:
        One array per quantity.
    """
    parts: dict[str, list[np.ndarray]] = {}
    num = len(split) if hasattr(split, "__len__") else None
    for batch in counted(split.evaluation_batches(batch_size), "examples", num, batch_size):
        real = np.asarray(batch["index"]) >= 0
        for name, values in model.evaluate(key, variables, batch).items():
            parts.setdefault(name, []).append(host(values)[real])
    return {name: np.concatenate(values) for name, values in parts.items()}


def estimate(values: Float[np.ndarray, " n"], unit: str = "nats") -> Estimate:
    """Mean and standard error over examples, computed in float64.

    Raises:
        ValueError: No values, or no [n] of them.
    """
    require.plain_array("values", values)
    if values.size == 0:
        raise ValueError("values must hold at least one example, got none")
    if values.ndim != 1 or values.dtype.kind not in "fiub":
        raise ValueError(f"values must be numbers [n], one per example, got {values.dtype} of shape {values.shape}")
    exact = values.astype(np.float64)
    error = exact.std(ddof=1) / math.sqrt(exact.size) if exact.size > 1 else None
    return Estimate(float(exact.mean()), None if error is None else float(error), unit)


def estimates(values: Mapping[str, np.ndarray], unit: str = "nats") -> dict[str, Estimate]:
    """`estimate` for each of several quantities."""
    return {name: estimate(column, unit) for name, column in values.items()}


def bits_per_dim(nats: Estimate | Float[np.ndarray, " n"], num_dimensions: int | Real[np.ndarray, " n"]) -> Estimate:
    """Nats as bits per observed dimension.

        bits/dim = sum_i nats_i / (ln 2 * sum_i D_i)

    Where examples differ in their number of observed dimensions (`model.evaluate` has it under "observed" for data with
    a mask), a mean over examples is no answer: the total is divided by the total. Its standard error is that of a ratio
    of two means, to first order.

    Args:
        nats: A negative log-probability, or a bound of it, of discrete data (or of dequantised data with the
            Jacobian of their scaling): its mean over examples, or one value per example.
        num_dimensions: Observed dimensions D, channels included, of every example or one number for each.

    Raises:
        ValueError: No dimension, one number for each example beside a mean, or arrays that are no [n] of one length.

    Source: for the standard error, Cochran 1977, "Sampling Techniques", section 2.11.
    """
    if np.ndim(num_dimensions) == 0:
        num = require.size("num_dimensions", num_dimensions)
        found = nats if isinstance(nats, Estimate) else estimate(np.asarray(nats))
        scale = 1 / (math.log(2) * num)
        error = None if found.standard_error is None else found.standard_error * scale
        return Estimate(found.value * scale, error, "bits/dim")
    if isinstance(nats, Estimate):
        raise ValueError("nats must be one value per example where num_dimensions is one number for each, got a mean")
    values, dimensions = (np.asarray(array, np.float64) for array in (nats, num_dimensions))
    if values.ndim != 1 or values.shape != dimensions.shape:
        raise ValueError(f"nats and num_dimensions must be [n] of one length, got {values.shape}, {dimensions.shape}")
    if not (dimensions >= 0).all() or not 0 < dimensions.sum() < math.inf:
        raise ValueError(f"num_dimensions must be at least 0, and some above, got a total of {dimensions.sum():g}")
    ratio = values.sum() / dimensions.sum()
    error = None
    if values.size > 1:
        spread = (values - ratio * dimensions).std(ddof=1)
        error = float(spread / math.sqrt(values.size) / dimensions.mean() / math.log(2))
    return Estimate(float(ratio / math.log(2)), error, "bits/dim")
