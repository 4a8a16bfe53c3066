"""Images that move: the folded way in closed form, frames by hand, draws that do not depend on their number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.data import moving_digits
from jaxgen.data.moving_digits import folded


def test_a_way_is_straight_until_a_wall_throws_it_back():
    time = jnp.array([0.0, 1.0, 2.0, 3.0, 4.0, 9.0])
    start, velocity = jnp.full(6, 3.0), jnp.full(6, 1.5)
    # 3, 4.5, then the wall at 5: 6 -> 4, 7.5 -> 2.5, 9 -> 1, and 16.5 = 10 + 6.5 -> 3.5
    np.testing.assert_allclose(folded(start, velocity, time, 5.0), [3, 4.5, 4, 2.5, 1, 3.5], atol=1e-5)
    np.testing.assert_allclose(folded(start, -velocity, time, 5.0), [3, 1.5, 0, 1.5, 3, 0.5], atol=1e-5)
    with pytest.raises(ValueError, match="room must be a finite number above 0, got 0"):
        folded(start, velocity, time, 0.0)


def test_frames_hold_the_images_whole_and_the_brightest_of_them():
    images = np.stack([np.full((3, 2), 100, np.uint8), np.full((3, 2), 200, np.uint8)])
    videos = moving_digits(jax.random.key(0), images, 8, 5, size=9, digits=1)
    assert videos.shape == (8, 5, 9, 9) and set(np.unique(videos)) == {0, 100, 200}
    assert ((videos > 0).sum(axis=(2, 3)) == 6).all()  # never cut off
    corners = np.array([[np.argwhere(frame)[0] for frame in video] for video in videos])
    moved = np.abs(np.diff(corners, axis=1))
    assert moved.max() <= 2 and moved.sum(axis=(1, 2)).min() > 0  # a speed of 0.9, rounded
    two = moving_digits(jax.random.key(1), images, 20, 4, size=9)
    assert two.max() == 200 and set(np.unique(two)) == {0, 100, 200}
    np.testing.assert_array_equal(moving_digits(jax.random.key(0), images, 3, 5, size=9, digits=1), videos[:3])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 3}, "size must be an integer of at least 4, above the size of the images, got 3"),
        ({"size": 9, "digits": 0}, "digits must be an integer"),
        ({"size": 9, "num": 0}, "num must be an integer"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        moving_digits(jax.random.key(0), np.zeros((1, 3, 2), np.uint8), **{"num": 1, "frames": 2, **options})
