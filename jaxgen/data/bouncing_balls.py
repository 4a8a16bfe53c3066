"""Bouncing balls: videos drawn from equations of motion, so that the future is known.

    dx/dt = v                                         between collisions
    v_z -> |v_z| at the wall x_z = r, -|v_z| at x_z = side - r
    v_i -> v_i + (w . (v_j - v_i)) w,  v_j -> v_j - (w . (v_j - v_i)) w      w = (x_i - x_j) / |x_i - x_j|

where balls i and j of equal mass touch and come closer: they exchange their velocities along the line between them, so
that momentum and energy stay. A frame is the sum of exp(-(|p - x_i|^2 / r^2)^4) over the balls, at most 1.

Source: Sutskever & Hinton 2007; Sutskever et al. 2009 (RTRBM), section 5: three balls, 30 x 30 pixels, side 10,
r = 1.2, two collision tests per frame, |v|^2 = 0.25 summed over the balls. (Their program lets balls that already move
apart collide again.)
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.draws import example_keys

SIDE, RADIUS, SPEED, MOVES = 10.0, 1.2, 0.5, 2
_TRIES = 256  # starts of which the first without an overlap is taken


@partial(jax.jit, static_argnames=("num", "frames", "balls"))
def trajectories(key: PRNGKey, num: int, frames: int, balls: int = 3) -> Float[Array, "num frames balls 2"]:
    """Positions of balls in a box of side 10, at times 0, 1, ...

    Video k comes from `fold_in(key, k)`, whatever the number of videos.

    Args:
        key: Root of the draws.
        num: Number of videos.
        frames: Frames of each.
        balls: Number of balls, at most 4.

    Raises:
        ValueError: A number out of range.
    """
    require.size("num", num)
    require.size("frames", frames)
    require.integer("balls", balls, 1, 4)
    return jax.vmap(partial(_moving, frames=frames, balls=balls))(example_keys(key, jnp.arange(num, dtype=jnp.int32)))


def rendered(x: Float[np.ndarray | Array, "*b balls 2"], size: int = 30) -> UInt8[np.ndarray, "*b size size"]:
    """Frames of size x size pixels, white balls on black, 0 .. 255.

    Args:
        x: Positions, of one frame at least.
        size: Height and width; pixel (row, column) is at (column, row) * side / size.

    Raises:
        ValueError: A size below 1.
    """
    at = np.arange(require.size("size", size), dtype=np.float32) * np.float32(SIDE / size)
    x = np.asarray(x, np.float32)
    frames = np.zeros((*x.shape[:-2], size, size), np.float32)
    for i in range(x.shape[-2]):
        across, down = (np.square(at - x[..., i, z, None]) for z in (0, 1))
        frames += np.exp(-(((down[..., :, None] + across[..., None, :]) / RADIUS**2) ** 4))
    return np.rint(255 * np.minimum(frames, 1)).astype(np.uint8)


def moved(x: Float[Array, "balls 2"], v: Float[Array, "balls 2"], time: float) -> tuple[Array, Array]:
    """Positions and velocities after a short time: first the motion, then the walls, then the collisions of pairs.

    Args:
        x: Positions.
        v: Velocities.
        time: Time, so short that no ball goes far into another or a wall.
    """
    x = x + time * v
    v = jnp.where(x < RADIUS, jnp.abs(v), jnp.where(x > SIDE - RADIUS, -jnp.abs(v), v))
    for i in range(x.shape[0]):
        for j in range(i):
            apart = x[i] - x[j]
            distance = jnp.sqrt(jnp.sum(jnp.square(apart)))
            w = apart / jnp.maximum(distance, 1e-6)
            closing = jnp.dot(w, v[j] - v[i])
            exchanged = jnp.where((distance < 2 * RADIUS) & (closing > 0), closing, jnp.zeros((), v.dtype)) * w
            v = v.at[i].add(exchanged).at[j].add(-exchanged)
    return x, v


def _moving(key: PRNGKey, frames: int, balls: int) -> Array:
    key_x, key_v = jax.random.split(key)
    starts = jax.random.uniform(key_x, (_TRIES, balls, 2), jnp.float32, RADIUS, SIDE - RADIUS)
    apart = jnp.sqrt(jnp.sum(jnp.square(starts[:, :, None] - starts[:, None]), axis=-1))
    touching = (apart < 2 * RADIUS) & ~jnp.eye(balls, dtype=bool)[None]
    x = starts[jnp.argmax(~touching.any(axis=(1, 2)))]
    v = jax.random.normal(key_v, (balls, 2), jnp.float32)
    v = v * (SPEED / jnp.sqrt(jnp.sum(jnp.square(v))))

    def frame(state: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], Array]:
        now = state[0]
        for _move in range(MOVES):
            state = moved(*state, 1 / MOVES)
        return state, now

    return jax.lax.scan(frame, (x, v), None, length=frames)[1]
