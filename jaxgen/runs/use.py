"""Using what a run has trained."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from jaxgen import plot
from jaxgen.core import Estimate
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.launch import EVALUATE
from jaxgen.runs.settings import Experiment, Settings
from jaxgen.train import Checkpoints


def load(path: Path | str, *, best: bool = False) -> tuple[Experiment, Settings, Any]:
    """A run's experiment, config and state.

    Args:
        path: The run's folder.
        best: Take the best checkpoint on the validation split instead of the last.

    Raises:
        FileNotFoundError: There is no run, or no checkpoint yet.
        ValueError: The manifest is damaged, or the checkpoint is of another model.
    """
    folder = RunFolder(path)
    config = folder.config
    experiment = config.build()
    batches = experiment.dataset.train.batches(seed=config.seed, batch_size=config.batch_size)
    like = jax.eval_shape(experiment.model.init, jax.random.key(config.seed), batches(0))
    if not folder.checkpoints.exists():
        raise FileNotFoundError(f"the run in {path} has no checkpoint yet")
    with Checkpoints(folder.checkpoints, keep=config.keep, best=experiment.best, read_only=True) as checkpoints:
        step = checkpoints.best_step() if best else None
        if best and step is None:
            raise FileNotFoundError(
                f"the run in {path} has no best checkpoint: none was evaluated on a validation split"
            )
        state, _ = checkpoints.restore(like, step)
    return experiment, config, jax.tree.map(jnp.asarray, state)


def sample(
    path: Path | str, num: int = 64, *, seed: int = 1, first: int = 0, best: bool = False, **options: Any
) -> tuple[jax.Array, Path]:
    """Draw samples of a run's model and save their picture.

    Args:
        path: The run's folder.
        num: How many.
        seed: Seed of the draws.
        first: Number of the first sample; sample k is the same however many are drawn.
        best: Take the best checkpoint instead of the last.
        options: Further arguments of the model's `sample`.

    Returns:
        The samples and the path of the picture.

    Raises:
        ValueError: num below 1 or first below 0.
    """
    if num < 1 or first < 0:
        raise ValueError(f"num must be at least 1 and first at least 0, got num={num}, first={first}")
    experiment, _, state = load(path, best=best)
    x = experiment.model.sample(jax.random.key(seed), state, num, first=first, **options)
    title = f"{Path(path).name}: samples {first} to {first + num - 1} of seed {seed}, step {int(state.step)}"
    name = f"samples_seed{seed}_{first}_{first + num - 1}.png"
    return x, plot.save(experiment.samples(x, title), RunFolder(path).pictures / name)


def evaluate(path: Path | str, *, split: str = "test", best: bool = False) -> dict[str, Estimate]:
    """Evaluate a run's model on a whole split.

    Raises:
        ValueError: The data have no such split.
    """
    experiment, config, state = load(path, best=best)
    splits = experiment.dataset.splits
    if split not in splits:
        raise ValueError(f"split must be one of {', '.join(splits)}, got {split!r}")
    key = jax.random.fold_in(jax.random.key(config.seed), EVALUATE)
    return dict((experiment.report or experiment.evaluate)(key, state, splits[split]))
