"""Starting a new run from the state of another: other settings, but not from the beginning.

The new run counts its steps from 0. Parameters, their averages and running statistics are those of the other run; the
optimizer, whose settings may be others, begins anew. The state is kept in the new run's folder (`start/`), so that
the run can be started over and verified when the other one is gone.
"""

import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen.core import Batch, GenerativeModel, PRNGKey
from jaxgen.digest import digest, flatten
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.names import home_of
from jaxgen.runs.settings import Settings
from jaxgen.runs.use import Trained, load_model
from jaxgen.train import Checkpoints
from jaxgen.train.fit import INIT

_ANEW = ("step", "opt_state")
"""Parts of a state, at any depth, that a new run begins with as always."""

_LEARNED = ("params", "variables", "ema_params", "ema_variables")
"""Parts that are taken over."""


def adopted(fresh: Any, other: Any) -> Any:
    """A fresh state with what another has learned.

    Args:
        fresh: State of the new run's model, as `init` makes it.
        other: State of another run.

    Raises:
        ValueError: The other state has other parameters, averages or running statistics.
    """
    mine, theirs = flatten(fresh), flatten(other)
    taken = [path for path in mine if learned(path)]
    foreign = [path for path in theirs if learned(path) and path not in mine]
    for path in [*taken, *foreign]:
        expected, got = (
            "absent" if path not in leaves else f"{leaves[path].dtype}{list(leaves[path].shape)}"
            for leaves in (mine, theirs)
        )
        if expected != got:
            raise ValueError(f"the state to start from must be of the same model: {path} is {got}, expected {expected}")
    leaves = [jnp.array(theirs[path]) if path in taken else leaf for path, leaf in mine.items()]
    return jax.tree.unflatten(jax.tree.structure(fresh), leaves)


def other(path: Path | str, config: Settings) -> Trained:
    """The run that a new one starts from; one of an experiment outside jaxgen is of the new run's.

    Args:
        path: Folder of the other run.
        config: Config of the new run.

    Raises:
        ValueError: The new run is of jaxgen's own experiments, and the other one is not.
    """
    own = "experiment" in RunFolder(path).manifest
    if own and home_of(type(config)) is None:
        raise ValueError(f"start must be a run of an experiment of jaxgen's own, got {path}, whose is outside jaxgen")
    return load_model(path, experiment=type(config) if own else None)


def described(path: Path, state: Any) -> dict[str, Any]:
    """The entry of a manifest about the run that another was started from.

    Args:
        path: Folder of the other run.
        state: Its state.
    """
    return {"run": _place(path), "step": int(state.step), "digest": digest(state)}


def same(folder: RunFolder, start: Path | str | None) -> None:
    """Raise unless a run that is gone on with started from this other run.

    Args:
        folder: The run.
        start: Folder of the other run; None where nothing is said.

    Raises:
        ValueError: The run started from nothing, or from another run.
    """
    kept = folder.manifest.get("start")
    if start is not None and (kept is None or kept["run"] != _place(Path(start))):
        came = "from the beginning" if kept is None else f"from {kept['run']}"
        raise ValueError(f"start must be left out or the same, got {start}: the run in {folder.path} started {came}")


def first_state(
    folder: RunFolder, config: Settings, model: GenerativeModel, root: PRNGKey, batch: Batch, first: Any = None
) -> Any:
    """The state that a run starts from, kept in its folder; made and kept there if it was not yet.

    Args:
        folder: The run.
        config: Its config.
        model: Its model.
        root: Key of its randomness.
        batch: Its first batch.
        first: The state, where it is known.

    Raises:
        FileNotFoundError: The state is not kept, and the run that it came from is gone.
        ValueError: The run that it came from has gone on since, or the state that is kept is not the one that this run
            started from.
    """
    like = jax.eval_shape(model.init, root, batch)
    with Checkpoints(folder.path / "start", keep=1) as checkpoints:
        if 0 not in checkpoints.steps():
            if first is None:  # the run was killed when it had just been made
                origin = folder.manifest["start"]
                state = other(origin["run"], config).state
                if digest(state) != origin["digest"]:
                    raise ValueError(
                        f"the run in {origin['run']} is no longer at step {origin['step']}, from which that in "
                        f"{folder.path} was to start; start a new one"
                    )
                first = adopted(model.init(jax.random.fold_in(root, INIT), batch), state)
            checkpoints.save(0, first, {})
    return kept(folder, like)


def kept(folder: RunFolder, like: Any) -> Any:
    """The state in a run's folder that it started from; None for a run that started from the beginning.

    Args:
        folder: The run.
        like: `jax.eval_shape` of its state.

    Raises:
        FileNotFoundError: It is damaged or gone.
        ValueError: It is of another model, or not the one that the run started from.
    """
    if folder.manifest.get("start") is None:
        return None
    with Checkpoints(folder.path / "start", keep=1, read_only=True) as checkpoints:
        state, _ = checkpoints.restore(like, 0)
    found = digest(state)
    if found != folder.manifest["digests"].get("0", found):
        raise ValueError(f"{folder.path / 'start'} is not the state that the run in {folder.path} started from")
    return jax.tree.map(jnp.asarray, state)


def _place(path: Path) -> str:
    return os.path.abspath(path.expanduser())  # noqa: PTH100 (links are not followed)


def learned(path: str) -> bool:
    """Whether a leaf of a state is something learned, neither a counter nor an optimizer's memory.

    Args:
        path: Path of the leaf, as `jaxgen.digest.flatten` has it.
    """
    # A network may have parameters called "step": the first of these names decides.
    names = (name for name in path.split("/") if name in (*_ANEW, *_LEARNED))
    return next(names, "") not in _ANEW
