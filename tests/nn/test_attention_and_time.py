"""Attention against its formula, position by position, and the embedding of the time."""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nn import (
    CrossAttention,
    SelfAttention,
    TimeEmbedding,
    attention,
    fourier_embedding,
    sinusoidal_embedding,
)


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


NONE = np.array([[True, False, True, True, False], [False] * 5])


@pytest.mark.parametrize("mask", [None, NONE])
@pytest.mark.parametrize(
    ("kernel", "dtype"), [("dot_product", "float32"), ("dot_product", "bfloat16"), ("cudnn", "bfloat16")]
)
def test_all_forms_of_attention_agree(kernel, dtype, mask):
    """Values and gradients; "cudnn" is "dot_product" where there is no GPU. Half precision needs standard promotion."""
    shapes = ((2, 7, 2, 8), (2, 5, 2, 8), (2, 5, 2, 8))
    inputs = [jax.random.normal(jax.random.key(i), s, jnp.dtype(dtype)) for i, s in enumerate(shapes)]
    mask = None if mask is None else jnp.asarray(mask)

    def of(kernel):
        def loss(*inputs):
            q, k, v = inputs
            h = attention(q, k, v, mask, kernel)
            assert h.dtype == dtype
            return jnp.square(h.astype(jnp.float32)).sum(), h

        with jax.numpy_dtype_promotion("standard"):
            (_, h), gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))(*inputs)
        return [np.asarray(x, np.float32) for x in (h, *gradients)]

    tolerance = 1e-5 if dtype == "float32" else 0.05
    for found, expected in zip(of(kernel), of("einsum"), strict=True):
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)
        assert mask is None or not found[1].any()  # an example that may attend to nothing


def test_cudnn_is_asked_for_on_a_gpu_and_without_a_mask(monkeypatch):
    asked = []

    def told(q, k, v, *, mask, implementation):
        asked.append(implementation)
        return q

    q = jnp.ones((1, 4, 2, 8), jnp.bfloat16)
    monkeypatch.setattr(jax.nn, "dot_product_attention", told)
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    attention(q, q, q, kernel="cudnn")
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    attention(q, q, q, kernel="cudnn")
    attention(q, q, q, jnp.ones((1, 4), bool), "cudnn")
    attention(q, q, q, kernel="dot_product")
    attention(q[:, :3], q, q, kernel="cudnn")
    attention(q, q[:, :3], q[:, :3], kernel="cudnn")
    assert asked == ["xla", "cudnn", "xla", "xla", "xla", "xla"]


def test_an_unknown_kernel_and_heads_that_cudnn_cannot_take_are_refused():
    q = jnp.ones((1, 4, 2, 8))
    with pytest.raises(ValueError, match="kernel must be 'einsum' or 'dot_product' or 'cudnn', got 'flash'"):
        attention(q, q, q, kernel="flash")
    with pytest.raises(ValueError, match="got float32 of 8"):
        attention(q, q, q, kernel="cudnn")
    for width in (12, 264):
        q = jnp.ones((1, 4, 2, width), jnp.bfloat16)
        with pytest.raises(ValueError, match=f"multiple of 8 channels, at most 256, .* got bfloat16 of {width}"):
            attention(q, q, q, kernel="cudnn")


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


def cross(x, context, mask=None, **options):
    """A layer whose output weights are not the zeros that it starts with, its parameters and its output."""
    layer = CrossAttention(**{"num_heads": 2, "num_groups": 1, **options})
    mask = None if mask is None else jnp.asarray(mask)
    params: Any = layer.init(jax.random.key(1), x, context, mask)["params"]
    start: Any = layer.apply({"params": params}, x, context, mask)
    np.testing.assert_array_equal(start, x)  # it is the identity
    kernel = jax.random.normal(jax.random.key(2), params["Dense_2"]["kernel"].shape)
    params = {**params, "Dense_2": {**params["Dense_2"], "kernel": kernel}}

    def apply(x, context, mask=None) -> Any:
        return layer.apply({"params": params}, x, context, None if mask is None else jnp.asarray(mask))

    return apply, params


MASK = np.array([[True, False, True], [True, True, True]])


@pytest.mark.parametrize("mask", [None, MASK])
def test_attention_to_a_context_is_its_formula(mask):
    x, context = (jax.random.normal(jax.random.key(k), s) for k, s in ((0, (2, 2, 3, 4)), (5, (2, 3, 5))))
    apply, params = cross(x, context)
    q_kernel, kv_kernel, out = (np.asarray(params[f"Dense_{i}"]["kernel"], np.float64) for i in range(3))
    flat = np.asarray(x, np.float64).reshape(2, 6, 4)
    normalised = (flat - flat.mean((1, 2), keepdims=True)) / flat.std((1, 2), keepdims=True)
    q, (k, v) = normalised @ q_kernel, np.split(np.asarray(context) @ kv_kernel, 2, axis=-1)
    expected = flat.copy()
    for b in range(2):
        for head in (slice(0, 2), slice(2, 4)):
            for i in range(6):
                weights = np.exp(k[b, :, head] @ q[b, i, head] / np.sqrt(2)) * (1 if mask is None else mask[b])
                expected[b, i] += weights / weights.sum() @ v[b, :, head] @ out[head]
    np.testing.assert_allclose(apply(x, context, mask), expected.reshape(x.shape), rtol=1e-3, atol=1e-4)


def test_a_context_has_no_order_and_what_is_masked_does_not_count():
    x, context = (jax.random.normal(jax.random.key(k), s) for k, s in ((0, (2, 3, 4)), (5, (2, 3, 5))))
    apply, _ = cross(x, context)
    found = apply(x, context, MASK)
    np.testing.assert_allclose(apply(x, context[:, ::-1], MASK[:, ::-1]), found, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(apply(x, context.at[0, 1].set(1e4), MASK), found)
    # One token alone is all that is attended to; none leaves x as it is, and a gradient that is finite.
    one = np.array([[False, True, False]] * 2)
    np.testing.assert_allclose(apply(x, context, one), apply(x, context[:, 1:2]), rtol=1e-4, atol=1e-5)
    none = np.zeros((2, 3), bool)
    np.testing.assert_array_equal(apply(x, context, none), x)
    gradient = jax.grad(lambda c: apply(x, c, none).sum())(context)
    np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


def test_a_point_attends_too_and_forward_mode_is_the_transpose_of_reverse_mode():
    x, context = (jax.random.normal(jax.random.key(k), s) for k, s in ((0, (2, 4)), (5, (2, 3, 5))))
    apply, _ = cross(x, context)
    assert apply(x, context).shape == (2, 4)
    u, v = (jax.random.normal(jax.random.key(k), a.shape) for k, a in ((6, x), (7, context)))
    _, tangent = jax.jvp(lambda c: apply(x, c, MASK), (context,), (v,))
    _, pullback = jax.vjp(lambda c: apply(x, c, MASK), context)
    np.testing.assert_allclose(jnp.vdot(u, tangent), jnp.vdot(pullback(u)[0], v), rtol=1e-4)


def test_attention_to_a_context_in_half_precision():
    x, context = (jnp.ones(s, jnp.bfloat16) for s in ((2, 3, 4), (2, 3, 5)))
    apply, params = cross(x, context, MASK, dtype=jnp.bfloat16)
    assert apply(x, context, MASK).dtype == jnp.bfloat16
    assert {leaf.dtype.name for leaf in jax.tree.leaves(params)} == {"float32"}
    with pytest.raises(ValueError, match="num_heads=3"):
        CrossAttention(num_heads=3, num_groups=1).init(jax.random.key(0), x, context)


def test_real_times_are_embedded_as_integers_are():
    t = jnp.array([0, 3, 250], jnp.int32)
    whole = np.asarray(sinusoidal_embedding(t, 8))
    np.testing.assert_array_equal(sinusoidal_embedding(t.astype(jnp.float32), 8), whole)
    np.testing.assert_allclose(sinusoidal_embedding(t / 1000, 8, scale=1000.0), whole, atol=1e-4)
    assert not np.allclose(sinusoidal_embedding(jnp.array([0.4, 0.6]), 8)[0], whole[0], atol=0.1)
    layer, scaled = TimeEmbedding(4), TimeEmbedding(4, scale=1000.0)
    params = layer.init(jax.random.key(0), t, None)
    told: Any = layer.apply(params, t, None)
    again: Any = scaled.apply(params, t / 1000, None)
    np.testing.assert_allclose(again, told, atol=1e-3)
    with pytest.raises(ValueError, match="scale must be a finite number above 0"):
        sinusoidal_embedding(t, 8, 0.0)
    with pytest.raises(ValueError, match="t must be an array of integers or floats, got bool"):
        inspect.unwrap(sinusoidal_embedding)(t > 1, 8)


def test_random_frequencies_are_fixed_and_their_products_are_a_kernel():
    """The mean over f ~ N(0, std^2) of cos 2 pi f (t - s) is exp(-2 (pi std (t - s))^2)."""
    t = jnp.linspace(0, 1, 9)
    found = np.asarray(fourier_embedding(t, 20_000, std=1.5), np.float64)
    np.testing.assert_array_equal(fourier_embedding(t, 20_000, std=1.5), found)
    assert not np.allclose(fourier_embedding(t, 20_000, std=1.5, seed=1), found)
    distance = np.asarray(t)[:, None] - np.asarray(t)[None]
    np.testing.assert_allclose(found @ found.T / 10_000, np.exp(-2 * (np.pi * 1.5 * distance) ** 2), atol=0.05)
    with pytest.raises(ValueError, match="features must be an even integer"):
        fourier_embedding(t, 3)
