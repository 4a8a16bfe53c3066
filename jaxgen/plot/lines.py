"""Lines: one quantity against another."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen.plot import checks, figures

_WIDTH = 3.6


def lines(
    panels: Mapping[str, Mapping[str, tuple[Any, ...]]],
    *,
    title: str,
    x_label: str,
    y_label: str = "",
    log: tuple[str, ...] = (),
) -> Any:
    """Panels side by side, each with lines of its own.

    Args:
        panels: Points (x [n], y [n]) of each line, by name of the panel and then of the line. With a third array, the
            points stand alone, with error bars of that half length.
        title: Title of the figure.
        x_label: Name of x, with its unit.
        y_label: Name of y, with its unit.
        log: Axes with a logarithmic scale, among "x" and "y". An axis that must show values of 0 or below is linear
            around 0 and logarithmic beyond, and its label says so.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: No panel, a panel without lines, x and y of different lengths, or another axis in `log`.
    """
    for axis_name in log:
        if axis_name not in ("x", "y"):
            raise ValueError(f'log must hold "x" or "y", got {axis_name!r}')
    if not panels:
        raise ValueError("panels must hold at least one panel, got none")
    figure, axes = figures.panels(len(panels), width=_WIDTH, height=3.0, title=title)
    for axis, (name, members) in zip(axes, panels.items(), strict=True):
        shown: dict[str, list[np.ndarray]] = {"x": [], "y": []}
        for label, columns in checks.groups(f"panels[{name!r}]", members, "lines").items():
            x, y, *error = (checks.numbers(label or name or "a line", column) for column in columns)
            if x.ndim != 1 or len(error) > 1 or any(column.shape != x.shape for column in (y, *error)):
                shapes = " and ".join(str(column.shape) for column in (x, y, *error))
                raise ValueError(f"{label or name} must be two arrays of one length, or three, got {shapes}")
            if error:
                axis.errorbar(x, y, error[0], fmt=".", linewidth=1, capsize=2, label=label)
            else:
                axis.plot(x, y, linewidth=1, marker="." if len(x) < 30 else None, label=label)
            shown["x"].append(x)
            shown["y"].append(y)
        figures.name_panel(axis, name, _WIDTH - 0.6)
        for which, text in (("x", x_label), ("y", y_label)):
            text += _scale(axis, which, np.concatenate(shown[which])) if which in log else ""
            axis.set(**{f"{which}label": text})
            getattr(axis, f"{which}axis").label.set_size(8)
        axis.margins(0.06)  # in the scales chosen: a single point must not lie in the corner
        axis.tick_params(which="both", labelsize=7)
        if "x" in log:
            _tick_few(axis, np.concatenate(shown["x"]))
        axis.grid(alpha=0.3)
        if any(members):
            axis.legend(fontsize=7)
    return figure


def _scale(axis: Any, which: str, values: np.ndarray) -> str:
    """Give an axis a logarithmic scale on which all values can be seen, and return the remark for its label."""
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    if sizes.size == 0:
        return ""
    if (values[np.isfinite(values)] > 0).all():
        axis.set(**{f"{which}scale": "log"})
        return ""
    # The scale is linear up to the point beyond which most values lie, however small a single one is.
    limit = float(f"{np.quantile(sizes, 0.05):.0e}")
    getattr(axis, f"set_{which}scale")("symlog", linthresh=limit)
    return f" (linear within ±{limit:g})"


def _tick_few(axis: Any, values: np.ndarray) -> None:
    """Ticks at the values themselves on a logarithmic axis of a few, whose own ones would run into each other."""
    few = np.unique(values[np.isfinite(values)])
    if axis.get_xscale() == "log" and 1 < len(few) <= 8 and (few[1:] / few[:-1] > 1.3).all():
        axis.set_xticks(few, [f"{value:g}" for value in few])
        axis.set_xticks([], minor=True)
