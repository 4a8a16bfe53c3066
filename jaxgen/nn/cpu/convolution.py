"""Convolutions as fast inside a loop as outside, in the forms that XLA's CPU compiler is good at.

XLA's CPU compiler has a fast convolution for one order of the axes only: input [batch, *space, in], kernel
[*space, in, out]. It transposes convolutions in another order into that one, but only at the top level of a program:
in the body of a loop or a branch it compiles them to a plain nest of loops (github.com/jax-ml/jax/issues/12868). Both
gradients that JAX derives for a convolution are in another order, so a training step that is fast by itself is many
times slower inside `lax.scan`.

Both gradients are convolutions themselves. Here they are written as such in the fast order, the transpositions made
explicitly and the smaller operand sliding over the larger. On top of that each convolution takes the form that is
fastest for it: `_by_phases` where strides divide the kernel and for transposed convolutions, `_by_slices` in three
dimensions, `_by_taps` for few output channels, `_exchanged` where the kernel is the larger operand, `_fast` elsewhere.

Every function takes `convolve(x, kernel, window)` for the convolutions it is made of: the primitive of
`jaxgen.nn.convolution`, whose gradients come back here.
"""

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from jax import lax

from jaxgen.nn.phases import channels_to_phases, cut, phases_to_channels
from jaxgen.nn.precision import wide
from jaxgen.nn.window import Image, Kernel, Output, Window, fine, native, over_input, over_output, turned

Convolve: TypeAlias = Callable[[Any, Any, Window], Any]


def convolution(x: Image, kernel: Kernel, window: Window, convolve: Convolve) -> Output:
    """The convolution, in its fastest form."""
    points_x, points_k = math.prod(x.shape[1:-1]), math.prod(kernel.shape[:-2])
    # The fast convolution copies the operand that the other slides over, once per output point: where both are equally
    # large (in a kernel's gradient), the one with fewer channels is chosen for it.
    few = points_k == points_x > 1 and kernel.shape[-1] < min(x.shape[0], _FEW + 1)
    plain = max(*window.strides, *window.lhs_dilation, *window.rhs_dilation) == 1
    transposed = _one_sided(window) and max(window.lhs_dilation) > 1
    if _splits(window, kernel.shape) or (transposed and points_k <= points_x):
        return _by_phases(x, kernel, window, convolve)
    if x.ndim == 5:
        return _by_slices(x, kernel, window, convolve)
    if plain and kernel.shape[-1] <= _FEW_OUTPUTS and points_k <= _FEW_TAPS:
        return _by_taps(x, kernel, window)
    if points_k > points_x or few:
        return _exchanged(x, kernel, window)
    return _fast(x, kernel, window)


def gradient_x(g: Output, kernel: Kernel, space: tuple[int, ...], window: Window, convolve: Convolve) -> Image:
    """The gradient of <g, convolution(x, kernel)> for x, whose spatial size is `space`: the turned kernel over g."""
    x = jax.ShapeDtypeStruct((g.shape[0], *space, kernel.shape[-2]), g.dtype)
    if _splits(window, kernel.shape):
        forward = partial(_by_phases, kernel=kernel, window=window, convolve=convolve)
        return jax.linear_transpose(forward, x)(g)[0]
    return convolve(g, turned(kernel, len(space)), over_output(window, space, kernel.shape[:-2], g.shape[1:-1]))


def gradient_kernel(x: Image, g: Output, space: tuple[int, ...], window: Window, convolve: Convolve) -> Kernel:
    """The gradient of <g, convolution(x, kernel)> for the kernel, whose spatial size is `space`.

    It slides g over x, with the batch, which is summed over, in the place of the input channels.
    """
    kernel = jax.ShapeDtypeStruct((*space, x.shape[-1], g.shape[-1]), g.dtype)
    if _splits(window, kernel.shape):
        forward = partial(_by_phases, x, window=window, convolve=convolve)
        return jax.linear_transpose(forward, kernel)(g)[0]
    slid = over_input(window, x.shape[1:-1], space, g.shape[1:-1])
    return jnp.moveaxis(convolve(x.swapaxes(0, -1), jnp.moveaxis(g, 0, -2), slid), 0, -2)


def _fast(x: Image, kernel: Kernel, window: Window) -> Output:
    """The same convolution, in a form that XLA's CPU compiler gives to the faster of its two libraries.

    In two dimensions the compiler gives convolutions to YNNPACK, which with more than a few channels takes longer than
    Eigen, unless the input is dilated. So all distances along the first dimension are doubled, and every other point is
    empty or not needed: the sums are the same, and Eigen's loop skips the empty points.
    """
    if x.ndim == 4 and max(window.lhs_dilation) == 1 and min(kernel.shape[-2:]) >= _FEW:
        (low, high), *others = window.padding
        window = window._replace(
            strides=(2 * window.strides[0], *window.strides[1:]),
            padding=((2 * low, 2 * high), *others),
            lhs_dilation=(2, 1),
            rhs_dilation=(2 * window.rhs_dilation[0], *window.rhs_dilation[1:]),
        )
    return native(x, kernel, window)


def _one_sided(window: Window) -> bool:
    """Whether there are strides, or a transposed convolution, but not both, and no holes in the kernel."""
    return max(window.rhs_dilation) == 1 and min(max(window.strides), max(window.lhs_dilation)) == 1


def _splits(window: Window, kernel_shape: tuple[int, ...]) -> bool:
    """Whether the kernel holds a whole number of points per step of a stride, or of a transposed convolution."""
    steps = window.strides if max(window.lhs_dilation) == 1 else window.lhs_dilation
    whole = all(k % s == 0 for k, s in zip(kernel_shape[:-2], steps, strict=True))
    return _one_sided(window) and max(steps) > 1 and whole


def _by_phases(x: Image, kernel: Kernel, window: Window, convolve: Convolve) -> Output:
    """The same convolution with stride 1 and without dilation: `_splits` must hold unless it is transposed.

    With stride s, the points m = s j + e of x that have the same phase e = 0..s-1 are channels of one point j; so are
    those of the kernel, k = s a + e. Then y_n = sum_{a, e} x_{s (n + a) + e} kernel_{s a + e} is of stride 1. In a
    transposed convolution the outputs have phases, u = s j - e: y_u = sum_a x_{j + a} kernel_{s a + e}. Its native form
    multiplies zeros, s - 1 of s per dimension; it is also the gradient for x of the strided convolution.
    """
    ones = (1,) * (x.ndim - 2)
    plain = Window(ones, ((0, 0),) * len(ones), ones, ones, window.precision)
    lows = [low for low, _ in window.padding]
    size = jax.eval_shape(partial(native, window=window), x, kernel).shape[1:-1]
    if max(window.strides) > 1:
        steps = window.strides
        lengths = [s * (n - 1) + k for s, n, k in zip(steps, size, kernel.shape, strict=False)]
        x = cut(x, [-low for low in lows], lengths)
        return convolve(phases_to_channels(x, steps, 1), phases_to_channels(kernel, steps, 0), plain)
    steps = window.lhs_dilation
    kernel = jnp.pad(kernel, [*((0, -k % s) for k, s in zip(kernel.shape, steps, strict=False)), (0, 0), (0, 0)])
    # u runs from -low on, so j from ceil(-low / s) on; u has the place s j + (s - 1 - e) = u + s - 1 among the outputs.
    first = [-(low // s) for low, s in zip(lows, steps, strict=True)]
    last = [-((low - n + 1) // s) for low, n, s in zip(lows, size, steps, strict=True)]
    taps = [k // s for k, s in zip(kernel.shape, steps, strict=False)]
    # (Padding rather than a padded copy of x, whose gradient would be computed at the padding too.)
    ends = [end + a - n for end, a, n in zip(last, taps, x.shape[1:-1], strict=True)]
    padded = plain._replace(padding=tuple((-begin, end) for begin, end in zip(first, ends, strict=True)))
    kernel = phases_to_channels(kernel.swapaxes(-1, -2), steps, 0, turned=True).swapaxes(-1, -2)
    y = channels_to_phases(convolve(x, kernel, padded), steps)
    return cut(y, [s - 1 - low - s * begin for s, low, begin in zip(steps, lows, first, strict=True)], size)


def _by_slices(x: Image, kernel: Kernel, window: Window, convolve: Convolve) -> Output:
    """The same convolution in one dimension less: its outputs along the first are examples, its taps are channels.

    y_n = sum_k x_{s n + d k} kernel_k along the first dimension. The compiler's own convolution of three dimensions
    takes many times longer, to compile as well.
    """
    stride, (low, high) = window.strides[0], window.padding[0]
    spread, hole = window.lhs_dilation[0], window.rhs_dilation[0]
    rest = Window(
        window.strides[1:], window.padding[1:], window.lhs_dilation[1:], window.rhs_dilation[1:], window.precision
    )
    taps = kernel.shape[0]
    x = lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), (low, high, spread - 1), *[(0, 0, 0)] * 3])
    num = (x.shape[1] - hole * (taps - 1) - 1) // stride + 1
    last = stride * (num - 1) + 1
    seen = jnp.concatenate([lax.slice_in_dim(x, hole * k, hole * k + last, stride, 1) for k in range(taps)], axis=-1)
    joined = jnp.moveaxis(kernel, 0, -3).reshape(*kernel.shape[1:-2], -1, kernel.shape[-1])
    y = convolve(seen.reshape(-1, *seen.shape[2:]), joined, rest)
    return y.reshape(len(x), num, *y.shape[1:])


def _by_taps(x: Image, kernel: Kernel, window: Window) -> Output:
    """The same convolution of stride 1 as one matrix product with all points of the kernel, and a sum of shifts.

    For few output channels, where Eigen's copies cost more than its products.
    """
    taps, outputs = kernel.shape[:-2], kernel.shape[-1]
    lengths = [n + low + high for n, (low, high) in zip(x.shape[1:-1], window.padding, strict=True)]
    x = cut(x, [-low for low, _ in window.padding], lengths)
    size = [n - k + 1 for n, k in zip(lengths, taps, strict=True)]
    matrix = jnp.moveaxis(kernel, -2, 0).reshape(kernel.shape[-2], -1)
    products = jnp.matmul(x, matrix, precision=window.precision, preferred_element_type=wide(x.dtype))
    products = products.reshape(*x.shape[:-1], -1, outputs)
    y = sum(
        products[(slice(None), *(slice(a, a + n) for a, n in zip(tap, size, strict=True)), place)]
        for place, tap in enumerate(itertools.product(*map(range, taps)))
    )
    return jnp.asarray(y, x.dtype)


_FEW = 16  # channels: up to here exchanging was faster (tried with 1 to 64), and YNNPACK no slower than Eigen
_FEW_OUTPUTS, _FEW_TAPS = 4, 32  # tried with 1 to 8 outputs of 4 to 25 taps


def _exchanged(x: Image, kernel: Kernel, window: Window) -> Output:
    """The same convolution with x sliding over the kernel; the reversed output is turned back.

    XLA does this itself for a kernel that is larger than its input, but leaves the fast order in doing so.
    """
    y = jax.eval_shape(partial(native, window=window), x, kernel)
    # With m, k, n the positions in x, kernel and y: k = m - n + low = m + (end - n) - (end - low), end the last n.
    lengths = fine(window, x.shape[1:-1], kernel.shape[:-2], y.shape[1:-1])
    padding = tuple((n - 1 - low, m - k + low) for m, k, n, low in lengths)
    exchanged = window._replace(padding=padding, lhs_dilation=window.rhs_dilation, rhs_dilation=window.lhs_dilation)
    reverse = _fast(jnp.moveaxis(kernel, -1, 0), jnp.moveaxis(x, 0, -1), exchanged)
    return jnp.flip(reverse.swapaxes(0, -1), tuple(range(1, x.ndim - 1)))
