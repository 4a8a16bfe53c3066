"""Fidelity of what runs have trained: samples drawn through the contract, looked at through the same features."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from jaxgen import evaluate, require
from jaxgen.data import space
from jaxgen.runs.belonging import belongs, built
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.outside import Source
from jaxgen.runs.use import load
from jaxgen.train.progress import activity


class Judged(NamedTuple):
    """A run's samples and what they came to.

    Attributes:
        folder: The run.
        step: Step of the state that was sampled.
        samples: Images in [0, 1], or real values on the scale that they are seen on.
        fidelity: Metrics of the samples.
        sampling: Further options that `sample` was called with; see `Experiment`.
    """

    folder: RunFolder
    step: int
    samples: Float[np.ndarray, "n h w c"]
    fidelity: evaluate.Fidelity
    sampling: Mapping[str, Any]


def same_data(paths: list[Path]) -> str:
    """The fingerprint of the data of all these runs.

    Raises:
        FileNotFoundError: There is no run.
        ValueError: The runs are on different data.
    """
    described = [RunFolder(path).data for path in paths]
    for path, data in zip(paths, described, strict=True):
        if data["fingerprint"] != described[0]["fingerprint"]:
            raise ValueError(
                f"runs compare only on the same data: {paths[0]} is on {described[0]['name']} "
                f"({described[0]['fingerprint'][:12]}), {path} on {data['name']} ({data['fingerprint'][:12]})"
            )
    return described[0]["fingerprint"]


def reference(
    path: Path,
    num: int | None = None,
    *,
    split: str = "test",
    features: evaluate.Features | None = None,
    experiment: Source | None = None,
    progress: bool = False,
) -> evaluate.Reference:
    """Real images to compare with the samples of a run, and of all other runs on the same data.

    Args:
        path: The run's folder.
        num: Number of samples and of references, see `evaluate.reference`.
        split: Split that the references are from.
        features: Features in which images are compared. None for the library's own classifier, trained on the training
            split at the first call and then kept; for data without labels, which have no classifier, the pixels.
        experiment: Experiment outside jaxgen that the run is of: its file, the name of its module, or its Config.
        progress: Whether to say what is being done.

    Raises:
        FileNotFoundError: There is no run.
        ValueError: Data that are no images, or that have changed since the run.
    """
    folder = RunFolder(path, experiment)
    config = folder.config
    dataset = built(folder, config).dataset
    spec = dataset.spec
    belongs(folder, config, fingerprint=dataset.fingerprint)
    if len(spec.event_shape) != 3:
        raise ValueError(f"fidelity is of images [height, width, channels], {dataset.name} has {spec.event_shape}")
    evaluate.checked_num(dataset, num, split)  # before the classifier is trained
    with activity("features of the real images", enabled=progress):
        judge = None if spec.num_classes is None else evaluate.trained_judge(dataset)
        if features is None:
            features = evaluate.pixel_features(spec) if judge is None else evaluate.classifier_features(judge)
        return evaluate.reference(dataset, features, judge=judge, num=num, split=split)


def judged(
    path: Path, real: evaluate.Reference, *, seed: int = 0, best: bool = False, experiment: Source | None = None
) -> Judged:
    """Draw a run's samples and measure them.

    A model that takes labels is given those of evenly spaced training images: the labels have the data's shares.

    Args:
        path: The run's folder.
        real: Real images to compare its samples with.
        seed: Seed of the draws, and of the random choices in the metrics.
        best: Take the best checkpoint instead of the last.
        experiment: Experiment outside jaxgen that the run is of: its file, the name of its module, or its Config.
    """
    whole, _, state = load(path, best=best, experiment=experiment)
    model, variables = whole.model, state.variables
    num = len(real.real.images)
    train = whole.dataset.train
    label = None
    if train.label is not None and evaluate.takes_labels(model, variables):
        label = train.label[np.linspace(0, len(train) - 1, num).astype(int)]
    x = evaluate.samples(model, jax.random.key(seed), variables, num, label=label, **whole.sampling)
    fidelity = evaluate.fidelity(x, real, seed=seed, label=label)
    shown = np.asarray(space.seen(x, space.for_metrics(real.dataset.spec)))
    return Judged(RunFolder(path), int(state.step), shown, fidelity, whole.sampling)


def fidelity(
    path: Path | str,
    num: int | None = None,
    *,
    seed: int = 0,
    best: bool = False,
    split: str = "test",
    features: evaluate.Features | None = None,
    experiment: Source | None = None,
    progress: bool = False,
) -> evaluate.Fidelity:
    """All metrics of a run's samples beside real images; few samples warn.

    Args:
        path: The run's folder.
        num: Number of samples; None for as many as there are references, 10,000 at most.
        seed: Seed of the draws, and of the random choices in the metrics.
        best: Take the best checkpoint instead of the last.
        split: Split that the references are from.
        features: `evaluate.Features`; None for the library's own classifier, or pixels where there are no labels.
        experiment: Experiment outside jaxgen that the run is of: its file, the name of its module, or its Config.
        progress: Whether to say what is being done.

    Raises:
        FileNotFoundError: There is no run, or no checkpoint yet.
        ValueError: Data that are no images, or more samples than there are references.
    """
    require.seed("seed", seed)
    real = reference(Path(path), num, split=split, features=features, experiment=experiment, progress=progress)
    with activity(f"samples beside the {split} split", enabled=progress):
        return judged(Path(path), real, seed=seed, best=best, experiment=experiment).fidelity
