"""Convolutions of stride 2 throughout: the networks of Radford et al. 2016, for any size.

z -> dense -> smallest level -> transposed convolutions, each twice the size and half the channels -> x
x -> convolutions, each half the size and twice the channels -> dense -> logits
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import Spec
from jaxgen.gan.networks_ends import Latent, Projection, check_space, model_space
from jaxgen.nn import BatchNorm, Conv, ConvTranspose, GroupNorm, SpectralConv, halvings
from jaxgen.nn.conditions import NO_CONDITIONS, NO_FORMS, Conditions, concatenated

_published_init = nn.initializers.normal(0.02)


@dataclass(frozen=True)
class DCGAN:
    """Kernels of 4 x 4; batch normalisation and ReLU in the generator, leaky ReLU in the discriminator.

    Halved sizes are rounded up, so that all sides of at least 8 (of at least 2^levels, where `levels` is given) will
    do: 28 x 28 has levels of 14 and 7, 32 x 32 has 16, 8 and 4, and 64 x 64 goes down to 4 too. One and three
    dimensions of space work as well. All weights are drawn from N(0, 0.02^2), as published, except those of the
    transposed convolutions, whose standard deviation is 1 over the square root of their fan-in: 0.011 to 0.031 with
    64 features.

    Args:
        features: Channels of the largest level; each further one has twice as many.
        levels: Number of halvings; None for as many as leave the shortest side at 4 to 8.
        batch_norm: Whether the generator is batch-normalised; if not, it is group-normalised.
        spectral: Whether the discriminator is spectrally normalised; if not, it is group-normalised, except for its
            first level.
        num_groups: Number of groups of group normalisation, a divisor of `features`; None for no group normalisation.

    Raises:
        ValueError: A number outside its range.
    """

    features: int = 64
    levels: int | None = None
    batch_norm: bool = True
    spectral: bool = True
    num_groups: int | None = 8

    def __post_init__(self):
        require.size("features", self.features)
        for name in ("levels", "num_groups"):
            if getattr(self, name) is not None:
                require.size(name, getattr(self, name))
        require.fields(self)
        grouped = not (self.batch_norm and self.spectral)
        if grouped and self.num_groups is not None and self.features % self.num_groups:
            raise ValueError(f"num_groups={self.num_groups} must divide features, got {self.features}")

    def sizes(self, spec: Spec) -> list[tuple[int, ...]]:
        """Spatial sizes of all levels, from that of the data down."""
        space = spec.event_shape[:-1]
        # A shortest side of 8 to 15 is halved once, one of 16 to 31 twice, and so on.
        return halvings(space, min(space).bit_length() - 3 if self.levels is None else self.levels)

    def check(self, spec: Spec) -> None:
        """Raise ValueError where an event is not (*space, channels), or a side is too short to be halved so often."""
        if self.levels is None:
            check_space(spec, 8, "a level of half the size")
        else:
            check_space(spec, 2**self.levels, f"levels={self.levels}")

    def generator(
        self,
        spec: Spec,
        num_classes: int | None,
        axis_name: Hashable,
        dtype: Any,
        conditions: Conditions = NO_CONDITIONS,
    ) -> nn.Module:
        self.check(spec)
        return Generator(self, spec, num_classes, axis_name, dtype, conditions)

    def discriminator(
        self,
        spec: Spec,
        num_classes: int | None,
        axis_name: Hashable,
        dtype: Any,
        conditions: Conditions = NO_CONDITIONS,
    ) -> nn.Module:
        self.check(spec)
        return Discriminator(self, spec, num_classes, dtype, conditions)


class Generator(nn.Module):
    """G(z), see `networks.Architecture`.

    Attributes:
        config: Configuration of both networks.
        spec: Spec of the data.
        num_classes: Number of classes; None without labels.
        axis_name: Mapped axis of batch normalisation.
        dtype: Dtype of the computation; the output is float32 at least.
        conditions: Conditions besides the label, by name.
    """

    config: DCGAN
    spec: Spec
    num_classes: int | None = None
    axis_name: Hashable = None
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
        config = self.config
        smallest, *sizes = reversed(config.sizes(self.spec))
        widths = [config.features * 2**level for level in reversed(range(len(sizes)))]
        bias = not config.batch_norm and config.num_groups is None

        def activated(h):
            if config.batch_norm:
                h = BatchNorm(self.axis_name, dtype=self.dtype)(h, train)
            elif config.num_groups is not None:
                h = GroupNorm(config.num_groups, dtype=self.dtype)(h)
            return nn.relu(h)

        start = (*smallest, widths[0])
        h = Latent(self.num_classes, self.dtype, self.spec, self.conditions)(z, label, forms)
        h = nn.Dense(math.prod(start), use_bias=bias, kernel_init=_published_init, dtype=self.dtype)(h)
        h = h.reshape(z.shape[0], *start)
        for width, size in zip(widths[1:], sizes[:-1], strict=True):
            h = ConvTranspose(width, use_bias=bias, dtype=self.dtype)(activated(h), size)
        x = ConvTranspose(self.spec.event_shape[-1], dtype=self.dtype)(activated(h), sizes[-1])
        return model_space(x, self.spec)


class Discriminator(nn.Module):
    """Logits of D(x), see `networks.Architecture`. Its features phi are the smallest level, flattened.

    Attributes:
        config: Configuration of both networks.
        spec: Spec of the data.
        num_classes: Number of classes; None without labels.
        dtype: Dtype of the computation; the output is float32 at least.
        conditions: Conditions besides the label, by name.
    """

    config: DCGAN
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
        conv = SpectralConv if config.spectral else Conv
        window = (4,) * (x.ndim - 2)
        x = concatenated(x, self.conditions, forms)
        for level in range(len(config.sizes(self.spec)) - 1):
            groups = config.num_groups if level > 0 and not config.spectral else None
            width = config.features * 2**level
            x = conv(width, window, 2, use_bias=groups is None, kernel_init=_published_init, dtype=self.dtype)(x)
            if groups is not None:
                x = GroupNorm(groups, dtype=self.dtype)(x)
            x = nn.leaky_relu(x, 0.2)
        phi = x.reshape(x.shape[0], -1)
        of = (self.num_classes, config.spectral, _published_init, self.dtype, self.spec, self.conditions)
        return Projection(*of)(phi, label, forms)
