"""Making and saving figures."""

import math
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jaxgen import atomic


class Film(NamedTuple):
    """Frames of a moving picture, see `jaxgen.plot.film`.

    Attributes:
        frames: uint8 [t, h, w, 3].
        milliseconds: Time that each is shown.
    """

    frames: np.ndarray
    milliseconds: int


def wrapped(text: str, inches: float, fontsize: int) -> str:
    """Text in lines that fit into a width; existing line breaks stay."""
    # 0.56 em is the mean width of a letter of the default font.
    columns = max(8, int(inches * 72 / (0.56 * fontsize)))
    return "\n".join(textwrap.fill(line, columns, break_on_hyphens=False) for line in text.split("\n"))


def subplots(
    rows: int, columns: int, *, width: float, height: float, title: str, heights: list[float] | None = None
) -> tuple[Any, Any]:
    """A figure with a title and an array [rows, columns] of axes, the rows in proportion to `heights`."""
    import matplotlib.pyplot as plt

    lines = wrapped(title, width, 10)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(width, height + 0.17 * lines.count("\n")),
        squeeze=False,
        layout="constrained",
        height_ratios=heights,
    )
    figure.suptitle(lines, fontsize=10)
    return figure, axes


def panels(num: int, *, width: float, height: float, title: str, columns: int = 3) -> tuple[Any, list[Any]]:
    """A figure with a title and `num` axes of this size in inches, at most `columns` in a row."""
    columns = min(num, columns)
    rows = math.ceil(num / columns)
    figure, axes = subplots(rows, columns, width=width * columns, height=height * rows + 0.3, title=title)
    for axis in axes.flat[num:]:
        axis.axis("off")
    return figure, list(axes.flat[:num])


def name_panel(axis: Any, text: str, width: float) -> None:
    """Set the title of a panel that is `width` inches wide."""
    axis.set_title(wrapped(text, width, 9), fontsize=9)


@contextmanager
def put_away() -> Iterator[None]:
    """Close the figures that are made within, whether they are returned or not."""
    import matplotlib.pyplot as plt

    before = set(plt.get_fignums())
    try:
        yield
    finally:
        for number in set(plt.get_fignums()) - before:
            plt.close(number)


def save(figure: Any, path: Path | str, dpi: int = 150) -> Path:
    """Write a figure as PNG and close it; a film as an animated PNG.

    Args:
        figure: Figure or film from a function of this package.
        path: Path of the file, which appears whole or not at all.
        dpi: Dots per inch of a figure; a film has its own.

    Returns:
        The path.
    """
    import matplotlib.pyplot as plt

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(figure, Film):
        from PIL import Image

        first, *rest = (Image.fromarray(frame) for frame in figure.frames)
        with atomic.writing(path) as file:
            first.save(file, format="PNG", save_all=True, append_images=rest, duration=figure.milliseconds, loop=0)
        return path
    try:
        with atomic.writing(path) as file:
            figure.savefig(file, format="png", dpi=dpi)
    finally:
        plt.close(figure)
    return path
