"""Spectrally normalised layers are the plain ones with a kernel of norm one, by the u that they keep."""

from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nn import Conv, SpectralConv, SpectralDense, SpectralEmbed

# layer, the plain one, shape of the input, name of the weight
LAYERS: dict[str, tuple[Any, Any, tuple[int, ...], str]] = {
    "dense": (SpectralDense(4), flax.linen.Dense(4), (2, 6), "kernel"),
    "conv-1d": (SpectralConv(3, (3,)), Conv(3, (3,)), (2, 5, 2), "kernel"),
    "conv": (SpectralConv(3, (4, 2), 2, use_bias=False), Conv(3, (4, 2), 2, use_bias=False), (2, 5, 6, 2), "kernel"),
    "embed": (SpectralEmbed(5, 4), flax.linen.Embed(5, 4), (3,), "embedding"),
}


def problem(name):
    """A layer with random variables: u is not at its maximum yet."""
    layer, plain, shape, weight = LAYERS[name]
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.integers(5, size=shape), jnp.int32 if name == "embed" else jnp.float32)
    shapes = jax.eval_shape(layer.init, jax.random.key(0), x)
    variables: Any = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), shapes)
    u = variables["spectral"]["u"]
    variables["spectral"] = {"u": u / jnp.linalg.norm(u)}
    return layer, plain, x, weight, variables


def matrix_of(variables, weight):
    w = np.asarray(variables["params"][weight], np.float64)
    return w.reshape(-1, w.shape[-1])


@pytest.mark.parametrize("name", LAYERS)
def test_is_the_plain_layer_with_a_weight_of_norm_one(name):
    layer, plain, x, weight, variables = problem(name)
    iterate = jax.jit(lambda variables: layer.apply(variables, x, mutable="spectral")[1])
    for _ in range(100):
        variables = {**variables, **iterate(variables)}
    w = variables["params"][weight]
    normalised = w / np.float32(np.linalg.svd(matrix_of(variables, weight), compute_uv=False)[0])
    expected = plain.apply({"params": {**variables["params"], weight: normalised}}, x)
    np.testing.assert_allclose(layer.apply(variables, x), expected, rtol=2e-5, atol=1e-6)


def test_one_step_of_the_power_iteration_where_u_may_change_and_none_elsewhere():
    layer, _, x, weight, variables = problem("dense")
    w, u = matrix_of(variables, weight), np.asarray(variables["spectral"]["u"], np.float64)
    y, changed = layer.apply(variables, x, mutable="spectral")
    moved = w.T @ w @ u
    moved /= np.linalg.norm(moved)
    np.testing.assert_allclose(changed["spectral"]["u"], moved, rtol=1e-5)

    def by(u):
        return np.asarray(x, np.float64) @ w / np.linalg.norm(w @ u) + np.asarray(variables["params"]["bias"])[None]

    np.testing.assert_allclose(y, by(moved), rtol=1e-5, atol=1e-6)
    frozen, unchanged = layer.apply(variables, x, mutable=["batch_stats"])
    assert not jax.tree.leaves(unchanged)
    np.testing.assert_allclose(frozen, by(u), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mutable", [False, "spectral"])
def test_gradient_holds_u_fixed(mutable):
    """d <C, W / sigma> / dW = (C - <C, W / sigma> v u^T) / sigma, with v = W u / |W u|."""
    layer, _, _, _, variables = problem("dense")
    c = np.random.default_rng(1).normal(size=(6, 4))

    def inner(params):
        out = layer.apply({**variables, "params": params}, jnp.eye(6), mutable=mutable)
        y, changed = out if mutable else (out, variables)
        return jnp.sum((y - params["bias"][None]) * c.astype(np.float32)), changed["spectral"]["u"]

    grads, u = jax.grad(inner, has_aux=True)(variables["params"])
    w, u = matrix_of(variables, "kernel"), np.asarray(u, np.float64)
    v, sigma = w @ u / np.linalg.norm(w @ u), np.linalg.norm(w @ u)
    expected = (c - np.sum(c * w / sigma) * np.outer(v, u)) / sigma
    np.testing.assert_allclose(grads["kernel"], expected, rtol=1e-4, atol=1e-5)


def test_init_starts_with_a_unit_vector(key):
    variables = SpectralDense(4).init(key, jnp.ones((1, 3)))
    assert set(variables) == {"params", "spectral"}
    np.testing.assert_allclose(jnp.linalg.norm(variables["spectral"]["u"]), 1.0, rtol=1e-6)


def test_four_devices_keep_the_u_of_one():
    layer, _, _, _, variables = problem("dense")
    x = jnp.asarray(np.random.default_rng(1).normal(size=(8, 6)), jnp.float32)

    def apply(variables, x):
        return layer.apply(variables, x, mutable="spectral")

    y, one = jax.jit(apply)(variables, x)
    ys, four = jax.pmap(apply, in_axes=(None, 0))(variables, x.reshape(4, 2, 6))
    us = np.asarray(four["spectral"]["u"])
    assert (us == us[:1]).all()
    np.testing.assert_allclose(us[0], one["spectral"]["u"], rtol=1e-6)
    np.testing.assert_allclose(np.asarray(ys).reshape(8, 4), y, rtol=1e-5)


@pytest.mark.parametrize("name", LAYERS)
def test_bfloat16(name):
    layer, _, x, _, variables = problem(name)
    half = layer.clone(dtype=jnp.bfloat16)
    y, changed = half.apply(variables, x, mutable="spectral")
    full, same = layer.apply(variables, x, mutable="spectral")
    assert y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(changed["spectral"]["u"], same["spectral"]["u"])
    np.testing.assert_allclose(y.astype(jnp.float32), full, rtol=0.02, atol=0.05)
    created = jax.eval_shape(half.init, jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves((created, changed))} == {jnp.dtype(jnp.float32)}
