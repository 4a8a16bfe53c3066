"""Single pictures side by side, each under its name: what was given, what a model made of it, and the original."""

from collections.abc import Mapping
from typing import Any

from jaxgen import require
from jaxgen.plot import checks
from jaxgen.plot.figures import name_panel, panels
from jaxgen.plot.images import as_images, remarks, value_range

_WIDTH = 2.6


def photographs(pictures: Mapping[str, Any], *, title: str, columns: int = 4) -> Any:
    """Pictures of any sizes in panels of one width; grey ones are drawn bright on dark, as photographs are.

    Args:
        pictures: Picture [h, w], [h, w, 1] or [h, w, 3] by name, in [0, 1] or in a range of their own.
        title: Title of the figure.
        columns: Pictures per row at most.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: No picture, or an array of another shape.
    """
    given = checks.groups("pictures", pictures, "pictures")
    shown = {
        name: as_images(repr(name) if name else "pictures", checks.numbers(name or "pictures", x)[None])[0]
        for name, x in given.items()
    }
    values = value_range(list(shown.values()), None, None)
    highest = max(x.shape[0] / x.shape[1] for x in shown.values())
    figure, axes = panels(
        len(shown),
        width=_WIDTH,
        height=_WIDTH * highest + 0.3,
        title=title,
        columns=require.integer("columns", columns, 1),
    )
    for axis, (name, x) in zip(axes, shown.items(), strict=True):
        said = ", ".join(part for part in (name, remarks(x[None], values)) if part)
        unit = (x - values.low) / (values.high - values.low)
        axis.imshow(unit[..., 0] if x.shape[-1] == 1 else unit, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        name_panel(axis, said, _WIDTH - 0.1)
        axis.axis("off")
    return figure
