"""Multilayer perceptrons."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen import require


class MLP(nn.Module):
    """Dense layers with the same activation after each.

    Attributes:
        features: Width of each layer.
        activation: Function applied after every layer.
        dtype: Dtype of the computation; parameters stay float32.
    """

    features: tuple[int, ...]
    activation: Callable[[Array], Array] = nn.relu
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b _"]) -> Float[Array, "b _"]:
        for width in require.sizes("features", self.features):
            x = self.activation(nn.Dense(width, dtype=self.dtype)(x))
        return x
