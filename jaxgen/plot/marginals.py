"""Tables: how often each column takes which value, one panel for a column."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen import require
from jaxgen.plot import checks
from jaxgen.plot.figures import name_panel, panels

_WIDTH = 2.8
_BINS = (8, 40)  # fewest and most, where their number is not given
_MOST = 24  # columns that are shown


def marginals(groups: Mapping[str, Any], columns: Sequence[str], *, title: str, bins: int | None = None) -> Any:
    """Histograms of every column, the groups on top of one another: data beside samples.

    The first group sets the range of a column; the legend says which share of the values of others lies outside, and a
    title that columns behind the first 24 are not shown.

    Args:
        groups: Rows [n, d] by name; NaN is a missing cell.
        columns: Names of the columns.
        title: Title of the figure.
        bins: Number of bins; None for the root of the number of rows in the smallest group, from 8 to 40.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: No group, rows of another length than the names, or a number of bins that is none.
    """
    if bins is not None:
        require.size("bins", bins)
    tables = {name: checks.numbers(name or "rows", x) for name, x in checks.groups("groups", groups, "rows").items()}
    for name, x in tables.items():
        if x.ndim != 2 or x.shape[1] != len(columns) or x.size == 0:
            raise ValueError(f"{name or 'rows'} must be [n, {len(columns)}] with n > 0, got shape {x.shape}")
    if bins is None:
        bins = int(np.clip(math.sqrt(min(map(len, tables.values()))), *_BINS))
    if len(columns) > _MOST:
        title = f"{title}; the first {_MOST} of {len(columns)} columns"
    figure, axes = panels(min(len(columns), _MOST), width=_WIDTH, height=2.2, title=title, columns=4)
    for i, axis in enumerate(axes):
        values = {name: x[np.isfinite(x[:, i]), i] for name, x in tables.items()}
        first = next((each for each in values.values() if len(each)), np.zeros(1))
        low, high = float(first.min()), float(first.max())
        margin = 0.05 * (high - low) or 0.5
        edges = np.linspace(low - margin, high + margin, bins + 1)
        for name, each in values.items():
            if not len(each):
                continue
            outside = float(((each < edges[0]) | (each > edges[-1])).mean())
            said = f"{name}, {outside:.1%} outside" if outside else name
            counts, _ = np.histogram(each, edges)
            axis.stairs(counts / len(each), edges, label=said or None, linewidth=1.2)
        name_panel(axis, columns[i], _WIDTH - 0.4)
        axis.tick_params(labelsize=7)
        axis.set_ylim(bottom=0)
        if i == 0:
            axis.set_ylabel("share of the rows", fontsize=8)
        if i == 0 and any(tables):
            axis.legend(fontsize=6)
    return figure
