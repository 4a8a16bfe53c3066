"""Encoder and decoder: the two neural networks of the VAE."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen.core import Spec
from jaxgen.nn import MLP, AppendConditions, Conditions, ConvDecoder, ConvEncoder
from jaxgen.nn.conditions import NO_CONDITIONS, NO_FORMS, concatenated
from jaxgen.nn.precision import wide


class Gaussian(NamedTuple):
    """Q(z|X), or Q(z|X, c): what an encoder returns; one of the user's own may return any tuple of the two.

    Attributes:
        mu: Mean.
        log_var: Logarithm of the variance.
    """

    mu: Float[Array, "b z"]
    log_var: Float[Array, "b z"]


class Encoder(nn.Module):
    """Q(z|X) = N(mu(X), diag exp log_var(X)).

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
    def __call__(self, x: Float[Array, "b *event"], forms: Mapping[str, Array] = NO_FORMS) -> Gaussian:
        x = concatenated(x, self.conditions, forms)
        if self.features:
            x = ConvEncoder(self.features, dtype=self.dtype)(x)
        conditioned = AppendConditions(self.conditions, self.spec, images=False, dtype=self.dtype, name="conditions")
        h = MLP(self.hidden, nn.tanh, self.dtype)(conditioned(x.reshape(x.shape[0], -1), forms))
        both = nn.Dense(2 * self.latent_dim, dtype=self.dtype)(h).astype(wide(self.dtype))
        mu, log_var = jnp.split(both, 2, axis=-1)
        return Gaussian(mu, log_var)


class Decoder(nn.Module):
    """f(z; theta), the parameters of P(X|z) in the likelihood's own terms (a mean, or logits).

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
        h = MLP(self.hidden, nn.tanh, self.dtype)(conditioned(z, forms))
        bias = self.param("bias", nn.initializers.zeros, event_shape, jnp.float32).astype(wide(self.dtype))
        if self.features:
            return ConvDecoder(self.features, event_shape, dtype=self.dtype)(h) + bias[None]
        flat = nn.Dense(int(np.prod(event_shape)), use_bias=False, dtype=self.dtype)(h).astype(wide(self.dtype))
        return flat.reshape(z.shape[0], *event_shape) + bias[None]
