"""Conditioning in the form of gains against the form of precisions, and densities against scipy."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from jaxgen.data.gaussians import Gaussian, observed_in_part

RNG = np.random.default_rng(0)
ROOT = RNG.normal(size=(6, 6))
PRIOR = Gaussian(RNG.normal(size=6), ROOT @ ROOT.T + 0.1 * np.eye(6))


def test_density_and_entropy():
    known: Any = stats.multivariate_normal(mean=PRIOR.mean, cov=PRIOR.covariance)  # pyright: ignore
    x = RNG.normal(size=(5, 6))
    np.testing.assert_allclose(PRIOR.log_prob(x), known.logpdf(x), rtol=1e-12)
    assert PRIOR.entropy() == pytest.approx(known.entropy(), rel=1e-12)
    np.testing.assert_allclose(PRIOR.std**2, np.diag(PRIOR.covariance))


def test_a_part_that_was_observed():
    """With precisions: Lambda = C^-1 + H^T H / r, Lambda mean = C^-1 mu + H^T y / r."""
    index, y, r = np.array([4, 1]), np.array([0.3, -2.0]), 0.2
    found = observed_in_part(PRIOR, index, y, r)
    h = np.eye(6)[index]
    before = np.linalg.inv(PRIOR.covariance)
    precision = before + h.T @ h / r
    np.testing.assert_allclose(found.covariance, np.linalg.inv(precision), rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(found.mean, np.linalg.solve(precision, before @ PRIOR.mean + h.T @ y / r), rtol=1e-8)


def test_nothing_observed_changes_nothing():
    found = observed_in_part(PRIOR, np.zeros(0, np.int64), np.zeros(0), 1.0)
    np.testing.assert_array_equal(found.mean, PRIOR.mean)
    np.testing.assert_allclose(found.covariance, PRIOR.covariance)


@pytest.mark.parametrize(
    ("values", "noise", "message"),
    [
        (np.zeros(2), 0.0, "noise_variance must be a finite number above 0, got 0.0"),
        (np.zeros(3), 1.0, "index and values must be of one length, got 2 and 3"),
    ],
)
def test_refused(values, noise, message):
    with pytest.raises(ValueError, match=message):
        observed_in_part(PRIOR, np.array([0, 1]), values, noise)
