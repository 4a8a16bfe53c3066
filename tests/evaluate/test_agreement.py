"""Exact samples agree with their Gaussian; shifted and stretched ones differ by what they were changed by."""

import numpy as np
import pytest

from jaxgen import evaluate

RNG = np.random.default_rng(0)
ROOT = RNG.normal(size=(5, 5)) + 2 * np.eye(5)
MEAN, COVARIANCE = RNG.normal(size=5), ROOT @ ROOT.T


def draws(num, shift=0.0, stretch=1.0):
    centred = RNG.normal(size=(num, 5)) @ ROOT.T
    return MEAN + shift * np.sqrt(np.diag(COVARIANCE)) + stretch * centred


def test_exact_samples_are_right_on_average():
    found = evaluate.agreements(evaluate.gaussian_agreement(draws(20), MEAN, COVARIANCE) for _ in range(400))
    for name, expected in (("mean_error", 0), ("variance_ratio", 1), ("covariance_ratio", 1)):
        assert abs(found[name].value - expected) < 4 * (found[name].standard_error or 0)


def test_what_is_wrong_is_found():
    shifted = evaluate.gaussian_agreement(draws(20_000, shift=0.3), MEAN, COVARIANCE)
    assert shifted.mean_error == pytest.approx(0.09, abs=0.01)
    wide = evaluate.gaussian_agreement(draws(20_000, stretch=1.5), MEAN, COVARIANCE)
    assert wide.variance_ratio == pytest.approx(2.25, rel=0.03)
    assert wide.covariance_ratio == pytest.approx(2.25, rel=0.03)


def test_a_covariance_without_correlations_is_seen_in_the_principal_directions():
    x = MEAN + RNG.normal(size=(20_000, 5)) * np.sqrt(np.diag(COVARIANCE))
    found = evaluate.gaussian_agreement(x, MEAN, COVARIANCE)
    assert found.variance_ratio == pytest.approx(1, rel=0.03)
    expected = np.trace(np.linalg.solve(COVARIANCE, np.diag(np.diag(COVARIANCE)))) / 5
    assert found.covariance_ratio == pytest.approx(expected, rel=0.05) and expected > 1.2


@pytest.mark.parametrize("x", [np.zeros((1, 5)), np.zeros((3, 4)), np.zeros(5)])
def test_refused(x):
    with pytest.raises(ValueError, match="x, mean and covariance must be"):
        evaluate.gaussian_agreement(x, MEAN, COVARIANCE)
