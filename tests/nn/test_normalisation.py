"""Group normalisation against flax's."""

from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nn import GroupNorm


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
