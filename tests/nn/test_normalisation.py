"""Group normalisation against flax's; batch normalisation against its definition, on one device and on four."""

import functools
from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nn import BatchNorm, GroupNorm


@pytest.mark.parametrize("shape", [(3, 5, 4, 8), (2, 3, 4, 2, 8), (3, 8)], ids=str)
def test_equals_flax_with_gradients(key, shape):
    key_x, key_scale, key_y = jax.random.split(key, 3)
    x, y = jax.random.normal(key_x, shape) + 1.0, jax.random.normal(key_y, shape)
    params = {"scale": jax.random.normal(key_scale, (8,)), "bias": jnp.arange(8.0)}

    def value_and_grads(layer):
        return jax.jit(jax.value_and_grad(lambda p, x: jnp.sum(y * layer.apply({"params": p}, x)), (0, 1)))(params, x)

    ours, theirs = value_and_grads(GroupNorm(4)), value_and_grads(flax.linen.GroupNorm(4))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), ours, theirs)


def test_far_from_zero(key):
    """Centred before it is squared: a mean of a thousand standard deviations costs three digits, not six."""
    x = jax.random.normal(key, (2, 6, 6, 4))
    y, variables = GroupNorm(2).init_with_output(key, x + 1000.0)
    np.testing.assert_allclose(y, np.asarray(GroupNorm(2).apply(variables, x)), atol=1e-3)


def test_bfloat16(key):
    x = jax.random.normal(key, (2, 6, 6, 4))
    layer = GroupNorm(2, dtype=jnp.bfloat16)
    variables = layer.init(key, x)
    y: Any = layer.apply(variables, x.astype(jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype(jnp.float32)}
    np.testing.assert_allclose(y.astype(jnp.float32), np.asarray(GroupNorm(2).apply(variables, x)), atol=0.05)


def batch_problem(key) -> tuple[Any, Any]:
    key_x, key_scale, key_mean = jax.random.split(key, 3)
    averages = {"mean": jax.random.normal(key_mean, (5,)), "var": jnp.arange(1.0, 6.0)}
    params = {"scale": jax.random.normal(key_scale, (5,)), "bias": jnp.arange(5.0)}
    return jax.random.normal(key_x, (8, 3, 2, 5)) * 2.0 + 1.0, {"params": params, "batch_stats": averages}


def batch_normalised(layer, variables, x, **options) -> Any:
    return jax.jit(functools.partial(layer.apply, **options))(variables, x)


def by_definition(variables, x, mean, var):
    scale, bias = (np.asarray(variables["params"][name]) for name in ("scale", "bias"))
    return (np.asarray(x, np.float64) - mean) / np.sqrt(var + 1e-5) * scale + bias


def test_batch_norm_in_training_goes_by_the_batch_and_keeps_averages(key):
    x, variables = batch_problem(key)
    y, changed = batch_normalised(BatchNorm(momentum=0.8), variables, x, train=True, mutable="batch_stats")
    new, old = (jax.tree.map(np.asarray, v["batch_stats"]) for v in (changed, variables))
    mean, var = (moment(np.asarray(x, np.float64), (0, 1, 2)) for moment in (np.mean, np.var))
    np.testing.assert_allclose(y, by_definition(variables, x, mean, var), atol=1e-5)
    np.testing.assert_allclose(new["mean"], 0.8 * old["mean"] + 0.2 * mean, rtol=1e-5)
    np.testing.assert_allclose(new["var"], 0.8 * old["var"] + 0.2 * var, rtol=1e-5)
    # A pass that may not change them (in the discriminator's update) goes by the batch all the same.
    np.testing.assert_allclose(batch_normalised(BatchNorm(), variables, x, train=True), y, rtol=1e-6, atol=1e-6)


def test_batch_norm_out_of_training_goes_by_the_averages(key):
    x, variables = batch_problem(key)
    y, changed = batch_normalised(BatchNorm(), variables, x, train=False, mutable="batch_stats")
    old = jax.tree.map(np.asarray, variables["batch_stats"])
    np.testing.assert_allclose(y, by_definition(variables, x, **old), rtol=1e-5, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, changed["batch_stats"], old)


def test_batch_norm_starts_from_mean_0_and_variance_1_whatever_it_is_shown(key):
    x, _ = batch_problem(key)
    # Outside the map, as `init` is.
    started = jax.jit(functools.partial(BatchNorm("devices").init, train=True))(key, x)["batch_stats"]
    np.testing.assert_array_equal(started["mean"], np.zeros(5))
    np.testing.assert_array_equal(started["var"], np.ones(5))


def test_batch_norm_far_from_zero(key):
    x, variables = batch_problem(key)
    near, far = (batch_normalised(BatchNorm(), variables, v, train=True) for v in (x, x + 1000.0))
    np.testing.assert_allclose(far, near, atol=1e-3)


@pytest.mark.parametrize("mapped", [jax.vmap, jax.pmap])
def test_batch_norm_of_four_shards_is_that_of_the_whole(key, mapped):
    x, variables = batch_problem(key)
    x = x + jnp.arange(8.0).reshape(8, 1, 1, 1)  # shards differ in their moments
    weight = jax.random.normal(key, x.shape)

    def values_and_gradients(layer, average):
        def loss(params, x, weight):
            y, changed = layer.apply({**variables, "params": params}, x, train=True, mutable="batch_stats")
            return jnp.mean(weight * y), (y, changed)

        def apply(x, weight):
            gradient, aux = jax.grad(loss, has_aux=True)(variables["params"], x, weight)
            return average(gradient), aux

        return apply

    whole, (y, changed) = jax.jit(values_and_gradients(BatchNorm(), lambda gradient: gradient))(x, weight)
    average = functools.partial(jax.lax.pmean, axis_name="devices")
    apply = mapped(values_and_gradients(BatchNorm("devices"), average), axis_name="devices")
    shards, (ys, after) = jax.jit(apply)(x.reshape(4, 2, 3, 2, 5), weight.reshape(4, 2, 3, 2, 5))
    np.testing.assert_allclose(ys.reshape(x.shape), y, rtol=1e-5, atol=1e-5)

    def each_close(four, one):
        for device in np.asarray(four):
            np.testing.assert_allclose(device, one, rtol=1e-4, atol=1e-5)

    jax.tree.map(each_close, (shards, after), (whole, changed))


def test_batch_norm_in_bfloat16(key):
    x, variables = batch_problem(key)
    layer = BatchNorm(dtype=jnp.bfloat16)
    y, changed = batch_normalised(layer, variables, x.astype(jnp.bfloat16), train=True, mutable="batch_stats")
    assert y.dtype == jnp.bfloat16
    created = jax.eval_shape(functools.partial(layer.init, train=True), key, x)
    assert {leaf.dtype for leaf in jax.tree.leaves((created, changed))} == {jnp.dtype(jnp.float32)}
    full = batch_normalised(BatchNorm(), variables, x, train=True)
    np.testing.assert_allclose(y.astype(jnp.float32), full, atol=0.1)
