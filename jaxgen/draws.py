"""Random draws that belong to their example: number k of any batch, any chunk and any device has the same.

    draw k = f(fold_in(key, k))

so that neither the size of a batch nor the number of devices changes a sample.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from jaxgen.core import PRNGKey


def example_keys(key: PRNGKey, index: Int[Array, " b"]) -> Key[Array, " b"]:
    """One key per example: `fold_in(key, k)` for each k in `index`."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, index)


def example_normals(key: PRNGKey, index: Int[Array, " b"], shape: tuple[int, ...]) -> Float[Array, "b ..."]:
    """Standard normal draws that belong to their example: the same whatever batch the example is in.

    Args:
        key: Root of all draws.
        index: Number k of each example.
        shape: Shape of one draw.

    Returns:
        Draws [b, *shape], that of example k from `fold_in(key, k)`.
    """
    return jax.vmap(lambda k: jax.random.normal(k, shape, jnp.float32))(example_keys(key, index))


def example_uniforms(key: PRNGKey, index: Int[Array, " b"], shape: tuple[int, ...]) -> Float[Array, "b ..."]:
    """Draws from [0, 1), as `example_normals` has them from the normal distribution."""
    return jax.vmap(lambda k: jax.random.uniform(k, shape, jnp.float32))(example_keys(key, index))


def example_labels(
    key: PRNGKey, index: Int[Array, " b"], num_classes: int, labels: tuple[int, ...] | None = None
) -> Int[Array, " b"]:
    """A class for each example, all equally likely, as `example_normals` has its draws.

    Args:
        key: Root of all draws.
        index: Number k of each example.
        num_classes: Number of classes.
        labels: The classes to draw from, as `Spec.labels` has them; None for all.
    """
    num = num_classes if labels is None else len(labels)
    drawn = jax.vmap(lambda k: jax.random.randint(k, (), 0, jnp.int32(num), jnp.int32))(example_keys(key, index))
    return drawn if labels is None else jnp.asarray(labels, jnp.int32)[drawn]


def coarse_uniforms(key: PRNGKey, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Uniform draws from the 65,536 numbers (i + 1/2) / 65,536, for half the random bits of `jax.random.uniform`.

    A draw falls below p with a probability that is within 2^-17 of p. Random bits take a good part of the time of a
    small network's training step.

    Returns:
        Draws in (0, 1), float32 of the given shape; neither end is met.
    """
    num = math.prod(shape)
    words = jax.random.bits(key, ((num + 1) // 2,), jnp.uint32)
    halves = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(-1)[:num]
    return (halves.reshape(shape).astype(jnp.float32) + 0.5) * jnp.float32(2**-16)
