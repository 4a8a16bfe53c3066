"""Residual blocks: the networks of Miyato et al. 2018, for any size.

A block is the sum of a shortcut and a residual. The shortcut is the input in its new size and number of channels; the
residual applies two convolutions to the input, each after a ReLU, in the generator with a normalisation before it.
"""

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import Spec
from jaxgen.gan.networks_ends import Latent, Projection, check_space, model_space
from jaxgen.nn import BatchNorm, Conv, SpectralConv, Upsample, halvings
from jaxgen.nn.conditions import NO_CONDITIONS, NO_FORMS, Conditions, concatenated
from jaxgen.nn.precision import wide


@dataclass(frozen=True)
class SNResNet:
    """Residual networks: batch normalisation and nearest-neighbour upsampling in the generator; spectral
    normalisation, average pooling and a global sum in the discriminator.

    Halved sizes are rounded up, so that all sides of at least 2^(number of halvings) will do, by default of at least 8,
    in one to three dimensions of space. The defaults are the paper's for 32 x 32 (table 3); for 48 x 48 (table 4) the
    paper has (512, 256, 128, 64), (64, 128, 256, 512, 1024) and 4.

    Args:
        generator_features: Channels that the generator starts with, then those of each block, which doubles the size.
        discriminator_features: Channels of each block of the discriminator.
        num_halvings: Number of the discriminator's first blocks that halve the size.

    Raises:
        ValueError: A number outside its range.
    """

    generator_features: tuple[int, ...] = (256, 256, 256, 256)
    discriminator_features: tuple[int, ...] = (128, 128, 128, 128)
    num_halvings: int = 2

    def __post_init__(self):
        for name, fewest in (("generator_features", 2), ("discriminator_features", 1)):
            require.sizes(name, getattr(self, name), fewest=fewest)
        most = len(self.discriminator_features)
        require.integer("num_halvings", self.num_halvings, 0, most, "the number of the discriminator's blocks")

    def check(self, spec: Spec) -> None:
        """Raise ValueError where an event is not (*space, channels), or a side is too short to be halved so often."""
        most = max(len(self.generator_features) - 1, self.num_halvings)
        check_space(spec, 2**most, f"{most} halvings")

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


class _Up(nn.Module):
    """A block of the generator. No layer has a bias, because a later normalisation would remove it."""

    features: int
    axis_name: Hashable
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"], size: tuple[int, ...], train: bool) -> Float[Array, "b *size d"]:
        window = (3,) * len(size)
        h = nn.relu(BatchNorm(self.axis_name, dtype=self.dtype)(x, train))
        h = Upsample(self.features, use_bias=False, dtype=self.dtype)(h, size)
        h = nn.relu(BatchNorm(self.axis_name, dtype=self.dtype)(h, train))
        h = Conv(self.features, window, use_bias=False, dtype=self.dtype)(h)
        return h + Upsample(self.features, kernel_size=1, use_bias=False, dtype=self.dtype)(x, size)


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

    config: SNResNet
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
        *space, channels = self.spec.event_shape
        first, *widths = self.config.generator_features
        smallest, *sizes = reversed(halvings(tuple(space), len(widths)))
        start = (*smallest, first)
        h = Latent(self.num_classes, self.dtype, self.spec, self.conditions)(z, label, forms)
        h = nn.Dense(math.prod(start), use_bias=False, dtype=self.dtype)(h).reshape(z.shape[0], *start)
        for width, size in zip(widths, sizes, strict=True):
            h = _Up(width, self.axis_name, self.dtype)(h, size, train)
        h = nn.relu(BatchNorm(self.axis_name, dtype=self.dtype)(h, train))
        return model_space(Conv(channels, (3,) * len(space), dtype=self.dtype)(h), self.spec)


def _halved(x: Float[Array, "b *space c"]) -> Float[Array, "b *half c"]:
    """Averages of two neighbours in every spatial dimension; the last of an odd number is kept as it is."""
    for axis in range(1, x.ndim - 1):
        if x.shape[axis] % 2:
            last = lax.slice_in_dim(x, x.shape[axis] - 1, x.shape[axis], axis=axis)
            x = jnp.concatenate([x, last], axis)
        x = x.reshape(*x.shape[:axis], -1, 2, *x.shape[axis + 1 :]).mean(axis=axis + 1)
    return x


class _Down(nn.Module):
    """A block of the discriminator. Averaging and the shortcut's 1 x 1 convolution commute, so that the convolution
    comes second, where there are fewer points."""

    features: int
    halve: bool
    first: bool
    dtype: Any

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"]) -> Float[Array, "b *out d"]:
        spatial = x.ndim - 2
        h = x if self.first else nn.relu(x)
        h = nn.relu(SpectralConv(self.features, (3,) * spatial, dtype=self.dtype)(h))
        h = SpectralConv(self.features, (3,) * spatial, dtype=self.dtype)(h)
        if self.halve:
            x, h = _halved(x), _halved(h)
        if self.halve or x.shape[-1] != self.features:
            x = SpectralConv(self.features, (1,) * spatial, dtype=self.dtype)(x)
        return x + h


class Discriminator(nn.Module):
    """Logits of D(x), see `networks.Architecture`. Its features phi are summed over all positions.

    Attributes:
        config: Configuration of both networks.
        spec: Spec of the data.
        num_classes: Number of classes; None without labels.
        dtype: Dtype of the computation; the output is float32 at least.
        conditions: Conditions besides the label, by name.
    """

    config: SNResNet
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
        x = concatenated(x, self.conditions, forms)
        for level, width in enumerate(self.config.discriminator_features):
            x = _Down(width, level < self.config.num_halvings, first=level == 0, dtype=self.dtype)(x)
        phi = nn.relu(x).astype(wide(self.dtype)).sum(axis=tuple(range(1, x.ndim - 1)))
        of = {"dtype": self.dtype, "spec": self.spec, "conditions": self.conditions}
        return Projection(self.num_classes, spectral=True, **of)(phi, label, forms)
