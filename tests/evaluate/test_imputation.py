"""Rubin's rules: the numbers, and the case where the variance is known."""

import inspect

import numpy as np
import pytest

from jaxgen import evaluate


def test_the_parts_by_hand():
    found = evaluate.pooled(np.array([1.0, 2.0, 6.0]), np.array([0.5, 1.0, 1.5]))
    assert found.value == 3 and found.within == 1 and found.between == 7
    assert found.variance == pytest.approx(1 + 4 / 3 * 7)
    assert found.missing_share == pytest.approx(4 / 3 * 7 / found.variance)
    same = evaluate.pooled(np.ones((4, 2)), np.full((4, 2), 0.3))
    np.testing.assert_allclose(same.variance, 0.3)
    np.testing.assert_array_equal(same.missing_share, 0)


def test_the_variance_of_a_mean_is_that_of_what_was_seen():
    """Half of n normal values are missing and drawn from their posterior: T is sigma^2 / (n / 2), not sigma^2 / n."""
    rng, n, m = np.random.default_rng(0), 40, 100_000
    seen = rng.normal(size=n // 2)
    mean = seen.mean() + rng.normal(size=m) / np.sqrt(n / 2)  # the posterior of the mean for sigma = 1
    missing = mean[:, None] + rng.normal(size=(m, n // 2))
    estimates = (seen.sum() + missing.sum(axis=1)) / n
    found = evaluate.pooled(estimates, np.full(m, 1 / n))
    assert found.variance == pytest.approx(2 / n, rel=0.02)
    assert found.missing_share == pytest.approx(0.5, rel=0.02)
    assert found.value == pytest.approx(seen.mean(), abs=0.01)


@pytest.mark.parametrize(
    ("estimates", "variances", "message"),
    [
        (np.ones(1), np.ones(1), "number of imputations must be an integer of at least 2, got 1"),
        (np.ones(3), np.ones((3, 1)), r"variances must have the shape of estimates, \[m, \.\.\.\], got \(3, 1\)"),
        (np.ones(2), np.array([1.0, -1.0]), "variances must be at least 0, got -1"),
    ],
)
def test_what_cannot_be_is_refused(estimates, variances, message):
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(evaluate.pooled)(estimates, variances)  # beartype would be the first to refuse
