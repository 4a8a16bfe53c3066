"""Dense networks for points and other small data, as in the first GAN."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import Spec
from jaxgen.gan.networks_ends import Latent, Projection, model_space
from jaxgen.nn import SpectralDense
from jaxgen.nn.conditions import NO_CONDITIONS, NO_FORMS, Conditions, concatenated


@dataclass(frozen=True)
class MLP:
    """Dense layers for events of any shape: ReLU in the generator, leaky ReLU or maxout in the discriminator.

    On MNIST Goodfellow et al. 2014 use `MLP((1200, 1200), (240, 240), maxout=5, dropout_input=0.2,
    dropout_hidden=0.5)` with 100 uniform z.

    Args:
        generator_hidden: Widths of the generator's hidden layers.
        discriminator_hidden: Widths of the discriminator's hidden layers.
        maxout: Number of linear pieces of each unit of the discriminator; the unit is the largest of them
            (Goodfellow et al. 2013). 1 for leaky ReLU.
        dropout_input: Share of the discriminator's inputs that training drops.
        dropout_hidden: Share of the discriminator's hidden units that training drops.
        spectral: Whether the discriminator is spectrally normalised.
        octaves: Number of frequencies at which the discriminator also sees each input, as sin and cos of 2^k x for
            k = 0, 1, ...: dense layers alone are slow to learn narrow structure (Tancik et al. 2020). For points; 0 for
            none.

    Raises:
        ValueError: A number outside its range.
    """

    generator_hidden: tuple[int, ...] = (128, 128)
    discriminator_hidden: tuple[int, ...] = (128, 128)
    maxout: int = 1
    dropout_input: float = 0.0
    dropout_hidden: float = 0.0
    spectral: bool = False
    octaves: int = 0

    def __post_init__(self):
        for name in ("generator_hidden", "discriminator_hidden"):
            require.sizes(name, getattr(self, name))
        require.size("maxout", self.maxout)
        require.integer("octaves", self.octaves, 0, 16)
        for name in ("dropout_input", "dropout_hidden"):
            require.number(name, getattr(self, name), 0, below=1)
        require.fields(self)

    def check(self, spec: Spec) -> None:
        """Accept every spec: dense layers make events of any shape."""

    def generator(
        self,
        spec: Spec,
        num_classes: int | None,
        axis_name: Hashable,
        dtype: Any,
        conditions: Conditions = NO_CONDITIONS,
    ) -> nn.Module:
        return Generator(self, spec, num_classes, dtype, conditions)

    def discriminator(
        self,
        spec: Spec,
        num_classes: int | None,
        axis_name: Hashable,
        dtype: Any,
        conditions: Conditions = NO_CONDITIONS,
    ) -> nn.Module:
        return Discriminator(self, spec, num_classes, dtype, conditions)


class Generator(nn.Module):
    """G(z), see `networks.Architecture`.

    Attributes:
        config: Configuration of both networks.
        spec: Spec of the data.
        num_classes: Number of classes; None without labels.
        dtype: Dtype of the computation; the output is float32 at least.
        conditions: Conditions besides the label, by name.
    """

    config: MLP
    spec: Spec
    num_classes: int | None = None
    dtype: Any = jnp.float32
    conditions: Conditions = NO_CONDITIONS

    @nn.compact
    def __call__(
        self,
        z: Float[Array, "b z"],
        label: Int[Array, " b"] | None,
        train: bool,
        forms: Mapping[str, Array] = NO_FORMS,
    ) -> Float[Array, "b *event"]:
        h = Latent(self.num_classes, self.dtype, self.spec, self.conditions)(z, label, forms)
        for width in self.config.generator_hidden:
            h = nn.relu(nn.Dense(width, dtype=self.dtype)(h))
        x = nn.Dense(self.spec.num_dimensions, dtype=self.dtype)(h)
        return model_space(x.reshape(z.shape[0], *self.spec.event_shape), self.spec)


class Discriminator(nn.Module):
    """Logits of D(x), see `networks.Architecture`.

    Attributes:
        config: Configuration of both networks.
        spec: Spec of the data.
        num_classes: Number of classes; None without labels.
        dtype: Dtype of the computation; the output is float32 at least.
        conditions: Conditions besides the label, by name.
    """

    config: MLP
    spec: Spec
    num_classes: int | None = None
    dtype: Any = jnp.float32
    conditions: Conditions = NO_CONDITIONS

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b *event"],
        label: Int[Array, " b"] | None,
        train: bool,
        forms: Mapping[str, Array] = NO_FORMS,
    ) -> Float[Array, " b"]:
        config = self.config
        dense = SpectralDense if config.spectral else nn.Dense
        x = concatenated(x, self.conditions, forms)
        h = nn.Dropout(config.dropout_input, deterministic=not train)(x.reshape(x.shape[0], -1))
        if config.octaves:
            angles = [2.0**k * h for k in range(config.octaves)]
            h = jnp.concatenate([h, *map(jnp.sin, angles), *map(jnp.cos, angles)], axis=-1)
        for width in config.discriminator_hidden:
            h = dense(config.maxout * width, dtype=self.dtype)(h)
            h = nn.leaky_relu(h, 0.2) if config.maxout == 1 else h.reshape(x.shape[0], width, -1).max(axis=-1)
            h = nn.Dropout(config.dropout_hidden, deterministic=not train)(h)
        of = {"dtype": self.dtype, "spec": self.spec, "conditions": self.conditions}
        return Projection(self.num_classes, config.spectral, **of)(h, label, forms)
