"""Examples of any shape, each in the kind of picture that suits them."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen.plot import checks
from jaxgen.plot.figures import subplots, wrapped
from jaxgen.plot.images import colours, remarks, rows, value_range
from jaxgen.plot.points import scatter


def examples(
    groups: Mapping[str, Any],
    *,
    title: str,
    columns: int | None = None,
    vmin: int | float | None = None,
    vmax: int | float | None = None,
    cmap: str | None = None,
) -> Any:
    """Groups of examples of one shape: images in rows, points of the plane as clouds, anything else as tables of grey.

        [n, 2]              clouds of points
        [n, h, w(, c)]      images; other than 1 or 3 channels stand side by side in grey
        [n], [n, d]         a table of colours for each group, an example in every column
        [n, d, h, w(, c)]   the middle slice of every volume, and of further axes in front

    Args:
        groups: Examples [n, *event] by name.
        title: Title of the figure; what was left out or rearranged is added to it.
        columns: Images per row; None takes the size of the largest group, 20 at most, and makes one group about square.
        vmin: Value of the first colour, as in `images`.
        vmax: Value of the last colour.
        cmap: Name of matplotlib's colour map for images of one channel.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: No group, an empty one, or events of different shapes.
    """
    arrays = {
        name: checks.numbers(repr(name) if name else "examples", x)
        for name, x in checks.groups("groups", groups, "examples").items()
    }
    first, *_ = arrays
    for name, x in arrays.items():
        if x.ndim == 0 or x.size == 0:
            raise ValueError(f"{name or 'examples'} must be [n, *event] with no axis of length 0, got shape {x.shape}")
        if x.shape[1:] != arrays[first].shape[1:]:
            raise ValueError(f"{name} must have events of shape {arrays[first].shape[1:]}, got {x.shape[1:]}")
    event = arrays[first].shape[1:]
    if event == (2,):
        return scatter(arrays, title=title)
    if len(event) < 2:
        return _tables({name: x.reshape(len(x), -1) for name, x in arrays.items()}, title, vmin, vmax, cmap)
    if len(event) > 3:
        middle = tuple(size // 2 for size in event[:-3])
        arrays = {name: x[(slice(None), *middle)] for name, x in arrays.items()}
        title = f"{title}; the middle slice of each"
    if arrays[first].ndim == 4 and (channels := arrays[first].shape[-1]) not in (1, 3):
        # [n, h, w, c] -> [n, h, c w]: the channels of an example side by side
        arrays = {name: np.moveaxis(x, -1, 2).reshape(*x.shape[:2], -1) for name, x in arrays.items()}
        title = f"{title}; {channels} channels side by side"
    if columns is None and len(arrays) == 1:
        columns = math.ceil(math.sqrt(len(arrays[first])))
    return rows(arrays, title=title, columns=columns, vmin=vmin, vmax=vmax, cmap=cmap)


def _tables(
    groups: Mapping[str, np.ndarray], title: str, vmin: int | float | None, vmax: int | float | None, cmap: str | None
) -> Any:
    values = value_range(list(groups.values()), vmin, vmax)
    figure, axes = subplots(len(groups), 1, width=6.4, height=1.6 * len(groups) + 0.4, title=title)
    drawn = None
    for axis, (name, x) in zip(axes[:, 0], groups.items(), strict=True):
        shown = np.where(np.isfinite(x), x, np.nan).T
        drawn = axis.imshow(shown, cmap=colours(cmap), vmin=values.low, vmax=values.high, aspect="auto")
        said = ", ".join(part for part in (name, remarks(x[..., None], values)) if part)
        axis.set_title(wrapped(said, 6.0, 9), fontsize=9, loc="left")
        axis.set_xlabel("example", fontsize=8)
        axis.set_ylabel("dimension", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.locator_params(integer=True)
    figure.colorbar(drawn, ax=list(axes[:, 0]), aspect=30).ax.tick_params(labelsize=7)
    return figure
