"""Embedding of the time: sines of many frequencies, then a small network."""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.events import require_integers, require_rank


def sinusoidal_embedding(t: Int[Array, " b"], features: int) -> Float[Array, "b features"]:
    """Sines and cosines of t at frequencies that fall geometrically from 1 to 1/10,000 per step.

    Args:
        t: Times, integers.
        features: Length of an embedding: an even number of at least 4.

    Raises:
        ValueError: A number of features that is odd or below 4.

    Source: Vaswani et al. 2017, section 3.5; for t, Ho et al. 2020, appendix B.
    """
    require.even("features", features, 4)
    require_integers(t=t)
    require_rank(1, "[b]", t=t)
    half = features // 2
    frequencies = jnp.exp(-math.log(10_000) / (half - 1) * jnp.arange(half, dtype=jnp.float32))
    angles = t.astype(jnp.float32)[:, None] * frequencies[None]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class TimeEmbedding(nn.Module):
    """Embedding of the time and, where there are classes, the class, for every block of a network.

    Attributes:
        features: Length of the sinusoidal embedding; the output is four times as long.
        num_classes: Number of classes, one of which may stand for "none"; None without classes.
        dtype: Dtype of the computation; parameters stay float32.
    """

    features: int
    num_classes: int | None = None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, t: Int[Array, " b"], label: Int[Array, " b"] | None) -> Float[Array, "b _"]:
        width = 4 * self.features
        h = sinusoidal_embedding(t, self.features).astype(self.dtype)
        h = nn.Dense(width, dtype=self.dtype)(nn.swish(nn.Dense(width, dtype=self.dtype)(h)))
        if self.num_classes is not None:
            h = h + nn.Embed(self.num_classes, width, dtype=self.dtype)(label)
        # Every block would apply swish first.
        return nn.swish(h)
