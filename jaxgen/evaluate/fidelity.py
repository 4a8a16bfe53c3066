"""Samples of any model beside real images: the numbers, each with its floor and with what it was measured under.

    judge = evaluate.trained_judge(digits)
    real = evaluate.reference(digits, evaluate.classifier_features(judge), judge=judge)
    scores = evaluate.fidelity(evaluate.samples(model, key, variables, len(real.real.images)), real)

No number of these stands by itself. A Fréchet distance depends on the features, on the number of samples and on what is
compared with what; it is not 0 for samples from the data themselves. The floor is the same number with real images in
the samples' place, from the same number of them, and a difference between two models that is small beside their
distance to the floor is none.
"""

import math
import warnings
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from jaxgen import require
from jaxgen.core import Estimate
from jaxgen.data.space import for_metrics, seen
from jaxgen.digest import digest
from jaxgen.evaluate.accuracy_score import classification_accuracy_score
from jaxgen.evaluate.classifier import class_histogram, class_kl
from jaxgen.evaluate.frechet import frechet_bias, frechet_distance
from jaxgen.evaluate.kernel_distance import kernel_distance
from jaxgen.evaluate.likelihood import estimate
from jaxgen.evaluate.manifolds import density_coverage, neighbour_memory, precision_recall
from jaxgen.evaluate.moments import moments
from jaxgen.evaluate.neighbours import nearest
from jaxgen.evaluate.reference import MOST, Reference
from jaxgen.evaluate.score import Score
from jaxgen.evaluate.sets import image_sets

NEIGHBOURS = 1000
"""Samples whose nearest training image is looked for."""

BETTER: dict[str, Literal["lower", "higher", "near"]] = {
    "frechet_distance": "lower",
    "kernel_distance": "lower",
    "precision": "higher",
    "recall": "higher",
    "density": "near",
    "coverage": "higher",
    "class_kl": "lower",
    "nearest_train": "near",
    "accuracy_score": "higher",
}
"""The metrics in the order of the table, and which way is better. The density has no best value but that of the data,
and a nearest training image that is nearer than those of held-out images is a copy, or blurred."""


class FewSamplesWarning(UserWarning):
    """Distances between few samples are mostly bias."""


class Fidelity(NamedTuple):
    """Result of `fidelity`.

    Attributes:
        scores: Score by metric, in the order of `BETTER`; some are missing without a classifier or without labels.
        histogram: Shares of the classes in the samples, None without a classifier.
        histogram_of_real: Shares of the classes in the references, by the same classifier.
        notes: Remarks on the numbers, one line each.
    """

    scores: Mapping[str, Score]
    histogram: Float[np.ndarray, " k"] | None
    histogram_of_real: Float[np.ndarray, " k"] | None
    notes: tuple[str, ...]


def fidelity(
    samples: Shaped[Array | np.ndarray, "..."],
    real: Reference,
    *,
    seed: int = 0,
    label: Int[Array | np.ndarray, " _"] | None = None,
) -> Fidelity:
    """All metrics of a set of samples.

    Fewer than 10,000 samples warn (`FewSamplesWarning`) with the expected bias of the Fréchet distance
    (`frechet_bias`).

    Args:
        samples: Images as models sample them: in [0, 1], or real values in their own units, which are then seen on the
            scale of the data. As many as the references.
        real: Real images to compare the samples with.
        seed: Seed of the subsets and halves, and of a classifier trained on the samples.
        label: Labels that the samples were drawn for, if any: the classification accuracy score needs them.

    Raises:
        ValueError: Images of another kind or number, or images that the metrics refuse.
    """
    require.seed("seed", seed)
    spec = for_metrics(real.dataset.spec)
    if spec.scale is not None:
        samples = np.asarray(seen(samples, spec))
    bounded = spec.levels is not None or real.features.bounded
    samples, _ = image_sets(samples=samples, references=real.real.images, bounded=bounded)
    num = len(real.real.images)
    if len(samples) != num:
        raise ValueError(f"samples must be as many as the references, {num}, got {len(samples)}")
    features = real.features(samples)
    values = _measured(samples, features, label, real, seed)
    bias = frechet_bias(jax.random.key(seed), features, real.real.features)
    floors = _floors(real, seed, with_labels=label is not None)
    biases = {"frechet_distance": bias, "kernel_distance": 0.0}
    histogram = histogram_of_real = None
    if real.judge is not None:
        histogram, histogram_of_real = (_shares(real, images) for images in (samples, real.real.images))
        biases["class_kl"] = (len(real.dataset.spec.labels or histogram) - 1) / num
    conditions = real.conditions(seed)
    scores = {
        name: Score(values[name], floors[name]._replace(unit=values[name].unit), better, biases.get(name), conditions)
        for name, better in BETTER.items()
        if name in values
    }
    memory = neighbour_memory(num, num, features.shape[1]) / 2**20
    notes = [f"precision, recall, density and coverage keep both sets' features: about {memory:.0f} MiB"]
    if num < MOST:
        found = scores["frechet_distance"]
        least = "at least " if num // 2 <= features.shape[1] else ""
        notes.insert(
            0,
            f"{num} samples are fewer than {MOST:,}: the Fréchet distance {found.value.value:.3g} is expected to be "
            f"{least}{bias:.2g} too large, for {features.shape[1]} features; that of real images is "
            f"{found.floor.value:.3g}. It compares only with those of {num} samples.",
        )
        warnings.warn(notes[0], FewSamplesWarning, stacklevel=2)
    if spec.scale is not None:
        notes.insert(-1, f"values are seen on their scale, {spec.scale}")
    return Fidelity(scores, histogram, histogram_of_real, tuple(notes))


def _measured(
    images: np.ndarray,
    features: np.ndarray,
    label: Any,
    real: Reference,
    seed: int,
    *,
    neighbours_of: np.ndarray | None = None,
) -> dict[str, Estimate]:
    """The metrics of one set of images in the samples' place."""
    key_subsets, key_classifier = jax.random.split(jax.random.key(seed))
    quality, variety = precision_recall(features, real.real.features)
    density, coverage = density_coverage(features, real.real.features)
    looked_at = images if neighbours_of is None else neighbours_of
    distances = nearest(looked_at[:NEIGHBOURS], real.train.astype(looked_at.dtype)).distances[:, 0]
    found = {
        "frechet_distance": Estimate(frechet_distance(moments(features), real.real.moments), None, "features²"),
        "kernel_distance": kernel_distance(key_subsets, features, real.real.features),
        "precision": _share(quality, len(features), "share of samples"),
        "recall": _share(variety, len(real.real.features), "share of data"),
        "density": Estimate(density, None, "balls, by k"),
        "coverage": _share(coverage, len(real.real.features), "share of data"),
        "nearest_train": estimate(distances, "distance in pixels"),
    }
    if real.judge is not None:
        shares = (jnp.asarray(_shares(real, some)) for some in (images, real.real.images))
        found["class_kl"] = Estimate(float(class_kl(*shares)), None, "nats")
    if label is not None:
        spec = real.dataset.spec
        if real.real.label is None or spec.num_classes is None:
            raise ValueError(f"label must be None: {real.dataset.name} has no labels")
        found["accuracy_score"] = classification_accuracy_score(
            key_classifier, images, label, real.real.images, real.real.label, spec.num_classes,
            bounded=spec.levels is not None, num_steps=1000, batch_size=min(128, len(images)),
        )  # fmt: skip
    return found


def _share(value: float, num: int, unit: str) -> Estimate:
    """A share of `num` images, with the standard error of a count of so many, the neighbourhoods held fixed.

    One more image on either side is counted for the error, so that shares of 0 and 1 have one too.
    """
    expected = (num * value + 1) / (num + 2)
    return Estimate(value, math.sqrt(expected * (1 - expected) / num), unit)


def _floors(real: Reference, seed: int, *, with_labels: bool) -> dict[str, Estimate]:
    """The metrics of real images in the samples' place; their numbers are kept on disk."""
    floor = real.floor

    def found() -> dict[str, np.ndarray]:
        label = floor.label if with_labels else None
        # A training image is nearest to itself: for this metric the floor is that of the held-out images.
        values = _measured(floor.images, floor.features, label, real, seed, neighbours_of=real.held_out)
        return {
            name: np.array([e.value, np.nan if e.standard_error is None else e.standard_error])
            for name, e in values.items()
        }

    judge = "" if real.judge is None else digest(real.judge.params)
    kept = real.kept(f"floor, seed {seed}, judge {judge}, labels {with_labels}", found)
    return {
        name: Estimate(float(value), None if np.isnan(error) else float(error)) for name, (value, error) in kept.items()
    }


def _shares(real: Reference, images: np.ndarray) -> Float[np.ndarray, " k"]:
    assert real.judge is not None and real.dataset.spec.num_classes is not None
    return class_histogram(real.judge.predictions(images.astype(np.float32)), real.dataset.spec.num_classes)
