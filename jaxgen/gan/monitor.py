"""A measure of collapse to watch while a GAN trains, cheap enough to be always on."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxgen.events import require_events


def diversity(x_fake: Float[Array, "b *event"], x_real: Float[Array, "b *event"]) -> Float[Array, ""]:
    """Spread of samples relative to data: near 1 while all goes well, towards 0 as the generator collapses.

        E ||x - nearest other x|| over samples / the same over data,     both within a batch

    The nearest neighbour, not the mean distance, because a generator that makes the same few images over and over has
    many pairs that are far apart. Both batches have the same size, on which the distances depend.

    Args:
        x_fake: Samples, as many as there are data.
        x_real: Data.

    Returns:
        The ratio; 1 where there is a single example, which has no neighbour. No gradient passes through it.
    """
    require_events(x_fake=x_fake, x_real=x_real)
    if x_real.shape[0] < 2:
        return jnp.ones((), jnp.float32)
    return _nearest(lax.stop_gradient(x_fake)) / jnp.maximum(_nearest(x_real), 1e-12)


def _nearest(x: Float[Array, "b *event"]) -> Float[Array, ""]:
    flat = x.reshape(x.shape[0], -1)
    flat = flat - flat.mean(axis=0, keepdims=True)  # the products below cancel less
    same = jnp.eye(x.shape[0], dtype=bool)
    # Every example is needed beside every other. Each is added in its own place to an array of zeros: where devices
    # share the batch, that is a sum over them, as everything else that a step has them exchange.
    places = jnp.arange(x.shape[0])
    others = jnp.zeros_like(flat).at[places].add(flat, unique_indices=True, indices_are_sorted=True)
    square = _norms(flat)[:, None] + _norms(others)[None, :] - 2 * flat @ others.T
    return jnp.sqrt(jnp.where(same, jnp.inf, jnp.maximum(square, 0.0)).min(axis=1)).mean()


def _norms(flat: Float[Array, "b d"]) -> Float[Array, " b"]:
    return jnp.square(flat).sum(axis=1)
