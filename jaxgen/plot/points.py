"""Points in the plane."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen import require
from jaxgen.plot import checks
from jaxgen.plot.figures import name_panel, panels

_WIDTH = 3.4


_PLANE = ("$x_1$", "$x_2$")


def scatter(groups: Mapping[str, Any], *, title: str, columns: int = 3, axes: tuple[str, str] = _PLANE) -> Any:
    """Clouds of points side by side on the same axes: data beside samples.

    Args:
        groups: Points [n, 2] by name.
        title: Title of the figure.
        columns: Panels per row.
        axes: Labels of the two axes.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: No group, or points that are not [n, 2] with n > 0.
    """
    columns = require.integer("columns", columns, 1)
    clouds = {
        name: checks.numbers(name or "points", x) for name, x in checks.groups("groups", groups, "points").items()
    }
    for name, points in clouds.items():
        if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
            more = " with n > 0" if points.shape[1:] == (2,) else ""
            raise ValueError(f"{name or 'points'} must be [n, 2]{more}, got shape {points.shape}")
    figure, places = panels(len(clouds), width=_WIDTH, height=3.6, title=title, columns=columns)
    finite = {name: points[np.isfinite(points).all(axis=1)] for name, points in clouds.items()}
    # The first group, the data, sets the frame: stray samples must not shrink the picture.
    first = next((points for points in finite.values() if len(points)), np.zeros((1, 2)))
    low, high = first.min(axis=0), first.max(axis=0)
    margin = 0.25 * (high - low).max() + 1e-3
    for axis, (name, points) in zip(places, finite.items(), strict=True):
        many = len(points) > 100
        axis.scatter(points[:, 0], points[:, 1], s=3 if many else 14, alpha=0.4 if many else 0.8, linewidths=0)
        outside = int(((points < low - margin) | (points > high + margin)).any(axis=1).sum())
        num = len(clouds[name])
        said = [f"n = {num}"]
        said += [f"{outside} outside"] if outside else []
        said += [f"{num - len(points)} not finite"] if len(points) < num else []
        name_panel(axis, f"{name} ({', '.join(said)})", _WIDTH - 0.4)
        axis.set_xlim(low[0] - margin, high[0] + margin)
        axis.set_ylim(low[1] - margin, high[1] + margin)
        name_axes(axis, axes)
        axis.set_aspect("equal")
    return figure


def flow_lines(
    groups: Mapping[str, Any], *, title: str, points: Any = None, columns: int = 4, axes: tuple[str, str] = _PLANE
) -> Any:
    """Ways of a flow through the plane as lines, each from where it starts (grey) to where it ends (black).

    Args:
        groups: Ways [n, T, 2] by name, a panel each.
        title: Title of the figure.
        points: Data [m, 2], drawn behind the ways; None for none.
        columns: Panels per row.
        axes: Labels of the two axes.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: No group, or ways that are not [n, T, 2] with n > 0 and T > 1.
    """
    columns = require.integer("columns", columns, 1)
    ways = {name: checks.numbers(name or "ways", x) for name, x in checks.groups("groups", groups, "ways").items()}
    for name, x in ways.items():
        if x.ndim != 3 or x.shape[2] != 2 or not len(x) or x.shape[1] < 2:
            raise ValueError(f"{name or 'ways'} must be [n, T, 2] with n > 0 and T > 1, got shape {x.shape}")
    figure, places = panels(len(ways), width=_WIDTH, height=3.6, title=title, columns=columns)
    for axis, (name, x) in zip(places, ways.items(), strict=True):
        if points is not None:
            axis.scatter(*checks.numbers("points", points).T, s=2, alpha=0.15, linewidths=0, color="tab:blue")
        axis.plot(*np.moveaxis(x, 2, 0)[:, :, :].transpose(0, 2, 1), color="tab:orange", linewidth=0.6, alpha=0.7)
        axis.scatter(*x[:, 0].T, s=5, color="tab:gray", linewidths=0)
        axis.scatter(*x[:, -1].T, s=7, color="black", linewidths=0)
        name_panel(axis, name, _WIDTH - 0.4)
        name_axes(axis, axes)
        axis.set_aspect("equal")
    return figure


def name_axes(axis: Any, labels: tuple[str, str] = _PLANE) -> None:
    """Label the axes, with the two coordinates of the plane unless they have other names."""
    axis.set_xlabel(labels[0], fontsize=8)
    axis.set_ylabel(labels[1], fontsize=8)
    axis.tick_params(labelsize=7)
