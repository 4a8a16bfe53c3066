"""Making and saving figures."""

from pathlib import Path
from typing import Any

from jaxgen import atomic


def subplots(
    rows: int, columns: int, *, width: float, height: float, title: str, heights: list[float] | None = None
) -> tuple[Any, Any]:
    """A figure with a title and an array [rows, columns] of axes, the rows in proportion to `heights`."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        rows, columns, figsize=(width, height), squeeze=False, layout="constrained", height_ratios=heights
    )
    figure.suptitle(title, fontsize=10)
    return figure, axes


def save(figure: Any, path: Path | str, dpi: int = 150) -> Path:
    """Write a figure as PNG and close it.

    Args:
        figure: What a function of this package returned.
        path: Where; the file appears whole or not at all.
        dpi: Dots per inch.

    Returns:
        The path.
    """
    import matplotlib.pyplot as plt

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with atomic.writing(path) as file:
            figure.savefig(file, format="png", dpi=dpi)
    finally:
        plt.close(figure)
    return path
