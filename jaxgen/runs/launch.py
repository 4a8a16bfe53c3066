"""Training in a run folder, from the start or from where it stopped."""

import contextlib
import dataclasses
import errno
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxgen import plot
from jaxgen.atomic import disk_is_full
from jaxgen.core import Estimate
from jaxgen.runs import continuing, described, environment, outside
from jaxgen.runs import start as starting
from jaxgen.runs.belonging import belongs, built, same_experiment
from jaxgen.runs.finish import finish
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.names import home_of
from jaxgen.runs.place import enough_space, lock, may_be_a_run
from jaxgen.runs.rehearse import rehearsed
from jaxgen.runs.settings import EVALUATE, PICTURE, Experiment, Settings
from jaxgen.runs.stages import at_hand, go_on
from jaxgen.spelling import nearest
from jaxgen.train import Checkpoints, History, Hook, NonFiniteError, Window, digest, fit, parallel
from jaxgen.train.fit import INIT
from jaxgen.train.profile import profiled
from jaxgen.train.program import model_of_its_own
from jaxgen.train.progress import activity
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
    """
    may_be_a_run(path)
    config = config.located()
    asked = config.described()  # what cannot be kept is refused before there is a folder
    begun = (Path(path) / "manifest.json").exists()
    if begun:
        same_experiment(RunFolder(path), config, accept_changed, "resume")
    experiment = built(RunFolder(path), config) if begun else config.build()
    root = jax.random.key(config.seed)
    train_split = experiment.dataset.train
    batch_size = config.batch_size_for(len(train_split))
    batches = train_split.batches(seed=config.seed, batch_size=batch_size)
    mesh = parallel.mesh(config.devices) if config.devices > 1 else None
    if batch_size % config.devices:
        raise ValueError(f"batch_size must be a multiple of devices={config.devices}, got {batch_size}")
    like = jax.eval_shape(experiment.model.init, root, batches(0))
    dataset = experiment.dataset
    spec = described.describe(dataset.spec, home_of(type(config)))
    data = {"name": dataset.name, "fingerprint": dataset.fingerprint, "spec": spec}
    first, origin = None, None
    if start is not None and not begun:
        other = starting.other(start, config)
        origin = starting.described(Path(start), other.state)
        fresh = experiment.model.init(jax.random.fold_in(root, INIT), batches(0))
        first = starting.adopted(fresh, other.state)
    if not begun:  # before there is a folder, and before hours of training
        with activity("rehearsal of the pictures and the report", enabled=progress):
            rehearsed(experiment, root, like, batches(0))
    size = sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(like))

    def require_space(checkpoints: int) -> None:
        # The latest, the best, one more while it is being written, and 16 MiB for all else.
        enough_space(path, max(config.keep + 3 - checkpoints, 2) * size + 2**24)

    with lock(path):
        started = (Path(path) / "manifest.json").exists()
        if started:
            folder = RunFolder(path)
            same_experiment(folder, config, accept_changed, "resume")
            belongs(folder, config, fingerprint=experiment.dataset.fingerprint)
            starting.same(folder, start)
            continuing.tell_of_changes(folder)
            if folder.manifest["data"].get("spec") is None:  # a run of before manifests had it
                folder.update(data=data, best=experiment.best)
        else:
            require_space(checkpoints=0)
            own = outside.entry_of(type(config))
            folder = RunFolder.create(
                path,
                {
                    "config": asked,
                    **({} if own is None else {"experiment": own}),
                    "environment": environment.describe(),
                    "data": data,
                    "best": experiment.best,
                    "digests": {},
                    "results": {},
                    **({} if origin is None else {"start": origin}),
                },
            )
        try:
            with Checkpoints(folder.checkpoints, keep=config.keep, best=experiment.best) as checkpoints:
                continuing.not_beyond(folder, checkpoints, config)
                state, window = continuing.state_at(folder, checkpoints, like, config, mesh)
                if started:
                    go_on(folder, config, 0 if state is None else int(state.step))
                if started and (state is None or int(state.step) < config.steps):
                    require_space(len(checkpoints.steps()))
                if state is None and "start" in folder.manifest:
                    state = starting.first_state(folder, config, experiment.model, root, batches(0), first)
                return _train(experiment, config, folder, checkpoints, state, window, batches, mesh, profile, progress)
        except Exception as error:
            if not disk_is_full(error):
                raise
            message = f"no space left for the run in {path}; make some, then resume it: nothing saved is lost"
            raise OSError(errno.ENOSPC, message) from error


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
    config = RunFolder(path, experiment).config
    known = [field.name for field in dataclasses.fields(config)]
    for name in changes:
        if name not in known:
            raise ValueError(f"{type(config).__qualname__} has no field {name!r}; {nearest(name, known)}")
    config = dataclasses.replace(config, **changes)
    config = config if "devices" in changes else at_hand(config)
    return train(config, path, accept_changed=accept_changed, progress=progress)


def _train(
    experiment: Experiment,
    config: Settings,
    folder: RunFolder,
    checkpoints: Checkpoints,
    state: Any,
    window: Window | None,
    batches: Any,
    mesh: Any,
    profile: bool,
    progress: bool,
) -> Outcome:
    root = jax.random.key(config.seed)
    model, dataset = experiment.model, experiment.dataset
    # A finished run is returned as it is: nothing is computed or written again.
    finished = state is not None and int(state.step) == config.steps == folder.manifest.get("finished")
    first = 0 if state is None else int(state.step)
    tensorboard = TensorBoard(folder.path, first=first)

    key_evaluate = jax.random.fold_in(root, EVALUATE)

    def note_digest(step: int, state: Any, window: Window) -> None:
        known, new = folder.manifest["digests"].get(str(step)), digest(state)
        if known not in (None, new):
            warnings.warn(f"step {step} of {folder.path} is not the same to the bit as the first time", stacklevel=2)
        folder.update(digests={**folder.manifest["digests"], str(step): new})

    def save(step: int, state: Any, window: Window) -> None:
        if step in checkpoints.steps():
            return
        if str(step) in folder.manifest["digests"]:  # of the first time, where a signal asks for it this time
            note_digest(step, state, window)
        measured = None
        regular = step > 0 and (step % config.checkpoint_every == 0 or step == config.steps)
        # Not where a signal asked for the checkpoint: it wants to be quick, and the records stay the same.
        if regular and experiment.best is not None and dataset.valid is not None:
            values = experiment.evaluate(key_evaluate, parallel.gathered(state).variables, dataset.valid)
            measured = {experiment.best: values[experiment.best].value}
            record = {"step": step, **{f"valid/{name}": v.value for name, v in values.items()}}
            folder.append(record)
            tensorboard.write(record)
        meta = {
            "config": config.described(),
            "window": {
                "count": int(window.count),
                "sums": {name: float(value) for name, value in window.sums.items()},
                "last": {name: float(value) for name, value in window.last.items()},
            },
        }
        checkpoints.save(step, state, meta, measured)

    def picture(step: int, state: Any, window: Window | None) -> None:
        key, state = jax.random.fold_in(root, PICTURE), parallel.gathered(state)
        plot.save(experiment.picture(key, state), folder.pictures / f"step_{step:08d}.png")
        if experiment.film is not None:
            folder.add_frame(step, np.asarray(model.sample(key, state.variables, experiment.film_samples)))

    pictures = Hook(picture, every=config.picture_every, steps=(0,) if config.picture_every else (), at_end=False)
    if state is not None and int(state.step) > 0 and pictures.due(step := int(state.step)):
        # The run may have been killed between this checkpoint and its picture.
        has_picture = (folder.pictures / f"step_{step:08d}.png").exists()
        if not has_picture or (experiment.film is not None and not folder.has_frame(step)):
            picture(step, state, window)
    hooks = [
        # The digest comes first: a run that is killed in between has then no checkpoint without its digest.
        Hook(note_digest, every=config.checkpoint_every, steps=(*EARLY, config.steps), at_end=False),
        Hook(save, every=config.checkpoint_every),
        pictures,
    ]
    try:
        with model_of_its_own(), contextlib.ExitStack() as stack:
            if profile:
                trace = stack.enter_context(profiled(folder.path / "profile", first, config.steps))
                hooks = [trace.before, *hooks, trace.after]
            state, history = fit(
                model,
                batches,
                root,
                config.steps,
                state=state,
                window=window,
                hooks=hooks,
                loggers=[folder.append, tensorboard.write],
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
        return Outcome(state, history, {}, folder)

    seen = parallel.gathered(state)
    results = finish(folder, config, experiment, seen, history, finished=finished, progress=progress)
    return Outcome(state, history, results, folder)
