"""Functions of the plane: numbers as colours, vectors as arrows."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen.plot.figures import subplots


def fields(
    values: Mapping[str, Any],
    box: tuple[float, float, float, float],
    *,
    title: str,
    points: Any = None,
    limits: tuple[float, float] | None = None,
) -> Any:
    """Functions on the same rectangle of the plane side by side, in the same colours: the learnt beside the true.

    Args:
        values: By name, [h, w]: the value at row i, column j is that at (x_j, y_i), y upwards.
        box: (left, right, bottom, top) of the rectangle.
        title: What is shown.
        points: Points [n, 2] drawn on top.
        limits: Values of the ends of the colours; None takes the smallest and the largest.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: Values that are not [h, w].
    """
    grids = {name: np.asarray(field) for name, field in values.items()}
    for name, grid in grids.items():
        if grid.ndim != 2:
            raise ValueError(f"{name or 'values'} must be [h, w], got shape {grid.shape}")
    low, high = limits or (min(g.min() for g in grids.values()), max(g.max() for g in grids.values()))
    figure, axes = subplots(1, len(grids), width=3.4 * len(grids) + 0.6, height=3.6, title=title)
    image = None
    for axis, (name, grid) in zip(axes[0], grids.items(), strict=True):
        image = axis.imshow(grid, extent=box, origin="lower", vmin=low, vmax=high, cmap="coolwarm", aspect="equal")
        if points is not None:
            axis.scatter(*np.asarray(points).T, s=2, c="black", alpha=0.4, linewidths=0)
        axis.set_xlim(box[0], box[1])
        axis.set_ylim(box[2], box[3])
        axis.set_title(name, fontsize=9)
    figure.colorbar(image, ax=list(axes[0]), shrink=0.8)
    return figure


def arrows(
    values: Mapping[str, Any],
    box: tuple[float, float, float, float],
    *,
    title: str,
    points: Mapping[str, Any] | None = None,
) -> Any:
    """Vector fields on the same rectangle of the plane side by side: scores, flows.

    Args:
        values: By name, [h, w, 2]: the vector at row i, column j is that at (x_j, y_i), y upwards. Each field has
            its own scale.
        box: (left, right, bottom, top) of the rectangle.
        title: What is shown.
        points: By name of the field, points [n, 2] drawn beneath it.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: Values that are not [h, w, 2].
    """
    grids = {name: np.asarray(field) for name, field in values.items()}
    figure, axes = subplots(1, len(grids), width=3.4 * len(grids), height=3.8, title=title)
    for axis, (name, grid) in zip(axes[0], grids.items(), strict=True):
        if grid.ndim != 3 or grid.shape[2] != 2:
            raise ValueError(f"{name or 'values'} must be [h, w, 2], got shape {grid.shape}")
        x, y = np.linspace(*box[:2], grid.shape[1]), np.linspace(*box[2:], grid.shape[0])
        if points is not None and name in points:
            axis.scatter(*np.asarray(points[name]).T, s=2, alpha=0.3, linewidths=0)
        axis.quiver(x, y, grid[..., 0], grid[..., 1], angles="xy", width=0.004)
        axis.set_xlim(box[0], box[1])
        axis.set_ylim(box[2], box[3])
        axis.set_aspect("equal")
        axis.set_title(name, fontsize=9)
    return figure
