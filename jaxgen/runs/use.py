"""Using what a run has trained."""

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxgen.core import Estimate, GenerativeModel, Spec
from jaxgen.runs import described
from jaxgen.runs.belonging import belongs, built, other_experiment, same_config
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.names import home_of
from jaxgen.runs.outside import Source
from jaxgen.runs.settings import EVALUATE, Experiment, Settings
from jaxgen.train import Checkpoints
from jaxgen.train.progress import activity


def load(path: Path | str, *, best: bool = False, experiment: Source | None = None) -> tuple[Experiment, Settings, Any]:
    """A run's experiment, with its data, its config and its state. Where the data are not needed: `load_model`.

    Args:
        path: The run's folder.
        best: Take the best checkpoint on the validation split instead of the last.
        experiment: Experiment outside jaxgen that the run is of: its file, the name of its module, or its Config.

    Raises:
        FileNotFoundError: There is no run, no checkpoint yet, or no data where the run had them.
        ValueError: The manifest is damaged, or data or checkpoint are not those of the run.
    """
    folder = RunFolder(path, experiment)
    config = _config(folder)
    whole = built(folder, config)
    belongs(folder, config, fingerprint=whole.dataset.fingerprint)
    state = _state(folder, config, whole.model, whole.dataset.spec, whole.best, best)
    return whole, config, state


class Trained(NamedTuple):
    """A trained model, as far as it can be used without data.

    Attributes:
        model: The model. Its `init` may lack what the data alone can tell.
        state: Its state.
        config: Config of the run.
        spec: Description of the data.
        samples: (samples, title) -> a figure of samples.
    """

    model: GenerativeModel
    state: Any
    config: Settings
    spec: Spec
    samples: Callable[[Any, str], Any]


def load_model(path: Path | str, *, best: bool = False, experiment: Source | None = None) -> Trained:
    """A run's model and state, without its data: enough for samples.

    An experiment that cannot be built from a `Spec`, and a run of before a manifest had one, load the data after all.

    Args:
        path: The run's folder.
        best: Take the best checkpoint on the validation split instead of the last.
        experiment: Experiment outside jaxgen that the run is of: its file, the name of its module, or its Config.

    Raises:
        FileNotFoundError: There is no run, no checkpoint yet, or no data where they are needed.
        ValueError: The manifest is damaged, or the checkpoint is not of the run.
    """
    folder = RunFolder(path, experiment)
    config, tree = _config(folder), folder.data.get("spec")
    if tree is not None:
        spec = described.rebuild(tree, home_of(type(config)))
        model = config.model_for(spec)
        if model is not None:
            figure = partial(config.samples_figure, spec)
            state = _state(folder, config, model, spec, folder.manifest.get("best"), best)
            return Trained(model, state, config, spec, figure)
    whole, config, state = load(path, best=best, experiment=experiment)
    return Trained(whole.model, state, config, whole.dataset.spec, whole.samples)


def _config(folder: RunFolder) -> Settings:
    config = folder.config
    if changed := other_experiment(folder, config):
        warnings.warn(f"{changed}; what it shows may be another's", stacklevel=3)
    return config


def _state(
    folder: RunFolder, config: Settings, model: GenerativeModel, spec: Spec, metric: str | None, best: bool
) -> Any:
    """The state of the newest whole checkpoint, or of the best, if it is the run's."""
    like = described.state_of(model, spec, config)
    if not folder.checkpoints.exists():
        raise FileNotFoundError(f"the run in {folder.path} has no checkpoint yet")
    with Checkpoints(folder.checkpoints, keep=config.keep, best=metric, read_only=True) as checkpoints:
        if best and checkpoints.best_step() is None:
            raise FileNotFoundError(
                f"the run in {folder.path} has no best checkpoint: none was evaluated on a validation split"
            )
        check = partial(same_config, folder, config)
        state, meta = checkpoints.restore(like, best=best, check=check)
    belongs(folder, config, checkpoint=(int(state.step), meta))
    return jax.tree.map(jnp.asarray, state)


def evaluate(
    path: Path | str,
    *,
    split: str = "test",
    best: bool = False,
    experiment: Source | None = None,
    progress: bool = False,
) -> dict[str, Estimate]:
    """Evaluate a run's model on a whole split.

    Args:
        path: The run's folder.
        split: Name of the split.
        best: Take the best checkpoint instead of the last.
        experiment: Experiment outside jaxgen that the run is of: its file, the name of its module, or its Config.
        progress: Whether to say what is being done.

    Raises:
        ValueError: The data have no such split.
    """
    whole, config, state = load(path, best=best, experiment=experiment)
    splits = whole.dataset.splits
    if split not in splits:
        raise ValueError(f"split must be one of {', '.join(splits)}, got {split!r}")
    key = jax.random.fold_in(jax.random.key(config.seed), EVALUATE)
    with activity(f"report on the {split} split", enabled=progress):
        return dict((whole.report or whole.evaluate)(key, state.variables, splits[split]))
