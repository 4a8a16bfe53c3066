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
