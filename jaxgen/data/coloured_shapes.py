"""Drawings to be coloured: the outlines are given, several colours are right, and how often each is known.

Every drawing has four shapes on grey paper, each a circle, a square or a triangle with a dark outline. A shape is
filled with one of four colours of the same luminance; which one is drawn for each shape by itself, with

    P(colour | kind)             orange  green  blue  magenta
    circle                          0.7    0.1   0.1      0.1
    square                          0.1    0.2   0.3      0.4
    triangle                       0.25   0.25  0.25     0.25

so that the luminance says nothing of the colours but by the kinds. The exact mean and variance of the chroma given the
outlines are known, and so are the share of each colour, and how often two colourings of one drawing differ.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.draws import example_keys

KINDS = ("circle", "square", "triangle")
COLOURS = ("orange", "green", "blue", "magenta")
PROBABILITIES = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]])
"""P(colour | kind), a row for each kind."""

PALETTE = 0.45 * np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
"""Chroma of each colour, see `jaxgen.data.colour`."""

PAPER, LINE, FILLING = 0.95, 0.15, 0.6
"""Luminance of the three parts of a drawing."""

_WIDTH = 1.2  # of an outline, in pixels of a drawing of 32 x 32
_CELLS = np.array([[8.0, 8.0], [8.0, 24.0], [24.0, 8.0], [24.0, 24.0]])
_SIZES = np.array([1.0, 0.8, 0.55])  # radius, half a side, and radius of the inscribed circle, over that of a circle


class Shapes(NamedTuple):
    """Four shapes of each drawing.

    Attributes:
        kind: Number of the kind, see `KINDS`.
        colour: Number of the colour, see `COLOURS`.
        place: Row and column of the centre, in pixels of a drawing of 32 x 32.
        radius: Size of the shape, that of a circle its radius.
        angle: Angle by which it is turned.
    """

    kind: Int[Array, "n 4"]
    colour: Int[Array, "n 4"]
    place: Float[Array, "n 4 2"]
    radius: Float[Array, "n 4"]
    angle: Float[Array, "n 4"]


@partial(jax.jit, static_argnames="num")
def sample(key: PRNGKey, num: int) -> Shapes:
    """Draw the shapes of some drawings, those of drawing k from `fold_in(key, k)`.

    Args:
        key: Root of the draws.
        num: Number of drawings.

    Raises:
        ValueError: A number below 1.
    """
    require.size("num", num)
    log_p = jnp.log(jnp.asarray(PROBABILITIES, jnp.float32))

    def one(key: PRNGKey) -> Shapes:
        key_kind, key_colour, key_place, key_radius, key_angle = jax.random.split(key, 5)
        kind = jax.random.randint(key_kind, (4,), 0, len(KINDS), jnp.int32)
        colour = jax.random.categorical(key_colour, log_p[kind]).astype(jnp.int32)
        place = jnp.asarray(_CELLS, jnp.float32) + jax.random.uniform(key_place, (4, 2), jnp.float32, -0.7, 0.7)
        radius = jax.random.uniform(key_radius, (4,), jnp.float32, 5.0, 6.5)
        return Shapes(kind, colour, place, radius, jax.random.uniform(key_angle, (4,), jnp.float32, 0, 2 * jnp.pi))

    return jax.vmap(one)(example_keys(key, jnp.arange(num, dtype=jnp.int32)))


def rendered(shapes: Shapes, size: int = 32) -> tuple[Float[np.ndarray, "n s s 1"], Float[np.ndarray, "n 4 s s"]]:
    """The luminance of drawings, and the share of each pixel that the filling of each of their shapes covers.

    Args:
        shapes: Their shapes.
        size: Height and width in pixels.

    Raises:
        ValueError: A size below 1.
    """
    scale = 32 / require.size("size", size)
    at = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * np.float32(scale)
    kind, _, place, radius, angle = (np.asarray(part)[..., None, None] for part in shapes)
    down, across = at[:, None] - place[..., 0, :, :], at[None] - place[..., 1, :, :]
    u, v = np.cos(angle) * across + np.sin(angle) * down, np.cos(angle) * down - np.sin(angle) * across
    # Distances from each outline, below 0 inside.
    circle = np.hypot(u, v)
    square = np.maximum(np.abs(u), np.abs(v))
    turns = 2 * np.pi / 3 * np.arange(3)
    triangle = np.max([np.cos(turn) * u + np.sin(turn) * v for turn in turns], axis=0)
    outside = np.choose(kind, [circle, square, triangle]) - radius * np.choose(kind, _SIZES)
    whole, filling = (np.clip(0.5 - (outside + width) / scale, 0, 1).astype(np.float32) for width in (0, _WIDTH))
    covered, filled = whole.sum(axis=1), filling.sum(axis=1)
    luminance = PAPER * (1 - covered) + LINE * (covered - filled) + FILLING * filled
    return luminance[..., None].astype(np.float32), filling


def chroma(
    filling: Float[np.ndarray, "n 4 s s"], colour: Int[np.ndarray | Array, "n 4"]
) -> Float[np.ndarray, "n s s 2"]:
    """The chroma of coloured drawings.

    Args:
        filling: Share of each pixel that each shape's filling covers.
        colour: Number of each shape's colour.
    """
    return np.einsum("nkhw,nkc->nhwc", filling, PALETTE[np.asarray(colour)].astype(np.float32))


def mean_chroma(
    filling: Float[np.ndarray, "n 4 s s"], kind: Int[np.ndarray | Array, "n 4"]
) -> Float[np.ndarray, "n s s 2"]:
    """E[chroma | outlines], exactly: what no estimate is nearer to in squared error.

    Args:
        filling: Share of each pixel that each shape's filling covers.
        kind: Number of each shape's kind.
    """
    means = (PROBABILITIES @ PALETTE).astype(np.float32)
    return np.einsum("nkhw,nkc->nhwc", filling, means[np.asarray(kind)])


def colours_of(
    x: Float[np.ndarray, "n s s 2"], filling: Float[np.ndarray, "n 4 s s"]
) -> tuple[Int[np.ndarray, "n 4"], Float[np.ndarray, "n 4"]]:
    """The colour of the palette that is nearest to each filling, and how far the filling is from being just that.

    Args:
        x: Chroma of drawings.
        filling: Share of each pixel that each shape's filling covers; pixels that are wholly covered count.

    Returns:
        Numbers of the colours, and root mean square distances of the pixels from them; two colours are 0.64 or 0.9
        apart.
    """
    inside = (filling > 0.99).astype(np.float32)
    count = np.maximum(inside.sum(axis=(2, 3)), 1)
    mean = np.einsum("nkhw,nhwc->nkc", inside, x) / count[..., None]
    number = np.square(mean[..., None, :] - PALETTE).sum(axis=-1).argmin(axis=-1)
    error = np.square(x[:, None] - PALETTE[number][:, :, None, None]).sum(axis=-1)
    return number, np.sqrt((inside * error).sum(axis=(2, 3)) / count).astype(np.float32)
