"""Curves of a run."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from jaxgen.plot.figures import subplots


def curves(
    records: Iterable[Any],
    *,
    title: str,
    names: Iterable[str] | None = None,
    levels: Mapping[str, tuple[str, float]] | None = None,
) -> Any:
    """One panel per metric over the steps of a run; "valid/rate" goes into the panel of "rate".

    Args:
        records: Mappings with "step" and metrics, as in `History.records` or a run's metrics.jsonl.
        title: What is shown.
        names: Which metrics; None takes all but the timing.
        levels: By metric, the name and height of a level line to hold it against.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: No records.
    """
    records = list(records)
    if not records:
        raise ValueError("records must hold at least one record, got none")
    if names is None:
        names = dict.fromkeys(n for record in records for n in record if n not in ("step", "steps_per_second"))
    panels: dict[str, list[str]] = {}
    for name in names:
        panels.setdefault(name.rpartition("/")[2], []).append(name)
    columns = min(len(panels), 3)
    count = math.ceil(len(panels) / columns)
    figure, axes = subplots(count, columns, width=3.2 * columns, height=2.4 * count + 0.4, title=title)
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    for axis, (panel, members) in zip(axes.flat, panels.items(), strict=False):
        for name in members:
            points = [(record["step"], record[name]) for record in records if name in record]
            label = name.rpartition("/")[0] or "train"
            axis.plot(*zip(*points, strict=True), linewidth=1, marker="." if len(points) < 30 else None, label=label)
        if levels and panel in levels:
            name, height = levels[panel]
            axis.axhline(height, linewidth=1, linestyle="--", color="black", label=name)
        axis.set_title(panel, fontsize=9)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
        if any("/" in name for name in members) or (levels and panel in levels):
            axis.legend(fontsize=7)
    return figure
