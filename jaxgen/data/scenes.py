"""Scenes: real images of one to three things, small or large, in the four cells of a picture, with a caption each.

A thing is cut out to its ink and scaled so that its longer side is 8 pixels (small) or 14 (large). It stands in the
middle of a cell of 16 x 16, up to two pixels off. The captions are those of `jaxgen.data.captions`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, UInt8

from jaxgen import require
from jaxgen.data.captions import CELLS, SIZES, Caption, layouts

CELL = 16
"""Height and width of a cell in pixels."""

SIDES = {"small": 8, "large": 14}
"""Longer side of a thing in pixels, by its size."""

_OFF_CENTRE = 2
_INK = 32  # the least grey level of what is cut out: the garments have faint specks around them


class Scenes(NamedTuple):
    """Pictures of some captions.

    Attributes:
        x: The pictures.
        cells: What stands in each cell: 0 for nothing, else 1 + 2 k for thing k of the names if it is small, and
            2 + 2 k if it is large.
    """

    x: UInt8[np.ndarray, "n 32 32 1"]
    cells: Int32[np.ndarray, "n 2 2"]


def drawn(
    rng: np.random.Generator, captions: Sequence[Caption], things: Mapping[str, UInt8[np.ndarray, "_ h w"]]
) -> Scenes:
    """Pictures of captions; what a caption leaves open is drawn, all answers equally likely.

    Args:
        rng: Source of the draws.
        captions: One for each picture.
        things: Images of things by name, 0 .. 255, each with some ink.

    Raises:
        ValueError: No caption, one with a name that is not there, or that has no layout.
    """
    if not captions:
        raise ValueError("captions must hold at least one caption, got none")
    names = list(things)
    x = np.zeros((len(captions), 2 * CELL, 2 * CELL), np.uint8)
    cells = np.zeros((len(captions), 2, 2), np.int32)
    for n, caption in enumerate(captions):
        allowed = layouts(caption)
        for thing, (row, column) in zip(caption.things, allowed[rng.integers(len(allowed))], strict=True):
            images = things[require.one_of("the name of a thing", thing.name, names)]
            size = thing.size or SIZES[rng.integers(len(SIZES))]
            cut = scaled(images[rng.integers(len(images))], SIDES[size])
            top, left = (_start(rng, length) for length in cut.shape)
            top, left = top + CELL * row, left + CELL * column
            x[n, top : top + cut.shape[0], left : left + cut.shape[1]] = cut
            cells[n, row, column] = thing_number(names, thing.name, size)
    return Scenes(x[..., None], cells)


def thing_number(names: Sequence[str], name: str, size: str) -> int:
    """The number that a thing has in `Scenes.cells`."""
    return 1 + len(SIZES) * names.index(name) + SIZES.index(size)


def thing_of(names: Sequence[str], number: int) -> tuple[str, str] | None:
    """Name and size of the thing of a number in `Scenes.cells`; None for nothing."""
    if number == 0:
        return None
    kind, size = divmod(require.integer("number", int(number), 0, len(SIZES) * len(names)) - 1, len(SIZES))
    return names[kind], SIZES[size]


def cut_into_cells(x: UInt8[np.ndarray, "n 32 32 1"] | np.ndarray) -> np.ndarray:
    """The four cells of each picture, [4 n, 16, 16, 1], those of one picture behind each other in the order of
    `jaxgen.data.captions.CELLS`.

    Raises:
        ValueError: Pictures of another shape.
    """
    if x.ndim != 4 or x.shape[1:] != (2 * CELL, 2 * CELL, 1):
        raise ValueError(f"x must be pictures [n, {2 * CELL}, {2 * CELL}, 1], got shape {x.shape}")
    parts = [x[:, CELL * row : CELL * (row + 1), CELL * column : CELL * (column + 1)] for row, column in CELLS]
    return np.stack(parts, axis=1).reshape(-1, CELL, CELL, 1)


def scaled(image: UInt8[np.ndarray, "h w"], side: int) -> UInt8[np.ndarray, "l m"]:
    """An image cut out to its ink and scaled so that its longer side has so many pixels.

    Args:
        image: Grey levels, 0 for what is empty.
        side: Number of pixels.

    Raises:
        ValueError: An image without ink, or a side below 1.
    """
    from PIL import Image

    require.size("side", side)
    if not image.any():
        raise ValueError("image must have some ink, got zeros alone")
    rows, columns = np.nonzero(image >= min(_INK, int(image.max())))
    cut = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    height, width = (max(1, round(side * length / max(cut.shape))) for length in cut.shape)
    return np.asarray(Image.fromarray(cut).resize((width, height), Image.Resampling.BILINEAR))


def _start(rng: np.random.Generator, length: int) -> int:
    """First pixel of something of this length: in the middle of a cell, or a little off, within it."""
    free = CELL - length
    return int(np.clip(free // 2 + rng.integers(-_OFF_CENTRE, _OFF_CENTRE + 1), 0, free))
