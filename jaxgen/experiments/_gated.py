"""A network for data that are Gaussian given the conditions: linear in what was measured, with learned weights.

    values   u = A [x_t, measurements],     u <- u + B (gate * F^-1 (gain * F C u)),     prediction = D u
    context  e = swish(E [masks] + time and embedded conditions),     e <- e + swish(F^-1 (gain * F G e) + H e)
    gate = 1 + K e

The mean of a Gaussian given some measurements is linear in them, with weights that depend on where, when and how well
was measured. So there are two streams: conditions of real numbers (`Concat`) join x_t in the values, which pass
through linear layers alone; bools, the time and everything embedded make up the context, which is not linear, and
which gates the values in each cell. Gains by wavenumber (F is a Fourier transform over a periodic grid) alternate with
gates by cell, as in an iteration that solves for a Wiener filter with a mask; what the gains and gates are is learned.

It is a network of one's own, given to `ddpm.model` by `network=`. Where one block of cells is the whole of x, the
transform does nothing, and what is left are dense layers with gates.

Source: the alternation of the two bases, Elsner & Wandelt 2013, equations 5 and 6; layers in Fourier space, Li et al.
2021 (FNO), section 4.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int

from jaxgen import require
from jaxgen.core import Spec
from jaxgen.ddpm.networks import Output
from jaxgen.experiments._modulated import blocks
from jaxgen.nn import Concat, Conditions, EmbedConditions, TimeEmbedding, channels_to_phases, phases_to_channels
from jaxgen.nn.conditions import NO_CONDITIONS, NO_FORMS

_ZERO = nn.initializers.zeros
_MOST_BLOCKS = 4096  # the transform is a matrix with as many rows


@dataclass(frozen=True)
class Gated:
    """Sizes of the network.

    Args:
        features: Channels of the values.
        context: Channels of the context.
        num_blocks: Pairs of gains and gates.
        patch: Side of the blocks of cells that are taken as channels; it must divide the size.
        time_features: Length of the sinusoidal embedding of t, even.

    Raises:
        ValueError: A number outside its range.
    """

    features: int = 24
    context: int = 16
    num_blocks: int = 4
    patch: int = 1
    time_features: int = 16

    def __post_init__(self):
        for name in ("features", "context", "patch"):
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
            ValueError: Events that are not (*space, channels), a size that `patch` does not divide, or a grid too
                large to be transformed by a matrix.
        """
        require.integer("number of blocks of cells", math.prod(blocks(spec, self.patch)), 1, _MOST_BLOCKS)
        return Network(self, spec, outputs, conditions)


def hartley(shape: tuple[int, ...]) -> Float32[np.ndarray, "n n"]:
    """The Fourier transform of real values on a periodic grid as a real matrix, symmetric and its own inverse.

        H_kn = (cos(phi) + sin(phi)) / sqrt(N),     phi = 2 pi sum_i k_i n_i / N_i

    A convolution with a kernel that is the same forwards and backwards is diagonal in it.

    Args:
        shape: Number of cells along each axis.

    Source: Bracewell 1983, "Discrete Hartley transform", equation 1.
    """
    places = np.indices(shape).reshape(len(shape), -1)
    phi = 2 * math.pi * np.einsum("ik,in->kn", places, places / np.array(shape)[:, None])
    return ((np.cos(phi) + np.sin(phi)) / math.sqrt(places.shape[1])).astype(np.float32)


def opposite(shape: tuple[int, ...]) -> Int[np.ndarray, " n"]:
    """Place of the mode -k for every mode k of a periodic grid."""
    sizes = np.array(shape)[:, None]
    return np.asarray(np.ravel_multi_index(tuple(-np.indices(shape).reshape(len(shape), -1) % sizes), shape))


class Filter(nn.Module):
    """A convolution of every channel with a kernel of its own, as wide as the grid and the same in both directions.

    Attributes:
        shape: Number of blocks along each axis, of which there are n in all.
    """

    shape: tuple[int, ...]

    @nn.compact
    def __call__(self, h: Float[Array, "b n c"]) -> Float[Array, "b n c"]:
        if h.shape[1] == 1:
            return h
        gain = self.param("gain", nn.initializers.normal(0.2), h.shape[1:], jnp.float32)
        gain = 1 + 0.5 * (gain + gain[opposite(self.shape)])
        basis = hartley(self.shape)
        waves = jnp.einsum("kn,bnc->bkc", basis, h) * gain[None]
        return jnp.einsum("kn,bnc->bkc", basis, waves)


class Network(nn.Module):
    """The network of `Gated`: (x_t [B, *space, channels], t [B], forms) -> `ddpm.networks.Output`.

    Attributes:
        config: Sizes of the network.
        spec: Description of the data.
        outputs: 1, or 2 where the variance is learned.
        conditions: Conditions by name.
    """

    config: Gated
    spec: Spec
    outputs: int
    conditions: Conditions

    @nn.compact
    def __call__(
        self, x: Float[Array, "b *space c"], t: Int[Array, " b"], forms: Mapping[str, Array] = NO_FORMS
    ) -> Any:
        config, space = self.config, self.spec.event_shape[:-1]
        sides = (config.patch,) * len(space)
        shape = blocks(self.spec, config.patch)

        def cells(h: Array) -> Array:
            return phases_to_channels(h, sides, 1).reshape(len(h), math.prod(shape), -1)

        def linear(h: Array, features: int, **options: Any) -> Array:
            return nn.Dense(features, use_bias=False, **options)(h)

        measured, told = self._parts(forms)
        vector = EmbedConditions(self.conditions, self.spec, 4 * config.time_features)(forms)
        moment = TimeEmbedding(config.time_features)(t, None, vector)
        e = nn.Dense(config.context)(moment)[:, None]
        if told is not None:
            e = e + linear(cells(told), config.context)
        e = nn.swish(jnp.broadcast_to(e, (len(x), math.prod(shape), config.context)))
        u = linear(cells(jnp.concatenate([x, *measured], axis=-1)), config.features)
        for _ in range(config.num_blocks):
            around = Filter(shape)(linear(e, config.context))
            e = e + nn.swish(around + nn.Dense(config.context)(e) + nn.Dense(config.context)(moment)[:, None])
            gate = 1 + nn.Dense(config.features)(e)
            u = u + linear(gate * Filter(shape)(linear(u, config.features)), config.features, kernel_init=_ZERO)

        channels = x.shape[-1] * config.patch ** len(space)
        gate = 1 + nn.Dense(config.features)(e)
        parts = [linear(gate * u, channels, kernel_init=_ZERO)]
        if self.outputs == 2:
            parts.append(nn.Dense(channels, kernel_init=_ZERO)(e))
        return Output(*(channels_to_phases(part.reshape(len(x), *shape, -1), sides) for part in parts))

    def _parts(self, forms: Mapping[str, Array]) -> tuple[list[Array], Array | None]:
        """The `Concat` conditions of real numbers, and those of bools, with all flags of what is withheld."""
        measured, told = [], []
        for name, condition in sorted(self.conditions.items()):
            if not isinstance(condition, Concat):
                continue
            if self.spec.field(name).num_values is None:
                measured.append(forms[name][..., :-1])
                told.append(forms[name][..., -1:])
            else:
                told.append(forms[name])
        return measured, jnp.concatenate(told, axis=-1) if told else None
