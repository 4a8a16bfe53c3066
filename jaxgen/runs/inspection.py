"""The content of a run's folder compared with a second training: checkpoints, records, results."""

import math
import warnings
from typing import Any

import jax
import numpy as np

from jaxgen.core import Estimate
from jaxgen.digest import flatten
from jaxgen.runs import described
from jaxgen.runs.belonging import belongs
from jaxgen.runs.config import difference
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.settings import EVALUATE, Experiment, Settings
from jaxgen.runs.start import learned
from jaxgen.train import Checkpoints, parallel
from jaxgen.train.progress import activity

_SHOWN = 3
"""Lines of one kind in a report."""


def checkpoint_digests(folder: RunFolder, config: Settings, experiment: Experiment) -> tuple[dict[int, str], list[str]]:
    """Digests of the checkpoints' states, by step, and what is wrong with them."""
    digests: dict[int, str] = {}
    wrong: list[str] = []
    if not folder.checkpoints.exists():
        return digests, wrong
    like = described.state_of(experiment.model, experiment.dataset.spec, config)
    with Checkpoints(folder.checkpoints, keep=config.keep, best=experiment.best, read_only=True) as checkpoints:
        for step in checkpoints.steps():
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # said in the report
                    state, meta = checkpoints.restore(like, step)
                if int(state.step) != step:
                    raise ValueError(f"checkpoint {step} holds the state of step {int(state.step)}")
                belongs(folder, config, checkpoint=(step, meta))
            except FileNotFoundError:
                wrong.append(f"checkpoint {step} is damaged")
            except ValueError as error:
                wrong.append(str(error))
            else:
                digests[step] = meta["digest"]
    return digests, wrong


def distance(folder: RunFolder, config: Settings, experiment: Experiment, step: int, state: Any) -> float:
    """How far a state is from that of a checkpoint: the norm of the difference over the norm, of all that was learned.

    Args:
        folder: The run.
        config: Its config.
        experiment: Its experiment.
        step: Step of a whole checkpoint.
        state: The state that training again came to at this step.
    """
    like = described.state_of(experiment.model, experiment.dataset.spec, config)
    with Checkpoints(folder.checkpoints, keep=config.keep, best=experiment.best, read_only=True) as checkpoints:
        kept, again = flatten(checkpoints.restore(like, step)[0]), flatten(state)
    paths = [path for path in kept if learned(path) and np.issubdtype(kept[path].dtype, np.floating)]
    squares = [(np.asarray(kept[p], np.float64), np.asarray(again[p], np.float64)) for p in paths]
    norm = math.sqrt(sum(float(np.sum(before**2)) for before, _ in squares))
    return math.sqrt(sum(float(np.sum((before - now) ** 2)) for before, now in squares)) / max(norm, 1e-30)


def other_records(kept: list[dict[str, Any]], records: list[dict[str, Any]], last: int) -> list[str]:
    """Differences between the records up to a step and those made again, one line each."""

    def kind(record: dict[str, Any]) -> tuple[int, bool]:
        return record["step"], any(name.startswith("valid/") for name in record)

    def timeless(record: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in record.items() if name != "steps_per_second"}

    made = {kind(record): record for record in records if record["step"] <= last}
    seen, lines = set(), []
    for record in kept:
        if record["step"] > last:
            continue
        where = f"metrics.jsonl, step {record['step']}"
        if kind(record) not in made or kind(record) in seen:
            lines.append(f"{where}: a record that training again did not make")
        else:
            lines += difference(timeless(made[kind(record)]), timeless(record), where)
        seen.add(kind(record))
    lines += [f"metrics.jsonl, step {step}: the record is missing" for step, valid in made if (step, valid) not in seen]
    return _few(lines)


def other_results(
    folder: RunFolder, config: Settings, experiment: Experiment, state: Any, progress: bool
) -> tuple[list[str], list[str]]:
    """Which results are wrong, and which were not looked at: those that only the report at the end measures."""
    wrong: list[str] = []
    passed_over: list[str] = []
    key = jax.random.fold_in(jax.random.key(config.seed), EVALUATE)
    for name, kept in folder.manifest.get("results", {}).items():
        if name not in experiment.dataset.splits:
            wrong.append(f"results: the data have no split {name!r}")
            continue
        with activity(f"results on the {name} split", enabled=progress):
            variables = parallel.gathered(state).variables
            again = experiment.evaluate(key, variables, experiment.dataset.splits[name])
        if not isinstance(kept, dict):
            wrong.append(f"results, {name}: they must be estimates by name, got {str(kept)[:40]}")
            continue
        for metric in sorted(kept.keys() & again.keys()):
            wrong += _other_estimate(f"results, {name}/{metric}", kept[metric], again[metric])
        missed = sorted(kept.keys() - again.keys())
        if missed:
            passed_over.append(f"results on the {name} split that the report at the end measures: {', '.join(missed)}")
    return _few(wrong), passed_over


def _other_estimate(where: str, kept: Any, again: Estimate) -> list[str]:
    """Differences between an estimate in a manifest and the same made again, one line each."""
    if not isinstance(kept, dict):
        return [f"{where}: it must be an estimate, got {str(kept)[:40]}"]
    lines = []
    for field, now in (("value", again.value), ("standard_error", again.standard_error)):
        before = kept.get(field)
        # The state is the same, but the program may be compiled anew: sums over examples may end in other bits.
        near = isinstance(before, int | float) and now is not None and math.isclose(before, now, rel_tol=1e-6)
        if before != now and not near:
            lines.append(f"{where}, {field}: {now!r} -> {before!r}")
    return lines


def unseen(folder: RunFolder, records: list[dict[str, Any]], last: int) -> list[str]:
    """Parts of a run's folder that are not compared, one line each."""
    lines = []
    later = sorted({record["step"] for record in records if record["step"] > last})
    if later:
        lines.append(f"records of {len(later)} steps after step {last}")
    others = [
        name for name in ("pictures", "frames", "tensorboard", "profile", "damaged") if (folder.path / name).exists()
    ]
    if others:
        lines.append(", ".join(others))
    if folder.manifest.get("start"):
        kept = folder.manifest["start"]
        lines.append(f"how the run in {kept.get('run')} came to step {kept.get('step')}, from which this one started")
    return lines


def _few(lines: list[str]) -> list[str]:
    return lines if len(lines) <= _SHOWN else [*lines[:_SHOWN], f"and {len(lines) - _SHOWN} more of these"]
