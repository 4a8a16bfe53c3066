import jax
import numpy as np
import pytest

from jaxgen.draws import coarse_uniforms


@pytest.mark.parametrize("shape", [(), (5,), (3, 7, 2)])
def test_coarse_uniforms_have_the_shape_and_lie_on_their_grid(key, shape):
    u = np.asarray(coarse_uniforms(key, shape))
    assert u.shape == shape and u.dtype == np.float32
    steps = u.astype(np.float64) * 65_536 - 0.5
    assert (steps == np.round(steps)).all() and (steps >= 0).all() and (steps <= 65_535).all()


def test_coarse_uniforms_make_a_pixel_white_as_often_as_it_is_bright(key):
    """By the numbers of grid points below k / 255: black is never white, white is never black."""
    grid = (np.arange(65_536) + 0.5) / 65_536
    brightness = np.arange(256) / 255
    share = (grid[:, None] < brightness[None]).mean(axis=0)
    np.testing.assert_allclose(share, brightness, atol=2**-17)
    assert share[0] == 0 and share[255] == 1


def test_coarse_uniforms_are_uniform_and_independent(key):
    u = np.asarray(coarse_uniforms(key, (1_000_000,)), np.float64)
    counts = np.histogram(u, bins=64, range=(0, 1))[0]
    expected = len(u) / 64
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert 20 < chi_square < 126  # 63 degrees of freedom, both tails beyond 1e-6
    # Neighbours share a random word, its two halves.
    correlation = np.corrcoef(u[0::2], u[1::2])[0, 1]
    assert abs(correlation) < 5 / np.sqrt(len(u) / 2)
    assert not np.array_equal(u, np.asarray(coarse_uniforms(jax.random.key(1), (1_000_000,))))
