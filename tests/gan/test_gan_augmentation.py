import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.gan.augmentation import Augmentation, cut_out, translated


def test_translation_moves_pixels_and_lets_background_in():
    x = jnp.arange(12.0).reshape(3, 4, 1)
    moved = np.asarray(translated(x, jnp.array([1, -2])))[..., 0]
    expected = np.full((3, 4), -1.0)
    expected[1:, :2] = np.asarray(x)[:2, 2:, 0]
    np.testing.assert_array_equal(moved, expected)
    np.testing.assert_array_equal(translated(x, jnp.array([0, 0])), x)
    np.testing.assert_array_equal(translated(x, jnp.array([3, 0])), jnp.full_like(x, -1))


def test_cutout_paints_a_box():
    x = jnp.ones((4, 5, 2))
    box = np.asarray(cut_out(x, jnp.array([-1, 2]), jnp.array([2, 4])))
    expected = np.ones((4, 5, 2))
    expected[:2, 2:4] = 0
    np.testing.assert_array_equal(box, expected)


@pytest.mark.parametrize("shape", [(8, 6, 1), (7, 3), (4, 4, 4, 2)])
def test_any_number_of_spatial_dimensions(shape, key):
    x = jax.random.uniform(key, (5, *shape), minval=-1.0)
    y = Augmentation(0.25, 0.5, 0.3)(key, x)
    assert y.shape == x.shape and not jnp.allclose(y, x)


def test_shifts_and_holes_are_as_large_as_asked_for(key):
    x = jnp.ones((2000, 8, 8, 1))
    moved = np.asarray(Augmentation(translation=0.25)(key, x))[..., 0]
    rows_lost = (moved == -1).all(axis=2).sum(axis=1)
    assert set(np.unique(rows_lost)) == {0, 1, 2}
    # Shifts -2 .. 2, all as likely: no row is lost in a fifth of the draws.
    assert abs((rows_lost == 0).mean() - 0.2) < 4 * np.sqrt(0.16 / 2000)
    holes = (np.asarray(Augmentation(cutout=0.5)(key, x)) == 0).sum(axis=(1, 2, 3))
    assert holes.max() == 16 and holes.min() >= 4  # a quarter of it where the centre is a corner
    bright = np.asarray(Augmentation(brightness=0.4)(key, x))[:, 0, 0, 0] - 1
    assert 0.35 < bright.max() <= 0.4 and -0.4 <= bright.min() < -0.35


def test_draws_belong_to_the_example_and_the_key(key):
    x = jnp.broadcast_to(jnp.linspace(-1.0, 1.0, 64).reshape(1, 8, 8, 1), (6, 8, 8, 1))
    disturb = Augmentation(0.25, 0.5, 0.3)
    whole = disturb(key, x)
    np.testing.assert_array_equal(whole[:2], disturb(key, x[:2]))
    assert not jnp.allclose(whole[0], whole[1])
    assert not jnp.allclose(whole, disturb(jax.random.key(9), x))


def test_the_gradient_goes_back_the_way_the_pixels_came(key):
    """T is affine in x: its gradient moves the other way, and stops at the hole and at the border."""
    disturb = Augmentation(0.25, 0.4, 0.3)
    x, g = jax.random.normal(key, (2, 3, 8, 8, 1))
    _, pullback = jax.vjp(lambda x: disturb(key, x), x)
    np.testing.assert_allclose(
        (pullback(g)[0] * x).sum(), (g * (disturb(key, x) - disturb(key, jnp.zeros_like(x)))).sum(), rtol=1e-3
    )


def test_off_is_off():
    assert not Augmentation()
    assert Augmentation(brightness=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"translation": 1.5}, r"translation must be a finite number at least 0 and at most 1, got 1.5"),
        ({"cutout": -0.1}, r"cutout must be a finite number at least 0 and at most 1, got -0.1"),
        ({"brightness": -1.0}, "brightness must be a finite number at least 0, got -1.0"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**changes)
