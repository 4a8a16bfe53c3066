"""The eight orientations of a square image: for pictures that have no upright, of the sky say.

Quarter turns and mirror images make the dihedral group of order 8. An orientation is a number 0 .. 7 of three bits,

    x  ->  transposed (4), then its columns turned round (2), then its rows (1)

0 leaves the image as it is; the others are the half turn, two quarter turns and four mirror images. A model whose
training batches are turned at random (`turned_at_random`) learns a distribution with that symmetry, from eight times as
many images.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, Shaped

from jaxgen.core import Batch, GenerativeModel, Metrics, PRNGKey

NUM = 8
"""Number of orientations."""

_FOLD = 2**32 - 1 - 8  # folded into the key of a step, out of the way of what a model folds into it


def turned(x: Shaped[Array, "b ..."], orientation: Int[Array, " b"]) -> Shaped[Array, "b ..."]:
    """Square images in one of the eight orientations each.

    Args:
        x: Images [b, s, s] or [b, s, s, c], of any dtype.
        orientation: Number of the orientation of each, 0 .. 7 (unchecked where it is traced).

    Raises:
        ValueError: Images that are not square.
    """
    if x.ndim < 3 or x.shape[1] != x.shape[2]:
        raise ValueError(f"x must be square images [b, s, s, ...], got {x.shape}")
    which = orientation.reshape(-1, *(1,) * (x.ndim - 1))
    x = jnp.where(which & 4, jnp.swapaxes(x, 1, 2), x)
    x = jnp.where(which & 2, x[:, :, ::-1], x)
    return jnp.where(which & 1, x[:, ::-1], x)


def inverse(orientation: Int[Array, " b"]) -> Int[Array, " b"]:
    """The orientation that brings images back: of a quarter turn the other one, else itself."""
    is_quarter_turn = (orientation & 4 > 0) & ((orientation & 3 == 1) | (orientation & 3 == 2))
    return jnp.where(is_quarter_turn, orientation ^ 3, orientation)


def turned_at_random(model: GenerativeModel) -> GenerativeModel:
    """A model that trains on images in orientations drawn anew at every step; all else is as it was.

    The images "x" of a batch, and their mask if there is one, are turned; other fields stay as they are, so that a
    field must not depend on the orientation.

    Args:
        model: Any model of the contract, of square images.
    """

    @jax.jit
    def step(key: PRNGKey, state: Any, batch: Batch) -> tuple[Any, Metrics]:
        num = batch["x"].shape[0]
        drawn = jax.random.randint(jax.random.fold_in(key, _FOLD), (num,), 0, jnp.int32(NUM), jnp.int32)
        parts = {name: turned(batch[name], drawn) for name in ("x", "mask") if name in batch}
        return model.step(key, state, {**batch, **parts})

    return model._replace(step=step)
