"""Drawings whose colours have a known distribution, and luminance apart from chroma."""

import jax
import numpy as np
import pytest

from jaxgen.data import colour, coloured_shapes
from jaxgen.data.coloured_shapes import FILLING, PALETTE, PAPER, PROBABILITIES

NUM = 500


@pytest.fixture(scope="module")
def shapes():
    return coloured_shapes.sample(jax.random.key(0), NUM)


@pytest.fixture(scope="module")
def drawn(shapes):
    return coloured_shapes.rendered(shapes)


def test_colours_are_as_often_as_their_probabilities_say(shapes):
    kind, number = (np.asarray(part) for part in (shapes.kind, shapes.colour))
    for i, p in enumerate(PROBABILITIES):
        counts = np.bincount(number[kind == i], minlength=4)
        assert counts.sum() == pytest.approx(4 * NUM / 3, abs=4 * np.sqrt(4 * NUM * 2 / 9))
        assert (np.abs(counts - counts.sum() * p) < 4 * np.sqrt(counts.sum() * p * (1 - p))).all()


def test_drawing_k_is_the_same_of_any_number(shapes):
    for few, many in zip(coloured_shapes.sample(jax.random.key(0), 3), shapes, strict=True):
        np.testing.assert_array_equal(few, many[:3])


def test_shapes_lie_apart_and_inside(drawn):
    luminance, filling = drawn
    assert filling.sum(axis=1).max() <= 1 + 1e-6
    edges = [filling[:, :, at].max() for at in (0, -1)] + [filling[..., at].max() for at in (0, -1)]
    assert max(edges) == 0
    assert luminance.max() == np.float32(PAPER) and luminance.min() >= 0.15 - 1e-6
    np.testing.assert_allclose(luminance[filling.sum(axis=1) == 1], FILLING, atol=1e-6)


def test_the_luminance_says_nothing_of_the_colours_and_colours_can_be_shown(shapes, drawn):
    luminance, filling = drawn
    rgb = colour.joined(luminance, coloured_shapes.chroma(filling, shapes.colour))
    assert rgb.min() >= 0 and rgb.max() <= 1
    np.testing.assert_allclose(rgb.mean(axis=-1, keepdims=True), luminance, atol=1e-6)


def test_the_exact_mean(shapes, drawn):
    """The mean over colourings of one drawing, within 4 standard errors of it."""
    filling, kind = drawn[1][:1], np.asarray(shapes.kind[:1])
    rng = np.random.default_rng(0)
    numbers = np.stack([rng.choice(4, 2000, p=PROBABILITIES[k]) for k in kind[0]], axis=1)
    x = coloured_shapes.chroma(np.broadcast_to(filling, (2000, *filling.shape[1:])), numbers)
    error = x.std(axis=0) / np.sqrt(2000)
    assert (np.abs(x.mean(axis=0) - coloured_shapes.mean_chroma(filling, kind)[0]) <= 4 * error + 1e-6).all()


def test_colours_are_read_again(shapes, drawn):
    x = coloured_shapes.chroma(drawn[1], shapes.colour)
    noisy = x + 0.1 * np.random.default_rng(0).standard_normal(x.shape).astype(np.float32)
    for chroma, low, high in ((x, 0, 1e-2), (noisy, 0.1, 0.2)):
        number, distance = coloured_shapes.colours_of(chroma, drawn[1])
        np.testing.assert_array_equal(number, shapes.colour)
        assert low <= distance.mean() < high
    apart = np.linalg.norm(PALETTE[:, None] - PALETTE, axis=-1)
    assert apart[apart > 0].min() == pytest.approx(0.45 * np.sqrt(2))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_luminance_and_chroma_make_the_picture_again(dtype):
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (3, 5, 4, 3), np.uint8) if dtype == np.uint8 else rng.uniform(size=(2, 3)).astype(dtype)
    unit = rgb / np.float32(255) if dtype == np.uint8 else rgb
    luminance, chroma = colour.separated(rgb)
    np.testing.assert_allclose(colour.joined(luminance, chroma), unit, atol=1e-6)
    # At right angles: the squared length is kept.
    square = 3 * luminance[..., 0] ** 2 + (chroma**2).sum(axis=-1)
    np.testing.assert_allclose(square, (unit**2).sum(axis=-1), rtol=1e-5)
    np.testing.assert_allclose(colour.separated(np.full((1, 3), 0.5, np.float32))[1], 0, atol=1e-7)


def test_what_is_no_picture():
    for wrong in (np.zeros((4, 4, 1), np.uint8), np.zeros((4, 4, 3))):
        with pytest.raises(ValueError, match=r"rgb must be uint8 or float32 \[..., 3\], got"):
            colour.separated(wrong)
    with pytest.raises(ValueError, match="num must be an integer of at least 1, got 0"):
        coloured_shapes.sample(jax.random.key(0), 0)
