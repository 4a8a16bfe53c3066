"""Photometry of galaxies whose flux, size and shape are known."""

import math

import numpy as np
import pytest

from jaxgen.evaluate import photometry, two_samples


def gaussian(sigma=4.0, axis_ratio=1.0, angle=0.5, flux=(100.0,), size=48, place=(0.0, 0.0)):
    down, across = (axis - (size - 1) / 2 - at for axis, at in zip(np.indices((size, size)), place, strict=True))
    u = np.cos(angle) * across + np.sin(angle) * down
    v = np.cos(angle) * down - np.sin(angle) * across
    shape = np.exp(-0.5 * (axis_ratio * u**2 + v**2 / axis_ratio) / sigma**2) / (2 * math.pi * sigma**2)
    return (shape[..., None] * np.array(flux))[None].astype(np.float32)


def test_flux_radius_and_concentration_of_a_gaussian():
    found = photometry(gaussian(place=(0.7, -1.2)))
    assert found.flux[0] == pytest.approx(100, rel=1e-3)
    assert found.radius[0] == pytest.approx(4 * math.sqrt(2 * math.log(2)), rel=1e-2)
    exact = 2.5 * math.log10(math.log(5) / math.log(1.25))
    assert found.concentration[0] == pytest.approx(exact, rel=2e-2)
    assert found.colour is None and set(found.columns) == {"flux", "radius", "ellipticity", "concentration"}


@pytest.mark.parametrize("axis_ratio", [1.0, 0.7, 0.4])
def test_ellipticity_is_one_minus_the_axis_ratio(axis_ratio):
    found = photometry(gaussian(3.0, axis_ratio))
    assert found.ellipticity[0] == pytest.approx(1 - axis_ratio, abs=2e-3)


def test_colour_is_in_magnitudes_and_the_sky_does_not_matter():
    x = gaussian(flux=(100.0, 50.0, 25.0))
    found, above = photometry(x), photometry(x + np.array([7.0, 3.0, 9.0], np.float32))
    assert found.columns["colour"][0] == pytest.approx(-2.5 * math.log10(0.25), rel=1e-5)
    assert found.flux[0] == pytest.approx(175, rel=1e-3)
    for name, value in found.columns.items():
        np.testing.assert_allclose(above.columns[name], value, rtol=1e-3, atol=1e-3)


def test_turning_and_mirroring_changes_nothing_and_flux_scales():
    x = gaussian(3.0, 0.6, place=(1.0, 2.0)) + np.random.default_rng(0).normal(0, 0.01, (1, 48, 48, 1)).astype(
        np.float32
    )
    found = photometry(np.concatenate([x, np.rot90(x, 1, (1, 2)), x[:, ::-1], 3 * x]))
    for name, value in found.columns.items():
        ratio = 3 if name == "flux" else 1
        np.testing.assert_allclose(value / value[0], [1, 1, 1, ratio], rtol=1e-5)


def test_an_empty_picture_has_no_statistics():
    found = photometry(np.zeros((1, 16, 16, 3), np.float32))
    assert all(np.isnan(value).all() for value in found.columns.values())


@pytest.mark.parametrize("x", [np.zeros((1, 4, 4, 1)), np.zeros((0, 8, 8, 1))])
def test_pictures_of_another_shape_are_refused(x):
    with pytest.raises(ValueError, match="x must be pictures"):
        photometry(x)


def test_values_must_be_finite():
    with pytest.raises(ValueError, match="x must be finite, got 1 values that are not"):
        photometry(np.where(np.arange(64).reshape(1, 8, 8, 1) == 5, np.nan, 0.0))


def test_two_samples():
    x = np.array([1.0, 2, 3, 4, np.nan])
    assert two_samples(x, x) == (0.0, 1.0)
    assert two_samples(x, x + 10).distance == 1
    assert two_samples(x, np.array([2.5, 2.6, 3.5, 10])).distance == pytest.approx(0.5)  # 2 of 4 below 2.5
    rng = np.random.default_rng(0)
    far = two_samples(rng.normal(size=500), rng.normal(0.5, 1, 500))
    near = two_samples(rng.normal(size=500), rng.normal(size=500))
    assert far.p_value < 1e-4 < 0.01 < near.p_value
    with pytest.raises(ValueError, match="y must hold at least two finite numbers, got 0"):
        two_samples(x, np.full(3, np.nan))
