"""Measures of restored pictures against closed forms."""

import numpy as np
import pytest

from jaxgen import evaluate

RNG = np.random.default_rng(0)
Y = RNG.uniform(0, 255, (40, 50))


def test_psnr_of_a_constant_error():
    """An error of c everywhere has PSNR 20 log10(255 / c)."""
    assert evaluate.psnr(Y + 5, Y) == pytest.approx(20 * np.log10(255 / 5))
    assert evaluate.psnr(Y, Y) == np.inf
    assert evaluate.psnr(Y / 255 + 0.1, Y / 255, peak=1.0) == pytest.approx(20.0)


def test_the_border_does_not_count():
    x = Y.copy()
    x[:3] = x[-3:] = x[:, :3] = x[:, -3:] = 0
    assert evaluate.psnr(x, Y, border=3) == np.inf and evaluate.psnr(x, Y, border=2) < 30
    assert evaluate.ssim(x, Y, border=3) == pytest.approx(1.0)


def test_ssim_of_a_shift_in_brightness():
    """Two flat pictures a and b differ in their means alone: (2 a b + c_1) / (a^2 + b^2 + c_1)."""
    a, b, c_1 = 100.0, 140.0, 2.55**2
    flat = np.ones((20, 20))
    assert evaluate.ssim(a * flat, b * flat) == pytest.approx((2 * a * b + c_1) / (a**2 + b**2 + c_1), rel=1e-9)
    assert evaluate.ssim(Y, Y) == pytest.approx(1.0)


def test_ssim_by_its_definition():
    """Every window by itself, without filters."""
    x = Y + RNG.normal(0, 20, Y.shape)
    kernel = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    weights = np.outer(kernel, kernel) / kernel.sum() ** 2
    found = []
    for i in range(Y.shape[0] - 10):
        for j in range(Y.shape[1] - 10):
            a, b = x[i : i + 11, j : j + 11], Y[i : i + 11, j : j + 11]
            m, n = (weights * a).sum(), (weights * b).sum()
            s, t, c = (
                (weights * (a - m) ** 2).sum(),
                (weights * (b - n) ** 2).sum(),
                (weights * (a - m) * (b - n)).sum(),
            )
            found.append((2 * m * n + 2.55**2) * (2 * c + 7.65**2) / ((m * m + n * n + 2.55**2) * (s + t + 7.65**2)))
    assert evaluate.ssim(x, Y) == pytest.approx(np.mean(found), rel=1e-9)


def test_sharpness_is_the_share_of_the_laplacian():
    assert evaluate.sharpness(0.5 * Y + 10, Y) == pytest.approx(0.25)
    blurred = (Y[:-1] + Y[1:]) / 2
    assert evaluate.sharpness(blurred, Y[:-1]) < 0.7
    assert evaluate.sharpness(np.zeros_like(Y), Y) == 0


def test_spectral_distance_of_a_scaled_picture():
    """Every power is multiplied by the square of the factor: 20 log10 of it, in dB, whatever the picture."""
    assert evaluate.spectral_distance(2 * Y, Y, lowest=0.2, bins=8) == pytest.approx(20 * np.log10(2), rel=1e-6)
    assert evaluate.spectral_distance(Y + 30, Y, lowest=0.2, bins=8) == pytest.approx(0, abs=1e-6)
    # It does not ask where the detail is.
    assert evaluate.spectral_distance(RNG.permutation(Y.ravel()).reshape(Y.shape), Y, lowest=0.2, bins=8) < 2
    assert np.isfinite(evaluate.spectral_distance(np.zeros_like(Y), Y, lowest=0.2, bins=8))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: evaluate.psnr(Y, Y[1:]),
            r"x and y must be two pictures \[h, w\] of one size, got \(40, 50\) and \(39",
        ),
        (lambda: evaluate.psnr(Y[None], Y[None]), "x and y must be two pictures"),
        (lambda: evaluate.psnr(Y, Y, border=20), "border must be an integer in 0..19"),
        (lambda: evaluate.ssim(Y[:10], Y[:10]), "x must be at least 11 x 11 without its border, got 10 x 50"),
        (lambda: evaluate.sharpness(Y, 0 * Y), "y must have some detail"),
        (lambda: evaluate.spectral_distance(Y, Y, lowest=0.5), "lowest must be"),
        (lambda: evaluate.spectral_distance(Y[:12, :12], Y[:12, :12], lowest=0.2), "bins must be fewer for a picture"),
    ],
)
def test_what_cannot_be_judged_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
