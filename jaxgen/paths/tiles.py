"""Pictures larger than those that a network was trained on: predicted in overlapping tiles, blended at every level.

    f(x_t) = sum_i w_i f_i(x_t restricted to tile i) / sum_i w_i

w_i is a window that falls to zero at the edges of tile i. The noise of the whole picture is one array, and the sampler
sees one prediction for the whole picture, so that neighbouring tiles agree on what they share and no seam is left.

Source: beyond the lecture; Bar-Tal et al. 2023 (MultiDiffusion), section 4.
"""

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from jaxgen import require
from jaxgen.events import require_events

Tree = TypeVar("Tree")


def grid(space: tuple[int, ...], size: tuple[int, ...], overlap: int) -> list[tuple[int, ...]]:
    """First corners of tiles that cover a picture, at even distances, each sharing at least `overlap` with the next.

    Args:
        space: Size of the picture in every spatial dimension.
        size: Size of a tile.
        overlap: Pixels that neighbours share at least.

    Raises:
        ValueError: A picture smaller than a tile, another number of dimensions, or an overlap as large as a tile.
    """
    if len(space) != len(size) or any(whole < part for whole, part in zip(space, size, strict=True)):
        raise ValueError(f"space must be at least the size of a tile, {size}, in as many dimensions, got {space}")
    require.integer("overlap", overlap, 0, min(size) - 1, "below the size of a tile")
    along = []
    for whole, part in zip(space, size, strict=True):
        num = math.ceil((whole - overlap) / (part - overlap))
        along.append([round(i * (whole - part) / max(num - 1, 1)) for i in range(num)])
    return list(itertools.product(*along))


def window(size: tuple[int, ...]) -> np.ndarray:
    """Weights of the pixels of a tile: the product of sin^2(pi (i + 1/2) / n) along its axes, float32 [*size]."""
    weights = np.ones((), np.float64)
    for n in size:
        weights = weights[..., None] * np.sin(np.pi * (np.arange(require.size("size", n)) + 0.5) / n) ** 2
    return weights.astype(np.float32)


def tiled(
    predict: Callable[[Array, Array, Any], Tree], size: tuple[int, ...], overlap: int, condition: Any = ()
) -> Callable[[Array, Array], Tree]:
    """A prediction for pictures of any size, made of predictions for tiles.

    Args:
        predict: (x_t [B, *size, c], t [B], condition) -> a pytree of predictions [B, *size, ...]; all tiles of all
            pictures come in one batch.
        size: Size of a tile in every spatial dimension.
        overlap: Pixels that neighbours share at least.
        condition: Condition of each picture, a pytree of arrays [B, ...]: those that have the size of the picture
            are cut like it, each tile gets the others whole.

    Returns:
        (x_t [B, *space, c], t [B]) -> predictions [B, *space, ...].

    Raises:
        ValueError: When called: a picture smaller than a tile, or predictions of another size than the tile's.
    """

    def whole(x_t: Array, t: Array) -> Tree:
        require_events(x_t=x_t)
        num, space = x_t.shape[0], x_t.shape[1:-1]
        corners = grid(space, size, overlap)

        def cut(array: Array) -> Array:
            """[B, *space, ...] -> [tiles B, *size, ...]; other arrays are repeated, tile by tile."""
            if array.shape[1 : 1 + len(space)] != space:
                return jnp.concatenate([array] * len(corners))
            return jnp.concatenate([array[(slice(None), *place)] for place in _places(corners, size)])

        predicted = predict(cut(x_t), jnp.tile(t, len(corners)), jax.tree.map(cut, condition))
        weights = window(size)
        total = np.zeros(space, np.float32)
        for place in _places(corners, size):
            total[place] += weights

        def blended(leaf: Array) -> Array:
            if leaf.shape[: 1 + len(size)] != (num * len(corners), *size):
                raise ValueError(f"predict must return arrays [{num * len(corners)}, {size}, ...], got {leaf.shape}")
            rest = leaf.shape[1 + len(size) :]
            sums = jnp.zeros((num, *space, *rest), leaf.dtype)
            along = weights.reshape(*size, *[1] * len(rest))[None]
            for place, part in zip(_places(corners, size), jnp.split(leaf, len(corners)), strict=True):
                sums = sums.at[(slice(None), *place)].add(part * along.astype(leaf.dtype))
            return sums / total.reshape(1, *space, *[1] * len(rest)).astype(leaf.dtype)

        return jax.tree.map(blended, predicted)

    return whole


def _places(corners: list[tuple[int, ...]], size: tuple[int, ...]) -> Iterator[tuple[slice, ...]]:
    for corner in corners:
        yield tuple(slice(first, first + n) for first, n in zip(corner, size, strict=True))
