"""The distribution of z, the path between two draws of it, and the way back from an image to its z."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.events import require_equal_shapes, require_events, require_floats, require_rank, require_shape


@dataclass(frozen=True)
class Normal:
    """z ~ N(0, I)."""

    def __call__(self, key: PRNGKey, shape: tuple[int, ...]) -> Float[Array, "*shape"]:
        return jax.random.normal(key, shape, jnp.float32)

    def between(self, z_from: Array, z_to: Array, part: Float[Array, ""]) -> Array:
        """The point at part s of the arc: draws of N(0, I) lie near a sphere, which the chord between two would leave.

        z = sin((1 - s) a) / sin a z_from + sin(s a) / sin a z_to,     a = angle between them
        """
        norms = jnp.linalg.norm(z_from, axis=-1, keepdims=True) * jnp.linalg.norm(z_to, axis=-1, keepdims=True)
        cosine = (z_from * z_to).sum(axis=-1, keepdims=True) / jnp.maximum(norms, jnp.finfo(norms.dtype).tiny)
        # Where the angle is tiny or straight, the arc is undefined or not unique; the chord takes its place.
        straight = jnp.abs(cosine) > 1 - 1e-6
        angle = jnp.arccos(jnp.where(straight, 0.0, cosine))
        arc = (jnp.sin((1 - part) * angle) * z_from + jnp.sin(part * angle) * z_to) / jnp.sin(angle)
        return jnp.where(straight, (1 - part) * z_from + part * z_to, arc)

    def nearest(self, z: Array) -> Array:
        """The nearest point where the prior has mass: anywhere."""
        return z


@dataclass(frozen=True)
class Uniform:
    """z ~ U[-1, 1], independently in each dimension."""

    def __call__(self, key: PRNGKey, shape: tuple[int, ...]) -> Float[Array, "*shape"]:
        return jax.random.uniform(key, shape, jnp.float32, minval=-1.0, maxval=1.0)

    def between(self, z_from: Array, z_to: Array, part: Float[Array, ""]) -> Array:
        """The point at part s of the chord, which stays in the cube."""
        return (1 - part) * z_from + part * z_to

    def nearest(self, z: Array) -> Array:
        """The nearest point of the cube."""
        return jnp.clip(z, -1.0, 1.0)


def interpolated(
    prior: Normal | Uniform, z_from: Float[Array, "b z"], z_to: Float[Array, "b z"], num: int
) -> Float[Array, "num b z"]:
    """`num` points from z_from to z_to, both included, on the path that suits the prior."""
    require_floats(z_from=z_from, z_to=z_to)
    require_rank(2, "[b, z]", z_from=z_from, z_to=z_to)
    require_equal_shapes(z_from=z_from, z_to=z_to)
    require.size("num", num)
    return jax.vmap(lambda part: prior.between(z_from, z_to, part))(jnp.linspace(0.0, 1.0, num, dtype=jnp.float32))


def inverted(
    generate: Callable[[Array], Array],
    prior: Normal | Uniform,
    x: Float[Array, "b *event"],
    starts: Float[Array, "s b z"],
    num_steps: int,
    learning_rate: float = 0.05,
) -> tuple[Float[Array, "b z"], Float[Array, " b"]]:
    """The z whose G(z) is nearest to x, by Adam from several starts; the best of them for each example.

        min_z ||G(z) - x||^2

    The problem is not convex, so that more starts find better minima. z stays where the prior has mass.

    Args:
        generate: z [B, latent_dim] -> G(z).
        prior: Prior of z.
        x: Images to invert.
        starts: First z of each search, for every start and example.
        num_steps: Updates of Adam.
        learning_rate: First learning rate of Adam; it falls to zero along half a cosine.

    Returns:
        z and the squared error, summed over the event.

    Source: Zhu et al. 2016, "Generative Visual Manipulation on the Natural Image Manifold", section 3.1; Lipton &
    Tripathi 2017.
    """
    require_events(x=x)
    require_floats(starts=starts)
    require_rank(3, "[s, b, z]", starts=starts)
    require_shape((starts.shape[0], x.shape[0], starts.shape[2]), starts=starts)
    require.size("num_steps", num_steps)
    require.number("learning_rate", learning_rate, above=0)
    tx = optax.adam(optax.cosine_decay_schedule(learning_rate, num_steps))

    def error(z: Array) -> Array:
        generated = generate(z)
        require_events(x=x, generated=generated)
        return jnp.square(generated - x).sum(axis=tuple(range(1, x.ndim)))

    def search(start: Array) -> tuple[Array, Array]:
        def move(carry, _):
            z, memory = carry
            gradient = jax.grad(lambda z: error(z).sum())(z)
            with jax.numpy_dtype_promotion("standard"):
                change, memory = tx.update(gradient, memory)
            return (prior.nearest(cast(Array, optax.apply_updates(z, change))), memory), None

        (z, _), _ = jax.lax.scan(move, (start, tx.init(start)), length=num_steps)
        return z, error(z)

    # One start after the other, so that only one needs memory.
    z, errors = jax.lax.map(search, starts)
    best = errors.argmin(axis=0)
    rows = jnp.arange(x.shape[0], dtype=jnp.int32)
    return z[best, rows], errors[best, rows]
