"""Where a run goes on: the newest whole checkpoint that belongs to it, and what must not have changed."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from jaxgen.runs import environment
from jaxgen.runs.belonging import belongs, same_config
from jaxgen.runs.config import difference
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.settings import Settings
from jaxgen.runs.stages import stages
from jaxgen.train import Checkpoints, Window, parallel


def not_beyond(folder: RunFolder, checkpoints: Checkpoints, config: Settings) -> None:
    """Refuse to end a run before what it has reached."""
    reached = max(checkpoints.steps(), default=0)
    if config.steps < reached:
        raise ValueError(
            f"steps must be at least {reached}, which the run in {folder.path} has reached, got {config.steps}"
        )


def tell_of_changes(folder: RunFolder) -> None:
    """Warn if this is another machine than the one that the run was last trained on."""
    changes = difference(stages(folder.manifest)[-1]["environment"], environment.describe())
    if changes:
        warnings.warn(
            f"the run in {folder.path} was started elsewhere ({'; '.join(changes)}): "
            "it will not be the same to the bit",
            stacklevel=5,
        )


def state_at(
    folder: RunFolder, checkpoints: Checkpoints, like: Any, config: Settings, over: Mesh | None = None
) -> tuple[Any, Window | None]:
    """The state to go on from, of the newest whole checkpoint, and its window; None and None for the beginning.

    Checkpoints, records and frames that are later are out of the way after this.

    Args:
        folder: The run.
        checkpoints: Its checkpoints.
        like: Shapes of its state.
        config: Its config.
        over: Devices to train on; the state is divided among them if the config says so, whatever devices saved it.
    """
    if not checkpoints.steps():
        folder.rewind(-1)
        return None, None

    def check(meta: dict[str, Any]) -> None:
        same_config(folder, config, meta)
        _window(meta["window"])

    try:
        state, meta = checkpoints.restore(like, check=check)
    except FileNotFoundError as error:
        warnings.warn(f"{error}; starting over", stacklevel=7)
        checkpoints.set_aside(after=-1)
        folder.rewind(-1)
        return None, None
    step = int(state.step)
    belongs(folder, config, checkpoint=(step, meta))
    checkpoints.set_aside(after=step)
    folder.rewind(step)
    if jax.process_count() > 1:  # `fit` puts it on their devices, in all processes at once
        return state, _window(meta["window"])
    if over is not None and config.shard_state:  # from the host, so that it never lies whole on one device
        return parallel.placed(state, over, shard_state=True), _window(meta["window"])
    return jax.tree.map(jnp.asarray, state), _window(meta["window"])


def followed(checkpoints: Checkpoints, like: Any, step: int) -> tuple[Any, Window]:
    """The state and the window of a step that another process goes on from, which wrote its checkpoint."""
    state, meta = checkpoints.restore(like, step)
    return state, _window(meta["window"])


def _window(saved: dict[str, Any]) -> Window:
    return Window(
        count=jnp.int32(saved["count"]),
        sums={name: jnp.float32(value) for name, value in saved["sums"].items()},
        last={name: jnp.float32(value) for name, value in saved["last"].items()},
        failed=jnp.int32(-1),
    )
