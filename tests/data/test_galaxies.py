"""Rendered galaxies: flux, sizes, shapes and noise are what their parameters say."""

import dataclasses
import math

import jax
import numpy as np
import pytest

from jaxgen.data import Galaxies, GaussianPSF, MoffatPSF, sersic
from jaxgen.data.galaxies import Parameters

ONE = Galaxies(size=48, bands=1, psf=GaussianPSF(2.0), sky=4.0)


def galaxy(index, radius=4.0, axis_ratio=1.0, angle=0.0, flux=1000.0, colour=0.0, place=(0.0, 0.0)):
    def column(value):
        return np.array([value], np.float32)

    known = (flux, radius, index, axis_ratio, angle, colour)
    parts: list[np.ndarray] = [np.zeros(1, np.int32), *map(column, known), np.array([place], np.float32)]
    return Parameters(*parts)


def moments(image):
    """Flux, centre and second moments of an image."""
    down, across = np.indices(image.shape)
    share = image / image.sum()
    row, column = (share * down).sum(), (share * across).sum()
    down, across = down - row, across - column
    return (
        image.sum(),
        (row, column),
        ((share * across**2).sum(), (share * down**2).sum(), (share * across * down).sum()),
    )


def test_total_flux_centre_and_second_moments_of_a_disc():
    """Variances add: of the ellipse, of the point-spread function and of the pixel (1/12 along each axis)."""
    for index in (0.5, 1.0):
        p = galaxy(index, radius=3.0, axis_ratio=0.5, angle=0.6, place=(0.3, -0.2))
        flux, centre, found = moments(ONE.images(p)[0, ..., 0].astype(np.float64))
        assert flux == pytest.approx(1000, rel=2e-3)
        np.testing.assert_allclose(centre, (23.8, 23.3), atol=5e-3)
        mean_square = 9.0 * sersic.mean_square_radius(index) / 2
        added = 2.0**2 / (8 * math.log(2)) + 1 / 12
        major, minor = mean_square / 0.5, mean_square * 0.5
        c, s = math.cos(0.6), math.sin(0.6)
        exact = (major * c * c + minor * s * s + added, major * s * s + minor * c * c + added, (major - minor) * c * s)
        np.testing.assert_allclose(found, exact, rtol=2e-2)


@pytest.mark.parametrize("index", [1.0, 4.0])
def test_half_of_the_light_lies_within_the_half_light_radius(index):
    sharp = dataclasses.replace(ONE, size=64, psf=GaussianPSF(1.0))
    image = sharp.images(galaxy(index, radius=8.0, flux=1.0))[0, ..., 0]
    down, across = np.indices(image.shape) - 31.5
    within = np.clip(8.0 - np.hypot(down, across) + 0.5, 0, 1)
    # Of the sharp peak of an index of 4 the blur moves a little outwards.
    assert (within * image).sum() == pytest.approx(0.5, abs=0.012)


def test_colour_is_a_difference_of_magnitudes_from_first_to_last_band():
    three = dataclasses.replace(ONE, bands=3)
    flux = three.images(galaxy(1.0, colour=1.2)).sum(axis=(1, 2))[0]
    np.testing.assert_allclose(-2.5 * np.log10(flux[2] / flux[0]), 1.2, rtol=1e-5)
    np.testing.assert_allclose(flux[1], 1000, rtol=2e-3)


def test_noise_has_the_variance_of_the_counts():
    image = np.full((400, 8, 8, 1), 12.0, np.float32)
    noise = ONE.observed(jax.random.key(0), image) - image
    assert noise.mean() == pytest.approx(0, abs=4 * 4 / math.sqrt(noise.size))
    # The variance of a variance of n normals is 2 v^2 / n.
    assert noise.var() == pytest.approx(16, abs=4 * 16 * math.sqrt(2 / noise.size))
    np.testing.assert_array_equal(ONE.observed(jax.random.key(0), image[:3]), (image + noise)[:3])


def test_point_spread_functions():
    k = np.linspace(0, 3, 7)
    np.testing.assert_allclose(GaussianPSF(2.5).transfer(k)[0], 1)
    np.testing.assert_allclose(MoffatPSF(2.5, 3.5).transfer(k)[0], 1, rtol=1e-6)
    # K_(1/2)(z) = sqrt(pi / (2 z)) exp(-z): with beta = 3/2 the transform is exp(-a k).
    a = 2.5 / (2 * math.sqrt(2 ** (2 / 3) - 1))
    np.testing.assert_allclose(MoffatPSF(2.5, 1.5).transfer(k), np.exp(-a * k), rtol=1e-5)
    # With a large beta it is a Gaussian.
    np.testing.assert_allclose(MoffatPSF(2.5, 30.0).transfer(k), GaussianPSF(2.5).transfer(k), atol=3e-2)


def test_galaxies_are_drawn_one_by_one_as_the_population_says():
    key = jax.random.key(1)
    population = Galaxies()
    p = population.parameters(key, 4000)
    some = population.parameters(key, 3, first=10)
    for name, value in some._asdict().items():
        np.testing.assert_array_equal(value, getattr(p, name)[10:13])
    error = 4 * math.sqrt(0.24 / 4000)
    assert (p.kind == 0).mean() == pytest.approx(0.6, abs=error)
    # P(F > 4 low) = (4^-a - m^-a) / (1 - m^-a), cut off at m times the smallest flux.
    cut = population.brightest**-population.tail
    exact = (4**-population.tail - cut) / (1 - cut)
    assert (p.flux > 4 * population.flux).mean() == pytest.approx(exact, abs=4 * math.sqrt(exact / 4000))
    assert population.flux <= p.flux.min() and p.flux.max() <= population.flux * population.brightest * 1.0001
    assert p.axis_ratio.min() >= 0.2 and p.axis_ratio.max() <= 1
    # Discs have cosines of their inclination that are uniform.
    cosine = np.sqrt((p.axis_ratio[p.kind == 0] ** 2 - 0.04) / 0.96)
    assert cosine.mean() == pytest.approx(0.5, abs=4 / math.sqrt(12 * 2400))


def test_a_set_comes_from_its_key():
    small = Galaxies(size=12)
    x, p = small.sample(jax.random.key(3), 5)
    again, _ = small.sample(jax.random.key(3), 3)
    assert x.shape == (5, 12, 12, 3) and x.dtype == np.float32 and p.fields["place"].shape == (5, 2)
    np.testing.assert_allclose(again, x[:3], rtol=1e-5, atol=1e-4)
    assert "kind" not in p.fields


@pytest.mark.parametrize(
    ("kind", "fields", "message"),
    [
        (Galaxies, {"size": 4}, "size must be an integer of at least 8, got 4"),
        (Galaxies, {"discs": 1.5}, "discs must be a finite number at least 0 and at most 1, got 1.5"),
        (Galaxies, {"brightest": 1.0}, "brightest must be a finite number above 1, got 1.0"),
        (GaussianPSF, {"fwhm": 0.0}, "fwhm must be a finite number above 0, got 0.0"),
        (MoffatPSF, {"beta": 1.0}, "beta must be a finite number .*above 1.*, got 1.0"),
    ],
)
def test_populations_that_cannot_be(kind, fields, message):
    with pytest.raises(ValueError, match=message):
        kind(**fields)
