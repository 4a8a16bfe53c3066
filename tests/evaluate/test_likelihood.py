import inspect
import math
from typing import Any

import numpy as np
import pytest

from jaxgen import evaluate
from jaxgen.core import Estimate, GenerativeModel


def test_estimate_is_mean_and_standard_error():
    values = np.array([1.0, 2.0, 4.0, 5.0], np.float32)
    found = evaluate.estimate(values, "nats")
    assert found.value == 3.0
    assert found.standard_error == pytest.approx(np.std(values, ddof=1) / 2)
    assert evaluate.estimate(values[:1]).standard_error is None


def test_estimate_adds_in_float64():
    """The mean of a million numbers near 1e4 is off in the third digit after the point in float32."""
    values = np.full(1_000_000, 10_000.1, np.float32)
    assert evaluate.estimate(values).value == pytest.approx(float(values[0]), abs=1e-9)


def test_bits_per_dim():
    found = evaluate.bits_per_dim(Estimate(64 * math.log(2), 6.4 * math.log(2), "nats"), 64)
    assert found.value == pytest.approx(1.0)
    assert found.standard_error == pytest.approx(0.1)
    assert found.unit == "bits/dim"


def test_bad_arguments():
    with pytest.raises(ValueError, match="values must hold at least one example"):
        evaluate.estimate(np.zeros(0, np.float32))
    with pytest.raises(ValueError, match="num_dimensions must be an integer of at least 1, got 0"):
        evaluate.bits_per_dim(Estimate(1.0), 0)


class Split:
    """Seven examples, in batches whatever their size."""

    def evaluation_batches(self, batch_size):
        for first in range(0, 7, batch_size):
            index = np.arange(first, first + batch_size, dtype=np.int32)
            yield {"x": index.astype(np.float32), "index": np.where(index < 7, index, -1).astype(np.int32)}


def doubling(key, state, batch) -> Any:
    return {"twice": 2 * batch["x"]}


@pytest.mark.parametrize("batch_size", [1, 3, 7, 10])
def test_per_example_covers_the_split_once(batch_size, key):
    model = GenerativeModel(doubling, doubling, doubling, doubling, None)
    values = evaluate.per_example(model, key, None, Split(), batch_size)
    np.testing.assert_array_equal(values["twice"], 2 * np.arange(7))


def test_bits_are_divided_by_the_observed_dimensions():
    """Half of 64 dimensions observed: 0.538 bits/dim must not become 0.269, nor a mean of ratios."""
    nats = np.array([10.0, 14.0, 12.0], np.float32)
    of_all = evaluate.bits_per_dim(nats, np.full(3, 32.0))
    assert of_all.value == pytest.approx(12 / (32 * math.log(2)))
    # Where all examples have as many, it is what a division by that number says, with its standard error.
    alike = evaluate.bits_per_dim(evaluate.estimate(nats), 32)
    assert of_all.value == pytest.approx(alike.value) and of_all.unit == "bits/dim"
    assert of_all.standard_error == pytest.approx(alike.standard_error)
    assert evaluate.bits_per_dim(nats, 32).value == pytest.approx(alike.value)
    # Nats in proportion to the dimensions are the same bits/dim for all, without an error.
    dimensions = np.array([10.0, 20.0, 60.0])
    exact = evaluate.bits_per_dim(0.5 * dimensions, dimensions)
    assert exact.value == pytest.approx(0.5 / math.log(2)) and exact.standard_error == pytest.approx(0, abs=1e-12)


def test_the_error_of_a_ratio_is_that_of_many_repetitions():
    rng = np.random.default_rng(0)
    dimensions = rng.integers(5, 60, (2000, 40)).astype(float)
    nats = dimensions * (1 + 0.3 * rng.standard_normal(dimensions.shape))
    found = [evaluate.bits_per_dim(*pair) for pair in zip(nats, dimensions, strict=True)]
    errors = np.array([estimate.standard_error for estimate in found])
    assert np.std([estimate.value for estimate in found]) == pytest.approx(np.sqrt(np.mean(errors**2)), rel=0.06)


def test_what_has_no_bits_per_dim_is_refused():
    values = np.ones(3, np.float32)
    for nats, dimensions, message in [
        (Estimate(1.0), np.ones(3), "nats must be one value per example"),
        (values, np.ones(2), r"must be \[n\] of one length, got \(3,\), \(2,\)"),
        (values, np.zeros(3), "num_dimensions must be at least 0, and some above, got a total of 0"),
        (values, np.array([1.0, -1.0, 5.0]), "num_dimensions must be at least 0"),
        (values, np.array([1.0, np.nan, 5.0]), "num_dimensions must be at least 0"),
    ]:
        with pytest.raises(ValueError, match=message):
            inspect.unwrap(evaluate.bits_per_dim)(nats, dimensions)
