"""Opening the folder of a run, new or begun: what is checked before the first step, and where the run goes on."""

import contextlib
import errno
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxgen.atomic import disk_is_full
from jaxgen.runs import continuing, described, environment, hosts, outside
from jaxgen.runs import start as starting
from jaxgen.runs.belonging import belongs, built, same_experiment
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.names import home_of
from jaxgen.runs.place import enough_space, lock, may_be_a_run
from jaxgen.runs.rehearse import rehearsed
from jaxgen.runs.settings import Experiment, Settings
from jaxgen.runs.stages import go_on
from jaxgen.train import Checkpoints, Window, parallel
from jaxgen.train.fit import INIT
from jaxgen.train.hosts import Processes
from jaxgen.train.progress import activity


class Opened(NamedTuple):
    """A run that can be trained on.

    Attributes:
        experiment: Its experiment.
        config: Its config, with the data where they lie.
        folder: Its folder.
        checkpoints: Its checkpoints.
        state: State to go on from; None for a new one.
        window: Metrics since the last record; None for none.
        batches: Its mini-batches.
        mesh: Devices; None for one.
    """

    experiment: Experiment
    config: Settings
    folder: RunFolder
    checkpoints: Checkpoints
    state: Any
    window: Window | None
    batches: Any
    mesh: Mesh | None


@contextlib.contextmanager
def opened(
    config: Settings,
    path: Path | str,
    start: Path | str | None,
    accept_changed: bool,
    progress: bool,
    processes: Processes,
) -> Iterator[Opened]:
    """A run in a folder, open and locked while the block runs.

    Args:
        config: Config of the run.
        path: The folder.
        start: Folder of another run, from whose last state a new one starts.
        accept_changed: Go on though the text of an experiment outside jaxgen has changed since.
        progress: Whether to say what is being done.
        processes: Processes of the run; the first one writes the folder.

    Raises:
        ValueError: As `jaxgen.runs.train`.
        OSError: The folder cannot be written, is full, in use, or holds something else.
    """
    hosts.same_program(processes, config)
    may_be_a_run(path)
    config = config.located()
    asked = config.described()  # what cannot be kept is refused before there is a folder
    begun = hosts.begun(processes, path)
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
    hosts.same_data(processes, dataset)
    spec = described.describe(dataset.spec, home_of(type(config)))
    data = {"name": dataset.name, "fingerprint": dataset.fingerprint, "spec": spec}
    first, origin = None, None
    if start is not None and not begun and processes.leads:
        other = starting.other(start, config)
        origin = starting.described(Path(start), other.state)
        fresh = experiment.model.init(jax.random.fold_in(root, INIT), batches(0))
        first = starting.adopted(fresh, other.state)
    if not begun and processes.leads:  # before there is a folder, and before hours of training
        with activity("rehearsal of the pictures and the report", enabled=progress):
            rehearsed(experiment, root, like, batches(0))
    size = sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(like))

    def require_space(checkpoints: int) -> None:
        # The latest, the best, one more while it is being written, and 16 MiB for all else.
        enough_space(path, max(config.keep + 3 - checkpoints, 2) * size + 2**24)

    def begun_or_found(started: bool) -> RunFolder:
        if not started:
            require_space(checkpoints=0)
            own = outside.entry_of(type(config))
            return RunFolder.create(
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
        folder = RunFolder(path)
        same_experiment(folder, config, accept_changed, "resume")
        belongs(folder, config, fingerprint=experiment.dataset.fingerprint)
        starting.same(folder, start)
        continuing.tell_of_changes(folder)
        if folder.manifest["data"].get("spec") is None:  # a run of before manifests had it
            folder.update(data=data, best=experiment.best)
        return folder

    with contextlib.ExitStack() as held:
        processes.together(lambda: held.enter_context(lock(path)) if processes.leads else None)
        started = processes.first(lambda: (Path(path) / "manifest.json").exists())
        folder = hosts.opened(processes, path, partial(begun_or_found, started))
        try:
            with Checkpoints(
                folder.checkpoints, keep=config.keep, best=experiment.best, processes=processes
            ) as checkpoints:

                def reached() -> tuple[Any, Window | None]:
                    continuing.not_beyond(folder, checkpoints, config)
                    state, window = continuing.state_at(folder, checkpoints, like, config, mesh)
                    if started:
                        go_on(folder, config, 0 if state is None else int(state.step))
                    if started and (state is None or int(state.step) < config.steps):
                        require_space(len(checkpoints.steps()))
                    if state is None and "start" in folder.manifest:
                        state = starting.first_state(folder, config, experiment.model, root, batches(0), first)
                    return state, window

                def followed(step: int | None) -> tuple[Any, Window | None]:
                    if step is not None and step > 0:
                        return continuing.followed(checkpoints, like, step)
                    return starting.kept(folder, like), None

                at = hosts.led(processes, reached, followed)
                yield Opened(experiment, config, folder, checkpoints, *at, batches, mesh)
        except Exception as error:
            if not disk_is_full(error):
                raise
            message = f"no space left for the run in {path}; make some, then resume it: nothing saved is lost"
            raise OSError(errno.ENOSPC, message) from error
