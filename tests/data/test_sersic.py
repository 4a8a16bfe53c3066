"""Sersic profiles against what is known of them in closed form."""

import math

import numpy as np
import pytest
from scipy import integrate

from jaxgen.data import sersic

INDICES = np.array([0.5, 1.0, 2.0, 4.0])


def test_b_is_what_textbooks_have():
    # A Gaussian, the exponential disc, and de Vaucouleurs' law: Graham & Driver 2005, section 2.1.
    np.testing.assert_allclose(sersic.b(np.array([0.5, 1, 4])), [math.log(2), 1.67834699, 7.66924944], rtol=1e-8)
    large = np.array([4.0, 6.0])
    np.testing.assert_allclose(sersic.b(large), 2 * large - 1 / 3 + 4 / (405 * large), rtol=1e-3)


@pytest.mark.parametrize("index", INDICES)
def test_flux_integrates_to_one_and_half_of_it_lies_within_the_half_light_radius(index):
    def flux(upto):
        # In u = r^(1/n) the integrand is smooth.
        def integrand(u):
            return 2 * math.pi * sersic.intensity(u**index, index) * index * u ** (2 * index - 1)

        return integrate.quad(integrand, 0, upto ** (1 / index), limit=200)[0]

    assert flux(1e5 if index > 1 else 100.0) == pytest.approx(1, rel=1e-6)
    assert flux(1.0) == pytest.approx(0.5, rel=1e-8)
    assert flux(0.3) == pytest.approx(float(sersic.flux_within(0.3, index)), rel=1e-7)
    assert sersic.flux_within(1.0, index) == pytest.approx(0.5, rel=1e-12)


def test_radii_concentration_and_mean_square_of_known_profiles():
    share = np.array([0.2, 0.5, 0.8])
    # A Gaussian has 1 - exp(-b r^2) of its flux within r.
    np.testing.assert_allclose(sersic.radius_of(share, 0.5), np.sqrt(-np.log(1 - share) / math.log(2)), rtol=1e-10)
    np.testing.assert_allclose(sersic.flux_within(sersic.radius_of(share, 4.0), 4.0), share, rtol=1e-10)
    gaussian = 2.5 * math.log10(math.log(5) / math.log(1.25))
    np.testing.assert_allclose(sersic.concentration(np.array([0.5, 4.0])), [gaussian, 5.2731], rtol=1e-4)
    exact = np.array([1 / math.log(2), 6 / sersic.b(1.0) ** 2])  # <r^2> of a Gaussian and of exp(-b r)
    np.testing.assert_allclose(sersic.mean_square_radius(np.array([0.5, 1.0])), exact, rtol=1e-10)


def test_transforms_of_a_gaussian_and_of_a_disc_are_known():
    k = np.geomspace(1e-3, 30, 300)
    found = sersic.transfer(np.array([0.5, 1.0]))(np.stack([k, k]))
    b = sersic.b(np.array([0.5, 1.0]))
    np.testing.assert_allclose(found[0], np.exp(-np.square(k) / (4 * b[0])), atol=4e-5)
    np.testing.assert_allclose(found[1], (1 + np.square(k / b[1])) ** -1.5, atol=4e-5)
    whole = sersic.transfer(INDICES)(np.zeros((4, 1)))
    np.testing.assert_array_equal(whole, 1)


def test_a_transform_bends_at_the_origin_as_the_mean_square_radius_says():
    k = 0.05
    found = sersic.transfer(np.array([1.0, 2.0]))(np.full((2, 1), k))[:, 0]
    exact = 1 - k**2 * sersic.mean_square_radius(np.array([1.0, 2.0])) / 4
    np.testing.assert_allclose(found, exact, atol=2e-4)
