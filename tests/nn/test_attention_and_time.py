"""Attention against its formula, position by position, and the embedding of the time."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nn import SelfAttention, TimeEmbedding, sinusoidal_embedding


def test_attention_is_its_formula():
    layer = SelfAttention(num_heads=2, num_groups=1)
    x = jax.random.normal(jax.random.key(0), (2, 2, 3, 4))
    params = layer.init(jax.random.key(1), x)["params"]
    start: Any = layer.apply({"params": params}, x)
    np.testing.assert_array_equal(start, x)  # it is the identity
    kernel, out = (np.asarray(jax.random.normal(jax.random.key(k), s)) for k, s in ((2, (4, 12)), (3, (4, 4))))
    params = {**params, "Dense_0": {**params["Dense_0"], "kernel": jnp.asarray(kernel)}}
    params = {**params, "Dense_1": {**params["Dense_1"], "kernel": jnp.asarray(out)}}

    flat = np.asarray(x, np.float64).reshape(2, 6, 4)
    normalised = (flat - flat.mean((1, 2), keepdims=True)) / flat.std((1, 2), keepdims=True)
    q, k, v = np.split(normalised @ kernel, 3, axis=-1)
    expected = flat.copy()
    for b in range(2):
        for head in (slice(0, 2), slice(2, 4)):
            for i in range(6):
                weights = np.exp(k[b, :, head] @ q[b, i, head] / np.sqrt(2))
                expected[b, i] += weights / weights.sum() @ v[b, :, head] @ out[head]
    found: Any = layer.apply({"params": params}, x)
    np.testing.assert_allclose(found, expected.reshape(x.shape), rtol=1e-3, atol=1e-4)


def test_heads_divide_the_channels():
    with pytest.raises(ValueError, match="num_heads=3"):
        SelfAttention(num_heads=3, num_groups=1).init(jax.random.key(0), jnp.zeros((1, 2, 4)))


def test_the_embedding_of_the_time():
    found = np.asarray(sinusoidal_embedding(jnp.array([0, 3], jnp.int32), 6))
    frequencies = 10_000.0 ** (-np.arange(3) / 2)
    np.testing.assert_allclose(found[0], [0, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(found[1], np.append(np.sin(3 * frequencies), np.cos(3 * frequencies)), rtol=1e-6)
    with pytest.raises(ValueError, match="an even integer of at least 4, got 5"):
        sinusoidal_embedding(jnp.zeros((1,), jnp.int32), 5)


def test_the_class_is_told_beside_the_time():
    layer = TimeEmbedding(4, num_classes=3)
    t, label = jnp.array([1, 1], jnp.int32), jnp.array([0, 2], jnp.int32)
    told: Any = layer.apply(layer.init(jax.random.key(0), t, label), t, label)
    assert told.shape == (2, 16)
    assert not np.allclose(told[0], told[1])
