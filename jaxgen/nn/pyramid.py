"""Encoders that halve a picture level by level and decoders that double it, for pictures of any size.

A size n is halved to ceil(n / 2), so every halving can be undone: doubling gives n or n + 1, and the decoder, which
knows the sizes of all levels from the output size, leaves out the last row or column where it is one too many.
28 x 28 is halved to 14, 7 and 4 and doubled back; 33 x 20 to 17 x 10. Nothing here counts the spatial dimensions:
signals and volumes pass as well as pictures.
"""

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.nn.convolution import Conv, conv_general_dilated
from jaxgen.nn.normalisation import GroupNorm
from jaxgen.nn.precision import wide


def halvings(size: tuple[int, ...], levels: int) -> list[tuple[int, ...]]:
    """The levels + 1 spatial sizes from `size` down, halved `levels` times and rounded up."""
    require.size("levels", levels, 0)
    sizes = [size]
    for _ in range(levels):
        sizes.append(tuple(-(-n // 2) for n in sizes[-1]))
    return sizes


def _doubled(size: tuple[int, ...], target: tuple[int, ...] | None) -> tuple[int, ...]:
    """Checked spatial size after doubling `size`: `target`, by default twice the size."""
    if target is None:
        return tuple(2 * n for n in size)
    if halvings(target, 1)[1] != size:
        raise ValueError(f"size must be what halves to {size}, rounded up, got {target}")
    return target


class Downsample(nn.Module):
    """Halves the spatial size, rounded up, by a convolution of stride 2.

    Attributes:
        features: Output channels.
        kernel_size: Size of the kernel in every spatial dimension.
        use_bias: Whether a bias is added; False before a normalisation.
        dtype: Dtype of the computation; parameters stay float32.
    """

    features: int
    kernel_size: int = 3
    use_bias: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"]) -> Float[Array, "b *half d"]:
        window = (require.size("kernel_size", self.kernel_size),) * (x.ndim - 2)
        return Conv(self.features, window, strides=2, use_bias=self.use_bias, dtype=self.dtype)(x)


class Upsample(nn.Module):
    """Doubles the spatial size by nearest neighbours, then convolves; as one transposed convolution where possible.

    Attributes:
        features: Output channels.
        kernel_size: Size of the kernel in every spatial dimension.
        use_bias: Whether a bias is added; False before a normalisation.
        dtype: Dtype of the computation; parameters stay float32.
    """

    features: int
    kernel_size: int = 3
    use_bias: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *space c"], size: tuple[int, ...] | None = None
    ) -> Float[Array, "b *double d"]:
        """Upsample x.

        Args:
            x: Input.
            size: Spatial size of the output: twice that of x, the default, or one less in any dimension.

        Returns:
            Output of that size with `features` channels.

        Raises:
            ValueError: A size other than these.
        """
        require.size("kernel_size", self.kernel_size)
        size = _doubled(x.shape[1:-1], size)
        joined = self.kernel_size % 2 == 1 and self.kernel_size > 1 and size == _doubled(x.shape[1:-1], None)
        if not joined:
            for axis, n in enumerate(size, start=1):
                x = lax.slice_in_dim(x.repeat(2, axis), 0, n, axis=axis)
        return Conv(
            self.features,
            (self.kernel_size,) * len(size),
            use_bias=self.use_bias,
            dtype=self.dtype,
            function=_convolved_after_doubling if joined else conv_general_dilated,
        )(x)


def _convolved_after_doubling(
    x: Float[Array, "b *space c"], kernel: Float[Array, "*window c d"], *_: Any, **options: Any
) -> Float[Array, "b *double d"]:
    """Nearest neighbours followed by a convolution with an odd kernel, as one equivalent transposed convolution.

    With d_{2 j} = x_j and zeros between, doubling gives d_m + d_{m - 1}, so that

        y_n = sum_k kernel_k (d_{n + k - p} + d_{n + k - p - 1}) = sum_k (kernel_k + kernel_{k - 1}) d_{n + k - p - 1}

    The kernel now has one more point per dimension, and each output uses half of them: 4 points instead of 9 for 3 x 3.
    """
    spatial = x.ndim - 2
    for axis in range(spatial):
        later, earlier = ([(0, 0)] * kernel.ndim for _ in range(2))
        later[axis], earlier[axis] = (1, 0), (0, 1)
        kernel = jnp.pad(kernel, later) + jnp.pad(kernel, earlier)
    padding = tuple((n // 2, n // 2) for n in kernel.shape[:-2])
    return conv_general_dilated(
        x,
        kernel,
        (1,) * spatial,
        padding,
        lhs_dilation=(2,) * spatial,
        dimension_numbers=options["dimension_numbers"],
        precision=options["precision"],
    )


class ConvTranspose(nn.Module):
    """Doubles the spatial size by a transposed convolution of stride 2: fewer operations than `Upsample`.

    Attributes:
        features: Output channels.
        kernel_size: Size of the kernel in every spatial dimension. An odd size leaves a checkerboard pattern.
        use_bias: Whether a bias is added; False before a normalisation.
        dtype: Dtype of the computation; parameters stay float32.
    """

    features: int
    kernel_size: int = 4
    use_bias: bool = True
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *space c"], size: tuple[int, ...] | None = None
    ) -> Float[Array, "b *double d"]:
        """Upsample x as `Upsample` does, with the same arguments, output and error."""
        require.size("kernel_size", self.kernel_size)
        size = _doubled(x.shape[1:-1], size)
        low = -(-self.kernel_size // 2)  # as flax's ConvTranspose with "SAME"
        padding = tuple((low, self.kernel_size - low - (2 * n - m)) for n, m in zip(x.shape[1:-1], size, strict=True))
        window = (self.kernel_size,) * len(size)
        return Conv(self.features, window, padding=padding, input_dilation=2, use_bias=self.use_bias, dtype=self.dtype)(
            x
        )


class ConvEncoder(nn.Module):
    """Encoder that at each level halves the size, normalises by groups and applies the activation.

    Attributes:
        features: Channels of each level.
        kernel_size: Size of the kernel in every spatial dimension.
        num_groups: Number of groups of the normalisation, a divisor of every width; None for no normalisation.
        activation: Function applied at the end of every level.
        dtype: Dtype of the computation; parameters stay float32.
    """

    features: tuple[int, ...]
    kernel_size: int = 3
    num_groups: int | None = 8
    activation: Callable[[Array], Array] = nn.relu
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"]) -> Float[Array, "b *small d"]:
        for width in require.sizes("features", self.features):
            x = Downsample(width, self.kernel_size, use_bias=self.num_groups is None, dtype=self.dtype)(x)
            x = self.activation(_normalised(x, self.num_groups, self.dtype))
        return x


class ConvDecoder(nn.Module):
    """Mirror of `ConvEncoder`: a dense layer to the smallest level, then level by level up to an event.

    Attributes:
        features: Channels of each level, the smallest first; as many as there are halvings.
        event_shape: Shape (*space, channels) of the output.
        num_groups: Number of groups of the normalisation after every level but the output, a divisor of every width;
            None for no normalisation.
        activation: Function applied at the end of every level but the output.
        upsample: Module that doubles the size: `Upsample` or `ConvTranspose`, or one of them with its kernel size set.
        dtype: Dtype of the computation; parameters are float32, the output at least.
    """

    features: tuple[int, ...]
    event_shape: tuple[int, ...]
    num_groups: int | None = 8
    activation: Callable[[Array], Array] = nn.relu
    upsample: Callable[..., nn.Module] = Upsample
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Float[Array, "b z"]) -> Float[Array, "b *event"]:
        if len(self.event_shape) < 2:
            raise ValueError(f"event_shape must be (*space, channels), got {self.event_shape}")
        require.sizes("features", self.features, fewest=1)
        *space, channels = self.event_shape
        smallest, *sizes = reversed(halvings(tuple(space), len(self.features)))
        bias = self.num_groups is None
        start = (*smallest, self.features[0])
        h = nn.Dense(math.prod(start), use_bias=bias, dtype=self.dtype)(z).reshape(z.shape[0], *start)
        for width, size in zip(self.features[1:], sizes[:-1], strict=True):
            h = self.activation(_normalised(h, self.num_groups, self.dtype))
            h = self.upsample(width, use_bias=bias, dtype=self.dtype)(h, size)
        h = self.activation(_normalised(h, self.num_groups, self.dtype))
        return self.upsample(channels, dtype=self.dtype)(h, sizes[-1]).astype(wide(self.dtype))


def _normalised(x: Float[Array, "b *space c"], num_groups: int | None, dtype: Any) -> Float[Array, "b *space c"]:
    return x if num_groups is None else GroupNorm(num_groups, dtype=dtype)(x)
