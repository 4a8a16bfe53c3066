"""Attention: every position of a picture looks at every other."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.nn.normalisation import GroupNorm


class SelfAttention(nn.Module):
    """A residual block of self-attention over all positions, in any number of spatial dimensions.

        x + W softmax(Q K^T / sqrt(d)) V,     Q, K, V from the normalised x

    W starts at zero, so that the block starts as the identity. The softmax is computed in float32 for every dtype.

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
        logits = jnp.einsum("bqhd,bkhd->bhqk", q, k, preferred_element_type=jnp.float32) / math.sqrt(width)
        weights = jax.nn.softmax(logits, axis=-1).astype(self.dtype)
        h = jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(batch, positions, channels)
        h = nn.Dense(channels, dtype=self.dtype, kernel_init=nn.initializers.zeros)(h)
        return x + h.reshape(x.shape)
