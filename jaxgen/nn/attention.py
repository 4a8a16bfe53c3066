"""Attention: every position of a picture looks at every other, or at the tokens of a condition.

`attention` is the equation; the layers around it project, normalise and add.
"""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxgen import require
from jaxgen.nn.normalisation import GroupNorm
from jaxgen.nn.precision import wide

KERNELS = ("einsum", "dot_product", "cudnn")
"""Forms of attention, see `attention`."""


def attention(
    q: Float[Array, "b m h d"],
    k: Float[Array, "b n h d"],
    v: Float[Array, "b n h d"],
    mask: Bool[Array, "b n"] | None = None,
    kernel: str = "einsum",
) -> Float[Array, "b m h d"]:
    """Attend from m positions to n, each head by itself.

        h_i = sum_j w_ij v_j,     w_i = softmax_j(q_i . k_j / sqrt(d))

    The softmax is computed in float32 at least; "dot_product" and "cudnn" know float32 alone.

    Args:
        q: Queries.
        k: Keys.
        v: Values.
        mask: True where a position may be attended to; None for all. Where none may be, the result is 0.
        kernel: Form of the computation, for equal results up to rounding. "einsum" is two products with a softmax
            between: its bits are those of every version of this library. "dot_product" is
            `jax.nn.dot_product_attention`, which makes all products of bfloat16 in bfloat16, those for the gradients of
            q and k too, where "einsum" makes these two in float32; in bfloat16 it does not run under
            `jax_numpy_dtype_promotion="strict"`. "cudnn" is the same by cuDNN's flash attention on a
            GPU of NVIDIA, which never holds all weights w; on other devices, and where there is a mask or an odd number
            of positions, it is "dot_product". It is for bfloat16 and d that are multiples of 8 up to 128 (256 from
            Hopper on), and has no forward-mode derivative.

    Raises:
        ValueError: An unknown kernel, or heads that "cudnn" cannot take; also where another kernel takes its place.

    Source: Vaswani et al. 2017, equation 1; for "cudnn" Dao et al. 2022, "FlashAttention".
    """
    require.one_of("kernel", kernel, KERNELS)
    width = q.shape[-1]
    if kernel == "cudnn" and (q.dtype != jnp.bfloat16 or width % 8 or width > 256):
        raise ValueError(
            "heads must be bfloat16 of a multiple of 8 channels, at most 256, with the kernel 'cudnn', "
            f"got {q.dtype} of {width}"
        )
    seen = None if mask is None else mask[:, None, None, :]
    if kernel != "einsum":
        even = q.shape[1] % 2 == 0 and k.shape[1] % 2 == 0  # its gradients know no others
        flash = kernel == "cudnn" and mask is None and even and jax.default_backend() == "gpu"
        implementation = "cudnn" if flash else "xla"
        h = jax.nn.dot_product_attention(q, k, v, mask=seen, implementation=implementation)
        # Where no position is left, jax takes the mean of all.
        return h if mask is None else jnp.where(mask.any(axis=1)[:, None, None, None], h, jnp.zeros((), h.dtype))
    logits = jnp.einsum("bqhd,bkhd->bhqk", q, k, preferred_element_type=wide(q.dtype)) / math.sqrt(width)
    if seen is None:
        weights = jax.nn.softmax(logits, axis=-1)
    else:
        # Not minus infinity: where no position is left, the softmax and its derivative would be NaN.
        weights = jax.nn.softmax(jnp.where(seen, logits, jnp.finfo(logits.dtype).min), axis=-1)
        weights = jnp.where(seen, weights, jnp.zeros((), weights.dtype))
    return jnp.einsum("bhqk,bkhd->bqhd", weights.astype(v.dtype), v)


class SelfAttention(nn.Module):
    """A residual block of self-attention over all positions, in any number of spatial dimensions.

        x + W softmax(Q K^T / sqrt(d)) V,     Q, K, V from the normalised x

    W starts at zero, so that the block starts as the identity. The softmax is computed in float32 at least.

    Attributes:
        num_heads: Number of heads; each attends by itself, with an equal share of the channels.
        num_groups: Number of groups of the normalisation.
        dtype: Dtype of the computation; parameters stay float32.
        kernel: Form of the computation, see `attention`.

    Source: Vaswani et al. 2017, section 3.2; for images Ho et al. 2020, appendix B.
    """

    num_heads: int = 1
    num_groups: int = 8
    dtype: Any = jnp.float32
    kernel: str = "einsum"

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"]) -> Float[Array, "b *space c"]:
        require.size("num_heads", self.num_heads)
        batch, channels = x.shape[0], x.shape[-1]
        if channels % self.num_heads:
            raise ValueError(f"num_heads={self.num_heads} must divide the number of channels, got {channels}")
        positions, width = math.prod(x.shape[1:-1]), channels // self.num_heads
        h = GroupNorm(self.num_groups, dtype=self.dtype)(x).reshape(batch, positions, channels)
        heads = nn.Dense(3 * channels, dtype=self.dtype)(h).reshape(batch, positions, 3, self.num_heads, width)
        q, k, v = (heads[:, :, i] for i in range(3))
        h = attention(q, k, v, kernel=self.kernel).reshape(batch, positions, channels)
        h = nn.Dense(channels, dtype=self.dtype, kernel_init=nn.initializers.zeros)(h)
        return x + h.reshape(x.shape)


class CrossAttention(nn.Module):
    """A residual block in which every position of x attends to the tokens of a context.

        x + W softmax(Q K^T / sqrt(d)) V,     Q from the normalised x; K, V from the context

    W starts at zero, so that the block starts as the identity. The softmax is computed in float32 at least.

    Attributes:
        num_heads: Number of heads; each attends by itself, with an equal share of the channels.
        num_groups: Number of groups of the normalisation.
        dtype: Dtype of the computation; parameters stay float32.
        kernel: Form of the computation, see `attention`.

    Source: Vaswani et al. 2017, section 3.2; for images Rombach et al. 2022, section 3.3.
    """

    num_heads: int = 1
    num_groups: int = 8
    dtype: Any = jnp.float32
    kernel: str = "einsum"

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *space c"], context: Float[Array, "b l e"], mask: Bool[Array, "b l"] | None = None
    ) -> Float[Array, "b *space c"]:
        """Attend to a context.

        Args:
            x: Input; [b, c] is one position.
            context: Vectors of the tokens.
            mask: True where a token may be attended to; None for all. An example without any keeps x, up to the bias.
        """
        require.size("num_heads", self.num_heads)
        batch, channels = x.shape[0], x.shape[-1]
        if channels % self.num_heads:
            raise ValueError(f"num_heads={self.num_heads} must divide the number of channels, got {channels}")
        positions, width = math.prod(x.shape[1:-1]), channels // self.num_heads
        h = GroupNorm(self.num_groups, dtype=self.dtype)(x).reshape(batch, positions, channels)
        q = nn.Dense(channels, dtype=self.dtype)(h).reshape(batch, positions, self.num_heads, width)
        both = nn.Dense(2 * channels, dtype=self.dtype)(context.astype(self.dtype))
        both = both.reshape(batch, -1, 2, self.num_heads, width)
        k, v = both[:, :, 0], both[:, :, 1]
        h = attention(q, k, v, mask, self.kernel).reshape(batch, positions, channels)
        h = nn.Dense(channels, dtype=self.dtype, kernel_init=nn.initializers.zeros)(h)
        return x + h.reshape(x.shape)
