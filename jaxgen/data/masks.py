"""Masks of what is seen of an example, of several kinds, on a grid of any number of axes.

    half             all on one side of the middle of one axis
    outside_block    all but a block of cells
    pixels           single cells, each with a probability that is drawn for the mask
    nothing          no cell

A model that is given the seen pixels and the mask (`jaxgen.nn.Concat`) and has met masks of many kinds in training can
be asked with any other: "nothing" among them, which makes it an unconditional model as well.

Mask k comes from `fold_in(key, k)`.
"""

from collections.abc import Callable, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.draws import example_keys

Kind: TypeAlias = Callable[[PRNGKey, tuple[int, ...]], Bool[Array, "..."]]
"""A function (key, size) -> one mask [*size], True where a cell is seen."""


def halves(size: tuple[int, ...]) -> Bool[Array, "sides *size"]:
    """The two halves along every axis, those with the first cells first: of a picture upper, lower, left and right.

    The first half is the smaller one where a length is odd.
    """
    masks = []
    for axis, n in enumerate(require.sizes("size", size, fewest=1)):
        place = jnp.arange(n).reshape(*(n if i == axis else 1 for i in range(len(size))))
        first = jnp.broadcast_to(place < n // 2, size)
        masks += [first, ~first]
    return jnp.stack(masks)


def half(key: PRNGKey, size: tuple[int, ...]) -> Bool[Array, "*size"]:
    """One of `halves`, all equally likely."""
    sides = halves(size)
    return sides[jax.random.randint(key, (), 0, len(sides))]


def outside_block(key: PRNGKey, size: tuple[int, ...]) -> Bool[Array, "*size"]:
    """All but a block, whose sides are a quarter to three quarters of the grid's, anywhere in it."""
    hidden = jnp.ones(size, jnp.bool_)
    for axis, n in enumerate(require.sizes("size", size, fewest=1)):
        key_side, key_first = jax.random.split(jax.random.fold_in(key, axis))
        side = jax.random.randint(key_side, (), -(-n // 4), 3 * n // 4 + 1)
        first = jax.random.randint(key_first, (), 0, n - side + 1)
        place = jnp.arange(n).reshape(*(n if i == axis else 1 for i in range(len(size))))
        hidden = hidden & (place >= first) & (place < first + side)
    return ~hidden


def pixels(key: PRNGKey, size: tuple[int, ...]) -> Bool[Array, "*size"]:
    """Single cells, each seen with a probability p ~ U[0, 1] that is one for the whole mask."""
    key_share, key_seen = jax.random.split(key)
    share = jax.random.uniform(key_share, (), jnp.float32)
    return jax.random.bernoulli(key_seen, share, require.sizes("size", size, fewest=1))


def nothing(key: PRNGKey, size: tuple[int, ...]) -> Bool[Array, "*size"]:
    """No cell is seen."""
    del key
    return jnp.zeros(require.sizes("size", size, fewest=1), jnp.bool_)


KINDS: tuple[Kind, ...] = (half, outside_block, pixels, nothing)


def drawn(key: PRNGKey, num: int, size: tuple[int, ...], kinds: Sequence[Kind] = KINDS) -> Bool[Array, "num *size"]:
    """Draw masks, mask k of kind k modulo the number of kinds.

    Args:
        key: Root of the draws.
        num: Number of masks.
        size: Number of cells along each axis.
        kinds: Kinds of masks.

    Returns:
        True where a cell is seen.

    Raises:
        ValueError: num or a size below 1, or no kinds.
    """
    require.size("num", num)
    size = require.sizes("size", size, fewest=1)
    require.size("number of kinds", len(kinds))
    index = jnp.arange(num, dtype=jnp.int32)
    branches = [lambda key, kind=kind: kind(key, size) for kind in kinds]

    def draw(key: PRNGKey, k: Array) -> Array:
        return jax.lax.switch(k % len(kinds), branches, key)

    return jax.jit(jax.vmap(draw))(example_keys(key, index), index)
