"""Functions of the plane: numbers as colours, vectors as arrows."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen.plot import checks
from jaxgen.plot.figures import name_panel, panels
from jaxgen.plot.points import name_axes

_WIDTH = 3.4


def fields(
    values: Mapping[str, Any],
    box: tuple[float, float, float, float],
    *,
    title: str,
    points: Any = None,
    limits: tuple[int | float, int | float] | None = None,
    label: str = "",
) -> Any:
    """Functions on the same rectangle of the plane side by side, in the same colours: the learnt beside the true.

    Args:
        values: Values [h, w] by name: row i, column j holds the value at (x_j, y_i), y upwards.
        box: (left, right, bottom, top) of the rectangle.
        title: Title of the figure.
        points: Points [n, 2] drawn on top.
        limits: Values at the two ends of the colour scale; None takes the smallest and the largest.
        label: Name of the values with their unit, shown beside the colour bar.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: No values, or values that are not [h, w].
    """
    given = checks.groups("values", values, "fields")
    grids = {name: checks.numbers(name or "values", field) for name, field in given.items()}
    for name, grid in grids.items():
        if grid.ndim != 2 or grid.size == 0:
            raise ValueError(f"{name or 'values'} must be [h, w], got shape {grid.shape}")
    finite = [grid[np.isfinite(grid)] for grid in grids.values()]
    finite = [grid for grid in finite if grid.size] or [np.zeros(1)]
    low, high = limits or (min(g.min() for g in finite), max(g.max() for g in finite))
    figure, axes = panels(len(grids), width=_WIDTH + 0.2, height=3.6, title=title)
    image = None
    for axis, (name, grid) in zip(axes, grids.items(), strict=True):
        # NaN is a gap, in no colour of the scale.
        image = axis.imshow(grid, extent=box, origin="lower", vmin=low, vmax=high, cmap="coolwarm", aspect="equal")
        if points is not None:
            axis.scatter(*checks.numbers("points", points).T, s=2, c="black", alpha=0.4, linewidths=0)
        axis.set_xlim(box[0], box[1])
        axis.set_ylim(box[2], box[3])
        name_panel(axis, name, _WIDTH - 0.4)
        name_axes(axis)
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.ax.tick_params(labelsize=7)
    bar.set_label(label, fontsize=8)
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
        values: Vectors [h, w, 2] by name: row i, column j holds the vector at (x_j, y_i), y upwards. Each field has
            its own scale.
        box: (left, right, bottom, top) of the rectangle.
        title: Title of the figure.
        points: Points [n, 2] drawn beneath a field, by name of the field.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: No values, or values that are not [h, w, 2].
    """
    given = checks.groups("values", values, "fields")
    grids = {name: checks.numbers(name or "values", field) for name, field in given.items()}
    for name, grid in grids.items():
        if grid.ndim != 3 or grid.shape[2] != 2 or grid.size == 0:
            raise ValueError(f"{name or 'values'} must be [h, w, 2], got shape {grid.shape}")
    figure, axes = panels(len(grids), width=_WIDTH, height=3.6, title=title)
    for axis, (name, grid) in zip(axes, grids.items(), strict=True):
        x, y = np.linspace(*box[:2], grid.shape[1]), np.linspace(*box[2:], grid.shape[0])
        if points is not None and name in points:
            axis.scatter(*checks.numbers(name, points[name]).T, s=2, alpha=0.3, linewidths=0)
        axis.quiver(x, y, grid[..., 0], grid[..., 1], angles="xy", width=0.004)
        axis.set_xlim(box[0], box[1])
        axis.set_ylim(box[2], box[3])
        axis.set_aspect("equal")
        name_panel(axis, name, _WIDTH - 0.4)
        name_axes(axis)
    return figure
