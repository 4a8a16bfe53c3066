"""Convolutions whose gradients are as fast inside a loop as outside, on a CPU too.

XLA's CPU compiler has a fast convolution for one order of the axes only: input [batch, *space, in], kernel
[*space, in, out]. Convolutions in another order it transposes into that one, but only at the top level of a program:
in the body of a loop or a branch they are left to a plain nest of loops. Both gradients that JAX derives for a
convolution are in another order, so a training step that is fast by itself falls off a cliff inside `lax.scan`.

Both gradients are convolutions themselves. Here they are written as such in the fast order, the transpositions made
explicitly, by a function that uses itself: its gradients of every order stay in the fast order. Elsewhere than on a CPU
the gradients are JAX's own, which the compilers there recognise.

Training step (value, both gradients) in ms, jax 0.10.2, two cores, medians of 7 alternated runs; "products" is the best
of four ways to write the convolution as matrix products:

    TABLE
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


class _Window(NamedTuple):
    """How a kernel moves over an input: one entry per spatial dimension, as in `lax.conv_general_dilated`."""

    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    lhs_dilation: tuple[int, ...]
    rhs_dilation: tuple[int, ...]
    precision: Any


def conv_general_dilated(
    lhs: Float[Array, "..."],
    rhs: Float[Array, "..."],
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    precision: Any = None,
) -> Float[Array, "..."]:
    """`lax.conv_general_dilated`, with gradients that stay fast inside a loop on a CPU.

    Values and gradients are those of `lax.conv_general_dilated`, in reverse mode to any order. Forward mode
    (`jax.jvp`, `jax.hessian`) is not defined.

    Args:
        lhs: Input.
        rhs: Kernel.
        window_strides: Stride per spatial dimension.
        padding: "SAME", "VALID", or (low, high) per spatial dimension; explicit where `lhs_dilation` is not 1.
        lhs_dilation: Spacing of the input's points, 1 by default. s makes it a transposed convolution of stride s.
        rhs_dilation: Spacing of the kernel's points, 1 by default.
        dimension_numbers: Order of the axes. Input and output channels last with the kernel's channels last, in 1 to 3
            spatial dimensions, is what the gradients are written for; any other is left to `lax`.
        feature_group_count: Groups of channels; more than 1 is left to `lax`.
        precision: As in `lax`.

    Returns:
        The convolution, in the dtype of the arguments.
    """
    spatial = lhs.ndim - 2
    lhs_dilation = tuple(lhs_dilation or (1,) * spatial)
    rhs_dilation = tuple(rhs_dilation or (1,) * spatial)
    numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    undefined = isinstance(padding, str) and any(d != 1 for d in lhs_dilation)  # lax says so
    if numbers != _channels_last(spatial) or not 1 <= spatial <= 3 or feature_group_count != 1 or undefined:
        return lax.conv_general_dilated(
            lhs,
            rhs,
            window_strides,
            padding,
            lhs_dilation,
            rhs_dilation,
            dimension_numbers,
            feature_group_count,
            precision=precision,
        )
    if isinstance(padding, str):
        extents = [_extent(k, d) for k, d in zip(rhs.shape[:-2], rhs_dilation, strict=True)]
        padding = lax.padtype_to_pads(lhs.shape[1:-1], extents, window_strides, padding)
    pairs = tuple((int(low), int(high)) for low, high in padding)
    return _convolution(lhs, rhs, _Window(tuple(window_strides), pairs, lhs_dilation, rhs_dilation, precision))


def _channels_last(spatial: int) -> lax.ConvDimensionNumbers:
    """Input and output [b, *space, c], kernel [*space, in, out], in lax's terms."""
    last = spatial + 1
    image = (0, last, *range(1, last))
    return lax.ConvDimensionNumbers(image, (last, spatial, *range(spatial)), image)


def _extent(size: int, dilation: int) -> int:
    """Length over which `size` points lie that are `dilation` apart."""
    return (size - 1) * dilation + 1


def _native(x: Float[Array, "b *space i"], kernel: Float[Array, "*window i o"], window: _Window) -> Float[Array, "..."]:
    numbers = _channels_last(x.ndim - 2)
    *geometry, precision = window
    return lax.conv_general_dilated(x, kernel, *geometry, dimension_numbers=numbers, precision=precision)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolution(
    x: Float[Array, "b *space i"], kernel: Float[Array, "*window i o"], window: _Window
) -> Float[Array, "b *out o"]:
    return _native(x, kernel, window)


def _forward(x, kernel, window):
    # Not `_native`: who differentiates the gradient differentiates this.
    return _convolution(x, kernel, window), (x, kernel)


def _backward(window, residuals, g):
    on_cpu, elsewhere = partial(_explicit_gradients, window), partial(_native_gradients, window)
    return lax.platform_dependent(*residuals, g, cpu=on_cpu, default=elsewhere)


_convolution.defvjp(_forward, _backward)


def _native_gradients(window, x, kernel, g):
    _, pullback = jax.vjp(partial(_native, window=window), x, kernel)
    return pullback(g)


def _explicit_gradients(
    window: _Window, x: Float[Array, "b *space i"], kernel: Float[Array, "*window i o"], g: Float[Array, "b *out o"]
) -> tuple[Float[Array, "b *space i"], Float[Array, "*window i o"]]:
    """Both gradients of <g, convolution(x, kernel)>, as convolutions.

    Along one dimension, padding aside, y_o = sum_k x_(s o + r k) kernel_k, x being spread out by `lhs_dilation`. Hence
    the gradient for x is the convolution of g, spread out by s, with the kernel turned around; that for the kernel is
    the convolution of x with g spread out by s, the batch being what is summed over, at stride r.
    """
    spatial = x.ndim - 2
    space = tuple(range(spatial))
    low = [pair[0] for pair in window.padding]
    # On the finest grid: lengths of the input, of the kernel and of the output.
    length_x = [_extent(*pair) for pair in zip(x.shape[1:-1], window.lhs_dilation, strict=True)]
    length_k = [_extent(*pair) for pair in zip(kernel.shape[:-2], window.rhs_dilation, strict=True)]
    length_y = [_extent(*pair) for pair in zip(g.shape[1:-1], window.strides, strict=True)]
    lengths = list(zip(length_x, length_k, length_y, low, strict=True))

    padding_x = tuple((k - 1 - before, x + before - y) for x, k, y, before in lengths)
    window_x = _Window(window.lhs_dilation, padding_x, window.strides, window.rhs_dilation, window.precision)
    grad_x = _convolution(g, jnp.flip(kernel, space).swapaxes(-1, -2), window_x)

    padding_k = tuple((before, k - 1 + y - x - before) for x, k, y, before in lengths)
    window_k = _Window(window.rhs_dilation, padding_k, window.lhs_dilation, window.strides, window.precision)
    batch_to_input = (*(axis + 1 for axis in space), 0, spatial + 1)
    grad_kernel = _convolution(x.swapaxes(0, -1), g.transpose(batch_to_input), window_k)
    return grad_x, grad_kernel.transpose(batch_to_input)


class Conv(nn.Conv):
    """flax's convolution, channels last, whose training step may stand inside a loop on a CPU too.

    Attributes (beyond these, flax's):
        features: Output channels.
        kernel_size: Per spatial dimension; its length is the number of spatial dimensions.
        strides: Of the output, one for all dimensions or one each.
        padding: "SAME", "VALID", or (low, high) per spatial dimension.
        use_bias: False before a normalisation.
        dtype: Of the computation; parameters stay float32.
    """

    dtype: Any = jnp.float32
    conv_general_dilated_cls: Any = lambda: conv_general_dilated
