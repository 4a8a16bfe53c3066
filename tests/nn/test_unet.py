"""The U-Net over real t; its shapes, counts and starts are tested with the diffusion models that it was written for."""

import jax
import jax.numpy as jnp
import pytest

from jaxgen.core import Spec
from jaxgen.nn import UNet


def test_real_times_are_taken_with_the_same_parameters():
    config = UNet(features=4, multipliers=(1,), num_groups=2, attention=())
    network = config.network(Spec((4, 4, 1)), 1, None, jnp.dtype("float32"))
    x = jnp.zeros((3, 4, 4, 1))

    def start(t):
        return network.init_with_output(jax.random.key(0), x, t, None, train=False)

    whole, real = (jax.eval_shape(start, t) for t in (jnp.arange(3), jnp.array([0.0, 250.5, 999.0])))
    assert whole == real
    assert jax.tree.leaves(real[0])[0].shape == (3, 4, 4, 1)


def test_every_form_of_attention_takes_the_same_parameters():
    x, t = jax.random.normal(jax.random.key(1), (2, 4, 4, 1)), jnp.zeros((2,), jnp.int32)

    def network(kernel):
        config = UNet(features=4, multipliers=(1,), num_groups=2, attention=(0,), attention_kernel=kernel)
        return config.network(Spec((4, 4, 1)), 1, None, jnp.dtype("float32"))

    def start(kernel):
        return jax.eval_shape(lambda: network(kernel).init(jax.random.key(0), x, t, None, train=False))

    assert start("einsum") == start("dot_product")
    with pytest.raises(ValueError, match=r"heads must be bfloat16 .* got float32 of 4"):
        start("cudnn")
    with pytest.raises(ValueError, match="attention_kernel must be 'einsum' or 'dot_product' or 'cudnn', got 'flash'"):
        network("flash")
