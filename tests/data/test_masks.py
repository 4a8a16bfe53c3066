"""Masks of every kind: which cells they leave, and that mask k is the same in any number of them."""

import jax
import numpy as np
import pytest

from jaxgen.data import masks

SIZE = (6, 8)


@pytest.fixture(scope="module")
def drawn():
    return {
        kind.__name__: np.asarray(masks.drawn(jax.random.key(i), 400, SIZE, [kind]))
        for i, kind in enumerate(masks.KINDS)
    }


def test_halves_of_a_picture():
    upper, lower, left, right = np.asarray(masks.halves((2, 3)))
    assert upper.tolist() == [[True] * 3, [False] * 3]
    assert left.tolist() == [[True, False, False]] * 2
    np.testing.assert_array_equal(lower, ~upper)
    np.testing.assert_array_equal(right, ~left)
    assert np.asarray(masks.halves((4,))).tolist() == [[True, True, False, False], [False, False, True, True]]


def test_every_half_occurs_equally_often(drawn):
    counts = [(drawn["half"] == side).all(axis=(1, 2)).sum() for side in np.asarray(masks.halves(SIZE))]
    assert sum(counts) == 400 and max(abs(np.array(counts) - 100)) < 4 * np.sqrt(400 * 3 / 16)


def test_a_block_is_whole_and_a_quarter_to_three_quarters_of_the_sides(drawn):
    hidden = ~drawn["outside_block"]
    rows, columns = hidden.any(axis=2), hidden.any(axis=1)
    np.testing.assert_array_equal(hidden, rows[:, :, None] & columns[:, None])
    for sides, low, high in ((rows, 2, 4), (columns, 2, 6)):
        assert sorted(set(sides.sum(axis=1).tolist())) == list(range(low, high + 1))
        assert (np.abs(np.diff(sides, axis=1, prepend=False, append=False)).sum(axis=1) == 2).all()
        assert sides.any(axis=0).all()  # it comes to lie everywhere


def test_the_share_of_single_pixels_is_uniform(drawn):
    share = drawn["pixels"].mean(axis=(1, 2))
    assert abs(share.mean() - 0.5) < 4 * np.sqrt(1 / 12 / 400)
    # Var[p] + E[p (1 - p)] / n
    assert share.var() == pytest.approx(1 / 12 + 1 / 6 / 48, rel=0.2)


def test_nothing_is_nothing(drawn):
    assert not drawn["nothing"].any()


def test_mask_k_is_of_kind_k_and_the_same_in_any_number():
    many = np.asarray(masks.drawn(jax.random.key(0), 9, SIZE))
    np.testing.assert_array_equal(masks.drawn(jax.random.key(0), 4, SIZE), many[:4])
    assert not many[[3, 7]].any() and (many[[0, 4, 8]].mean(axis=(1, 2)) == 0.5).all()
    volume = np.asarray(masks.drawn(jax.random.key(0), 3, (4, 4, 4)))
    assert volume.shape == (3, 4, 4, 4) and volume.dtype == np.bool_


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda key: masks.drawn(key, 0, SIZE), "num must be an integer of at least 1, got 0"),
        (lambda key: masks.drawn(key, 2, ()), r"size must hold 1 or more integers of at least 1, got \(\)"),
        (lambda key: masks.drawn(key, 2, SIZE, []), "number of kinds must be an integer of at least 1, got 0"),
        (lambda key: masks.halves((0, 2)), "size must hold 1 or more integers of at least 1"),
    ],
)
def test_errors(make, message, key):
    with pytest.raises(ValueError, match=message):
        make(key)
