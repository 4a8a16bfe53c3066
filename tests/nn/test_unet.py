"""The U-Net over real t; its shapes, counts and starts are tested with the diffusion models that it was written for."""

import jax
import jax.numpy as jnp

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
