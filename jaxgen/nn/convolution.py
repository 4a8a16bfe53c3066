"""Convolutions whose gradients are as fast inside a loop as outside, on a CPU too.

XLA's CPU compiler has a fast convolution for one order of the axes only: input [batch, *space, in], kernel
[*space, in, out]. It transposes convolutions in another order into that one, but only at the top level of a program:
in the body of a loop or a branch it compiles them to a plain nest of loops (github.com/jax-ml/jax/issues/12868). Both
gradients that JAX derives for a convolution are in another order, so a training step that is fast by itself is many
times slower inside `lax.scan`.

Both gradients are convolutions themselves. Here they are written as such in the fast order, the transpositions made
explicitly and the smaller operand sliding over the larger, by a function that uses itself: its gradients of every order
stay in the fast order. On other devices everything is lax's own, which the compilers there recognise.

On top of that each convolution takes the form that is fastest for it: `_by_phases` where strides divide the kernel and
for transposed convolutions, `_by_taps` for few output channels, `_exchanged` where the kernel is the larger operand,
`_fast` elsewhere.

Milliseconds per convolution and both gradients, by itself / inside a scan, by `benchmarks/convolution.py --repetitions
3`; jax 0.10.2, 2 cores, medians:

                                                lax            here
    32 x 28 x 28, 64 -> 64, 3x3               77 / 2300      58 / 57
    32 x 14 x 14, 128 -> 128, 3x3             38 / 1170      37 / 35
    64 x 28 x 28, 1 -> 32, 3x3 stride 2      2.3 / 4.6      1.9 / 1.9
    64 x 14 x 14, 32 -> 64, 3x3 stride 2     6.8 / 49       4.8 / 4.7
    64 x 14 x 14, 64 -> 128, 4x4 stride 2     20 / 298       21 / 21
    64 x 28 x 28, 32 -> 1, 3x3               9.0 / 28       3.8 / 3.7
    64 x 7 x 7, 64 -> 32, 4x4 transposed      34 / 102      7.2 / 7.0
"""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.nn.phases import channels_to_phases, cut, phases_to_channels
from jaxgen.nn.sums import add_bias


class _Window(NamedTuple):
    """Movement of a kernel over an input: one entry per spatial dimension, as in `lax.conv_general_dilated`."""

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
        dimension_numbers: Order of the axes. The gradients are written for channels last, in input, output and kernel,
            with 1 to 3 spatial dimensions; any other order is left to `lax`.
        feature_group_count: Number of groups of channels; more than 1 is left to `lax`.
        precision: Precision of the products, as in `lax`.

    Returns:
        The convolution, in the dtype of the arguments.
    """
    spatial = lhs.ndim - 2
    lhs_dilation = tuple(lhs_dilation or (1,) * spatial)
    rhs_dilation = tuple(rhs_dilation or (1,) * spatial)
    numbers = lax.conv_dimension_numbers(lhs.shape, rhs.shape, dimension_numbers)
    undefined = isinstance(padding, str) and any(d != 1 for d in lhs_dilation)  # lax raises the error
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
    """Dimension numbers of lax for input and output [b, *space, c] and kernel [*space, in, out]."""
    last = spatial + 1
    image = (0, last, *range(1, last))
    return lax.ConvDimensionNumbers(image, (last, spatial, *range(spatial)), image)


def _extent(size: int, dilation: int) -> int:
    """Length of `size` points that are `dilation` apart."""
    return (size - 1) * dilation + 1


def _native(x: Float[Array, "b *space i"], kernel: Float[Array, "*window i o"], window: _Window) -> Float[Array, "..."]:
    return lax.conv_general_dilated(
        x,
        kernel,
        window.strides,
        window.padding,
        window.lhs_dilation,
        window.rhs_dilation,
        _channels_last(x.ndim - 2),
        precision=window.precision,
    )


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def _convolution(
    x: Float[Array, "b *space i"], kernel: Float[Array, "*window i o"], window: _Window
) -> Float[Array, "b *out o"]:
    points_x, points_k = math.prod(x.shape[1:-1]), math.prod(kernel.shape[:-2])
    # The fast convolution copies the operand that the other slides over, once per output point: where both are equally
    # large (in a kernel's gradient), the one with fewer channels is chosen for it.
    few = points_k == points_x > 1 and kernel.shape[-1] < min(x.shape[0], _FEW + 1)
    plain = max(*window.strides, *window.lhs_dilation, *window.rhs_dilation) == 1
    transposed = _one_sided(window) and max(window.lhs_dilation) > 1
    if _splits(window, kernel.shape) or (transposed and points_k <= points_x):
        on_cpu = _by_phases
    elif plain and kernel.shape[-1] <= _FEW_OUTPUTS and points_k <= _FEW_TAPS:
        on_cpu = _by_taps
    elif points_k > points_x or few:
        on_cpu = _exchanged
    else:
        on_cpu = _fast
    on_cpu, elsewhere = partial(on_cpu, window=window), partial(_native, window=window)
    return lax.platform_dependent(x, kernel, cpu=on_cpu, default=elsewhere)


def _fast(x: Float[Array, "b *space i"], kernel: Float[Array, "*window i o"], window: _Window) -> Float[Array, "..."]:
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
    return _native(x, kernel, window)


def _one_sided(window: _Window) -> bool:
    """Whether there are strides, or a transposed convolution, but not both, and no holes in the kernel."""
    return max(window.rhs_dilation) == 1 and min(max(window.strides), max(window.lhs_dilation)) == 1


def _splits(window: _Window, kernel_shape: tuple[int, ...]) -> bool:
    """Whether the kernel holds a whole number of points per step of a stride, or of a transposed convolution."""
    steps = window.strides if max(window.lhs_dilation) == 1 else window.lhs_dilation
    whole = all(k % s == 0 for k, s in zip(kernel_shape[:-2], steps, strict=True))
    return _one_sided(window) and max(steps) > 1 and whole


def _by_phases(
    x: Float[Array, "b *space i"], kernel: Float[Array, "*window i o"], window: _Window
) -> Float[Array, "b *out o"]:
    """The same convolution with stride 1 and without dilation: `_splits` must hold unless it is transposed.

    With stride s, the points m = s j + e of x that have the same phase e = 0..s-1 are channels of one point j; so are
    those of the kernel, k = s a + e. Then y_n = sum_{a, e} x_{s (n + a) + e} kernel_{s a + e} is of stride 1. In a
    transposed convolution the outputs have phases, u = s j - e: y_u = sum_a x_{j + a} kernel_{s a + e}. Its native form
    multiplies zeros, s - 1 of s per dimension; it is also the gradient for x of the strided convolution.
    """
    ones = (1,) * (x.ndim - 2)
    plain = _Window(ones, ((0, 0),) * len(ones), ones, ones, window.precision)
    lows = [low for low, _ in window.padding]
    size = jax.eval_shape(partial(_native, window=window), x, kernel).shape[1:-1]
    if max(window.strides) > 1:
        steps = window.strides
        lengths = [s * (n - 1) + k for s, n, k in zip(steps, size, kernel.shape, strict=False)]
        x = cut(x, [-low for low in lows], lengths)
        return _convolution(phases_to_channels(x, steps, 1), phases_to_channels(kernel, steps, 0), plain)
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
    y = channels_to_phases(_convolution(x, kernel, padded), steps)
    return cut(y, [s - 1 - low - s * begin for s, low, begin in zip(steps, lows, first, strict=True)], size)


def _by_taps(
    x: Float[Array, "b *space i"], kernel: Float[Array, "*window i o"], window: _Window
) -> Float[Array, "b *out o"]:
    """The same convolution of stride 1 as one matrix product with all points of the kernel, and a sum of shifts.

    For few output channels, where Eigen's copies cost more than its products.
    """
    taps, outputs = kernel.shape[:-2], kernel.shape[-1]
    lengths = [n + low + high for n, (low, high) in zip(x.shape[1:-1], window.padding, strict=True)]
    x = cut(x, [-low for low, _ in window.padding], lengths)
    size = [n - k + 1 for n, k in zip(lengths, taps, strict=True)]
    matrix = jnp.moveaxis(kernel, -2, 0).reshape(kernel.shape[-2], -1)
    wide = jnp.float32 if jnp.finfo(x.dtype).bits < 32 else x.dtype
    products = jnp.matmul(x, matrix, precision=window.precision, preferred_element_type=wide)
    products = products.reshape(*x.shape[:-1], -1, outputs)
    y = sum(
        products[(slice(None), *(slice(a, a + n) for a, n in zip(tap, size, strict=True)), place)]
        for place, tap in enumerate(itertools.product(*map(range, taps)))
    )
    return jnp.asarray(y, x.dtype)


_FEW = 16  # channels: up to here exchanging was faster (tried with 1 to 64), and YNNPACK no slower than Eigen
_FEW_OUTPUTS, _FEW_TAPS = 4, 32  # tried with 1 to 8 outputs of 4 to 25 taps


def _exchanged(
    x: Float[Array, "b *space i"], kernel: Float[Array, "*window i o"], window: _Window
) -> Float[Array, "b *out o"]:
    """The same convolution with x sliding over the kernel; the reversed output is turned back.

    XLA does this itself for a kernel that is larger than its input, but leaves the fast order in doing so.
    """
    y = jax.eval_shape(partial(_native, window=window), x, kernel)
    # With m, k, n the positions in x, kernel and y: k = m - n + low = m + (end - n) - (end - low), end the last n.
    padding = tuple(
        (n - 1 - low, m - k + low) for m, k, n, low in _fine_lengths(window, x.shape, kernel.shape, y.shape)
    )
    exchanged = window._replace(padding=padding, lhs_dilation=window.rhs_dilation, rhs_dilation=window.lhs_dilation)
    space = tuple(range(1, x.ndim - 1))
    turned = _fast(jnp.moveaxis(kernel, -1, 0), jnp.moveaxis(x, 0, -1), exchanged)
    return jnp.flip(turned.swapaxes(0, -1), space)


def _fine_lengths(window, x_shape, kernel_shape, y_shape):
    """Lengths of x, kernel and output with all dilations and strides, and the low padding, per spatial dimension."""
    length_x = map(_extent, x_shape[1:-1], window.lhs_dilation)
    length_k = map(_extent, kernel_shape[:-2], window.rhs_dilation)
    length_y = map(_extent, y_shape[1:-1], window.strides)
    return zip(length_x, length_k, length_y, [low for low, _ in window.padding], strict=True)


def _forward(x, kernel, window):
    # Not `_native`: gradients of higher order differentiate this function.
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

    Along one dimension, with m, k, n the positions in x, kernel and y (x spread out by `lhs_dilation`, the kernel by
    `rhs_dilation`, y by the strides) and p the padding before x,

        <g, y> = sum_{n, k} g_n x_{n + k - p} kernel_k

    so the gradient for x slides the kernel over g, turned around, and that for the kernel slides g over x, with the
    batch, which is summed over, in the place of the input channels.
    """
    if _splits(window, kernel.shape):
        _, pullback = jax.vjp(partial(_by_phases, window=window), x, kernel)
        return pullback(g)
    space = tuple(range(x.ndim - 2))
    lengths = list(_fine_lengths(window, x.shape, kernel.shape, g.shape))

    over_g = tuple((k - 1 - low, m + low - n) for m, k, n, low in lengths)
    window_x = _Window(window.lhs_dilation, over_g, window.strides, window.rhs_dilation, window.precision)
    grad_x: Any = _convolution(g, jnp.flip(kernel, space).swapaxes(-1, -2), window_x)

    over_x = tuple((low, k - 1 + n - m - low) for m, k, n, low in lengths)
    window_k = _Window(window.rhs_dilation, over_x, window.lhs_dilation, window.strides, window.precision)
    grad_kernel: Any = _convolution(x.swapaxes(0, -1), jnp.moveaxis(g, 0, -2), window_k)
    return grad_x, jnp.moveaxis(grad_kernel, 0, -2)


class Conv(nn.Module):
    """flax's convolution with `conv_general_dilated` instead of lax's; parameters are "kernel" and "bias", as in flax.

    Attributes:
        features: Output channels.
        kernel_size: Size of the kernel, one entry per spatial dimension.
        strides: Stride in every spatial dimension.
        padding: "SAME", "VALID", or (low, high) per spatial dimension.
        input_dilation: Dilation of the input in every spatial dimension; s gives a transposed convolution of stride s.
        use_bias: Whether a bias is added; False before a normalisation.
        kernel_init: Initialiser of the kernel.
        dtype: Dtype of the computation; parameters stay float32.
        function: Function called with input and kernel in the place of `lax.conv_general_dilated`.
    """

    features: int
    kernel_size: tuple[int, ...]
    strides: int = 1
    padding: str | tuple[tuple[int, int], ...] = "SAME"
    input_dilation: int = 1
    use_bias: bool = True
    kernel_init: Callable[..., Any] = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32
    function: Callable[..., Array] = conv_general_dilated

    def setup(self):
        for name in ("features", "strides", "input_dilation"):
            require.size(name, getattr(self, name))
        require.sizes("kernel_size", self.kernel_size, fewest=1)
        self.layer = nn.Conv(
            self.features,
            self.kernel_size,
            self.strides,
            self.padding,
            self.input_dilation,
            use_bias=False,
            dtype=self.dtype,
            kernel_init=self.kernel_init,
            conv_general_dilated=self.function,
        )
        nn.share_scope(self, self.layer)
        if self.use_bias:
            self.bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)

    def __call__(self, x: Float[Array, "b *space c"]) -> Float[Array, "b *out d"]:
        y = self.layer(x)
        return add_bias(y, self.bias.astype(self.dtype)) if self.use_bias else y
