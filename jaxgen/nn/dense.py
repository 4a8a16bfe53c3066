"""Multilayer perceptrons."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float


class MLP(nn.Module):
    """Dense layers with the same activation after each.

    Attributes:
        features: Width of each layer.
        activation: Applied after every layer.
        dtype: Of the computation; parameters stay float32.
    """

    features: tuple[int, ...]
    activation: Callable[[Array], Array] = nn.relu
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b _"]) -> Float[Array, "b _"]:
        for width in self.features:
            x = self.activation(nn.Dense(width, dtype=self.dtype)(x))
        return x
