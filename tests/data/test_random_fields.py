"""Random fields against the closed forms: Parseval, dense linear algebra, scipy, and the filter of a whole field."""

from typing import Any

import jax
import numpy as np
import pytest
from scipy import stats

from jaxgen.data import PowerLaw, RandomField, observe, wavenumbers

TINY = RandomField(shape=(3, 4, 2), cell=2.0, spectrum=PowerLaw(amplitude=3.0, k_0=0.5, slope=2.5))


def test_wavenumbers():
    k = wavenumbers((4,), cell=2.0)
    np.testing.assert_allclose(k, 2 * np.pi / 8 * np.array([0, 1, 2, 1]))
    assert wavenumbers((3, 4, 2)).shape == (3, 4, 2)
    assert wavenumbers((4, 4), 2.0)[1, 2] == pytest.approx(2 * np.pi / 8 * np.sqrt(5))


def test_a_power_law():
    k = np.array([0.0, 0.5])
    np.testing.assert_allclose(PowerLaw(3.0, 0.5, 4.0)(k), 3 / np.array([0.5**4, 0.5**2]))


def test_the_covariance_has_the_spectrum_for_eigenvalues():
    covariance = TINY.covariance()
    np.testing.assert_allclose(covariance, covariance.T, atol=1e-12)
    np.testing.assert_allclose(
        np.linalg.eigvalsh(covariance), np.sort(TINY.mode_variances, axis=None), rtol=1e-10, atol=0
    )
    # Parseval: the variance of a cell is the mean of the modes', P(k) / a^3 each.
    np.testing.assert_allclose(np.diag(covariance), TINY.variance)
    assert TINY.variance == pytest.approx((TINY.spectrum(wavenumbers(TINY.shape, 2.0)) / 8).mean())


def test_density_and_entropy(key):
    known: Any = stats.multivariate_normal(mean=np.zeros(24), cov=TINY.covariance())  # pyright: ignore
    x = np.asarray(TINY.sample(key, 5))
    np.testing.assert_allclose(TINY.log_prob(x), known.logpdf(x.reshape(5, -1).astype(np.float64)), rtol=1e-10)
    assert TINY.entropy() == pytest.approx(known.entropy(), rel=1e-12)


def test_samples_have_the_covariance(key):
    """Whitened by the exact covariance: every element of the sample covariance within 5 standard errors."""
    num = 20_000
    x = np.asarray(TINY.sample(key, num), np.float64)
    assert x.shape == (num, 3, 4, 2, 1)
    white = np.linalg.solve(np.linalg.cholesky(TINY.covariance()), x.reshape(num, -1).T)
    found = white @ white.T / num
    error = np.where(np.eye(24, dtype=bool), np.sqrt(2 / num), np.sqrt(1 / num))
    np.testing.assert_array_less(np.abs(found - np.eye(24)), 5 * error)
    np.testing.assert_array_less(np.abs(white.mean(axis=1)), 5 / np.sqrt(num))


def test_sample_k_is_the_same_whatever_is_drawn_beside_it(key):
    x = TINY.sample(key, 5)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x[3:], TINY.sample(key, 2, first=3))


def test_what_is_observed(key):
    x = np.asarray(TINY.sample(key, 500))
    observed, seen = (np.asarray(part) for part in observe(key, x, share=0.3, noise=0.5))
    assert observed.dtype == np.float32 and seen.dtype == np.bool_ and (observed[~seen] == 0).all()
    assert abs(seen.mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / seen.size)
    noise = (observed - x)[seen]
    assert abs(noise.std() - 0.5) < 5 * 0.5 / np.sqrt(2 * noise.size)


def test_the_posterior_of_a_whole_field_is_diagonal_in_fourier_space(key):
    """Every cell seen: each mode shrinks by lambda / (lambda + r), and keeps the variance lambda r / (lambda + r)."""
    y = np.asarray(TINY.sample(key, 1), np.float64)[0]
    found = TINY.posterior(y, np.ones(y.shape, np.bool_), noise=0.7)
    variances = TINY.mode_variances
    shrunk = np.fft.ifftn(np.fft.fftn(y[..., 0]) * variances / (variances + 0.49)).real
    np.testing.assert_allclose(found.mean, shrunk.reshape(-1), atol=1e-10)
    left = np.sort((variances * 0.49 / (variances + 0.49)).reshape(-1))
    np.testing.assert_allclose(np.linalg.eigvalsh(found.covariance), left, rtol=1e-9)


def test_the_posterior_of_a_part_against_dense_precisions(key):
    x = TINY.sample(key, 1)
    observed, seen = (np.asarray(part[0], np.float64) for part in observe(key, x, share=0.4, noise=0.5))
    found = TINY.posterior(observed, seen.astype(np.bool_), noise=0.5)
    precision = np.linalg.inv(TINY.covariance()) + np.diag(seen.reshape(-1)) / 0.25
    np.testing.assert_allclose(found.covariance, np.linalg.inv(precision), rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(found.mean, np.linalg.solve(precision, observed.reshape(-1) / 0.25), rtol=1e-7)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PowerLaw(amplitude=0.0), "amplitude must be a finite number above 0, got 0.0"),
        (lambda: PowerLaw(k_0=float("nan")), "k_0 must be a finite number above 0, got nan"),
        (lambda: RandomField(shape=()), "shape must hold 1 or more integers of at least 1"),
        (lambda: RandomField(cell=-1.0), "cell must be a finite number above 0, got -1.0"),
        (lambda: TINY.sample(jax.random.key(0), 0), "num must be an integer of at least 1, got 0"),
        (lambda: TINY.log_prob(np.zeros((2, 3, 4, 2))), r"x must be of shape \[b, 3, 4, 2, 1\]"),
        (
            lambda: observe(jax.random.key(0), np.zeros((1, 2, 1), np.float32), 1.5, 1.0),
            "share must be a finite number",
        ),
        (lambda: TINY.posterior(np.zeros((3, 4, 2, 1)), np.zeros((3, 4, 1), bool), 1.0), "seen must be of shape"),
        (lambda: TINY.posterior(np.zeros((3, 4, 2, 1)), np.zeros((3, 4, 2, 1), bool), 0.0), "noise must be a finite"),
    ],
)
def test_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
