"""Grids of images.

Images in [0, 1] are drawn as they are. Others have a range of their own: that of all images of the figure,
unless `vmin` and `vmax` give another. The figure states it, by a colour bar for images of one channel and in words for
those of three. Values beyond the range and values that are not finite are counted beside the name of their group.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxgen import require
from jaxgen.plot import checks
from jaxgen.plot.figures import subplots, wrapped

_GREY = "gray_r"
"""Grey images are drawn dark on white."""


_HIGHEST = 24.0
"""Greatest height of the images of a figure, in inches."""

_ROUNDING = 1e-6
"""Tolerance for a value outside the range to count as within, as a part of the range."""


class Range(NamedTuple):
    """Values between which the colours of a figure lie.

    Attributes:
        low: Value of the first colour.
        high: Value of the last colour.
        stated: Whether the figure must state the range: not where it is [0, 1] because the images lie there.
    """

    low: float
    high: float
    stated: bool


def images(
    x: Any,
    *,
    title: str,
    columns: int | None = None,
    vmin: int | float | None = None,
    vmax: int | float | None = None,
    cmap: str | None = None,
) -> Any:
    """A grid of images.

    Args:
        x: Images [n, h, w], [n, h, w, 1] or [n, h, w, 3].
        title: Title of the figure.
        columns: Images per row; None makes the grid about square.
        vmin: Value of the first colour; None for 0 where all images lie in [0, 1], else the smallest value.
        vmax: Value of the last colour; None for 1 where all images lie in [0, 1], else the largest value.
        cmap: Name of matplotlib's colour map for images of one channel; None for grey, dark on white.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: As `rows`.
    """
    x = as_images("images", x)
    columns = math.ceil(math.sqrt(len(x))) if columns is None else columns
    return rows({"": x}, title=title, columns=columns, vmin=vmin, vmax=vmax, cmap=cmap)


def rows(
    groups: Mapping[str, Any],
    *,
    title: str,
    columns: int | None = None,
    vmin: int | float | None = None,
    vmax: int | float | None = None,
    cmap: str | None = None,
) -> Any:
    """Groups of images under each other, each with its name: real, reconstructed, sampled.

    Args:
        groups: Images by name, as `images` takes them.
        title: Title of the figure.
        columns: Images per row; None takes the size of the largest group, 20 at most.
        vmin: Value of the first colour, as in `images`, over all groups.
        vmax: Value of the last colour.
        cmap: Name of matplotlib's colour map for images of one channel.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: No group, an empty one, one that does not hold images, a vmin that is not below vmax, or a colour
            map that is not known or for images of three channels.
    """
    canvases, values = tiled(groups, columns, vmin, vmax)
    width = 6.4
    heights = heights_of(canvases, width)
    label = 0.25 if any(canvases) or values.stated else 0.0
    height = sum(heights) + label * len(canvases) + 0.4
    figure, axes = subplots(len(canvases), 1, width=width, height=height, title=title, heights=heights)
    draw(figure, list(axes[:, 0]), canvases, values, cmap, width)
    return figure


def tile(
    x: Any, columns: int, *, vmin: int | float | None = None, vmax: int | float | None = None
) -> Float[np.ndarray, "h w c"]:
    """Images side by side in one array, a faint line between them.

    Args:
        x: Images [n, h, w], [n, h, w, 1] or [n, h, w, 3].
        columns: Images per row.
        vmin: Value of the first colour, as in `images`: the line is drawn between the two.
        vmax: Value of the last colour.

    Returns:
        The values unchanged: nothing is clipped.

    Raises:
        ValueError: An array of another shape, no images, or a vmin that is not below vmax.
    """
    x = as_images("images", x)
    columns = require.integer("columns", columns, 1)
    low, high, _ = value_range([x], vmin, vmax)
    n, h, w, c = x.shape
    # A small value is a faint line there.
    line = low + (0.15 if c == 1 else 1.0) * (high - low)
    canvas = np.full((math.ceil(n / columns) * (h + 1) + 1, columns * (w + 1) + 1, c), line, x.dtype)
    for k, image in enumerate(x):
        top, left = (k // columns) * (h + 1) + 1, (k % columns) * (w + 1) + 1
        canvas[top : top + h, left : left + w] = image
    return canvas


def as_images(name: str, x: Any) -> Float[np.ndarray, "n h w c"]:
    """Images with an axis of channels.

    Raises:
        ValueError: Another shape, or no images.
    """
    array = checks.numbers(name, x)
    image = array[..., None] if array.ndim == 3 else array
    if image.ndim != 4 or image.shape[-1] not in (1, 3) or image.size == 0:
        raise ValueError(
            f"{name} must be [n, h, w], [n, h, w, 1] or [n, h, w, 3] with no axis of length 0, got shape {array.shape}"
        )
    return image


def value_range(arrays: Sequence[np.ndarray], vmin: int | float | None, vmax: int | float | None) -> Range:
    """The range of the colours of arrays: [0, 1] if it holds them all, else from the smallest to the largest value.

    Raises:
        ValueError: A vmin or vmax that is not a finite number, or a vmin that is not below vmax.
    """
    finite = [array[np.isfinite(array)] for array in arrays]
    finite = [array for array in finite if array.size]
    low = float(min((array.min() for array in finite), default=0.0))
    high = float(max((array.max() for array in finite), default=1.0))
    if low >= -_ROUNDING and high <= 1 + _ROUNDING:
        low, high = 0.0, 1.0
    elif low == high:  # a constant, which has no range
        low, high = low - 0.5, high + 0.5
    low = low if vmin is None else require.number("vmin", vmin)
    high = high if vmax is None else require.number("vmax", vmax)
    if not low < high:
        raise ValueError(f"vmin must be below vmax, got vmin={low:g}, vmax={high:g}")
    return Range(low, high, stated=(low, high) != (0.0, 1.0))


def tiled(
    groups: Mapping[str, Any], columns: int | None, vmin: int | float | None, vmax: int | float | None
) -> tuple[dict[str, Float[np.ndarray, "h w c"]], Range]:
    """Every group as one array, and their common range; a group's name tells how many values lie outside the range.

    Raises:
        ValueError: As `rows`.
    """
    checked = {
        name: as_images(repr(name) if name else "images", x)
        for name, x in checks.groups("groups", groups, "images").items()
    }
    if columns is None:
        columns = min(max(len(x) for x in checked.values()), 20)
    values = value_range(list(checked.values()), vmin, vmax)
    canvases = {}
    for name, x in checked.items():
        canvas = tile(x, columns, vmin=values.low, vmax=values.high)
        canvases[", ".join(part for part in (name, remarks(x, values)) if part)] = canvas
    return canvases, values


def heights_of(canvases: Mapping[str, np.ndarray], width: float) -> list[float]:
    """Heights of canvases of this width, both in inches; smaller where the figure would become too high."""
    heights = [width * canvas.shape[0] / canvas.shape[1] for canvas in canvases.values()]
    return [height * min(1.0, _HIGHEST / sum(heights)) for height in heights]


def remarks(x: np.ndarray, values: Range) -> str:
    """Remarks about values of x that a picture in this range does not show."""
    finite = np.isfinite(x)
    slack = _ROUNDING * (values.high - values.low)
    outside = finite & ((x < values.low - slack) | (x > values.high + slack))
    limits = f"{values.low:.4g}..{values.high:.4g}"
    said = []
    if x.shape[-1] == 3 and values.stated:
        said.append(f"colours from {values.low:.4g} to {values.high:.4g}")
    if outside.any():
        said.append(f"{_share(outside)} of the values outside {limits}")
    if not finite.all():
        said.append(f"{_share(~finite)} not finite (red)")
    return ", ".join(said)


def colours(cmap: str | None) -> Any:
    """A colour map of matplotlib in which NaN is red.

    Raises:
        ValueError: A name that matplotlib does not know.
    """
    import matplotlib

    if cmap is not None and cmap not in matplotlib.colormaps:
        raise ValueError(f"cmap must be the name of a colour map of matplotlib, got {cmap!r}")
    return matplotlib.colormaps[cmap or _GREY].with_extremes(bad="red")


def draw(
    figure: Any,
    axes: Sequence[Any],
    canvases: Mapping[str, np.ndarray],
    values: Range,
    cmap: str | None,
    width: float,
) -> None:
    """Canvases on axes under each other, their names above them, and a colour bar where the range must be stated.

    Raises:
        ValueError: A colour map that is not known, or one for images of three channels.
    """
    if cmap is not None and all(canvas.shape[-1] == 3 for canvas in canvases.values()):
        raise ValueError(f"cmap is for images of one channel, got cmap={cmap!r} for images of three")
    shades = colours(cmap)
    bar = None
    for axis, (name, canvas) in zip(axes, canvases.items(), strict=True):
        finite = np.isfinite(canvas)
        if canvas.shape[-1] == 1:
            shown = np.where(finite, canvas, np.nan)[..., 0]
            bar = axis.imshow(shown, cmap=shades, vmin=values.low, vmax=values.high)
        else:
            unit = np.clip((np.where(finite, canvas, 0) - values.low) / (values.high - values.low), 0, 1)
            axis.imshow(np.where(finite.all(axis=-1, keepdims=True), unit, np.array([1.0, 0.0, 0.0])))
        axis.set_title(wrapped(name, width, 9), fontsize=9, loc="left")
        axis.axis("off")
    if bar is not None and (values.stated or cmap is not None):
        figure.colorbar(bar, ax=list(axes), shrink=0.8, aspect=30).ax.tick_params(labelsize=7)


def _share(where: np.ndarray) -> str:
    """A share that is not 0, in percent."""
    percent = 100 * float(where.mean())
    return f"{percent:.1f} %" if percent >= 0.05 else "less than 0.1 %"
