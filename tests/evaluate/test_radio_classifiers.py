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


def test_the_published_sizes():
    """At 64 x 64 the last convolution sees 8 x 8, as at 128 x 128 with one more halving."""
    x = jax.ShapeDtypeStruct((3, 64, 64, 1), np.float32)
    for network, last in ((FullyConnected(4), (250, 4)), (Convolutional(4), (100, 4))):
        logits, variables = jax.eval_shape(lambda x, n=network: n.init_with_output(jax.random.key(0), x), x)
        assert logits.shape == (3, 4)
        kernels = [leaf.shape for leaf in jax.tree.leaves(variables) if leaf.ndim == 2]
        assert last in kernels and ((784, 100) in kernels) == (last[0] == 100)


@pytest.mark.parametrize("network", [FullyConnected(2), pytest.param(Convolutional(2), marks=pytest.mark.slow)])
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
