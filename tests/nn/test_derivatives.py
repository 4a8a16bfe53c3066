"""Derivatives of convolutions and sums in both modes, of second order and mapped, are those of lax."""

import os
import subprocess
import sys
from typing import Any

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import nn
from jaxgen.nn import conv_general_dilated
from jaxgen.nn.sums import add_bias, channel_sums, spread


def both_orders(f, x, v):
    """A product with the Hessian, forward over reverse and reverse over forward."""
    forward = jax.jvp(jax.grad(f), (x,), (v,))[1]
    reverse = jax.grad(lambda x: jax.jvp(f, (x,), (v,))[1])(x)
    return forward, reverse


@pytest.mark.parametrize(
    ("strides", "padding", "spacing"),
    [((1, 1), "SAME", (1, 1)), ((2, 2), "SAME", (1, 1)), ((1, 1), ((2, 2), (2, 2)), (2, 2))],
    ids=["plain", "strides", "transposed"],
)
@pytest.mark.parametrize("argument", [0, 1])
def test_products_with_the_hessian_are_lax_own(strides, padding, spacing, argument):
    rng = np.random.default_rng(0)
    arrays = [jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((2, 4, 4, 3), (4, 4, 3, 2))]
    v = jnp.asarray(rng.normal(size=arrays[argument].shape), jnp.float32)

    def products(convolution):
        def f(a):
            x, kernel = (a, arrays[1]) if argument == 0 else (arrays[0], a)
            y = convolution(x, kernel, strides, padding, spacing, None, ("NHWC", "HWIO", "NHWC"))
            return jnp.sum(jnp.sin(y))

        return jax.jit(lambda a: both_orders(f, a, v))(arrays[argument])

    ours, theirs = products(conv_general_dilated), products(jax.lax.conv_general_dilated)
    for a, b in zip([*ours, *ours], [*theirs, *theirs[::-1]], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_the_hessian_of_a_small_network(key):
    """Symmetric, and the same by forward over reverse and by reverse over reverse."""

    class Network(linen.Module):
        @linen.compact
        def __call__(self, x):
            h = nn.GroupNorm(1)(nn.Conv(2, (3, 3), strides=2)(x))
            return nn.Upsample(1)(linen.swish(h))

    x = jax.random.normal(key, (1, 4, 4, 1))
    network = Network()
    variables = network.init(key, x)

    def f(flat):
        y: Any = network.apply(variables, flat.reshape(x.shape))
        return jnp.sum(jnp.square(y))

    hessian = jax.jit(jax.hessian(f))(x.reshape(-1))
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-4)
    np.testing.assert_allclose(hessian, jax.jit(jax.jacrev(jax.grad(f)))(x.reshape(-1)), atol=1e-4)


def test_sums_and_spreads_have_tangents():
    x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 7, 5)), jnp.float32)

    def f(x):
        return add_bias(jnp.sin(spread(channel_sums(x), 4)), x[0, 0])

    def plain(x):
        return jnp.sin(jnp.repeat(x.sum(1)[:, None], 4, axis=1)) + x[0, 0][None, None]

    for ours, theirs in zip(jax.jvp(f, (x,), (2 * x,)), jax.jvp(plain, (x,), (2 * x,)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(jax.jacfwd(f)(x), jax.jacrev(f)(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("axes", [(0, None), (None, 0), (0, 0), (2, 1)], ids=str)
@pytest.mark.parametrize("strides", [1, 2])
def test_every_way_to_map_a_convolution_and_its_gradients(axes, strides):
    """One argument with a further axis keeps one convolution: the axis joins the batch or the channels."""
    rng = np.random.default_rng(0)
    shapes = [(2, 4, 5, 3), (2, 2, 3, 4)]
    x, kernel = (
        jnp.asarray(rng.normal(size=(*s[:axis], 3, *s[axis:]) if axis is not None else s), jnp.float32)
        for s, axis in zip(shapes, axes, strict=True)
    )

    def mapped(convolution):
        def gradients(x, kernel):
            def loss(x, kernel):
                y = convolution(x, kernel, (strides, strides), "SAME", None, None, ("NHWC", "HWIO", "NHWC"))
                return jnp.sum(jnp.sin(y))

            return jax.value_and_grad(loss, argnums=(0, 1))(x, kernel)

        once = jax.vmap(gradients, in_axes=axes)
        return jax.jit(once)(x, kernel), jax.jit(jax.vmap(once, in_axes=(0, None)))(jnp.stack([x, 2 * x]), kernel)

    ours, theirs = mapped(conv_general_dilated), mapped(jax.lax.conv_general_dilated)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4)


def test_the_forms_for_a_cpu_have_a_switch():
    """Off, a strided convolution is lowered with its stride; on, with phases as channels. Manifests say so."""
    code = """
import jax, jax.numpy as jnp
from jaxgen.nn import conv_general_dilated as convolution
from jaxgen.nn.sums import channel_sums
from jaxgen.runs import environment
x, kernel = jnp.ones((1, 4, 4, 1)), jnp.ones((2, 2, 1, 1))
f = jax.jit(lambda x: convolution(x, kernel, (2, 2), "SAME", None, None, ("NHWC", "HWIO", "NHWC")))
print("stride = [2, 2]" in f.lower(x).as_text(), f(x).sum())
print("dot_general" in jax.jit(channel_sums).lower(x[0]).as_text())
print(environment.describe()["flags"].get("JAXGEN_CPU_FORMS"))
"""
    found = {}
    for switch in ("0", "1"):
        environment = {**os.environ, "JAXGEN_CPU_FORMS": switch}
        call = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        found[switch] = call.stdout.split()
    assert found == {"0": ["True", "16.0", "False", "0"], "1": ["False", "16.0", "True", "None"]}
