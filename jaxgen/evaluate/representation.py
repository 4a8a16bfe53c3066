"""Features through which images are compared, by name and digest.

A distance between sets of images is one between their features and means nothing without them: Fréchet distances
through two networks, or through two ports of one network, do not compare. `Features` is any function of images with
the name and the digest that every result then carries.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Shaped

from jaxgen import require
from jaxgen.core import Spec
from jaxgen.data import cache as cached_arrays
from jaxgen.data import to_seen, to_unit
from jaxgen.data.space import for_metrics
from jaxgen.digest import digest, flatten
from jaxgen.evaluate.classifier import ImageClassifier, TrainedClassifier, train_classifier
from jaxgen.evaluate.sets import image_sets
from jaxgen.progress import counted

_BATCH_SIZE = 500


@dataclass(frozen=True)
class Features:
    """A function of images, under its name.

    Args:
        extract: Images [b, h, w, c], float32 in [0, 1], or real values on their scale (`jaxgen.data.to_seen`) ->
            features [b, d], one row for each image by itself.
        name: Name in tables.
        digest: Digest of all that it depends on: of a network's parameters, for instance (`jaxgen.digest`).
        bounded: Whether images must lie in [0, 1]; False where it takes all real values.

    Raises:
        ValueError: No name or no digest.
    """

    extract: Callable[[Any], Any]
    name: str
    digest: str
    bounded: bool = True

    def __post_init__(self):
        if not self.name or not self.digest:
            raise ValueError(f"features need a name and a digest, got name={self.name!r}, digest={self.digest!r}")

    def __call__(self, images: Shaped[Array | np.ndarray, "..."]) -> Float[np.ndarray, "n d"]:
        """Features of images, a batch of one size at a time (the last is filled up), float32.

        Raises:
            ValueError: Arrays that are no images, or not in [0, 1] where they must be; features that are not [n, d] or
                not finite.
        """
        (x,) = image_sets(images=images, bounded=self.bounded)
        parts = []
        for first in counted(range(0, len(x), _BATCH_SIZE), "features of images", len(x), _BATCH_SIZE):
            batch = x[first : first + _BATCH_SIZE].astype(np.float32)
            num = len(batch)
            if len(x) > _BATCH_SIZE:
                batch = np.concatenate([batch, np.repeat(batch[:1], _BATCH_SIZE - num, axis=0)])
            found = np.asarray(self.extract(batch))
            if found.ndim != 2 or len(found) != len(batch):
                raise ValueError(f"{self.name} must give features [{len(batch)}, d], got shape {found.shape}")
            parts.append(found[:num].astype(np.float32))
        features = np.concatenate(parts)
        if not np.isfinite(features).all():
            raise ValueError(f"{self.name} must give finite features, got NaN or infinity")
        return features


def classifier_features(judge: TrainedClassifier, name: str = "classifier") -> Features:
    """The last layer but one of a classifier (`train_classifier`); the digest is that of its parameters."""
    return Features(judge.features, name, digest(judge.params), judge.bounded)


def pixel_features(spec: Spec) -> Features:
    """The pixels themselves: for data without labels, or small ones. They see no shapes, only where ink is."""
    scale = for_metrics(spec).scale
    described = f"pixels of {spec.event_shape}" + ("" if scale is None else f" by {scale}")
    name = hashlib.sha256(described.encode()).hexdigest()
    return Features(lambda x: x.reshape(len(x), -1), "pixels", name, bounded=spec.levels is not None)


def trained_judge(
    dataset: Any,
    *,
    seed: int = 0,
    num_steps: int = 1000,
    network: ImageClassifier | None = None,
    cache: str | Path | None = None,
) -> TrainedClassifier:
    """The library's own classifier of a data set: trained on its training split, once, and then kept.

    Args:
        dataset: Images with labels, see `jaxgen.data.Dataset`.
        seed: Seed of its parameters and of the order of the data.
        num_steps: Training steps, see `train_classifier`.
        network: `ImageClassifier(num_classes)` unless given.
        cache: Folder in which its parameters are kept, under the data's fingerprint; None for $JAXGEN_CACHE_DIR or the
            user's cache folder.

    Raises:
        ValueError: Data without labels, or that are not images.
    """
    require.seed("seed", seed)
    require.whole(**dataset.splits)
    require.size("num_steps", num_steps)
    spec = dataset.spec
    if spec.num_classes is None or len(spec.event_shape) != 3:
        raise ValueError(
            f"a classifier needs images with labels, got {dataset.name} of shape {spec.event_shape} and "
            f"num_classes={spec.num_classes}; give features of your own, or pixel_features"
        )
    network = network or ImageClassifier(spec.num_classes)
    source = f"{name_of_seen(dataset)} {network!r} seed {seed} steps {num_steps}"
    name = f"classifier-{hashlib.sha256(source.encode()).hexdigest()[:24]}.npz"

    def learnt() -> dict[str, np.ndarray]:
        train = dataset.train
        judge = train_classifier(
            jax.random.key(seed),
            looked_at(train.x, spec),
            train.label,
            spec.num_classes,
            levels=spec.levels,
            bounded=spec.levels is not None,
            network=network,
            num_steps=num_steps,
            batch_size=min(128, len(train)),
        )
        return {path: np.asarray(leaf) for path, leaf in flatten(judge.params).items()}

    arrays = cached_arrays.cached(cached_arrays.folder(cache) / "fidelity" / name, source, learnt)
    like = jax.eval_shape(network.init, jax.random.key(0), to_unit(dataset.train.x[:1], spec))
    params = jax.tree.unflatten(jax.tree.structure(like), [arrays[path] for path in flatten(like)])
    return TrainedClassifier(params=params, network=network, spec=spec, bounded=spec.levels is not None)


def looked_at(x: Shaped[np.ndarray, "..."], spec: Spec) -> Shaped[np.ndarray, "..."]:
    """Stored images as a `TrainedClassifier` takes them: grey levels as they are stored, real values scaled."""
    return x if spec.levels is not None else np.asarray(to_seen(x, for_metrics(spec)))


def name_of_seen(dataset: Any) -> str:
    """The name of results computed from a data set: its fingerprint, and the scale that its values are seen by."""
    scale = for_metrics(dataset.spec).scale
    return dataset.fingerprint if scale is None else f"{dataset.fingerprint} by {scale}"
