"""How a network is told the time: sines of many frequencies, then a small network of its own."""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.events import require_integers, require_rank


def sinusoidal_embedding(t: Int[Array, " b"], features: int) -> Float[Array, "b features"]:
    """sin and cos of t at frequencies that fall geometrically from 1 to 1/10,000 per step.

    Args:
        t: Times, integers.
        features: Length of an embedding: an even number of at least 4.

    Raises:
        ValueError: Another number of features.

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
    """What every block of a network is told: the time and, where there are classes, the class.

    Attributes:
        features: Length of the sinusoidal embedding; what is put out has four times as many.
        num_classes: Number of classes, one of which may stand for "none"; None without.
        dtype: Of the computation; parameters stay float32.
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
        # As every block would do first.
        return nn.swish(h)
