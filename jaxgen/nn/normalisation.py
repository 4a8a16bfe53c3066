"""Normalisations, which differ in the axes that the mean and the variance are taken over.

    y = scale (x - mean) / sqrt(variance + tiny) + shift

Group normalisation: over all positions and the channels of one group, for each example. The library prefers it:
no statistics are shared between examples, and none are kept for sampling. Batch normalisation: over all examples and
positions, for each channel; the output for one example depends on the others, and sampling uses running averages.

Both remove the mean, so the layer before needs no bias.
"""

import math
from collections.abc import Hashable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.nn.precision import wide
from jaxgen.nn.sums import add_bias, channel_sums, spread


class GroupNorm(nn.Module):
    """Group normalisation, computed in float32 at least, for every dtype.

    flax's does not run in bfloat16 under strict promotion, and takes 1.6 times as long in a training step on a CPU:
    here positions are averaged before channels, so that no sum over the whole array runs across groups.

    Attributes:
        num_groups: Number of groups of channels, each normalised by itself.
        tiny: Guard that is added to the variance.
        dtype: Dtype of the output; parameters stay float32.

    Source: Wu & He 2018, "Group Normalization".
    """

    num_groups: int = 8
    tiny: float = 1e-6
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"]) -> Float[Array, "b *space c"]:
        require.size("num_groups", self.num_groups)
        require.number("tiny", self.tiny, above=0)
        channels = x.shape[-1]
        if channels % self.num_groups:
            raise ValueError(f"num_groups={self.num_groups} must divide the number of channels, got {channels}")
        scale = self.param("scale", nn.initializers.ones, (channels,), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (channels,), jnp.float32)
        batch, positions = len(x), math.prod(x.shape[1:-1])

        def group_mean(v):
            groups = (channel_sums(v) / positions).reshape(batch, self.num_groups, -1)
            means = jnp.broadcast_to(groups.mean(-1, keepdims=True), groups.shape)
            return means.reshape(batch, channels)

        scale, bias = scale.astype(wide(x.dtype)), bias.astype(wide(x.dtype))
        flat = x.astype(wide(x.dtype)).reshape(batch, positions, channels)
        centred = flat - spread(group_mean(flat), positions)
        variance = group_mean(jnp.square(centred))
        y = centred * spread(lax.rsqrt(variance + self.tiny) * scale[None], positions)
        return add_bias(y, bias).reshape(x.shape).astype(self.dtype)


class BatchNorm(nn.Module):
    """Batch normalisation, computed in float32 at least, for every dtype.

    flax's does not run in bfloat16 under strict promotion. The variance is the mean square of the centred input, not
    the difference of two large numbers, and it is the biased one, in the running average too.

    Attributes:
        axis_name: Mapped axis (pmap, vmap) over which the moments are averaged, so that its shards count as one batch;
            None under jit, where a batch spread over devices is one batch already.
        momentum: Share of the running averages that a training step keeps. They are the variables "mean" and "var" of
            the collection "batch_stats", and are updated where it is mutable.
        tiny: Guard that is added to the variance.
        dtype: Dtype of the output; parameters and averages stay float32.

    Source: Ioffe & Szegedy 2015, "Batch Normalization", algorithms 1 and 2.
    """

    axis_name: Hashable = None
    momentum: float = 0.9
    tiny: float = 1e-5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"], train: bool) -> Float[Array, "b *space c"]:
        """Normalise x.

        Args:
            x: Input.
            train: Whether to normalise by the moments of this batch, which also update the running averages, or by the
                running averages.

        Returns:
            Normalised input.
        """
        require.number("momentum", self.momentum, 0, below=1)
        require.number("tiny", self.tiny, above=0)
        shape = (x.shape[-1],)
        scale = self.param("scale", nn.initializers.ones, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, shape, jnp.float32)
        running_mean = self.variable("batch_stats", "mean", jnp.zeros, shape, jnp.float32)
        running_var = self.variable("batch_stats", "var", jnp.ones, shape, jnp.float32)

        def channel_mean(v):
            means = channel_sums(v)[0] / v.shape[1]
            # (`init` is called outside the map.)
            return means if self.axis_name is None or self.is_initializing() else lax.pmean(means, self.axis_name)

        scale, bias = scale.astype(wide(x.dtype)), bias.astype(wide(x.dtype))
        flat = x.astype(wide(x.dtype)).reshape(1, -1, *shape)
        mean = channel_mean(flat) if train else running_mean.value.astype(flat.dtype)
        centred = flat - spread(mean[None], flat.shape[1])
        variance = channel_mean(jnp.square(centred)) if train else running_var.value.astype(flat.dtype)
        if train and not self.is_initializing() and self.is_mutable_collection("batch_stats"):
            running_mean.value = self.momentum * running_mean.value + (1 - self.momentum) * mean.astype(jnp.float32)
            running_var.value = self.momentum * running_var.value + (1 - self.momentum) * variance.astype(jnp.float32)
        y = centred * spread((lax.rsqrt(variance + self.tiny) * scale)[None], flat.shape[1])
        return add_bias(y, bias).reshape(x.shape).astype(self.dtype)
