"""The end of a run, after its last step: report, pictures, and the mark that it is finished."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

from jaxgen import plot
from jaxgen.core import Estimate
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.settings import EVALUATE, PICTURE, Experiment, Settings
from jaxgen.train import History
from jaxgen.train.progress import activity


def finish(
    folder: RunFolder,
    config: Settings,
    experiment: Experiment,
    state: Any,
    history: History,
    *,
    finished: bool,
    progress: bool,
) -> dict[str, dict[str, Estimate]]:
    """Measure and draw what a run ends with, and mark it as finished.

    Args:
        folder: The run.
        config: Its config.
        experiment: Its experiment.
        state: Its state at the end.
        history: Records of the whole run.
        finished: Whether this was done before: then only what is missing is made.
        progress: Whether to say what is being done.

    Returns:
        Estimates by split and name.
    """
    root = jax.random.key(config.seed)
    key_evaluate = jax.random.fold_in(root, EVALUATE)
    results = _kept_results(folder) if finished else None
    if results is None:
        report = experiment.report or experiment.evaluate
        splits = {
            name: experiment.dataset.splits[name] for name in ("valid", "test") if name in experiment.dataset.splits
        }
        results = {}
        for name, split in splits.items():
            with activity(f"report on the {name} split", enabled=progress):
                results[name] = dict(report(key_evaluate, state.variables, split))
        folder.update(
            results={
                split: {name: estimate._asdict() for name, estimate in values.items()}
                for split, values in results.items()
            },
            seconds={"compile": history.compile_seconds, "steps": history.run_seconds},
        )
    title = f"{Path(folder.path).name}, {config.steps} steps, seed {config.seed}"
    key_picture = jax.random.fold_in(root, PICTURE)
    draws: dict[str, Callable[[], Any]] = {
        name: functools.partial(draw, key_picture, state)
        for name, draw in {"final": experiment.picture, **experiment.pictures}.items()
    }
    film = experiment.film
    frames = folder.frames() if film is not None else {}
    if film is not None and frames:
        draws["film"] = lambda: film(frames, f"{title}: the same draws of z over the run")
    draws["curves"] = lambda: plot.curves(
        history.records,
        title=f"{title}: metrics",
        levels=experiment.levels,
        beside=experiment.beside,
        units={
            experiment.beside.get(name, name): estimate.unit.partition(";")[0]
            for values in results.values()
            for name, estimate in values.items()
        },
    )
    for name, draw in draws.items():
        if not (finished and (folder.pictures / f"{name}.png").exists()):
            with activity(f"picture: {name}", enabled=progress):
                plot.save(draw(), folder.pictures / f"{name}.png")
    if not finished:
        folder.update(finished=config.steps)
    return results


def _kept_results(folder: RunFolder) -> dict[str, dict[str, Estimate]] | None:
    """The results in the manifest; None where they cannot be read."""
    try:
        return {
            split: {name: Estimate(**entry) for name, entry in values.items()}
            for split, values in folder.manifest["results"].items()
        }
    except (KeyError, TypeError, AttributeError):
        return None
