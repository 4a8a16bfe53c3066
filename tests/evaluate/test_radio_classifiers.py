"""Classifiers of radio galaxies: orientations, and the choice of a state on the validation images."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.evaluate.radio_classifiers import Convolutional, FullyConnected, trained, turned


def test_a_turned_image_keeps_its_middle_and_its_light():
    down, across = np.indices((17, 17), np.float32) - 8
    blob = np.exp(-0.5 * (down**2 + (across - 3) ** 2) / 4).astype(np.float32)
    x = np.broadcast_to(blob[None, ..., None], (40, 17, 17, 1))
    found = np.asarray(turned(jax.random.key(0), jnp.asarray(x), 0.0))
    np.testing.assert_allclose(found[:, 8, 8, 0], blob[8, 8], atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=(1, 2, 3)), blob.sum(), rtol=2e-2)
    share = found[..., 0] / found.sum(axis=(1, 2, 3))[:, None, None]
    centre = np.stack([(share * down).sum(axis=(1, 2)), (share * across).sum(axis=(1, 2))], axis=1)
    np.testing.assert_allclose(np.hypot(*centre.T), 3, atol=0.05)
    assert np.abs(centre.mean(axis=0)).max() < 4 * 3 / np.sqrt(2 * 40)
    bare = np.asarray(turned(jax.random.key(0), jnp.full((8, 9, 9, 1), 0.5, jnp.float32), -1.0))
    assert bare.min() == -1 and (bare[:, 4, 4] == 0.5).all()


@pytest.mark.parametrize("network", [FullyConnected(2), Convolutional(2)])
def test_classes_that_differ_are_told_apart(network):
    rng = np.random.default_rng(0)
    label = np.arange(40) % 2
    x = (rng.normal(0, 0.1, (40, 16, 16, 1)) + 0.8 * label[:, None, None, None]).astype(np.float32)
    data = (x, label)
    found = trained(
        jax.random.key(0), network, data, data, data, num_steps=12, batch_size=12, learning_rate=3e-3, every=4
    )
    assert found.accuracy == found.correct.mean() == found.valid >= 0.8
    assert found.step in (4, 8, 12)


def test_sets_that_do_not_fit_are_refused():
    x = np.zeros((3, 16, 16, 1), np.float32)
    with pytest.raises(ValueError, match="train must be images and as many classes, got 3 and 2"):
        trained(jax.random.key(0), FullyConnected(2), (x, np.zeros(2)), (x, np.zeros(3)), (x, np.zeros(3)))
