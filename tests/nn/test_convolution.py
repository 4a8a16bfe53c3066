"""The convolution equals lax's in values and in gradients of first and second order, and keeps XLA's fast form."""

import re
from functools import partial
from typing import Any

import flax.linen
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxgen.nn import Conv, conv_general_dilated

CANONICAL = {1: "b0f_0io->b0f", 2: "b01f_01io->b01f"}

FAST_COMPILE: Any = {"xla_backend_optimization_level": 0}  # leaves the choice of convolutions as it is

# input [b, *space, c], kernel, strides, padding, dilation of the input, of the kernel
GRID = [
    ((2, 9, 3), (3, 3, 4), 1, "SAME", 1, 1),
    ((2, 7, 5, 3), (1, 1, 3, 4), 1, "SAME", 1, 1),
    ((2, 7, 6, 4), (3, 3, 4, 2), 1, "SAME", 1, 1),
    ((2, 2, 1, 4), (3, 3, 4, 2), 2, "SAME", 1, 1),  # a kernel larger than its input
    ((2, 8, 7, 2), (3, 3, 2, 4), 2, "SAME", 1, 1),
    ((2, 10, 9, 3), (4, 4, 3, 2), 2, "VALID", 1, 1),  # last row read by no window: negative padding in the gradient
    ((2, 9, 11, 2), (5, 3, 2, 4), (2, 3), "SAME", 1, 1),
    ((2, 6, 7, 20), (3, 4, 20, 18), 1, ((0, 2), (3, 1)), 1, 1),
    ((2, 5, 4, 3), (4, 4, 3, 2), 1, ((2, 2), (2, 1)), 2, 1),
    ((2, 5, 4, 2), (5, 4, 2, 3), (2, 1), ((3, 2), (-1, 4)), (3, 2), (1, 2)),
    ((2, 9, 7, 3), (4, 6, 3, 2), (2, 3), ((-1, 4), (2, 0)), 1, 1),  # strides that divide the kernel: by phases
    ((2, 5, 4, 2), (6, 4, 2, 3), 1, ((3, 2), (-1, 4)), (3, 2), 1),
    ((2, 7, 3), (4, 3, 2), 1, ((2, 1),), 2, 1),
    ((2, 5, 6, 3), (3, 5, 3, 2), 1, ((2, 1), (-1, 3)), (2, 3), 1),  # transposed, no whole number of steps
    ((1, 5, 4, 5, 2), (3, 2, 3, 2, 2), 2, "SAME", 1, 1),
    ((1, 5, 4, 3, 2), (4, 2, 1, 2, 2), (2, 2, 1), "SAME", 1, 1),
    ((2, 5, 4, 3, 2), (3, 2, 2, 2, 3), (2, 1, 1), ((-1, 3), (1, 0), (1, 1)), (2, 1, 1), (2, 1, 1)),
]


def layout(spatial):
    space = "DHW"[3 - spatial :]
    return f"N{space}C", f"{space}IO", f"N{space}C"


def arrays(*shapes, dtype=jnp.float32):
    rng = np.random.default_rng(0)
    return tuple(jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes)


def convolution(function, case):
    """(x, kernel) -> y by `function`, in the geometry of a case of the grid."""
    shape, _, strides, padding, *dilations = case
    spatial = len(shape) - 2

    def each(value):
        return (value,) * spatial if isinstance(value, int) else value

    def apply(x, kernel):
        return function(x, kernel, each(strides), padding, *map(each, dilations), layout(spatial))

    return apply


def penalty_gradients(apply, x, kernel):
    """Gradients of a gradient penalty: both arguments, each through both first gradients."""

    def penalty(x, kernel):
        grads = jax.grad(lambda x, kernel: jnp.sum(jnp.sin(apply(x, kernel))), argnums=(0, 1))(x, kernel)
        return sum(jnp.sum(jnp.sin(grad)) for grad in grads)

    return jax.grad(penalty, argnums=(0, 1))(x, kernel)


def assert_close(ours, theirs, tolerance):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        assert a.dtype == b.dtype
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        np.testing.assert_allclose(a, b, atol=tolerance * max(1.0, np.abs(b).max()))


def all_orders(apply, x, kernel):
    y, pullback = jax.vjp(apply, x, kernel)
    return y, pullback(jnp.cos(y)), penalty_gradients(apply, x, kernel)


def text(compiled) -> str:
    return compiled.as_text()


def convolutions_of(compiled):
    """Orders of the axes of every convolution in a compiled program."""
    return re.findall(r"dim_labels=([\w>-]+)", text(compiled))


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=pytest.mark.slow if i % 2 else ()) for i, c in enumerate(GRID)], ids=str
)
def test_equals_lax_to_second_order_and_keeps_the_fast_order_in_a_loop(case):
    x, kernel = arrays(*case[:2])
    ours = partial(all_orders, convolution(conv_general_dilated, case))
    theirs = partial(all_orders, convolution(lax.conv_general_dilated, case))

    def looped(x, kernel):
        return lax.map(lambda factor: ours(factor * x, kernel), jnp.ones(2))

    compiled = jax.jit(looped).lower(x, kernel).compile(FAST_COMPILE)
    assert_close(
        jax.tree.map(lambda leaf: leaf[1], compiled(x, kernel)),
        jax.jit(theirs, compiler_options=FAST_COMPILE)(x, kernel),
        1e-5,
    )
    # (A convolution of 1 x 1 becomes a matrix product; three dimensions become two.)
    assert jax.default_backend() != "cpu" or set(convolutions_of(compiled)) <= {CANONICAL[min(x.ndim - 2, 2)]}


@pytest.mark.parametrize("case", GRID[4:6], ids=str)
def test_equals_lax_in_bfloat16(case):
    x, kernel = arrays(*case[:2], dtype=jnp.bfloat16)
    ours, theirs = (
        jax.jit(partial(all_orders, convolution(f, case)))(x, kernel)
        for f in (conv_general_dilated, lax.conv_general_dilated)
    )
    assert_close(ours, theirs, 4e-2)


def test_third_order():
    case = GRID[4]
    x, kernel = arrays(*case[:2])

    def third(f):
        def first(kernel):
            return jax.grad(lambda k: jnp.sum(jnp.sin(convolution(f, case)(x, k))))(kernel)

        return jax.grad(lambda k: jnp.sum(jax.grad(lambda k: jnp.sum(first(k) ** 3))(k) ** 2))(kernel)

    ours, theirs = (jax.jit(partial(third, f))() for f in (conv_general_dilated, lax.conv_general_dilated))
    assert_close(ours, theirs, 1e-4)


def test_outside_jit_and_under_vmap():
    case = GRID[2]
    x, kernel = arrays(*case[:2])

    def per_example(f):
        def loss(kernel, x):
            return jnp.sum(jnp.sin(convolution(f, case)(x[None], kernel)))

        return jax.vmap(jax.grad(loss), in_axes=(None, 0))(kernel, x)

    assert_close(per_example(conv_general_dilated), per_example(lax.conv_general_dilated), 1e-5)


@pytest.mark.parametrize(
    ("numbers", "groups", "shape", "kernel_shape"),
    [
        (("NCHW", "OIHW", "NCHW"), 1, (2, 3, 6, 5), (4, 3, 3, 3)),
        (None, 1, (2, 3, 6, 5), (4, 3, 3, 3)),
        (layout(2), 2, (2, 6, 5, 4), (3, 3, 2, 6)),
    ],
)
def test_what_is_left_to_lax(numbers, groups, shape, kernel_shape):
    x, kernel = arrays(shape, kernel_shape)

    def grads(f):
        def loss(x, kernel):
            return jnp.sum(jnp.sin(f(x, kernel, (1, 1), "SAME", None, None, numbers, groups)))

        return jax.jit(jax.grad(loss, argnums=(0, 1)))(x, kernel)

    assert_close(grads(conv_general_dilated), grads(lax.conv_general_dilated), 1e-5)


def test_named_padding_of_a_dilated_input_is_refused_as_by_lax():
    x, kernel = arrays((2, 5, 5, 3), (3, 3, 3, 2))
    with pytest.raises(ValueError, match="padding"):
        conv_general_dilated(x, kernel, (1, 1), "SAME", (2, 2), None, layout(2))


def stack(x, kernels, f):
    """A few layers down and up again, as in an encoder and a decoder: every geometry that the models use."""
    h = jnp.tanh(f(x, kernels[0], (2, 2), "SAME", None, None, layout(2)))
    h = jnp.tanh(f(h, kernels[1], (1, 1), "SAME", None, None, layout(2)))
    return f(h, kernels[2], (1, 1), ((2, 2), (2, 2)), (2, 2), None, layout(2))


def penalised_step(x, kernels, f):
    """One update on a loss that holds a gradient penalty."""

    def loss(kernels):
        grad = jax.grad(lambda x: jnp.sum(stack(x, kernels, f)))(x)
        return jnp.mean(jnp.square(stack(x, kernels, f))) + jnp.mean(jnp.square(grad))

    return jax.tree.map(lambda k, g: k - 0.01 * g, kernels, jax.grad(loss)(kernels))


def scanned(f):
    def run(x, kernels):
        return lax.scan(lambda kernels, _: (penalised_step(x, kernels, f), None), kernels, length=3)[0]

    return run


@pytest.fixture
def problem():
    x, *kernels = arrays((4, 8, 8, 1), (3, 3, 1, 8), (3, 3, 8, 8), (4, 4, 8, 1))
    return x, [0.2 * kernel for kernel in kernels]


def test_a_loop_holds_only_convolutions_in_the_fast_order(problem):
    """In every order of differentiation, and the test can tell: lax's own gradients are not in it."""
    ours = convolutions_of(jax.jit(scanned(conv_general_dilated)).lower(*problem).compile())
    native = convolutions_of(jax.jit(scanned(lax.conv_general_dilated)).lower(*problem).compile())
    assert len(ours) > 9
    assert set(ours) == {CANONICAL[2]}
    assert len(set(native)) > 1


def test_the_choice_of_gradients_is_made_before_compilation(problem):
    assert " conditional(" not in text(jax.jit(scanned(conv_general_dilated)).lower(*problem).compile())


def test_steps_inside_a_scan_equal_steps_outside(problem):
    x, kernels = problem
    step = jax.jit(lambda kernels: penalised_step(x, kernels, conv_general_dilated))
    outside = kernels
    for _ in range(3):
        outside = step(outside)
    assert_close(jax.jit(scanned(conv_general_dilated))(x, kernels), outside, 1e-6)


def test_one_device_and_four(problem):
    """The batch is what the kernel's gradient sums over: sharded, it stays where it is and the sums are added."""
    x, kernels = problem
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:4]), ("data",))
    spread = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())

    def grads(kernels, x):
        return jax.grad(lambda k: jnp.mean(jnp.square(stack(x, k, conv_general_dilated))))(kernels)

    on_four = jax.jit(grads, in_shardings=(everywhere, spread), out_shardings=everywhere)
    assert "all-gather" not in text(on_four.lower(kernels, x).compile())
    assert_close(on_four(kernels, x), jax.jit(grads)(kernels, x), 1e-5)


@pytest.mark.parametrize(
    ("kernel_size", "strides", "dtype"),
    [((3,), 1, jnp.float32), ((4, 3), 2, jnp.bfloat16), ((3, 3, 3), 2, jnp.float32)],
)
def test_layer_is_flax_layer(key, kernel_size, strides, dtype):
    x = jax.random.normal(key, (2, *(7, 6, 5)[: len(kernel_size)], 3)).astype(dtype)
    ours = Conv(4, kernel_size, strides, dtype=dtype)
    theirs = flax.linen.Conv(4, kernel_size, strides, dtype=dtype)
    assert jax.eval_shape(ours.init, key, x) == jax.eval_shape(theirs.init, key, x)
    shapes = jax.eval_shape(ours.init, key, x)
    assert {leaf.dtype for leaf in jax.tree.leaves(shapes)} == {jnp.dtype(jnp.float32)}
    variables = jax.tree.map(lambda leaf: jax.random.normal(key, leaf.shape), shapes)
    assert_close(jax.jit(ours.apply)(variables, x), jax.jit(theirs.apply)(variables, x), 1e-6)
