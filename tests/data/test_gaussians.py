"""Conditioning in the form of gains against the form of precisions, and densities against scipy."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

from jaxgen.data.gaussians import Gaussian, conditioned, observed_in_part

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


def test_what_is_known_exactly_is_what_is_observed_with_less_and_less_noise():
    index, y = np.array([2, 0]), np.array([0.3, -1.0])
    rest = np.setdiff1d(np.arange(len(PRIOR.mean)), index)
    noisy = observed_in_part(PRIOR, index, y, 1e-9)
    found = conditioned(PRIOR, index, y)
    np.testing.assert_allclose(found.mean, noisy.mean[rest], atol=1e-6)
    np.testing.assert_allclose(found.covariance, noisy.covariance[np.ix_(rest, rest)], atol=1e-6)
    nothing = conditioned(PRIOR, np.zeros(0, np.int64), np.zeros(0))
    np.testing.assert_allclose(nothing.covariance, PRIOR.covariance)


def test_the_chain_rule_of_what_is_known_and_the_rest():
    """log p(x) = log p(x_S) + log p(x_R | x_S)."""
    index = np.array([1, 2])
    rest = np.setdiff1d(np.arange(len(PRIOR.mean)), index)
    x = np.random.default_rng(0).normal(size=(1, len(PRIOR.mean)))
    part = Gaussian(PRIOR.mean[index], PRIOR.covariance[np.ix_(index, index)])
    found = part.log_prob(x[:, index]) + conditioned(PRIOR, index, x[0, index]).log_prob(x[:, rest])
    np.testing.assert_allclose(found, PRIOR.log_prob(x))


def test_what_cannot_be_known_exactly():
    with pytest.raises(ValueError, match="index and values must be of one length, got 2 and 1"):
        conditioned(PRIOR, np.array([0, 1]), np.zeros(1))
    everything = np.arange(len(PRIOR.mean))
    with pytest.raises(ValueError, match="index must leave some coordinates, got all"):
        conditioned(PRIOR, everything, np.zeros(len(everything)))
