"""Quantities over one another."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen.plot.figures import subplots


def lines(
    panels: Mapping[str, Mapping[str, tuple[Any, Any]]], *, title: str, x_label: str, log: tuple[str, ...] = ()
) -> Any:
    """Panels side by side, each with lines of its own.

    Args:
        panels: By name of the panel and of the line, (x [n], y [n]).
        title: What is shown.
        x_label: What x is.
        log: Axes with a logarithmic scale, of "x" and "y".

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: x and y of different lengths, or no panel.
    """
    if not panels:
        raise ValueError("panels must hold at least one panel, got none")
    figure, axes = subplots(1, len(panels), width=3.6 * len(panels), height=3.0, title=title)
    for axis, (name, members) in zip(axes[0], panels.items(), strict=True):
        for label, (x, y) in members.items():
            x, y = np.asarray(x), np.asarray(y)
            if x.shape != y.shape or x.ndim != 1:
                raise ValueError(f"{label or name} must be two arrays of one length, got {x.shape} and {y.shape}")
            axis.plot(x, y, linewidth=1, marker="." if len(x) < 30 else None, label=label)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel(x_label, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
        axis.set_xscale("log" if "x" in log else "linear")
        axis.set_yscale("log" if "y" in log else "linear")
        if any(members):
            axis.legend(fontsize=7)
    return figure
