"""A network for data that are nearly Gaussian: linear at first, with weights that the time and the conditions modulate.

    x -> blocks of cells as channels -> conv -> [conv, swish, conv] .. [conv, swish, conv] -> conv -> prediction

It is a network of one's own, given to `ddpm.model` by `network=`, made of the library's layers. The best denoiser of a
Gaussian is linear in x_t and in what was observed, with weights that change with t. So nothing is normalised here, the
blocks add nothing before they are trained, and every convolution may be scaled and shifted, channel by channel, by t
and by the embedded conditions.

Space is a torus: what leaves the box on one side comes in on the other. Where one block of cells is the whole of x,
the convolutions are dense layers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import Spec
from jaxgen.ddpm.networks import Output
from jaxgen.nn import Conditions, Conv, EmbedConditions, TimeEmbedding, channels_to_phases, phases_to_channels
from jaxgen.nn.conditions import NO_CONDITIONS, NO_FORMS, concatenated

_START, _ZERO = nn.initializers.lecun_normal(), nn.initializers.zeros


def blocks(spec: Spec, patch: int) -> tuple[int, ...]:
    """Number of blocks of cells along each axis of space.

    Args:
        spec: Description of the data.
        patch: Side of the blocks.

    Raises:
        ValueError: Events that are not (*space, channels), or a size that `patch` does not divide.
    """
    shape = spec.event_shape
    if len(shape) < 2 or any(n % patch for n in shape[:-1]):
        raise ValueError(f"events must be (*space, channels) of a size that patch={patch} divides, got {shape}")
    return tuple(n // patch for n in shape[:-1])


@dataclass(frozen=True)
class Modulated:
    """Sizes of the network.

    Args:
        features: Channels of the hidden layers.
        num_blocks: Residual blocks.
        patch: Side of the blocks of cells that are taken as channels; it must divide the size.
        time_features: Length of the sinusoidal embedding of t, even.

    Raises:
        ValueError: A number outside its range.
    """

    features: int = 32
    num_blocks: int = 2
    patch: int = 2
    time_features: int = 32

    def __post_init__(self):
        for name in ("features", "patch"):
            require.size(name, getattr(self, name))
        require.size("num_blocks", self.num_blocks, 0)
        require.even("time_features", self.time_features, 4)

    def network(self, spec: Spec, outputs: int, conditions: Conditions = NO_CONDITIONS) -> nn.Module:
        """The module for data of this spec.

        Args:
            spec: Description of the data.
            outputs: 1, or 2 where the variance is learned.
            conditions: Conditions by name.

        Raises:
            ValueError: Events that are not (*space, channels), or a size that `patch` does not divide.
        """
        blocks(spec, self.patch)
        if len(spec.event_shape) > 4:
            raise ValueError(f"events must have at most three dimensions of space, got {spec.event_shape}")
        return Network(self, spec, outputs, conditions)


class Network(nn.Module):
    """The network of `Modulated`: (x_t [B, *space, channels], t [B], forms) -> `ddpm.networks.Output`.

    Attributes:
        config: Sizes of the network.
        spec: Description of the data.
        outputs: 1, or 2 where the variance is learned.
        conditions: Conditions by name.
    """

    config: Modulated
    spec: Spec
    outputs: int
    conditions: Conditions

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *space c"], t: Int[Array, " b"], forms: Mapping[str, Array] = NO_FORMS
    ) -> Any:
        config, space = self.config, self.spec.event_shape[:-1]
        sides = (config.patch,) * len(space)
        # Three taps reach all neighbours; along an axis of one or two blocks there are no more than these.
        window = tuple(min(3, n) for n in blocks(self.spec, config.patch))
        around = [(0, 0), *(((k - 1) // 2, k // 2) for k in window), (0, 0)]
        vector = EmbedConditions(self.conditions, self.spec, 4 * config.time_features)(forms)
        told = TimeEmbedding(config.time_features)(t, None, vector)

        def modulated(h: Array) -> Array:
            scale, shift = jnp.split(nn.Dense(2 * config.features)(told), 2, axis=-1)
            flat = (len(h), *(1,) * len(space), config.features)
            return h * (1 + scale.reshape(flat)) + shift.reshape(flat)

        def convolved(h: Array, features: int, init: Any = _START) -> Array:
            return Conv(features, window, padding="VALID", kernel_init=init)(jnp.pad(h, around, mode="wrap"))

        h = phases_to_channels(concatenated(x, self.conditions, forms), sides, 1)
        h = convolved(h, config.features)
        for _ in range(config.num_blocks):
            change = nn.swish(modulated(convolved(h, config.features)))
            h = h + convolved(change, config.features, _ZERO)
        channels = self.outputs * x.shape[-1] * config.patch ** len(space)
        parts = jnp.split(convolved(modulated(h), channels, _ZERO), self.outputs, axis=-1)
        return Output(*(channels_to_phases(part, sides) for part in parts))
