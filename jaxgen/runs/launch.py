"""Training in a run folder, from the start or from where it stopped."""

import contextlib
import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxgen import plot
from jaxgen.core import Estimate
from jaxgen.runs import hosts, outside
from jaxgen.runs.finish import finish
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.opening import Opened, opened
from jaxgen.runs.settings import EVALUATE, PICTURE, Settings
from jaxgen.runs.stages import at_hand
from jaxgen.spelling import nearest
from jaxgen.train import History, Hook, NonFiniteError, Window, digest, fit, parallel
from jaxgen.train.hosts import Processes, everyone
from jaxgen.train.profile import profiled
from jaxgen.train.program import model_of_its_own
from jaxgen.train.tensorboard import TensorBoard

EARLY = (0, 1, 2, 4, 8, 16, 32, 64)
"""Steps whose digests are kept besides the regular ones: where two runs part, they mostly part early."""


class Outcome(NamedTuple):
    """Outcome of a run.

    Attributes:
        state: The state at the end.
        history: Records of the whole run; timing of this process.
        results: Estimates by split and name; empty if a signal ended the run early.
        folder: The run's folder.
    """

    state: Any
    history: History
    results: dict[str, dict[str, Estimate]]
    folder: RunFolder


def train(
    config: Settings,
    path: Path | str,
    *,
    start: Path | str | None = None,
    accept_changed: bool = False,
    profile: bool = False,
    progress: bool = True,
) -> Outcome:
    """Train an experiment in a folder; if the folder holds a run with this config, go on with it.

    A run may go on with other fields of `config.at_hand`, for another number of steps, and on data that have moved; the
    manifest keeps what trained which steps.

    After `jax.distributed.initialize`, every process calls this with the same arguments. They train on all their
    devices; the first one alone writes the folder, which all must see, and draws and evaluates. What fails in one of
    them ends the run in all, see `jaxgen.train.hosts`.

    Args:
        config: An experiment's config.
        path: The folder.
        start: Folder of another run, from whose last state a new one starts; see `jaxgen.runs.start`.
        accept_changed: Go on though the text of an experiment outside jaxgen has changed since.
        profile: Whether to write a trace of some steps into profile/ of the folder, see `jaxgen.train.profile`.
        progress: Whether to show progress.

    Raises:
        ValueError: The folder holds a run with another config or of another text of its experiment, the config does not
            fit the data, a step, a picture or the report would fail (which is found out before there is a folder),
            `steps` is less than the run has reached, or the run to start from is of another model.
        OSError: The folder cannot be written, is full, in use, or holds something else.
        NonFiniteError: A metric became NaN or infinite.
        HostError: Another process of the run has failed or ended.
    """
    processes = everyone()
    progress = progress and processes.leads
    with processes.agreeing():
        config = hosts.on_all_devices(config, processes)
        with opened(config, path, start, accept_changed, progress, processes) as run:
            return _train(run, profile, progress, processes)


def resume(
    path: Path | str,
    *,
    experiment: outside.Source | None = None,
    accept_changed: bool = False,
    progress: bool = True,
    **changes: Any,
) -> Outcome:
    """Go on with the run in a folder, as its manifest describes it; a finished run is returned as it is.

    Args:
        path: The run's folder.
        experiment: Experiment outside jaxgen that the run is of: its file, the name of its module, or its Config.
        accept_changed: Go on though the text of an experiment outside jaxgen has changed since.
        progress: Whether to show progress.
        changes: Fields of the config that are another from now on, as far as they may be, see `train`: `steps=2000`. On
            a machine with fewer devices than the run had, those that there are will be used, with a warning.

    Raises:
        FileNotFoundError: There is no run, or no data where they were.
        ValueError: The manifest is damaged, its config is not that of the checkpoints, or a field may not change.
    """
    processes = everyone()
    with processes.agreeing():
        hosts.begun(processes, path)
        config = _changed(RunFolder(path, experiment).config, changes)
    return train(config, path, accept_changed=accept_changed, progress=progress)


def _changed(config: Settings, changes: dict[str, Any]) -> Settings:
    known = [field.name for field in dataclasses.fields(config)]
    for name in changes:
        if name not in known:
            raise ValueError(f"{type(config).__qualname__} has no field {name!r}; {nearest(name, known)}")
    config = dataclasses.replace(config, **changes)
    return config if "devices" in changes else at_hand(config)


def _train(run: Opened, profile: bool, progress: bool, processes: Processes) -> Outcome:
    experiment, config, folder, checkpoints, state, window, batches, mesh = run
    root = jax.random.key(config.seed)
    model, dataset = experiment.model, experiment.dataset
    # A finished run is returned as it is: nothing is computed or written again.
    first = 0 if state is None else int(state.step)
    finished = processes.first(lambda: first == config.steps == folder.manifest.get("finished"))
    tensorboard = TensorBoard(folder.path, first=first)

    key_evaluate = jax.random.fold_in(root, EVALUATE)

    def note_digest(step: int, state: Any, window: Window) -> None:
        known, new = folder.manifest["digests"].get(str(step)), digest(state)
        if known not in (None, new):
            warnings.warn(f"step {step} of {folder.path} is not the same to the bit as the first time", stacklevel=2)
        folder.update(digests={**folder.manifest["digests"], str(step): new})

    def measured(step: int, state: Any, window: Window) -> dict[str, float] | None:
        if str(step) in folder.manifest["digests"]:  # of the first time, where a signal asks for it this time
            note_digest(step, state, window)
        regular = step > 0 and (step % config.checkpoint_every == 0 or step == config.steps)
        # Not where a signal asked for the checkpoint: it wants to be quick, and the records stay the same.
        if not regular or experiment.best is None or dataset.valid is None:
            return None
        values = experiment.evaluate(key_evaluate, state.variables, dataset.valid)
        record = {"step": step, **{f"valid/{name}": v.value for name, v in values.items()}}
        folder.append(record)
        tensorboard.write(record)
        return {experiment.best: values[experiment.best].value}

    def save(step: int, state: Any, window: Window) -> None:
        if processes.first(lambda: step in checkpoints.steps()):
            return
        seen = parallel.gathered(processes.own(state))
        found = processes.first(lambda: measured(step, seen, window))
        meta = {
            "config": config.described(),
            "window": {
                "count": int(window.count),
                "sums": {name: float(value) for name, value in window.sums.items()},
                "last": {name: float(value) for name, value in window.last.items()},
            },
        }
        checkpoints.save(step, state, meta, found)

    def picture(step: int, state: Any, window: Window | None) -> None:
        key, state = jax.random.fold_in(root, PICTURE), parallel.gathered(state)
        plot.save(experiment.picture(key, state), folder.pictures / f"step_{step:08d}.png")
        if experiment.film is not None:
            folder.add_frame(step, np.asarray(model.sample(key, state.variables, experiment.film_samples)))

    def by_first(call: Callable[[int, Any, Window], None]) -> Callable[[int, Any, Window], None]:
        def called(step: int, state: Any, window: Window) -> None:
            own = processes.own(state)  # in all: it may have to be brought together
            if processes.leads:
                call(step, own, window)

        return called

    pictures = Hook(picture, every=config.picture_every, steps=(0,) if config.picture_every else (), at_end=False)
    if state is not None and int(state.step) > 0 and pictures.due(step := int(state.step)):
        # The run may have been killed between this checkpoint and its picture.
        has_picture = (folder.pictures / f"step_{step:08d}.png").exists()
        if processes.leads and (not has_picture or (experiment.film is not None and not folder.has_frame(step))):
            picture(step, state, window)
    hooks = [
        # The digest comes first: a run that is killed in between has then no checkpoint without its digest.
        Hook(by_first(note_digest), every=config.checkpoint_every, steps=(*EARLY, config.steps), at_end=False),
        Hook(save, every=config.checkpoint_every),
        pictures._replace(call=by_first(picture)),
    ]
    try:
        with model_of_its_own(), contextlib.ExitStack() as stack:
            if profile:
                own = "" if processes.leads else f"process_{processes.index}"
                trace = stack.enter_context(profiled(folder.path / "profile" / own, first, config.steps))
                hooks = [trace.before, *hooks, trace.after]
            state, history = fit(
                model,
                batches,
                root,
                config.steps,
                state=state,
                window=window,
                hooks=hooks,
                loggers=[folder.append, tensorboard.write] if processes.leads else [],
                log_every=config.log_every,
                mesh=mesh,
                shard_state=config.shard_state,
                progress=progress,
            )
    except NonFiniteError as error:
        checkpoints.wait()
        steps = checkpoints.steps()
        last = f"the last good checkpoint is that of step {steps[-1]}" if steps else "there is no checkpoint yet"
        raise NonFiniteError(error.step, error.metric, error.value, f"; {last} ({folder.path})") from None
    finally:
        tensorboard.close()
    checkpoints.wait()
    history.records = folder.records()
    if history.interrupted:
        return Outcome(processes.own(state), history, {}, folder)

    seen = parallel.gathered(processes.own(state))
    results = hosts.results(
        processes,
        lambda: finish(folder, config, experiment, seen, history, finished=finished, progress=progress),
    )
    return Outcome(state if processes.count == 1 else seen, history, results, folder)
