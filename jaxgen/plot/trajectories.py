"""Ways through the plane, beside the distribution that they should come from."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxgen.plot import checks
from jaxgen.plot.figures import name_panel, panels
from jaxgen.plot.points import name_axes

_WIDTH = 3.4


class Ways(NamedTuple):
    """Ways through the plane, all with the same times.

    Attributes:
        samples: Ways [n, T, 2].
        mean: Exact mean [T, 2].
        covariance: Exact covariance [T, 2, 2] of the place at each time.
        marks: Places [2] by name: a start, a goal.
    """

    samples: Any
    mean: Any
    covariance: Any
    marks: Mapping[str, Any]


def trajectories(groups: Mapping[str, Ways], *, title: str, columns: int = 3) -> Any:
    """Samples as thin lines over the exact mean and the ellipses of two standard deviations at each time.

    Args:
        groups: Ways by name, a panel each.
        title: Title of the figure.
        columns: Panels per row.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: No group, or arrays whose shapes do not go together.
    """
    groups = checks.groups("groups", groups, "ways")
    figure, axes = panels(len(groups), width=_WIDTH, height=3.4, title=title, columns=columns)
    angle = np.linspace(0, 2 * np.pi, 49)
    circle = 2 * np.stack([np.cos(angle), np.sin(angle)])
    for axis, (name, ways) in zip(axes, groups.items(), strict=True):
        x, mean, covariance = (checks.numbers(name or "ways", part) for part in ways[:3])
        if x.ndim != 3 or mean.shape != x.shape[1:] or covariance.shape != (len(mean), 2, 2) or mean.shape[1] != 2:
            raise ValueError(
                f"{name or 'ways'} must be samples [n, T, 2], mean [T, 2] and covariance [T, 2, 2], got {x.shape}, "
                f"{mean.shape} and {covariance.shape}"
            )
        values, vectors = np.linalg.eigh(covariance)
        roots = vectors * np.sqrt(np.maximum(values, 0))[:, None]
        for i, ring in enumerate(mean[:, :, None] + roots @ circle):
            axis.fill(*ring, color="tab:orange", alpha=0.05, linewidth=0, label=None if i else "exact, 2 deviations")
        for i, way in enumerate(x):
            axis.plot(*way.T, color="tab:blue", alpha=0.7, linewidth=0.7, label=None if i else f"{len(x)} samples")
        axis.plot(*mean.T, color="black", linewidth=1.2, label="exact mean")
        for mark, (label, place) in zip("o*s^", ways.marks.items(), strict=False):
            axis.plot(*np.asarray(place), mark, color="tab:red", label=label)
        name_panel(axis, name, _WIDTH - 0.4)
        name_axes(axis)
        axis.set_aspect("equal", adjustable="datalim")
        axis.legend(fontsize=6)
    return figure
