"""Models side by side: real images, each model's samples, their nearest training images, and the numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxgen.plot.figures import subplots
from jaxgen.plot.images import tile


def comparison(
    groups: Mapping[str, Any],
    header: Sequence[str],
    numbers: Sequence[Sequence[str]],
    *,
    title: str,
    columns: int = 20,
) -> Any:
    """Rows of images, each with its name, and a table under them.

    Args:
        groups: Images by name, as `images` takes them.
        header: Names of the table's columns.
        numbers: Its rows.
        title: What is shown.
        columns: Images per row.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: No images, or rows of another length than the header.
    """
    if not groups:
        raise ValueError("groups must hold at least one set of images, got none")
    if any(len(row) != len(header) for row in numbers):
        raise ValueError(f"numbers must have rows of {len(header)} cells, got {[len(row) for row in numbers]}")
    canvases = {name: tile(x, columns) for name, x in groups.items()}
    width = 8.0
    heights = [width * canvas.shape[0] / canvas.shape[1] for canvas in canvases.values()]
    heights.append(0.22 * (len(numbers) + 1) + 0.1)
    figure, axes = subplots(
        len(heights), 1, width=width, height=sum(heights) + 0.25 * len(canvases) + 0.4, title=title, heights=heights
    )
    for axis, (name, canvas) in zip(axes[:, 0], canvases.items(), strict=False):
        grey = canvas.shape[-1] == 1
        axis.imshow(canvas[..., 0] if grey else canvas, cmap="gray_r" if grey else None, vmin=0, vmax=1)
        axis.set_title(name, fontsize=9, loc="left")
        axis.axis("off")
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
