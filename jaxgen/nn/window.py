"""Geometry of a convolution: the window that a kernel is moved in, and the windows of its gradients."""

from typing import Any, NamedTuple, TypeAlias

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Image: TypeAlias = Float[Array, "b *space i"]
Output: TypeAlias = Float[Array, "b *out o"]
Kernel: TypeAlias = Float[Array, "*window i o"]


class Window(NamedTuple):
    """Movement of a kernel over an input: one entry per spatial dimension, as in `lax.conv_general_dilated`."""

    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    lhs_dilation: tuple[int, ...]
    rhs_dilation: tuple[int, ...]
    precision: Any


def channels_last(spatial: int) -> lax.ConvDimensionNumbers:
    """Dimension numbers of lax for input and output [b, *space, c] and kernel [*space, in, out]."""
    last = spatial + 1
    image = (0, last, *range(1, last))
    return lax.ConvDimensionNumbers(image, (last, spatial, *range(spatial)), image)


def extent(size: int, dilation: int) -> int:
    """Length of `size` points that are `dilation` apart."""
    return (size - 1) * dilation + 1


def native(x: Image, kernel: Kernel, window: Window) -> Output:
    """The convolution as lax has it."""
    return lax.conv_general_dilated(
        x,
        kernel,
        window.strides,
        window.padding,
        window.lhs_dilation,
        window.rhs_dilation,
        channels_last(x.ndim - 2),
        precision=window.precision,
    )


def turned(kernel: Float[Array, "*_ i o"], spatial: int) -> Float[Array, "*_ o i"]:
    """The kernel of the gradient for x: reversed in its spatial axes, input and output channels exchanged."""
    return jnp.flip(kernel, range(-2 - spatial, -2)).swapaxes(-1, -2)


def over_output(window: Window, x: tuple[int, ...], kernel: tuple[int, ...], y: tuple[int, ...]) -> Window:
    """Window in which the turned kernel slides over y, to give the gradient for x; all arguments are spatial sizes.

    Along one dimension, with m, k, n the positions in x, kernel and y (x spread out by `lhs_dilation`, the kernel by
    `rhs_dilation`, y by the strides), p the padding before x and g a cotangent of y,

        <g, y> = sum_{n, k} g_n x_{n + k - p} kernel_k
    """
    padding = tuple((k - 1 - low, m + low - n) for m, k, n, low in fine(window, x, kernel, y))
    return Window(window.lhs_dilation, padding, window.strides, window.rhs_dilation, window.precision)


def over_input(window: Window, x: tuple[int, ...], kernel: tuple[int, ...], y: tuple[int, ...]) -> Window:
    """Window in which a cotangent of y slides over x, to give the gradient for the kernel; arguments as above."""
    padding = tuple((low, k - 1 + n - m - low) for m, k, n, low in fine(window, x, kernel, y))
    return Window(window.rhs_dilation, padding, window.lhs_dilation, window.strides, window.precision)


def fine(window: Window, x: tuple[int, ...], kernel: tuple[int, ...], y: tuple[int, ...]) -> Any:
    """Lengths of x, kernel and output with all dilations and strides, and the low padding, per spatial dimension."""
    length_x, length_k = map(extent, x, window.lhs_dilation), map(extent, kernel, window.rhs_dilation)
    return zip(length_x, length_k, map(extent, y, window.strides), [low for low, _ in window.padding], strict=True)
