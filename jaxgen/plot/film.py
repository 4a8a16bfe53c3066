"""Moving pictures: frames one after another, in an animated PNG that every browser plays."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen import require
from jaxgen.plot import checks
from jaxgen.plot.figures import Film
from jaxgen.plot.images import as_images, tile, value_range

_DPI, _NARROWEST = 100, 4.5


def film(
    videos: Mapping[str, Any],
    *,
    title: str,
    moments: Sequence[str] | None = None,
    columns: int = 8,
    milliseconds: int = 200,
    zoom: int = 3,
) -> Film:
    """Rows of videos that play together, each row with its name.

    Args:
        videos: Videos [n, t, h, w] or [n, t, h, w, 1 or 3] by name, of one length t.
        title: Title above all.
        moments: Name of each frame, added to the title; None for its number.
        columns: Videos per row at most.
        milliseconds: Time of a frame.
        zoom: Pixels of the film per pixel of a video.

    Returns:
        The film; `plot.save` writes it as an animated PNG.

    Raises:
        ValueError: No video, another shape, different numbers of frames, or of names for them.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    for name, value in {"columns": columns, "milliseconds": milliseconds, "zoom": zoom}.items():
        require.size(name, value)
    arrays = {
        name: checks.numbers(name or "videos", x)[:columns]
        for name, x in checks.groups("videos", videos, "videos").items()
    }
    lengths = {x.shape[1] if x.ndim in (4, 5) else 0 for x in arrays.values()}
    if len(lengths) != 1 or 0 in lengths:
        shapes = ", ".join(str(x.shape) for x in arrays.values())
        raise ValueError(f"videos must be [n, t, h, w] or [n, t, h, w, c] of one length t, got {shapes}")
    length = lengths.pop()
    names = [f"frame {t}" for t in range(length)] if moments is None else list(moments)
    if len(names) != length:
        raise ValueError(f"moments must be a name for each of {length} frames, got {len(names)}")
    values = value_range(list(arrays.values()), None, None)
    rows = {
        name: [
            tile(as_images(name or "videos", x[:, t]), len(x), vmin=values.low, vmax=values.high) for t in range(length)
        ]
        for name, x in arrays.items()
    }
    sizes = [frames[0].shape for frames in rows.values()]
    width = max(zoom * max(size[1] for size in sizes) / _DPI, _NARROWEST)
    heights = [width * size[0] / size[1] for size in sizes]
    figure = Figure(figsize=(width, sum(heights) + 0.3 * len(heights) + 0.3), dpi=_DPI, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    heading = figure.suptitle("", fontsize=10)
    shown = []
    for axis, (name, frames) in zip(
        figure.subplots(len(rows), 1, squeeze=False, height_ratios=heights)[:, 0], rows.items(), strict=True
    ):
        shown.append(axis.imshow(np.squeeze(frames[0], -1) if frames[0].shape[-1] == 1 else frames[0], cmap="gray"))
        shown[-1].set_clim(values.low, values.high)
        axis.set_title(name, fontsize=9, loc="left")
        axis.axis("off")
    film = []
    for t in range(length):
        heading.set_text(f"{title}: {names[t]}")
        for image, frames in zip(shown, rows.values(), strict=True):
            image.set_data(np.squeeze(frames[t], -1) if frames[t].shape[-1] == 1 else frames[t])
        canvas.draw()
        film.append(np.asarray(canvas.buffer_rgba())[..., :3].copy())
    return Film(np.stack(film), milliseconds)
