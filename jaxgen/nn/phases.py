"""Positions that share a remainder modulo a step, as channels, and back: space to depth and depth to space.

Along one dimension the positions m = s j + e with the same phase e = 0 .. s - 1 are channels of one point j. Both are
rearrangements, in any number of spatial dimensions; nothing is computed.
"""

from collections.abc import Sequence

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def cut(x: Float[Array, "b *space c"], begins: Sequence[int], lengths: Sequence[int]) -> Float[Array, "b *cut c"]:
    """The part of x from `begins` on in each spatial dimension, with zeros outside x."""
    edges = [(-a, a + n - m, 0) for a, n, m in zip(begins, lengths, x.shape[1:-1], strict=True)]
    return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *edges, (0, 0, 0)])


def phases_to_channels(
    x: Float[Array, "..."], steps: tuple[int, ...], begin: int, turned: bool = False
) -> Float[Array, "..."]:
    """Split the axes from `begin` on into points and phases; the phases, reversed if `turned`, join the next axis."""
    end = begin + len(steps)
    split = [part for n, s in zip(x.shape[begin:end], steps, strict=True) for part in (n // s, s)]
    x = x.reshape(*x.shape[:begin], *split, *x.shape[end:])
    points, phases = range(begin, begin + len(split), 2), range(begin + 1, begin + len(split), 2)
    if turned:
        x = jnp.flip(x, phases)
    x = jnp.moveaxis(x, points, range(begin, end))
    return x.reshape(*x.shape[:end], -1, *x.shape[end + len(steps) + 1 :])


def channels_to_phases(y: Float[Array, "b *space c"], steps: tuple[int, ...]) -> Float[Array, "b *fine d"]:
    """Turn the phases, which lead the channels, into points between the points."""
    end = 1 + len(steps)
    fine = [n * s for n, s in zip(y.shape[1:-1], steps, strict=True)]
    y = y.reshape(*y.shape[:-1], *steps, -1)
    y = jnp.moveaxis(y, range(end, end + len(steps)), range(2, 2 + 2 * len(steps), 2))
    return y.reshape(y.shape[0], *fine, y.shape[-1])
