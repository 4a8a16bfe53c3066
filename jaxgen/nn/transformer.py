"""A transformer encoder: tokens that look at each other, so that each says what it means where it stands.

    h <- h + W softmax(Q K^T / sqrt(d)) V       Q, K, V from the normalised h
    h <- h + W swish(W' h)                      from the normalised h

`jaxgen.nn.CrossAttend` takes one as its `encoder`: "small coat" is then no set of two words.
"""

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxgen import require
from jaxgen.nn.attention import attention
from jaxgen.nn.normalisation import GroupNorm


@dataclass(frozen=True)
class Transformer:
    """Sizes of a transformer encoder.

    Args:
        num_layers: Number of layers.
        num_heads: Number of attention heads, a divisor of the width of the tokens.
        widening: Width of the hidden layer between two layers of attention, in multiples of the width of the tokens.

    Raises:
        ValueError: A number below 1.
    """

    num_layers: int = 2
    num_heads: int = 4
    widening: int = 2

    def __post_init__(self):
        for name in ("num_layers", "num_heads", "widening"):
            require.size(name, getattr(self, name))
        require.fields(self)


class TransformerEncoder(nn.Module):
    """The network of `Transformer`; at first each token is only normalised.

    Attributes:
        config: Sizes.
        dtype: Dtype of the computation; parameters stay float32.

    Source: Vaswani et al. 2017, section 3.1; normalised before each layer as by Xiong et al. 2020, figure 1.
    """

    config: Transformer
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, tokens: Float[Array, "b l e"], mask: Bool[Array, "b l"] | None = None) -> Float[Array, "b l e"]:
        """Let tokens look at each other.

        Args:
            tokens: Vectors of the tokens, which know their positions already.
            mask: True where a token may be looked at; None for all.

        Raises:
            ValueError: A width that the number of heads does not divide.
        """
        config, (batch, length, width) = self.config, tokens.shape
        if width % config.num_heads:
            raise ValueError(f"num_heads={config.num_heads} must divide the width of the tokens, got {width}")
        heads = (batch, length, 3, config.num_heads, width // config.num_heads)
        h = tokens.reshape(-1, width).astype(self.dtype)

        def dense(features: int, name: str, start: Any = nn.linear.default_kernel_init) -> nn.Dense:
            return nn.Dense(features, dtype=self.dtype, kernel_init=start, name=name)

        def normalised(h: Array, name: str) -> Array:
            return GroupNorm(1, dtype=self.dtype, name=name)(h)  # one group of one token: layer normalisation

        for i in range(config.num_layers):
            qkv = dense(3 * width, f"qkv_{i}")(normalised(h, f"norm_attention_{i}")).reshape(heads)
            seen = attention(qkv[:, :, 0], qkv[:, :, 1], qkv[:, :, 2], mask).reshape(-1, width)
            h = h + dense(width, f"attended_{i}", nn.initializers.zeros)(seen)
            hidden = dense(config.widening * width, f"hidden_{i}")(normalised(h, f"norm_hidden_{i}"))
            h = h + dense(width, f"out_{i}", nn.initializers.zeros)(nn.swish(hidden))
        return normalised(h, "norm").reshape(tokens.shape)
