"""Both modes of differentiation through every block: jvp equals finite differences, and hessians exist.

`jax.custom_vjp` forbids forward mode; nothing of `jaxgen.nn` may hide behind it.
"""

import flax.linen as linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import nn
from jaxgen.nn import conv_general_dilated
from jaxgen.nn.sums import add_bias, channel_sums, spread

X = (2, 5, 4, 8)

MODULES = {
    "Conv": nn.Conv(8, (3, 3), dtype=jnp.float64),
    "Conv-strides": nn.Conv(3, (4, 4), strides=2, dtype=jnp.float64),
    "Conv-transposed": nn.Conv(4, (4, 4), padding=((2, 2), (2, 2)), input_dilation=2, dtype=jnp.float64),
    "Downsample": nn.Downsample(4, dtype=jnp.float64),
    "Upsample": nn.Upsample(4, dtype=jnp.float64),
    "ConvTranspose": nn.ConvTranspose(4, dtype=jnp.float64),
    "GroupNorm": nn.GroupNorm(2, dtype=jnp.float64),
    "SelfAttention": nn.SelfAttention(2, 2, dtype=jnp.float64),
    "SpectralConv": nn.SpectralConv(4, (3, 3), dtype=jnp.float64),
}


@pytest.mark.parametrize("name", MODULES)
def test_the_tangent_of_a_block_is_the_limit_of_differences(name, key):
    with jax.enable_x64(True):
        module = MODULES[name]
        x, direction = (jnp.asarray(np.random.default_rng(seed).normal(size=X)) for seed in (0, 1))
        variables = jax.tree.map(
            lambda leaf: jnp.asarray(np.random.default_rng(2).normal(size=leaf.shape)), module.init(key, x)
        )

        def f(step):
            moved = jax.tree.map(lambda leaf: leaf * (1 + step), variables)
            return jnp.sum(jnp.sin(module.apply(moved, x + step * direction)))

        _, tangent = jax.jvp(f, (0.0,), (1.0,))
        np.testing.assert_allclose(tangent, (f(1e-5) - f(-1e-5)) / 2e-5, rtol=1e-5)


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
        return jnp.sum(jnp.square(network.apply(variables, flat.reshape(x.shape))))

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
