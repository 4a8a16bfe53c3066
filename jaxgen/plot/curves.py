"""Curves of a run."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from jaxgen.plot.figures import name_panel, panels

_WIDTH = 3.2
_NOT_DRAWN = ("step", "steps_per_second")


def curves(
    records: Iterable[Any],
    *,
    title: str,
    names: Iterable[str] | None = None,
    levels: Mapping[str, tuple[str, float]] | None = None,
    beside: Mapping[str, str] = MappingProxyType({}),
    units: Mapping[str, str] = MappingProxyType({}),
) -> Any:
    """One panel per metric over the steps of a run; "valid/rate" goes into the panel of "rate".

    Args:
        records: Mappings with "step" and metrics, as in `History.records` or a run's metrics.jsonl.
        title: Title of the figure.
        names: Metrics to draw; None takes all but the timing.
        levels: Name and height of a level line to compare a metric with, by metric.
        beside: Metric whose panel another one shares where it is drawn, by that other metric: {"negative_elbo": "loss"}
            puts "valid/negative_elbo" beside the training loss.
        units: Unit on the vertical axis, by metric.

    Returns:
        A matplotlib figure.

    Raises:
        ValueError: No records, one without a step, no metrics, or a name that no record has.
    """
    records = list(records)
    if not records:
        raise ValueError("records must hold at least one record, got none")
    for record in records:
        if "step" not in record:
            raise ValueError(
                f'records must have a "step" each, got one with {", ".join(map(str, record)) or "nothing"}'
            )
    known = list(dict.fromkeys(n for record in records for n in record if n not in _NOT_DRAWN))
    names = known if names is None else list(names)
    if not names:
        raise ValueError(f"there must be at least one metric to draw, got records of {', '.join(known) or 'none'}")
    for name in names:
        if name not in known and name not in _NOT_DRAWN:
            raise ValueError(f"names must be metrics of the records ({', '.join(known)}), got {name!r}")
    drawn: dict[str, list[str]] = {}
    for name in names:
        metric = name.rpartition("/")[2]
        shared = beside.get(metric, metric)
        drawn.setdefault(shared if shared in names else metric, []).append(name)
    figure, axes = panels(len(drawn), width=_WIDTH, height=2.5, title=title)
    for axis, (panel, members) in zip(axes, drawn.items(), strict=True):
        for name in members:
            points = [(record["step"], record[name]) for record in records if name in record]
            split, _, metric = name.rpartition("/")
            label = (split or "train") + (f": {metric.replace('_', ' ')}" if metric != panel else "")
            axis.plot(*zip(*points, strict=True), linewidth=1, marker="." if len(points) < 30 else None, label=label)
        if levels and panel in levels:
            name, height = levels[panel]
            # Many points, and not axhline, which the place of the legend takes no account of.
            left, right = axis.get_xlim()
            axis.plot(np.linspace(left, right, 100), np.full(100, height), "--", linewidth=1, color="black", label=name)
            axis.set_xlim(left, right)
        name_panel(axis, panel, _WIDTH - 0.5)
        axis.set_xlabel("step", fontsize=8)
        axis.set_ylabel(units.get(panel, panel), fontsize=8)
        axis.tick_params(labelsize=7)
        axis.grid(alpha=0.3)
        if any("/" in name for name in members) or (levels and panel in levels):
            axis.legend(fontsize=7)
    return figure
