"""Points in the plane."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxgen.plot.figures import subplots


def scatter(groups: Mapping[str, Any], *, title: str) -> Any:
    """Clouds of points side by side on the same axes: data beside samples.

    Args:
        groups: Points [n, 2] by name.
        title: What is shown.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: Points that are not [n, 2].
    """
    clouds = {name: np.asarray(points) for name, points in groups.items()}
    for name, points in clouds.items():
        if points.ndim != 2 or points.shape[1] != 2:
            raise ValueError(f"{name or 'points'} must be [n, 2], got shape {points.shape}")
    figure, axes = subplots(1, len(clouds), width=3.4 * len(clouds), height=3.8, title=title)
    # The first group, the data, sets the frame: stray samples must not shrink the picture.
    first = next(iter(clouds.values()))
    low, high = first.min(axis=0), first.max(axis=0)
    margin = 0.25 * (high - low).max() + 1e-3
    for axis, (name, points) in zip(axes[0], clouds.items(), strict=True):
        axis.scatter(points[:, 0], points[:, 1], s=3, alpha=0.4, linewidths=0)
        outside = int(((points < low - margin) | (points > high + margin)).any(axis=1).sum())
        axis.set_title(f"{name} (n = {len(points)}{f', {outside} outside' if outside else ''})", fontsize=9)
        axis.set_xlim(low[0] - margin, high[0] + margin)
        axis.set_ylim(low[1] - margin, high[1] + margin)
        axis.set_aspect("equal")
    return figure
