"""The U-Net: residual blocks down to small sizes and up again, with skip connections at every level.

    x -> conv -> [block .. block  halve]  [block .. block  halve] .. [block .. block]
                    |       |       |        |       |       |           |       |      block  attention  block
         conv <- [block .. block  block]  <- double  [block .. block  block]  <-  ..

    block:  x + conv(swish(norm(conv(swish(norm(x))) + time)))

Nothing here counts the spatial dimensions, and sizes are halved rounding up (`jaxgen.nn.pyramid`), so that signals,
images of odd sizes and volumes pass as well.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Real

from jaxgen import require
from jaxgen.core import Spec
from jaxgen.nn.attention import KERNELS, CrossAttention, SelfAttention
from jaxgen.nn.condition_layers import EmbedConditions, PooledTokens, TokenConditions
from jaxgen.nn.conditions import NO_CONDITIONS, NO_FORMS, Conditions, CrossAttend, concatenated
from jaxgen.nn.convolution import Conv
from jaxgen.nn.normalisation import GroupNorm
from jaxgen.nn.phases import channels_to_phases, phases_to_channels
from jaxgen.nn.precision import wide
from jaxgen.nn.pyramid import Downsample, Upsample, halvings
from jaxgen.nn.time import TimeEmbedding


@dataclass(frozen=True)
class UNet:
    """A U-Net for events of shape (*space, channels) with one to three spatial dimensions.

    The defaults are for small images on a CPU; `UNet.cifar10()` is the U-Net of the paper.

    Args:
        features: Channels of the first level; also the length of the sinusoidal embedding of t.
        multipliers: Channels of each level, in multiples of `features`; each level is half the size of the one before.
        num_blocks: Residual blocks of each level on the way down; there is one more on the way up.
        attention: Levels with attention after every block, counted from 0, the full size; the smallest size has one
            more attention, between the way down and the way up.
        num_heads: Number of attention heads.
        num_groups: Number of groups of the normalisations, a divisor of every number of channels.
        scale_shift: Whether the embedding of t scales and shifts the normalised states (Dhariwal & Nichol 2021) instead
            of being added before the normalisation.
        patch: Side of the blocks of pixels that are taken as channels: the whole network then works at 1/patch of the
            size. It must divide the size.
        dropout: Share of the activations in a residual block that training drops.
        remat: Whether gradients recompute the blocks instead of storing them: less memory, more time.
        attention_kernel: Form in which attention is computed, "einsum", "dot_product" or "cudnn", see
            `jaxgen.nn.attention`; "cudnn" needs a model with dtype="bfloat16".

    Raises:
        ValueError: A number outside its range, or an unknown kernel.

    Source: Ho et al. 2020, appendix B; Ronneberger et al. 2015.
    """

    features: int = 32
    multipliers: tuple[int, ...] = (1, 2, 2)
    num_blocks: int = 1
    attention: tuple[int, ...] = (2,)
    num_heads: int = 1
    num_groups: int = 8
    scale_shift: bool = False
    patch: int = 1
    dropout: float = 0.0
    remat: bool = False
    attention_kernel: str = "einsum"

    def __post_init__(self):
        for name in ("num_blocks", "num_heads", "num_groups", "patch"):
            require.size(name, getattr(self, name))
        require.even("features", self.features, 4)
        require.sizes("multipliers", self.multipliers, fewest=1)
        require.sizes("attention", self.attention, 0)
        require.number("dropout", self.dropout, 0, below=1)
        require.fields(self)
        for width in self.widths:
            if width % self.num_groups or width % self.num_heads:
                raise ValueError(
                    f"num_groups={self.num_groups} and num_heads={self.num_heads} must divide the channels of every "
                    f"level, got {self.widths}"
                )
        if any(not 0 <= level < len(self.multipliers) for level in self.attention):
            raise ValueError(f"attention must name levels 0..{len(self.multipliers) - 1}, got {self.attention}")
        require.one_of("attention_kernel", self.attention_kernel, KERNELS)

    @classmethod
    def cifar10(cls, **changes: Any) -> "UNet":
        """The U-Net of Ho et al. 2020 for 32 x 32: 35.7 M parameters, attention at 16 x 16, dropout 0.1."""
        paper = {
            "features": 128,
            "multipliers": (1, 2, 2, 2),
            "num_blocks": 2,
            "attention": (1,),
            "num_groups": 32,
            "dropout": 0.1,
        }
        return cls(**{**paper, **changes})

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level."""
        return tuple(self.features * m for m in self.multipliers)

    def check(self, spec: Spec) -> None:
        """Check that events are (*space, channels), of a size that `patch` divides.

        Raises:
            ValueError: Events of another shape or size.
        """
        if not 2 <= len(spec.event_shape) <= 4:
            raise ValueError(
                f"UNet needs events of shape (*space, channels) with 1 to 3 spatial dimensions, got {spec.event_shape}"
            )
        if any(n % self.patch for n in spec.event_shape[:-1]):
            fit = tuple(-(-n // self.patch) * self.patch for n in spec.event_shape[:-1])
            raise ValueError(f"patch={self.patch} must divide the size, got {spec.event_shape[:-1]}; {fit} would fit")

    def network(
        self, spec: Spec, outputs: int, num_classes: int | None, dtype: Any, conditions: Conditions = NO_CONDITIONS
    ) -> nn.Module:
        """Build the module, see `Network`, for events of this spec."""
        return Network(self, outputs, num_classes, dtype, spec, conditions)


class ResidualBlock(nn.Module):
    """Two convolutions, the time embedding between, and a skip connection; at first the identity (or a linear map).

    Attributes:
        features: Output channels.
        config: Sizes of the U-Net.
        dtype: Dtype of the computation; parameters stay float32.
    """

    features: int
    config: UNet
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *space c"], embedding: Float[Array, "b e"], train: bool
    ) -> Float[Array, "b *space d"]:
        config, window = self.config, (3,) * (x.ndim - 2)
        flat = (x.shape[0],) + (1,) * (x.ndim - 2) + (-1,)
        h = nn.swish(GroupNorm(config.num_groups, dtype=self.dtype)(x))
        h = Conv(self.features, window, dtype=self.dtype)(h)
        told = nn.Dense(self.features * (2 if config.scale_shift else 1), dtype=self.dtype)(embedding).reshape(flat)
        if config.scale_shift:
            scale, shift = jnp.split(told, 2, axis=-1)
            h = GroupNorm(config.num_groups, dtype=self.dtype)(h) * (1 + scale) + shift
        else:
            h = GroupNorm(config.num_groups, dtype=self.dtype)(h + told)
        h = nn.Dropout(config.dropout, deterministic=not train)(nn.swish(h))
        h = Conv(self.features, window, kernel_init=nn.initializers.zeros, dtype=self.dtype)(h)
        if x.shape[-1] != self.features:
            x = nn.Dense(self.features, dtype=self.dtype)(x)
        return x + h


class Network(nn.Module):
    """The network of `UNet`: (x [B, *space, channels], t [B], label [B] or None, train) -> `outputs` arrays like x.

    t counts steps, in hundreds or thousands; real t in [0, 1] is given as 1000 t (see `sinusoidal_embedding`).

    Further conditions come in as `jaxgen.nn.conditions` has them: vectors beside the embedding of t, images as channels
    of x, and tokens by attention after every attention of x to itself.

    Attributes:
        config: Sizes of the U-Net.
        outputs: Number of output arrays of the event's shape.
        num_classes: Number of labels, "no label" included; None without labels.
        dtype: Dtype of the computation; the output is float32 at least.
        spec: Description of the data, where there are further conditions.
        conditions: Conditions besides the label, by name.
    """

    config: UNet
    outputs: int = 1
    num_classes: int | None = None
    dtype: Any = jnp.float32
    spec: Spec | None = None
    conditions: Conditions = NO_CONDITIONS

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b *space c"],
        t: Real[Array, " b"],
        label: Int[Array, " b"] | None,
        train: bool,
        forms: Mapping[str, Array] = NO_FORMS,
    ) -> tuple[Array, ...]:
        config, dtype, window = self.config, self.dtype, (3,) * (x.ndim - 2)
        # (Argument 3, counted from self, is train, which is no array.)
        block = nn.remat(ResidualBlock, static_argnums=(3,)) if config.remat else ResidualBlock
        channels = x.shape[-1] * config.patch ** (x.ndim - 2)
        vector, context = None, None
        if self.conditions and self.spec is not None:
            vector = EmbedConditions(self.conditions, self.spec, 4 * config.features, dtype, name="vector")(forms)
            context = TokenConditions(self.conditions, self.spec, config.features, dtype, name="context")(forms)
            x = concatenated(x, self.conditions, forms)
            pooled = any(isinstance(each, CrossAttend) and each.pooled for each in self.conditions.values())
            if pooled and context is not None:
                told = PooledTokens(4 * config.features, dtype, name="pooled")(*context)
                vector = told if vector is None else vector + told
        embedding = TimeEmbedding(config.features, self.num_classes, dtype)(t, label, vector)

        # Explicit names, so that parameters are called the same with and without remat.
        def through(h: Array, level: int, name: str) -> Array:
            h = block(config.widths[level], config, dtype, name=f"{name}_block")(h, embedding, train)
            return attended(h, name) if level in config.attention else h

        def attended(h: Array, name: str) -> Array:
            kind = (config.num_heads, config.num_groups, dtype, config.attention_kernel)
            h = SelfAttention(*kind, name=f"{name}_attention")(h)
            if context is None:
                return h
            return CrossAttention(*kind, name=f"{name}_cross_attention")(h, context.tokens, context.mask)

        blocks = (config.patch,) * (x.ndim - 2)
        h = phases_to_channels(x.astype(dtype), blocks, 1)
        levels = range(len(config.widths))
        sizes = halvings(h.shape[1:-1], levels[-1])
        h = Conv(config.features, window, dtype=dtype)(h)
        across = [h]
        for level in levels:
            for i in range(config.num_blocks):
                h = through(h, level, f"down_{level}_{i}")
                across.append(h)
            if level != levels[-1]:
                h = Downsample(config.widths[level], dtype=dtype)(h)
                across.append(h)

        h = block(config.widths[-1], config, dtype, name="middle_0_block")(h, embedding, train)
        h = attended(h, "middle")
        h = block(config.widths[-1], config, dtype, name="middle_1_block")(h, embedding, train)

        for level in reversed(levels):
            for i in range(config.num_blocks + 1):
                h = through(jnp.concatenate([h, across.pop()], axis=-1), level, f"up_{level}_{i}")
            if level:
                h = Upsample(config.widths[level], dtype=dtype)(h, sizes[level - 1])

        h = nn.swish(GroupNorm(config.num_groups, dtype=dtype)(h))
        h = Conv(self.outputs * channels, window, kernel_init=nn.initializers.zeros, dtype=dtype)(h)
        parts = jnp.split(h.astype(wide(dtype)), self.outputs, axis=-1)
        return tuple(channels_to_phases(part, blocks) for part in parts)
