"""Models side by side: real images, each model's samples, their nearest training images, and the numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxgen.plot.figures import subplots
from jaxgen.plot.images import draw, heights_of, tiled


def comparison(
    groups: Mapping[str, Any],
    header: Sequence[str],
    numbers: Sequence[Sequence[str]],
    *,
    title: str,
    columns: int = 20,
    vmin: int | float | None = None,
    vmax: int | float | None = None,
    cmap: str | None = None,
) -> Any:
    """Rows of images, each with its name, and a table under them.

    Args:
        groups: Images by name, as `images` takes them.
        header: Names of the table's columns.
        numbers: Rows of the table.
        title: Title of the figure.
        columns: Images per row.
        vmin: Value of the first colour, as in `images`, over all groups.
        vmax: Value of the last colour.
        cmap: Name of matplotlib's colour map for images of one channel.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: As `rows`, or rows of the table of another length than the header.
    """
    canvases, values = tiled(groups, columns, vmin, vmax)
    if any(len(row) != len(header) for row in numbers):
        raise ValueError(f"numbers must have rows of {len(header)} cells, got {[len(row) for row in numbers]}")
    width = 8.0
    heights = heights_of(canvases, width)
    heights.append(0.22 * (len(numbers) + 1) + 0.1)
    figure, axes = subplots(
        len(heights), 1, width=width, height=sum(heights) + 0.25 * len(canvases) + 0.4, title=title, heights=heights
    )
    draw(figure, list(axes[:-1, 0]), canvases, values, cmap, width)
    axis = axes[-1, 0]
    axis.axis("off")
    drawn = axis.table(
        cellText=[list(row) for row in numbers], colLabels=list(header), bbox=(0, 0, 1, 1), edges="horizontal"
    )
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(8)
    drawn.auto_set_column_width(list(range(len(header))))
    for (row, column), cell in drawn.get_celld().items():
        cell.set_linewidth(0.3)
        cell.get_text().set_horizontalalignment("left" if column == 0 else "right")
        if row == 0:
            cell.get_text().set_weight("bold")
    return figure
