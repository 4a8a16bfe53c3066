"""Bouncing balls keep their energy and momentum, stay in their box, and look as published."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data import bouncing_balls as balls


def test_two_balls_that_meet_exchange_their_velocities_along_the_line_between_them():
    """Head on, equal masses swap velocities; the part across the line stays."""
    x = jnp.array([[4.0, 5.0], [6.3, 5.0]])
    v = jnp.array([[0.2, 0.1], [-0.1, 0.05]])
    _, after = balls.moved(x, v, 0.5)
    # At the touch the line is nearly, not quite, along the first axis: exact for balls at equal height.
    _, level = balls.moved(x, v * jnp.array([[1.0, 0.0]]), 0.5)
    np.testing.assert_allclose(level, [[-0.1, 0], [0.2, 0]], atol=1e-6)
    np.testing.assert_allclose(after.sum(0), v.sum(0), atol=1e-6)
    np.testing.assert_allclose(jnp.square(after).sum(), jnp.square(v).sum(), rtol=1e-5)


def test_balls_that_move_apart_do_not_collide_again():
    x = jnp.array([[4.0, 5.0], [6.0, 5.0]])
    v = jnp.array([[-0.1, 0.0], [0.1, 0.0]])
    np.testing.assert_array_equal(balls.moved(x, v, 0.5)[1], v)


def test_walls_turn_the_velocity_round():
    x, v = jnp.array([[1.25, 8.75]]), jnp.array([[-0.2, 0.2]])
    np.testing.assert_allclose(balls.moved(x, v, 0.5)[1], [[0.2, -0.2]])


def test_energy_stays_and_so_do_the_balls():
    x = np.asarray(balls.trajectories(jax.random.key(0), 50, 40))
    assert x.shape == (50, 40, 3, 2)
    assert x.min() > balls.RADIUS - 0.3 and x.max() < balls.SIDE - balls.RADIUS + 0.3
    apart = np.linalg.norm(x[:, :, :, None] - x[:, :, None], axis=-1) + 10 * np.eye(3)
    assert apart[:, 0].min() >= 2 * balls.RADIUS - 1e-4 and apart.min() > 2 * balls.RADIUS - 0.6
    # Where nothing was hit in a frame, the speed is what it was at the start.
    energy = np.square(np.diff(x, axis=1)).sum(axis=(2, 3))
    np.testing.assert_allclose(np.median(energy, axis=0), balls.SPEED**2, rtol=1e-3)
    assert energy.max() < balls.SPEED**2 * 1.001


def test_a_video_is_the_same_in_any_company():
    two, five = (balls.trajectories(jax.random.key(3), num, 4) for num in (2, 5))
    np.testing.assert_array_equal(two, five[:2])


def test_a_frame_as_published():
    """exp(-(d^2 / r^2)^4): white in the middle, 1 / e at the radius, black beyond; two balls are white at most."""
    frame = balls.rendered(np.array([[[5.0, 5.0]]], np.float32), size=250)[0]
    middle, radius, beyond = (frame[125, round(25 * x)] for x in (5.0, 5.0 + 1.2, 7.0))
    assert middle == 255 and radius == pytest.approx(255 / np.e, abs=1) and beyond == 0
    assert balls.rendered(np.full((1, 2, 2), 5, np.float32))[0].max() == 255
    across = balls.rendered(np.array([[[2.0, 8.0]]], np.float32), size=10)[0]
    assert across[8, 2] == 255 and across[2, 8] == 0  # x runs over columns, y over rows


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num": 0}, "num must be"),
        ({"frames": 0}, "frames must be"),
        ({"balls": 9}, "balls must be an integer in 1..4"),
    ],
)
def test_numbers_that_cannot_be(fields, message):
    with pytest.raises(ValueError, match=message):
        balls.trajectories(jax.random.key(0), **{"num": 1, "frames": 2, **fields})
