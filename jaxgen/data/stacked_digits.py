"""Stacked digits: each channel of an image is a digit of its own, so that there are as many modes as numbers.

Three digits of MNIST as red, green and blue make 1,000 modes, 000 to 999. Whether a generator has them all can be
counted with a classifier of single digits (`jaxgen.evaluate.stacked_classes`, `mode_counts`).

Source: Metz et al. 2017 (unrolled GANs), section 3.3; Srivastava et al. 2017 (VEEGAN), section 4.2; Lin et al. 2018
(PacGAN), section 4.2: 128,000 images to train on, 26,000 samples to count in.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, UInt8

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.draws import example_keys


def stacked_digits(
    key: PRNGKey, images: UInt8[np.ndarray, "n h w"], num: int, *, channels: int = 3
) -> tuple[UInt8[np.ndarray, "num h w channels"], Int[np.ndarray, "num channels"]]:
    """Images whose every channel is one of some images, drawn with equal chances and apart from the others.

    Image k comes from `fold_in(key, k)`, whatever the number of images.

    Args:
        key: Root of the draws.
        images: Images that are drawn from.
        num: Number of stacked images.
        channels: Images on top of one another.

    Returns:
        The stacked images, and which of `images` each channel is.

    Raises:
        ValueError: A number below 1, or no images.
    """
    require.typed_key("key", key)
    require.size("num", num)
    require.size("channels", channels)
    count = require.size("the number of images", len(images))
    which = np.asarray(_drawn(key, num, channels, jnp.int32(count)))
    x = np.empty((num, *images.shape[1:], channels), np.uint8)
    for channel in range(channels):
        x[..., channel] = images[which[:, channel]]
    return x, which


def mode_of(classes: Int[np.ndarray, "n channels"], num_classes: int) -> Int[np.ndarray, " n"]:
    """The number whose digits are the classes of the channels, the first channel the most significant.

        mode = sum_c class_c num_classes^(channels - 1 - c)

    Args:
        classes: Class of each channel, 0 .. num_classes - 1.
        num_classes: Number of classes of a channel.

    Raises:
        ValueError: A class out of range.
    """
    require.size("num_classes", num_classes)
    if classes.size and not 0 <= classes.min() <= classes.max() < num_classes:
        raise ValueError(f"classes must lie in 0..{num_classes - 1}, got {classes.min()} to {classes.max()}")
    powers = num_classes ** np.arange(classes.shape[1])[::-1]
    return classes.astype(np.int64) @ powers


@functools.partial(jax.jit, static_argnames=("num", "channels"))
def _drawn(key: PRNGKey, num: int, channels: int, count: Array) -> Array:
    keys = example_keys(key, jnp.arange(num, dtype=jnp.int32))
    return jax.vmap(lambda k: jax.random.randint(k, (channels,), 0, count, jnp.int32))(keys)
