"""The real images that samples are compared with, and those that take the samples' place for the floor.

From one split come the references, from the others, as far as they go those that nothing was trained on, as many
images that share none with them. What is computed of both (features, moments, and the numbers of the floor) is kept on
disk under the data's fingerprint, the features' digest and the choice of images.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from jaxgen import require
from jaxgen.data import cache as cached_arrays
from jaxgen.data import to_seen
from jaxgen.data.space import for_metrics
from jaxgen.evaluate.classifier import TrainedClassifier
from jaxgen.evaluate.moments import Moments, moments
from jaxgen.evaluate.representation import Features, name_of_seen
from jaxgen.evaluate.score import Conditions

MOST = 10_000
"""How many images are taken at most unless more are asked for. Fewer are warned of."""


@dataclass(frozen=True, eq=False)
class RealImages:
    """Images of the data set, seen through features.

    Attributes:
        name: Name, such as "mnist test".
        images: Images in [0, 1], or real values on their scale.
        label: Classes of the images, None without.
        features: Features of the images, [n, d].
        moments: Moments of the features.
    """

    name: str
    images: Float[np.ndarray, "n h w c"]
    label: Int[np.ndarray, " n"] | None
    features: Float[np.ndarray, "n d"]
    moments: Moments


@dataclass(frozen=True, eq=False)
class Reference:
    """All that `fidelity` compares samples with; made by `reference`.

    Attributes:
        dataset: The data.
        features: Features in which images are compared.
        judge: Classifier for the histogram of classes, None for no histogram.
        real: The references.
        floor: As many other real images.
        train: All training images, likewise.
        held_out: Images that no model was trained on: the references, or those of the floor if the references are
            training images.
        cache: Folder in which results are kept.
    """

    dataset: Any
    features: Features
    judge: TrainedClassifier | None
    real: RealImages
    floor: RealImages
    train: Float[np.ndarray, "n h w c"]
    held_out: Float[np.ndarray, "m h w c"]
    cache: Path = field(repr=False)

    def conditions(self, seed: int) -> Conditions:
        """Under what numbers of this reference are measured."""
        return Conditions(
            num=len(self.real.images),
            reference=self.real.name,
            floor_of=self.floor.name,
            fingerprint=self.dataset.fingerprint,
            features=self.features.name,
            digest=self.features.digest,
            seed=seed,
        )

    def kept(self, what: str, found: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
        """Results for this reference by the name `what`: kept ones, or those that `found` computes now."""
        of_sets = f"{self.real.name}, {self.floor.name}, {len(self.real.images)}"
        return _kept(self.cache, f"{name_of_seen(self.dataset)} {self.features.digest} {of_sets} {what}", found)


def largest_num(dataset: Any, split: str = "test") -> int:
    """How many references a split can give with as many other images for the floor."""
    if split not in dataset.splits:
        raise ValueError(f"split must be one of {', '.join(dataset.splits)}, got {split!r}")
    others = sum(len(other) for name, other in dataset.splits.items() if name != split)
    return min(len(dataset.splits[split]), others)


def checked_num(dataset: Any, num: int | None, split: str = "test") -> int:
    """How many references a split gives, if it can: to be asked before anything is trained to look at them.

    Raises:
        ValueError: A split that is not there, or a number that is no integer, below 4 or more than there are.
    """
    most = largest_num(dataset, split)
    number = require.integer("num", min(most, MOST) if num is None else num)
    if not 4 <= number <= most:
        raise ValueError(
            f"num must lie in 4..{most}, so that there are as many images of {dataset.name} {split} and as many others "
            f"for the floor, got {num if num is not None else number}"
        )
    return number


def reference(
    dataset: Any,
    features: Features,
    *,
    judge: TrainedClassifier | None = None,
    num: int | None = None,
    split: str = "test",
    cache: str | Path | None = None,
) -> Reference:
    """Real images to compare with, and their features.

    Args:
        dataset: Images, see `jaxgen.data.Dataset`.
        features: Features in which images are compared.
        judge: Classifier for the histogram of classes.
        num: Number of references; None for as many as there are, 10,000 at most.
        split: Split that they are from: "test" compares with images that no model has seen; "train" is the custom of
            published Fréchet distances, and lets a model that copies look its best.
        cache: Folder in which results are kept; None for $JAXGEN_CACHE_DIR or the user's cache folder.

    Raises:
        ValueError: A split that is not there, data that are no images, or not in [0, 1] where the features need it, or
            more images than there are.
    """
    require.whole(**dataset.splits)
    num = checked_num(dataset, num, split)
    folder = cached_arrays.folder(cache) / "fidelity"
    # Those that no model was trained on come first.
    others = sorted((name for name in dataset.splits if name != split), key=("test", "valid", "train").index)
    chosen, left = [], num
    for name in others:
        rows = min(left, len(dataset.splits[name]))
        if rows:
            chosen.append((name, rows))
        left -= rows
    real, floor = (_images(dataset, features, parts, folder) for parts in ([(split, num)], chosen))
    train = np.asarray(to_seen(dataset.train.x, for_metrics(dataset.spec)))
    return Reference(
        dataset=dataset,
        features=features,
        judge=judge,
        real=real,
        floor=floor,
        train=train,
        held_out=floor.images if split == "train" else real.images,
        cache=folder,
    )


def _images(dataset: Any, features: Features, parts: list[tuple[str, int]], folder: Path) -> RealImages:
    """So many images of each of some splits, evenly spaced: the order of a split may mean something."""
    picked = [dataset.splits[name] for name, _ in parts]
    rows = [np.linspace(0, len(split) - 1, count).astype(int) for split, (_, count) in zip(picked, parts, strict=True)]
    images = np.concatenate(
        [
            np.asarray(to_seen(split.x[some], for_metrics(dataset.spec)))
            for split, some in zip(picked, rows, strict=True)
        ]
    )
    labels = [split.label[some] for split, some in zip(picked, rows, strict=True) if split.label is not None]

    def found() -> dict[str, np.ndarray]:
        values = features(images)
        _, mean, scatter = moments(values)
        return {"features": values, "mean": mean, "scatter": scatter}

    kept = _kept(folder, f"{name_of_seen(dataset)} {features.digest} {parts}", found)
    whole = [
        name if len(split) == count else f"{name}[{count}]" for split, (name, count) in zip(picked, parts, strict=True)
    ]
    return RealImages(
        name=f"{dataset.name} {' + '.join(whole)}",
        images=images,
        label=np.concatenate(labels) if labels else None,
        features=kept["features"],
        moments=Moments(len(images), kept["mean"], kept["scatter"]),
    )


def _kept(folder: Path, source: str, found: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return cached_arrays.cached(folder / f"{hashlib.sha256(source.encode()).hexdigest()[:24]}.npz", source, found)
