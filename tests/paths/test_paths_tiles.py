"""Tiles: they cover a picture, are exact where a prediction is local, and leave no seams."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.paths import tiles


def test_the_grid_covers_everything_with_its_overlap():
    for space, size, overlap in [((10,), (4,), 1), ((48, 100), (48, 48), 12), ((9, 9, 9), (4, 5, 9), 2)]:
        corners = tiles.grid(space, size, overlap)
        seen = np.zeros(space, int)
        for corner in corners:
            assert all(0 <= c <= n - s for c, n, s in zip(corner, space, size, strict=True))
            seen[tuple(slice(c, c + s) for c, s in zip(corner, size, strict=True))] += 1
        assert (seen > 0).all()
        for axis in range(len(space)):
            along = sorted({corner[axis] for corner in corners})
            assert all(b - a <= size[axis] - overlap for a, b in itertools.pairwise(along))
    assert tiles.grid((4, 4), (4, 4), 2) == [(0, 0)]


def test_the_window_is_symmetric_and_falls_to_the_edges():
    w = tiles.window((6, 4))
    np.testing.assert_allclose(w, w[::-1, ::-1], rtol=1e-6)
    assert w.shape == (6, 4) and w.dtype == np.float32 and w[0].max() < 0.1 * w.max()


def test_a_local_prediction_is_the_same_in_tiles():
    """A prediction from each pixel alone does not see the tiles; conditions are cut, or given whole."""
    x = jax.random.normal(jax.random.key(0), (2, 11, 9, 3))
    low = jax.random.normal(jax.random.key(1), (2, 11, 9, 1))
    gain, t = jnp.array([2.0, 3.0]), jnp.array([1, 2], jnp.int32)

    def predict(x_t, t, condition):
        low, gain = condition
        along = (slice(None), None, None, None)
        return {"a": x_t * low * gain[along] + t[along].astype(jnp.float32), "b": low}

    whole = tiles.tiled(predict, (5, 4), 2, (low, gain))(x, t)
    expected = predict(x, t, (low, gain))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), whole, expected)


def test_a_prediction_that_differs_from_tile_to_tile_has_no_seams():
    """Every tile predicts its own mean; the blended picture moves from one to the next in small steps."""
    ramp = jnp.broadcast_to(jnp.arange(40, dtype=jnp.float32)[None, :, None, None], (1, 40, 16, 1))

    def mean(x_t, t, _):
        return jnp.broadcast_to(x_t.mean(axis=(1, 2, 3), keepdims=True), x_t.shape)

    def jump(size, overlap):
        found = np.asarray(tiles.tiled(mean, (size, 16), overlap)(ramp, jnp.zeros(1)))[0, :, 0, 0]
        return np.abs(np.diff(found)).max()

    assert jump(8, 0) == pytest.approx(8)  # side by side, the means of neighbours are 8 apart
    assert jump(8, 4) < 0.4 * 4  # in a half overlap they are 4 apart, which four pixels share
    assert jump(16, 8) < 0.2 * 8


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: tiles.grid((3, 9), (4, 4), 1),
            r"space must be at least the size of a tile, \(4, 4\), .* got \(3, 9\)",
        ),
        (lambda: tiles.grid((9,), (4, 4), 1), "in as many dimensions"),
        (lambda: tiles.grid((9, 9), (4, 4), 4), "overlap must be an integer in 0..3"),
        (
            lambda: tiles.tiled(lambda x, t, _: x[:, 1:], (4, 4), 1)(jnp.zeros((1, 9, 9, 1)), jnp.zeros(1)),
            "predict must return arrays",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
