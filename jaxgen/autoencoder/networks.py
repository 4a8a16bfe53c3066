"""Encoder and decoder: dense, with convolutions for images. Without hidden layers both are linear (see `oracle`)."""

from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen.core import Spec
from jaxgen.nn import MLP, AppendConditions, Conditions, ConvDecoder, ConvEncoder
from jaxgen.nn.conditions import NO_CONDITIONS, NO_FORMS, concatenated
from jaxgen.nn.precision import wide


class Encoder(nn.Module):
    """z, the features of x. Nothing bounds or scales them.

    Attributes:
        hidden: Widths of the hidden layers.
        latent_dim: Dimension of z.
        spec: Description of the data.
        features: Channels of the convolutional levels before the hidden layers, each of half the size; () for none.
        dtype: Dtype of the computation; the output is float32 at least.
        conditions: Conditions by name: images become channels of x, all others coordinates behind the features.
    """

    hidden: tuple[int, ...]
    latent_dim: int
    spec: Spec
    features: tuple[int, ...] = ()
    dtype: Any = jnp.float32
    conditions: Conditions = NO_CONDITIONS

    @nn.compact
    def __call__(self, x: Float[Array, "b *event"], forms: Mapping[str, Array] = NO_FORMS) -> Float[Array, "b z"]:
        x = concatenated(x, self.conditions, forms)
        if self.features:
            x = ConvEncoder(self.features, dtype=self.dtype)(x)
        conditioned = AppendConditions(self.conditions, self.spec, images=False, dtype=self.dtype, name="conditions")
        h = MLP(self.hidden, nn.relu, self.dtype)(conditioned(x.reshape(x.shape[0], -1), forms))
        return nn.Dense(self.latent_dim, dtype=self.dtype)(h).astype(wide(self.dtype))


class Decoder(nn.Module):
    """x_hat, the reconstruction from z.

    Its last addend, the parameter "bias", has the shape of an event, so that it can start at the data's mean.

    Attributes:
        hidden: Widths of the hidden layers.
        spec: Description of the data.
        features: Channels of the convolutional levels after the hidden layers, each of double the size; () for none.
        dtype: Dtype of the computation; the output is float32 at least.
        conditions: Conditions by name, coordinates behind z.
    """

    hidden: tuple[int, ...]
    spec: Spec
    features: tuple[int, ...] = ()
    dtype: Any = jnp.float32
    conditions: Conditions = NO_CONDITIONS

    @nn.compact
    def __call__(self, z: Float[Array, "b z"], forms: Mapping[str, Array] = NO_FORMS) -> Float[Array, "b *event"]:
        event_shape = self.spec.event_shape
        conditioned = AppendConditions(self.conditions, self.spec, dtype=self.dtype, name="conditions")
        h = MLP(self.hidden, nn.relu, self.dtype)(conditioned(z, forms))
        bias = self.param("bias", nn.initializers.zeros, event_shape, jnp.float32).astype(wide(self.dtype))
        if self.features:
            return ConvDecoder(self.features, event_shape, dtype=self.dtype)(h) + bias[None]
        flat = nn.Dense(int(np.prod(event_shape)), use_bias=False, dtype=self.dtype)(h).astype(wide(self.dtype))
        return flat.reshape(z.shape[0], *event_shape) + bias[None]
