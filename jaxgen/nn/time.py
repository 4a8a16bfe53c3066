"""Embedding of the time: sines of many frequencies, then a small network."""

import math
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Real

from jaxgen import require
from jaxgen.events import require_rank


def sinusoidal_embedding(t: Real[Array, " b"], features: int, scale: float = 1.0) -> Float[Array, "b features"]:
    """Sines and cosines of scale t, at frequencies that fall geometrically from 1 to 1/10,000.

    Args:
        t: Times, integers or real numbers.
        features: Length of an embedding: an even number of at least 4.
        scale: Factor of t. The frequencies are made for steps counted in hundreds: real t in [0, 1] needs a scale
            of 1000 or so, without which all its embeddings are nearly the same.

    Raises:
        ValueError: A number of features that is odd or below 4, or a scale that is not positive.

    Source: Vaswani et al. 2017, section 3.5; for t, Ho et al. 2020, appendix B.
    """
    require.even("features", features, 4)
    require.number("scale", scale, above=0)
    _require_times(t)
    half = features // 2
    frequencies = jnp.exp(-math.log(10_000) / (half - 1) * jnp.arange(half, dtype=jnp.float32))
    times = t.astype(jnp.float32)
    angles = (times if scale == 1 else scale * times)[:, None] * frequencies[None]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


def fourier_embedding(
    t: Real[Array, " b"], features: int, std: float = 16.0, seed: int = 0
) -> Float[Array, "b features"]:
    """Sines and cosines of 2 pi f t at random frequencies f ~ N(0, std^2), the same in every call.

    Args:
        t: Times, usually of order 1: real t in [0, 1], or a logarithm of the noise.
        features: Length of an embedding: an even number of at least 2.
        std: Standard deviation of the frequencies: times closer than about 1 / (10 std) have similar embeddings.
        seed: Seed of the frequencies, which are not learned.

    Raises:
        ValueError: A number of features that is odd, or a std that is not positive.

    Source: Tancik et al. 2020, equation 5; for t, Song et al. 2021, "Score-based generative modeling", appendix C.
    """
    require.even("features", features, 2)
    require.number("std", std, above=0)
    require.seed("seed", seed)
    _require_times(t)
    frequencies = np.random.default_rng(seed).normal(0, 2 * math.pi * std, features // 2).astype(np.float32)
    angles = t.astype(jnp.float32)[:, None] * jnp.asarray(frequencies)[None]
    return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)


class TimeEmbedding(nn.Module):
    """Embedding of the time and, where there are classes, the class, for every block of a network; a vector is added.

    Attributes:
        features: Length of the sinusoidal embedding; the output is four times as long.
        num_classes: Number of classes, one of which may stand for "none"; None without classes.
        dtype: Dtype of the computation; parameters stay float32.
        scale: Factor of t, see `sinusoidal_embedding`; about 1000 for real t in [0, 1].
    """

    features: int
    num_classes: int | None = None
    dtype: Any = jnp.float32
    scale: float = 1.0

    @nn.compact
    def __call__(
        self, t: Real[Array, " b"], label: Int[Array, " b"] | None, vector: Float[Array, "b _"] | None = None
    ) -> Float[Array, "b _"]:
        width = 4 * self.features
        h = sinusoidal_embedding(t, self.features, self.scale).astype(self.dtype)
        h = nn.Dense(width, dtype=self.dtype)(nn.swish(nn.Dense(width, dtype=self.dtype)(h)))
        if self.num_classes is not None:
            h = h + nn.Embed(self.num_classes, width, dtype=self.dtype)(label)
        if vector is not None:
            h = h + vector
        # Every block would apply swish first.
        return nn.swish(h)


def _require_times(t: Any) -> None:
    if not hasattr(t, "dtype") or not (jnp.issubdtype(t.dtype, jnp.integer) or jnp.issubdtype(t.dtype, jnp.floating)):
        raise ValueError(f"t must be an array of integers or floats, got {getattr(t, 'dtype', t)}")
    require_rank(1, "[b]", t=t)
