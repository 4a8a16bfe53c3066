"""Stacked digits: channels are the images that they are said to be, and modes are numbers."""

import jax
import numpy as np
import pytest

from jaxgen.data import mode_of, stacked_digits

IMAGES = np.arange(5, dtype=np.uint8)[:, None, None] * np.full((1, 3, 2), 10, np.uint8)


def test_channels_are_images_and_a_draw_does_not_depend_on_their_number():
    x, which = stacked_digits(jax.random.key(0), IMAGES, 400)
    assert x.shape == (400, 3, 2, 3) and x.dtype == np.uint8
    np.testing.assert_array_equal(x, np.broadcast_to(10 * which[:, None, None], x.shape))
    again, few = stacked_digits(jax.random.key(0), IMAGES, 7)
    np.testing.assert_array_equal(again, x[:7])
    np.testing.assert_array_equal(few, which[:7])
    # Every image as often as any other, within four standard deviations, and no channel knows of another.
    shares = np.stack([(which == i).mean(axis=0) for i in range(5)])
    assert np.abs(shares - 0.2).max() < 4 * np.sqrt(0.2 * 0.8 / 400)
    assert np.abs(np.corrcoef(which.T) - np.eye(3)).max() < 4 / np.sqrt(400)
    assert stacked_digits(jax.random.key(0), IMAGES, 2, channels=1)[0].shape == (2, 3, 2, 1)


def test_a_mode_is_the_number_that_its_digits_write():
    np.testing.assert_array_equal(mode_of(np.array([[0, 0, 0], [1, 2, 3], [9, 9, 9]]), 10), [0, 123, 999])
    np.testing.assert_array_equal(mode_of(np.array([[1, 0], [0, 2]]), 3), [3, 2])
    assert len(np.unique(mode_of(np.indices((4, 4, 4)).reshape(3, -1).T, 4))) == 64


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match=r"classes must lie in 0..9, got 0 to 10"):
        mode_of(np.array([[0, 10, 3]]), 10)
    with pytest.raises(ValueError, match="channels must be an integer of at least 1, got 0"):
        stacked_digits(jax.random.key(0), IMAGES, 2, channels=0)
    with pytest.raises(ValueError, match="the number of images must be an integer of at least 1, got 0"):
        stacked_digits(jax.random.key(0), IMAGES[:0], 2)
