"""Moving digits: videos of images that glide through a box and are thrown back by its walls; the future is known.

    x(t) = L - |((x_0 + v t) mod 2 L) - L|        along each axis: a straight way, folded at 0 and L

where L is the room that an image of h pixels has in a frame of `size` pixels, L = size - h. Images pass through each
other: a frame is, pixel by pixel, the brightest of them.

Source: Srivastava et al. 2015 (unsupervised learning of video with LSTMs), section 3.1: two digits of MNIST, of 28 x 28
pixels, in frames of 64 x 64.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.draws import example_keys

SPEED = 0.1
"""Pixels per frame and pixel of the frame's size: 6.4 in a frame of 64."""


def folded(
    start: Float[Array, "*b"], velocity: Float[Array, "*b"], time: Float[Array, "*b"], room: float
) -> Float[Array, "*b"]:
    """Place after a time, on a way that is folded at 0 and `room`.

    Args:
        start: Place at time 0, within 0 .. room.
        velocity: Velocity at time 0.
        time: Time.
        room: Length of the way between the walls, above 0.

    Raises:
        ValueError: No room.
    """
    room = require.number("room", room, above=0)
    return room - jnp.abs(jnp.mod(start + velocity * time, 2 * room) - room)


def moving_digits(
    key: PRNGKey, images: UInt8[np.ndarray, "n h w"], num: int, frames: int, *, size: int, digits: int = 2
) -> UInt8[np.ndarray, "num frames size size"]:
    """Videos of images that move, white on black.

    Video k comes from `fold_in(key, k)`, whatever the number of videos: which images, where they begin, and in which
    direction they go, all of one speed.

    Args:
        key: Root of the draws.
        images: Images that are drawn from.
        num: Number of videos.
        frames: Frames of each.
        size: Height and width of a frame, above those of the images.
        digits: Images in each video.

    Raises:
        ValueError: A number out of range, or frames that an image does not fit in.
    """
    for name, value in {"num": num, "frames": frames, "digits": digits}.items():
        require.size(name, value)
    count, *shape = images.shape
    require.integer("size", size, max(shape) + 1, note="above the size of the images")
    room = np.array([size - n for n in shape])

    def drawn(key: PRNGKey) -> tuple[Array, Array]:
        key_which, key_start, key_angle = jax.random.split(key, 3)
        which = jax.random.randint(key_which, (digits,), 0, count)
        start = jax.random.uniform(key_start, (digits, 2))
        angle = jax.random.uniform(key_angle, (digits,), maxval=2 * np.pi)
        velocity = jnp.float32(SPEED * size) * jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1)
        time = jnp.arange(frames, dtype=jnp.float32)
        whole = (digits, frames)

        def along(z: int) -> Array:
            first = jnp.broadcast_to(start[:, None, z] * jnp.float32(room[z]), whole)
            speed = jnp.broadcast_to(velocity[:, None, z], whole)
            return folded(first, speed, jnp.broadcast_to(time[None], whole), float(room[z]))

        return which, jnp.stack([along(0), along(1)], axis=-1)

    keys = example_keys(key, jnp.arange(num, dtype=jnp.int32))
    which, places = (np.asarray(each) for each in jax.jit(jax.vmap(drawn))(keys))
    corners = np.rint(places).astype(int)
    videos = np.zeros((num, frames, size, size), np.uint8)
    h, w = shape
    for k in range(num):
        for i in range(digits):
            for frame, (top, left) in zip(videos[k], corners[k, i], strict=True):
                seen = frame[top : top + h, left : left + w]
                np.maximum(seen, images[which[k, i]], out=seen)
    return videos
