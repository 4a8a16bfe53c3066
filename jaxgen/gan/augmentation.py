"""Differentiable augmentation: data and samples are disturbed at random before the discriminator sees them.

    D(T(x)),  D(T(G(z))),     T one of translation, cutout, brightness

A discriminator that only ever sees disturbed images cannot learn a small data set by heart. The generator is not led to
make disturbed images as long as T can be undone in distribution. It learns through T, so T must be differentiable. T is
a pure function of a key and images; each example has draws of its own.

Source: Zhao et al. 2020, "Differentiable Augmentation for Data-Efficient GAN Training".
"""

import itertools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.draws import example_keys
from jaxgen.events import require_floats, require_integers, require_shape


@dataclass(frozen=True)
class Augmentation:
    """Disturbances and their strengths; all are off by default.

    Args:
        translation: Largest shift along each spatial axis, as a share of its length; pixels that move in from
            outside are background (-1).
        cutout: Side of a square (box) that is painted with 0, as a share of each length.
        brightness: Largest shift of all values of an image, on the scale [-1, 1].

    Raises:
        ValueError: A share outside [0, 1], or a negative brightness.
    """

    translation: float = 0.0
    cutout: float = 0.0
    brightness: float = 0.0

    def __post_init__(self):
        for name in ("translation", "cutout"):
            require.number(name, getattr(self, name), 0, 1)
        require.number("brightness", self.brightness, 0)

    def __bool__(self) -> bool:
        return bool(self.translation or self.cutout or self.brightness)

    def __call__(self, key: PRNGKey, x: Float[Array, "b *space c"]) -> Float[Array, "b *space c"]:
        """Disturb images in [-1, 1]; example k by draws from `fold_in(key, k)`."""
        return self.aligned(key, x)[0]

    def aligned(
        self, key: PRNGKey, x: Float[Array, "b *space c"], *others: Float[Array, "b *space _"]
    ) -> tuple[Array, ...]:
        """Disturb images as `__call__` does, and move and cut other images with them, whose values stay as they are.

        Args:
            key: Key of the draws.
            x: Images in [-1, 1].
            others: Images of the same size that belong to them, such as conditions.

        Returns:
            x and the others, disturbed.
        """
        require_floats(x=x)
        if jnp.ndim(x) < 3:
            raise ValueError(f"x must be images [b, *space, c], got shape {x.shape}")
        index = jnp.arange(x.shape[0], dtype=jnp.int32)
        return jax.vmap(self._one)(example_keys(key, index), x, *others)

    def _one(self, key: PRNGKey, x: Float[Array, "*space c"], *others: Array) -> tuple[Array, ...]:
        key_brightness, key_translation, key_cutout = jax.random.split(key, 3)
        space = x.shape[:-1]
        if self.brightness:
            most = self.brightness
            x = x + jax.random.uniform(key_brightness, dtype=jnp.float32, minval=-most, maxval=most)
        channels = [image.shape[-1] for image in (x, *others)]
        if others:
            x = jnp.concatenate([x, *others], axis=-1)
        if self.translation:
            reach = jnp.array([int(self.translation * n + 0.5) for n in space], jnp.int32)
            x = translated(x, jax.random.randint(key_translation, (len(space),), -reach, reach + 1, jnp.int32))
        if self.cutout:
            lengths = jnp.array(space, jnp.int32)
            sides = jnp.array([int(self.cutout * n + 0.5) for n in space], jnp.int32)
            # The centre may lie anywhere, so that a corner is hidden as often as the middle.
            start = jax.random.randint(key_cutout, (len(space),), 0, lengths + 1 - sides % 2, jnp.int32) - sides // 2
            x = cut_out(x, start, start + sides)
        if not others:
            return (x,)
        return tuple(jnp.split(x, list(itertools.accumulate(channels[:-1])), axis=-1))


def translated(x: Float[Array, "*space c"], shift: Int[Array, " d"]) -> Float[Array, "*space c"]:
    """One image moved by whole pixels, background (-1) moving in: y[i] = x[i - shift]."""
    require_floats(x=x)
    require_integers(shift=shift)
    require_shape((x.ndim - 1,), shift=shift)
    for axis, n in enumerate(x.shape[:-1]):
        # A product with a shifted identity: its gradient is faster than that of a gather on every backend.
        at = jnp.arange(n, dtype=jnp.int32)
        move = (at[:, None] - shift[axis] == at[None, :]).astype(x.dtype)
        x = jnp.moveaxis(jnp.tensordot(move, x + 1, axes=(1, axis)), 0, axis) - 1
    return x


def cut_out(x: Float[Array, "*space c"], start: Int[Array, " d"], stop: Int[Array, " d"]) -> Float[Array, "*space c"]:
    """One image with the box start <= i < stop painted 0."""
    require_floats(x=x)
    require_integers(start=start, stop=stop)
    require_shape((x.ndim - 1,), start=start, stop=stop)
    inside = jnp.ones(x.shape[:-1], bool)
    for axis, n in enumerate(x.shape[:-1]):
        at = jnp.arange(n, dtype=jnp.int32)
        within = (at >= start[axis]) & (at < stop[axis])
        inside = inside & within.reshape([n if a == axis else 1 for a in range(inside.ndim)])
    return jnp.where(inside[..., None], 0.0, x)
