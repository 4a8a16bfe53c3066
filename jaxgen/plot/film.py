"""Moving pictures: frames one after another, in an animated PNG that every browser plays."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen import require
from jaxgen.plot import checks
from jaxgen.plot.figures import Film
from jaxgen.plot.images import Range, as_images, draw, tiled, value_range


def film(
    videos: Mapping[str, Any], *, title: str, columns: int = 8, milliseconds: int = 150, zoom: int = 2, dpi: int = 80
) -> Film:
    """Rows of videos that play together, each row with its name.

    Args:
        videos: Videos [n, t, h, w] or [n, t, h, w, 1 or 3] by name, of one length t.
        title: Title above all.
        columns: Videos per row.
        milliseconds: Time of a frame.
        zoom: Pixels of the film per pixel of a video, about.
        dpi: Dots per inch.

    Returns:
        The film; `plot.save` writes it as an animated PNG.

    Raises:
        ValueError: No video, another shape, or different numbers of frames.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    for name, value in {"columns": columns, "milliseconds": milliseconds, "zoom": zoom}.items():
        require.size(name, value)
    arrays = {
        name: checks.numbers(name or "videos", x) for name, x in checks.groups("videos", videos, "videos").items()
    }
    lengths = {x.shape[1] if x.ndim in (4, 5) else -1 for x in arrays.values()}
    if len(lengths) != 1 or lengths & {-1, 0}:
        shapes = ", ".join(str(x.shape) for x in arrays.values())
        raise ValueError(f"videos must be [n, t, h, w] or [n, t, h, w, c] of one length t, got {shapes}")
    values = value_range(list(arrays.values()), None, None)
    first = {name: as_images(name or "videos", x[:columns, 0]) for name, x in arrays.items()}
    width = zoom * max(len(x) * (x.shape[2] + 1) for x in first.values()) / dpi
    heights = [zoom * (x.shape[1] + 2) / dpi for x in first.values()]
    height = sum(heights) + 0.3 * len(heights) + 0.4
    frames = []
    for t in range(lengths.pop()):
        figure = Figure(figsize=(max(width, 4.0), height), dpi=dpi, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        figure.suptitle(f"{title}: frame {t}", fontsize=9)
        axes = figure.subplots(len(arrays), 1, squeeze=False, height_ratios=heights)[:, 0]
        now = {name: x[:columns, t] for name, x in arrays.items()}
        canvases, _ = tiled(now, columns, values.low, values.high)
        draw(figure, list(axes), canvases, Range(values.low, values.high, stated=False), "gray", max(width, 4.0))
        canvas.draw()
        frames.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    return Film(np.stack(frames), milliseconds)
