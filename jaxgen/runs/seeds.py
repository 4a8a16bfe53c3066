"""Runs that differ in nothing but the seed, taken together: the mean and the spread of every figure.

    mean m = 1/n sum_s y_s,   standard deviation s = sqrt(sum_s (y_s - m)^2 / (n - 1)),   standard error s / sqrt(n)

One run is one draw. That one experiment is better than another can be said where the difference of the means is larger
than the spread of a difference of two runs, sqrt(s_1^2 + s_2^2); of a single run the spread is not known.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from jaxgen import evaluate, number
from jaxgen.core import Estimate
from jaxgen.runs.config import flat
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.settings import Settings


class Spread(NamedTuple):
    """A figure over several seeds.

    Attributes:
        mean: Mean.
        deviation: Standard deviation of a run; None of a single one.
        num: Number of runs.
    """

    mean: float
    deviation: float | None
    num: int

    @property
    def standard_error(self) -> float | None:
        """Standard error of the mean; None of a single run."""
        return None if self.deviation is None else self.deviation / math.sqrt(self.num)

    @property
    def text(self) -> str:
        """The mean with its standard error, and the standard deviation of a run."""
        said = number.text(self.mean, self.standard_error)
        return said if self.deviation is None else f"{said} (sd {self.deviation:.2g})"


class Group(NamedTuple):
    """Runs of one experiment.

    Attributes:
        name: Name of the experiment, with a letter where several groups are of one.
        runs: Names of the runs, in the order of their seeds.
        seeds: Seeds of the runs.
        settings: Settings in which the group differs from others of the same experiment, by their names as flags.
    """

    name: str
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    settings: Mapping[str, str]

    @property
    def heading(self) -> str:
        """Name and number of seeds, for the heading of a column."""
        return f"{self.name}, {len(self.runs)} seed{'s' if len(self.runs) > 1 else ''}"


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation of a figure.

    Args:
        values: Figure of each run, at least one.
    """
    array = np.asarray(values, np.float64)
    deviation = float(array.std(ddof=1)) if len(array) > 1 else None
    return Spread(float(array.mean()), deviation, len(array))


def groups(folders: Mapping[str, RunFolder]) -> tuple[Group, ...]:
    """Runs whose configs differ in nothing but the seed and what changes no bit of what is learned.

    Args:
        folders: Runs by name.

    Raises:
        ValueError: No two runs of one group, or one seed twice in a group.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for name, folder in folders.items():
        config = {k: v for k, v in folder.manifest["config"].items() if k not in ("seed", *Settings.at_hand)}
        found.setdefault((folder.kind, json.dumps(config, sort_keys=True)), []).append(name)
    if all(len(names) < 2 for names in found.values()):
        raise ValueError(
            f"seeds must be those of two or more runs that differ in nothing else, got {', '.join(folders)}"
            f"{_difference(list(folders.values()))}"
        )
    result = []
    for (kind, config), names in found.items():
        alike = [other for other in found if other[0] == kind]
        name = kind if len(alike) == 1 else f"{kind} {chr(ord('A') + alike.index((kind, config)))}"
        others = [dict(flat(json.loads(other))) for _, other in alike]
        own = dict(flat(json.loads(config)))
        settings = {k: v for k, v in own.items() if any(other.get(k) != v for other in others)}
        by_seed = {}
        for run in names:
            seed = int(folders[run].manifest["config"].get("seed", 0))
            if by_seed.setdefault(seed, run) != run:
                raise ValueError(f"seeds must be each once in runs of {name}, got {seed} of {by_seed[seed]} and {run}")
        seeds = sorted(by_seed)
        result.append(Group(name, tuple(by_seed[seed] for seed in seeds), tuple(seeds), settings))
    return tuple(result)


def best(scores: Mapping[str, Sequence[evaluate.Score]]) -> str | None:
    """Name of the group that leads all others by more than the spread of both, see `evaluate.leader`.

    Args:
        scores: Scores of one metric, of each run of a group, by name of the group.

    Returns:
        None where no group does, and where one of them is a single run.
    """
    means = {}
    for name, each in scores.items():
        found = spread([score.value.value for score in each])
        # Nothing is known of the spread of a single run: no lead is larger.
        error = math.inf if found.deviation is None else found.deviation
        means[name] = replace(each[0], value=Estimate(found.mean, error, each[0].value.unit), bias=None)
    return evaluate.leader(means)


def reported(folders: Mapping[str, RunFolder], of: Sequence[Group], split: str = "test") -> list[list[str]]:
    """Rows of the figures that the runs reported at their end: name, mean and spread of each group, unit.

    Args:
        folders: Runs by name.
        of: Groups of the runs.
        split: Split that the figures are of.
    """
    units: dict[str, str] = {}
    cells: dict[tuple[str, str], str] = {}
    for group in of:
        results: list[Any] = [folders[name].manifest.get("results", {}).get(split, {}) for name in group.runs]
        for figure in dict.fromkeys(name for each in results for name in each):
            values = [each[figure]["value"] for each in results if figure in each]
            units.setdefault(figure, next(str(each[figure].get("unit", "")) for each in results if figure in each))
            found = spread(values)
            few = "" if found.num == len(group.runs) else f", {found.num} of them"
            cells[figure, group.name] = found.text + few
    return [
        [figure, *(cells.get((figure, group.name), "") for group in of), unit.partition(", ")[0]]
        for figure, unit in units.items()
    ]


def _difference(folders: Sequence[RunFolder]) -> str:
    """The first setting in which the first two runs differ, to say why they are no group."""
    if len(folders) < 2:
        return ""
    first, second = ({"experiment": folder.kind, **dict(flat(folder.manifest["config"]))} for folder in folders[:2])
    for name in dict.fromkeys((*first, *second)):
        if name not in ("seed", *Settings.at_hand) and first.get(name) != second.get(name):
            return f", of which the first has {name} {first.get(name)} and the second {second.get(name)}"
    return ""
