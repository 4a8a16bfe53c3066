"""Attention: every position of a picture looks at every other, or at the tokens of a condition."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxgen import require
from jaxgen.nn.normalisation import GroupNorm
from jaxgen.nn.precision import wide


class SelfAttention(nn.Module):
    """A residual block of self-attention over all positions, in any number of spatial dimensions.

        x + W softmax(Q K^T / sqrt(d)) V,     Q, K, V from the normalised x

    W starts at zero, so that the block starts as the identity. The softmax is computed in float32 at least.

    Attributes:
        num_heads: Number of heads; each attends by itself, with an equal share of the channels.
        num_groups: Number of groups of the normalisation.
        dtype: Dtype of the computation; parameters stay float32.

    Source: Vaswani et al. 2017, section 3.2; for images Ho et al. 2020, appendix B.
    """

    num_heads: int = 1
    num_groups: int = 8
    dtype: Any = jnp.float32

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
        logits = jnp.einsum("bqhd,bkhd->bhqk", q, k, preferred_element_type=wide(self.dtype)) / math.sqrt(width)
        weights = jax.nn.softmax(logits, axis=-1).astype(self.dtype)
        h = jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(batch, positions, channels)
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

    Source: Vaswani et al. 2017, section 3.2; for images Rombach et al. 2022, section 3.3.
    """

    num_heads: int = 1
    num_groups: int = 8
    dtype: Any = jnp.float32

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
        logits = jnp.einsum("bqhd,bkhd->bhqk", q, k, preferred_element_type=wide(self.dtype)) / math.sqrt(width)
        if mask is None:
            weights = jax.nn.softmax(logits, axis=-1)
        else:
            # Not minus infinity: where no token is left, the softmax and its derivative would be NaN.
            seen = mask[:, None, None, :]
            weights = jax.nn.softmax(jnp.where(seen, logits, jnp.finfo(logits.dtype).min), axis=-1)
            weights = jnp.where(seen, weights, jnp.zeros((), weights.dtype))
        h = jnp.einsum("bhqk,bkhd->bqhd", weights.astype(self.dtype), v).reshape(batch, positions, channels)
        h = nn.Dense(channels, dtype=self.dtype, kernel_init=nn.initializers.zeros)(h)
        return x + h.reshape(x.shape)
