"""Frames around ink: the same thing is framed the same wherever it lies."""

import numpy as np
import pytest

from jaxgen.data import digit_frames


def drawn(rows, columns, size=28):
    x = np.zeros((1, size, size, 1), np.uint8)
    x[0, slice(*rows), slice(*columns)] = 255
    return x


def test_the_extent_is_that_of_the_widest_ink():
    x = np.concatenate([drawn((4, 9), (3, 20)), drawn((0, 11), (25, 28))])
    assert digit_frames.extent(x) == 17
    faint = x.copy()
    faint[0, 27, 27] = 40  # below a quarter of the top level
    assert digit_frames.extent(faint) == 17


def test_a_thing_is_framed_the_same_wherever_it_lies():
    here, there, edge = (drawn((at, at + 8), (at + 2, at + 6)) for at in (3, 10, 20))
    found = [digit_frames.framed(x, 20, 16) for x in (here, there, edge)]
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)
    assert found[0].shape == (1, 16, 16, 1) and found[0].dtype == np.uint8 and found[0].max() == 255
    # Ink is neither lost nor made: 8 x 4 pixels of 20 / 16 by 20 / 16.
    assert found[0].sum() / 255 == pytest.approx(32 * (16 / 20) ** 2, rel=0.02)


def test_a_frame_of_the_ink_alone_is_the_ink():
    x = np.random.default_rng(0).integers(5, 17, (3, 8, 8, 1), np.uint8)
    found = digit_frames.framed(x, 8, 8, levels=17)
    np.testing.assert_array_equal(found, np.rint(x * (255 / 16)).astype(np.uint8))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 4, 4, 1), np.uint8), "x must hold pictures with some ink each, got one without"),
        (np.zeros((2, 4, 4, 3), np.uint8), r"x must be uint8 pictures \[n, h, w, 1\], got uint8"),
        (np.ones((2, 4, 4, 1), np.float32), r"x must be uint8 pictures \[n, h, w, 1\], got float32"),
    ],
)
def test_what_is_no_ink(x, message):
    with pytest.raises(ValueError, match=message):
        digit_frames.framed(x, 4, 4)
