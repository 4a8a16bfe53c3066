"""Grids of images."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxgen.plot.figures import subplots


def tile(x: Any, columns: int) -> Float[np.ndarray, "h w c"]:
    """Images side by side in one array, a faint line between them.

    Args:
        x: Images [n, h, w], [n, h, w, 1] or [n, h, w, 3] with values in [0, 1]; others are clipped.
        columns: Images per row.

    Raises:
        ValueError: Not such an array, or no images.
    """
    x = np.asarray(x, dtype=np.float32)
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim != 4 or x.shape[-1] not in (1, 3) or x.shape[0] == 0:
        raise ValueError(f"images must be [n, h, w], [n, h, w, 1] or [n, h, w, 3] with n > 0, got shape {x.shape}")
    n, h, w, c = x.shape
    rows = math.ceil(n / columns)
    # Grey images are drawn dark on white, so that a small value is a faint line there.
    canvas = np.full((rows * (h + 1) + 1, columns * (w + 1) + 1, c), 0.15 if c == 1 else 1.0, np.float32)
    for k, image in enumerate(np.clip(x, 0, 1)):
        top, left = (k // columns) * (h + 1) + 1, (k % columns) * (w + 1) + 1
        canvas[top : top + h, left : left + w] = image
    return canvas


def images(x: Any, *, title: str, columns: int | None = None) -> Any:
    """A grid of images.

    Args:
        x: Images [n, h, w(, 1 or 3)] in [0, 1].
        title: What they are.
        columns: Images per row; None makes the grid about square.

    Returns:
        A matplotlib figure.
    """
    columns = columns or math.ceil(math.sqrt(len(x)))
    return rows({"": x}, title=title, columns=columns)


def rows(groups: Mapping[str, Any], *, title: str, columns: int | None = None) -> Any:
    """Groups of images under each other, each with its name: real, reconstructed, sampled.

    Args:
        groups: Images by name, as `images` takes them.
        title: What is shown.
        columns: Images per row; None takes the size of the largest group, 20 at most.

    Returns:
        A matplotlib figure.
    """
    columns = columns or min(max(len(x) for x in groups.values()), 20)
    canvases = {name: tile(x, columns) for name, x in groups.items()}
    width = 6.4
    heights = [width * canvas.shape[0] / canvas.shape[1] for canvas in canvases.values()]
    label = 0.25 if any(groups) else 0.0
    height = sum(heights) + label * len(groups) + 0.4
    figure, axes = subplots(len(groups), 1, width=width, height=height, title=title, heights=heights)
    for axis, (name, canvas) in zip(axes[:, 0], canvases.items(), strict=True):
        grey = canvas.shape[-1] == 1
        axis.imshow(canvas[..., 0] if grey else canvas, cmap="gray_r" if grey else None, vmin=0, vmax=1)
        axis.set_title(name, fontsize=9, loc="left")
        axis.axis("off")
    return figure
