"""The eight orientations of a square image: a group, and a model that is trained on all of them."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.core import GenerativeModel
from jaxgen.data import orientations
from jaxgen.data.orientations import NUM, inverse, turned

X = np.arange(2 * 3 * 3 * 2, dtype=np.uint8).reshape(2, 3, 3, 2)


def of(x, k):
    return np.asarray(turned(jnp.asarray(x), jnp.full(len(x), k, jnp.int32)))


def test_they_are_the_quarter_turns_and_their_mirror_images():
    found = {of(X, k).tobytes() for k in range(NUM)}
    known = {np.rot90(y, turns, (1, 2)).tobytes() for y in (X, X[:, :, ::-1]) for turns in range(4)}
    assert found == known and len(known) == NUM
    np.testing.assert_array_equal(of(X, 0), X)


def test_they_make_a_group_with_these_inverses():
    images = {of(X, k).tobytes() for k in range(NUM)}
    for a, b in itertools.product(range(NUM), repeat=2):
        assert of(of(X, a), b).tobytes() in images
    every = jnp.arange(NUM, dtype=jnp.int32)
    x = jnp.asarray(np.tile(X[:1], (NUM, 1, 1, 1)))
    np.testing.assert_array_equal(turned(turned(x, every), inverse(every)), x)


def test_each_image_has_its_own():
    found = turned(jnp.asarray(X), jnp.asarray([0, 5], jnp.int32))
    np.testing.assert_array_equal(found[0], X[0])
    np.testing.assert_array_equal(found[1], of(X, 5)[1])


def test_images_that_are_not_square_are_refused():
    with pytest.raises(ValueError, match=r"x must be square images .*, got \(1, 2, 3, 1\)"):
        turned(jnp.zeros((1, 2, 3, 1)), jnp.zeros(1, jnp.int32))


def test_a_model_is_trained_on_turned_images_and_is_otherwise_itself():
    x = np.random.default_rng(0).normal(size=(6, 4, 4, 1)).astype(np.float32)
    mask = x > 0

    def nothing(*_):
        raise AssertionError

    def step(key, state, batch) -> Any:
        return batch, {}

    plain = GenerativeModel(nothing, step, nothing, nothing, None)
    model = orientations.turned_at_random(plain)
    batch = {"x": jnp.asarray(x), "mask": jnp.asarray(mask), "index": jnp.arange(6, dtype=jnp.int32)}
    found, _ = model.step(jax.random.key(1), None, batch)
    other, _ = model.step(jax.random.key(2), None, batch)
    assert (found["x"] != other["x"]).any()
    for image, turned_image in zip(x, found["x"], strict=True):
        assert any((of(image[None], k)[0] == turned_image).all() for k in range(NUM))
    np.testing.assert_array_equal(found["mask"], found["x"] > 0)
    np.testing.assert_array_equal(found["index"], batch["index"])
    assert model.sample is plain.sample and model.init is plain.init
