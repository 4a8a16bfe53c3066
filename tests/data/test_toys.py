"""The toys have the moments of their densities, and sample k whatever the number of samples."""

import jax
import numpy as np
import pytest

from jaxgen.data import grid, grid_centres, ring, ring_centres, swiss_roll, two_moons

NUM = 20_000
TOYS = [ring, grid, two_moons, swiss_roll]


def assert_moments(x, mean, variance):
    """Both within 5 standard errors, estimated from x itself."""
    x = np.asarray(x, np.float64)
    np.testing.assert_array_less(np.abs(x.mean(0) - mean), 5 * x.std(0) / np.sqrt(len(x)))
    square = (x - mean) ** 2
    np.testing.assert_array_less(np.abs(square.mean(0) - variance), 5 * square.std(0) / np.sqrt(len(x)))


def nearest(x, centres):
    """The nearest centre of each point and what is left."""
    apart = np.asarray(x)[:, None, :] - centres[None, :, :]
    mode = np.square(apart).sum(-1).argmin(-1)
    return mode, np.asarray(x) - centres[mode]


def test_centres_as_published():
    np.testing.assert_allclose(np.linalg.norm(ring_centres(), axis=-1), 1, rtol=1e-6)
    np.testing.assert_allclose(ring_centres()[[0, 2, 4, 6]], [[1, 0], [0, 1], [-1, 0], [0, -1]], atol=1e-6)
    expected = {(i, j) for i in (-4, -2, 0, 2, 4) for j in (-4, -2, 0, 2, 4)}
    assert set(map(tuple, grid_centres().tolist())) == expected
    assert grid_centres(modes=4, spacing=1.0).tolist() == [[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]]


@pytest.mark.parametrize(("toy", "centres", "std"), [(ring, ring_centres(), 0.01), (grid, grid_centres(), 0.05)])
def test_mixtures(key, toy, centres, std):
    x = toy(key, NUM)
    # Variance of a mixture: that of the centres plus that of each mode.
    assert_moments(x, centres.mean(0), centres.var(0) + std**2)
    mode, rest = nearest(x, centres)
    count = np.bincount(mode, minlength=len(centres))
    expected = NUM / len(centres)
    np.testing.assert_array_less(np.abs(count - expected), 5 * np.sqrt(expected))
    assert_moments(rest, 0, std**2)


def test_two_moons(key):
    # a ~ U[0, pi]: E cos a = 0, E sin a = 2 / pi, E cos^2 a = E sin^2 a = 1/2.
    # x = +-1/2 + 1/2 + cos a: mean 1/2, variance 1/4 + 1/2.
    # y = sin a or 1/2 - sin a: mean 1/4, second moment (1/2 + 1/4 - 2 / pi + 1/2) / 2.
    variance = np.array([3 / 4, (5 / 4 - 2 / np.pi) / 2 - 1 / 16]) + 0.1**2
    assert_moments(two_moons(key, NUM), [1 / 2, 1 / 4], variance)
    x = np.asarray(two_moons(key, NUM, std=0.0))
    upper = np.abs(np.linalg.norm(x, axis=-1) - 1) < 1e-5
    lower = np.abs(np.linalg.norm(x - [1, 0.5], axis=-1) - 1) < 1e-5
    assert (upper | lower).all()
    assert (x[upper & ~lower, 1] >= -1e-6).all()
    assert (x[lower & ~upper, 1] <= 0.5 + 1e-6).all()


def test_swiss_roll(key):
    x = np.asarray(swiss_roll(key, NUM, std=0.0), np.float64)
    t = 5 * np.linalg.norm(x, axis=-1)
    np.testing.assert_allclose(x, (t / 5)[:, None] * np.stack([np.cos(t), np.sin(t)], -1), atol=1e-5)
    low, high = 1.5 * np.pi, 4.5 * np.pi
    assert low - 1e-5 <= t.min() <= t.max() <= high + 1e-5
    assert_moments(t[:, None], (low + high) / 2, (high - low) ** 2 / 12)
    noise = np.asarray(swiss_roll(key, NUM)) - x
    assert_moments(noise, 0, 0.2**2)


@pytest.mark.parametrize("toy", TOYS)
def test_the_first_draws_do_not_depend_on_the_number(key, toy):
    many = toy(key, NUM)
    assert many.shape == (NUM, 2)
    assert many.dtype == np.float32
    np.testing.assert_array_equal(toy(key, 7), many[:7])
    assert not np.array_equal(toy(jax.random.key(1), 7), toy(key, 7))


@pytest.mark.parametrize("toy", TOYS)
@pytest.mark.parametrize("num", [0, -1, True])
def test_a_number_that_is_none(key, toy, num):
    with pytest.raises(ValueError, match=f"num must be an integer of at least 1, got {num}"):
        toy(key, num)


def test_modes_that_are_none(key):
    with pytest.raises(ValueError, match="modes must be a square, got 24"):
        grid(key, 5, modes=24)
    with pytest.raises(ValueError, match="modes must be an integer of at least 1, got 0"):
        ring(key, 5, modes=0)
