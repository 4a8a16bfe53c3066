"""The power spectrum against Parseval's theorem, single waves and theory."""

import numpy as np
import pytest

from jaxgen import evaluate
from jaxgen.data import RandomField
from jaxgen.evaluate.spectrum import bins, in_bins


def test_bins():
    assert bins((4,)).tolist() == [0, 1, 2, 1]
    size = [0, 1, 2, 3, 2, 1]
    lengths = [round((a * a + b * b + c * c) ** 0.5) for a in size for b in size for c in size]
    assert bins((6, 6, 6)).reshape(-1).tolist() == lengths and len(set(lengths)) == 6
    assert bins((4, 2)).tolist() == [[0, 2], [1, 2], [2, 3], [1, 2]]  # an axis of half the size: twice the unit


def test_parseval():
    x = np.random.default_rng(0).normal(size=(3, 5, 4, 1)).astype(np.float32)
    found = evaluate.power_spectrum(x, cell=0.5)
    total = (found.power * found.modes).sum() / 0.5**2
    assert total == pytest.approx(np.square(x).sum() / 3, rel=1e-6)


def test_a_single_wave():
    place = np.arange(8) * 2.0
    x = np.stack([np.cos(2 * np.pi * 2 * place / 16 + phase) for phase in (0.0, 1.0)])[..., None]
    found = evaluate.power_spectrum(x, cell=2.0)
    # sum x^2 = 4 in two modes of the bin; P = a |F x|^2.
    np.testing.assert_allclose(found.power, [0, 0, 2 * 4 / 2, 0, 0], atol=1e-12)
    np.testing.assert_allclose(found.standard_error, 0, atol=1e-12)
    np.testing.assert_allclose(found.k, 2 * np.pi * np.arange(5) / 16)


def test_theory_within_its_error_bars(key):
    field = RandomField((6, 6, 6))
    found = evaluate.power_spectrum(np.asarray(field.sample(key, 500)), field.cell)
    theory = in_bins(field.mode_variances * field.cell**3)
    z = found.deviations(theory)
    assert np.abs(z).max() < 4.5 and np.square(z).sum() < 25  # chi^2 of 6 bins
    # |F x|^2 of a Gaussian mode has a standard deviation of 1 to 2^1/2 times its mean.
    expected = found.power * np.sqrt(2 / (found.modes * 500))
    np.testing.assert_allclose(found.standard_error, expected, rtol=0.2)


@pytest.mark.parametrize("shape", [(2, 4), (1, 4, 1), (3, 4, 4, 2)])
def test_refused(shape):
    with pytest.raises(ValueError, match="x must be two or more fields"):
        evaluate.power_spectrum(np.zeros(shape))
