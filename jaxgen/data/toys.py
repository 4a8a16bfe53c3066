"""Two-dimensional data whose density is known: what a model leaves out can be seen and counted.

Each draw is a pure function of a key. Sample k comes from `fold_in(key, k)`: asking for more leaves the first
ones as they were.
"""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32

from jaxgen.core import PRNGKey
from jaxgen.draws import example_keys
from jaxgen.require import integer


def ring_centres(modes: int = 8, radius: float = 1.0) -> Float32[np.ndarray, "m 2"]:
    """Means of the modes of `ring`: c_m = radius (cos 2 pi m / modes, sin 2 pi m / modes).

    Raises:
        ValueError: modes below 1.
    """
    angle = 2 * np.pi * np.arange(integer("modes", modes, 1)) / modes
    return (radius * np.stack([np.cos(angle), np.sin(angle)], axis=-1)).astype(np.float32)


def grid_centres(modes: int = 25, spacing: float = 2.0) -> Float32[np.ndarray, "m 2"]:
    """Means of the modes of `grid`: with s = sqrt(modes), c_{i,j} = spacing (i - (s-1)/2, j - (s-1)/2).

    Raises:
        ValueError: modes is no square.
    """
    side = math.isqrt(integer("modes", modes, 1))
    if side**2 != modes:
        raise ValueError(f"modes must be a square, got {modes}")
    axis = spacing * (np.arange(side) - (side - 1) / 2)
    return np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(modes, 2).astype(np.float32)


@functools.partial(jax.jit, static_argnames=("num", "modes", "radius", "std"))
def ring(key: PRNGKey, num: int, modes: int = 8, radius: float = 1.0, std: float = 0.01) -> Float32[Array, "num 2"]:
    """Equal Gaussians on a circle: x = c_m + std eps, m uniform, eps ~ N(0, I).

    Raises:
        ValueError: num or modes below 1.

    Source: Lin et al. 2018 (PacGAN), 2D-ring: 8 modes, radius 1, std 0.01.
    """
    return _mixture(key, num, ring_centres(modes, radius), std)


@functools.partial(jax.jit, static_argnames=("num", "modes", "spacing", "std"))
def grid(key: PRNGKey, num: int, modes: int = 25, spacing: float = 2.0, std: float = 0.05) -> Float32[Array, "num 2"]:
    """Equal Gaussians on a square grid centred on 0: x = c_{i,j} + std eps, (i, j) uniform, eps ~ N(0, I).

    Raises:
        ValueError: num below 1, or modes is no square.

    Source: Lin et al. 2018 (PacGAN), 2D-grid: 5 x 5 modes, spacing 2, std 0.05.
    """
    return _mixture(key, num, grid_centres(modes, spacing), std)


@functools.partial(jax.jit, static_argnames=("num", "std"))
def two_moons(key: PRNGKey, num: int, std: float = 0.1) -> Float32[Array, "num 2"]:
    """Two half circles that reach into each other, with noise std eps.

        upper: (cos a, sin a)        lower: (1 - cos a, 1/2 - sin a)        a ~ U[0, pi]

    Either moon has probability 1/2; the mean is (1/2, 1/4).

    Raises:
        ValueError: num below 1.

    Source: `sklearn.datasets.make_moons`, whose angles are a regular grid instead of draws.
    """

    def point(key: PRNGKey) -> Array:
        key_moon, key_angle = jax.random.split(key)
        angle = jax.random.uniform(key_angle, dtype=jnp.float32, maxval=np.float32(np.pi))
        upper = jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        lower = jnp.array([1.0, 0.5], jnp.float32) - upper
        return jnp.where(jax.random.bernoulli(key_moon, jnp.float32(0.5)), upper, lower)

    return _noisy(key, num, point, std)


@functools.partial(jax.jit, static_argnames=("num", "std"))
def swiss_roll(key: PRNGKey, num: int, std: float = 0.2) -> Float32[Array, "num 2"]:
    """A spiral of one and a half turns, with noise std eps.

        x = t / 5 (cos t, sin t) + std eps,        t ~ U[3 pi / 2, 9 pi / 2]

    Raises:
        ValueError: num below 1.

    Source: Grathwohl et al. 2019 (FFJORD): two axes of `sklearn.datasets.make_swiss_roll`, divided by 5.
    """

    def point(key: PRNGKey) -> Array:
        t = jax.random.uniform(key, dtype=jnp.float32, minval=np.float32(1.5 * np.pi), maxval=np.float32(4.5 * np.pi))
        return t / 5 * jnp.stack([jnp.cos(t), jnp.sin(t)])

    return _noisy(key, num, point, std)


def _mixture(key: PRNGKey, num: int, centres: np.ndarray, std: float) -> Array:
    def point(key: PRNGKey) -> Array:
        return jnp.asarray(centres)[jax.random.randint(key, (), 0, len(centres), jnp.int32)]

    return _noisy(key, num, point, std)


def _noisy(key: PRNGKey, num: int, point: Callable[[PRNGKey], Array], std: float) -> Array:
    def draw(key: PRNGKey) -> Array:
        key_point, key_eps = jax.random.split(key)
        return point(key_point) + std * jax.random.normal(key_eps, (2,), jnp.float32)

    index = jnp.arange(integer("num", num, 1), dtype=jnp.int32)
    return jax.vmap(draw)(example_keys(key, index))
