"""Encoder and decoder: dense, with convolutions for images. Without hidden layers both are linear (see `oracle`)."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen.nn import MLP, ConvDecoder, ConvEncoder
from jaxgen.nn.precision import wide


class Encoder(nn.Module):
    """z, the features of x. Nothing bounds or scales them.

    Attributes:
        hidden: Widths of the hidden layers.
        latent_dim: Dimension of z.
        features: Channels of the convolutional levels before the hidden layers, each of half the size; () for none.
        dtype: Dtype of the computation; the output is float32 at least.
    """

    hidden: tuple[int, ...]
    latent_dim: int
    features: tuple[int, ...] = ()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b *event"]) -> Float[Array, "b z"]:
        if self.features:
            x = ConvEncoder(self.features, dtype=self.dtype)(x)
        h = MLP(self.hidden, nn.relu, self.dtype)(x.reshape(x.shape[0], -1))
        return nn.Dense(self.latent_dim, dtype=self.dtype)(h).astype(wide(self.dtype))


class Decoder(nn.Module):
    """x_hat, the reconstruction from z.

    Its last addend, the parameter "bias", has the shape of an event, so that it can start at the data's mean.

    Attributes:
        hidden: Widths of the hidden layers.
        event_shape: Shape of one example.
        features: Channels of the convolutional levels after the hidden layers, each of double the size; () for none.
        dtype: Dtype of the computation; the output is float32 at least.
    """

    hidden: tuple[int, ...]
    event_shape: tuple[int, ...]
    features: tuple[int, ...] = ()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Float[Array, "b z"]) -> Float[Array, "b *event"]:
        h = MLP(self.hidden, nn.relu, self.dtype)(z)
        bias = self.param("bias", nn.initializers.zeros, self.event_shape, jnp.float32).astype(wide(self.dtype))
        if self.features:
            return ConvDecoder(self.features, self.event_shape, dtype=self.dtype)(h) + bias[None]
        flat = nn.Dense(int(np.prod(self.event_shape)), use_bias=False, dtype=self.dtype)(h).astype(wide(self.dtype))
        return flat.reshape(z.shape[0], *self.event_shape) + bias[None]
