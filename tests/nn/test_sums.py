"""Sums over positions equal ordinary ones, in gradients of first and second order, and are products on a CPU."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nn.sums import add_bias, channel_sums, spread


@pytest.fixture
def x():
    return jnp.asarray(np.random.default_rng(0).normal(size=(3, 7, 5)), jnp.float32)


def test_values_and_gradients_to_second_order(x):
    def penalised(sums, spread):
        def loss(x):
            return jnp.sum(jnp.sin(x * spread(jnp.tanh(sums(x)), x.shape[1])))

        return lambda x: jnp.sum(jnp.square(jax.grad(loss)(x))) + loss(x)

    ours = jax.jit(jax.value_and_grad(penalised(channel_sums, spread)))(x)
    plain = jax.jit(jax.value_and_grad(penalised(lambda x: x.sum(1), lambda v, n: jnp.repeat(v[:, None], n, axis=1))))(
        x
    )
    for a, b in zip(ours, plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(5,), (4, 5), (3, 2, 2, 5)], ids=str)
def test_a_bias_is_added_over_any_leading_axes(shape):
    y, bias = jnp.arange(np.prod(shape), dtype=jnp.float32).reshape(shape), jnp.arange(5, dtype=jnp.float32)
    np.testing.assert_array_equal(add_bias(y, bias), np.asarray(y) + np.asarray(bias))


def test_low_precision_is_summed_in_float32():
    """4,096 ones: in bfloat16 itself the sum would stop at 256."""
    ones = jnp.ones((1, 4096, 2), jnp.bfloat16)
    total = channel_sums(ones)
    assert total.dtype == jnp.bfloat16
    np.testing.assert_array_equal(np.asarray(total, np.float32), 4096)


@pytest.mark.cpu
def test_the_gradient_of_a_bias_is_a_product_and_no_reduction(x):
    def compiled(add):
        def gradient(y, bias):
            return jax.grad(lambda bias: jnp.sum(jnp.sin(add(y, bias))))(bias)

        return jax.jit(gradient).lower(x, x[0, 0]).compile().as_text()

    def reductions(text):
        return re.findall(r" reduce\(", text)

    assert not reductions(compiled(add_bias))
    assert reductions(compiled(lambda y, bias: y + bias[None, None]))
