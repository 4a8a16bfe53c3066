"""A number with all that it must be read with, and the order of several."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from jaxgen.core import Estimate


@dataclass(frozen=True)
class Conditions:
    """Conditions of a measurement: two numbers are comparable only if these are equal.

    Attributes:
        num: Number of samples, of reference images, and of images of each set of the floor.
        reference: Images that the samples were compared with, such as "mnist test".
        floor_of: Images that take the samples' place for the floor, such as "mnist valid".
        fingerprint: Fingerprint of the data.
        features: Name of the features.
        digest: Digest of the features.
        seed: Seed of the subsets and of the classifiers that are trained on samples.
    """

    num: int
    reference: str
    floor_of: str
    fingerprint: str
    features: str
    digest: str
    seed: int

    def __str__(self) -> str:
        return (
            f"{self.num} samples against {self.num} images of {self.reference}; floor: {self.num} images of "
            f"{self.floor_of} in the samples' place; features: {self.features} {self.digest[:12]}; seed {self.seed}"
        )


@dataclass(frozen=True)
class Score:
    """A number that samples were given.

    Attributes:
        value: The number, with its standard error where there is one.
        floor: The number for real images in the samples' place, which a model that draws from the data would get.
        better: Which way is better; "near" for what is best near the floor.
        bias: Expected excess over the value of infinitely many samples and references, None where it is not known or
            where there is none.
        conditions: Conditions of the measurement.
    """

    value: Estimate
    floor: Estimate
    better: Literal["lower", "higher", "near"]
    bias: float | None
    conditions: Conditions


def ranking(scores: Mapping[str, Score]) -> list[str]:
    """Names of the models, the best first.

    Raises:
        ValueError: No scores, or scores of different kinds or under different conditions: through other features, of
            another number of samples, against other data.
    """
    alike(scores)
    first = next(iter(scores.values()))

    def cost(name: str) -> float:
        value, floor = scores[name].value.value, scores[name].floor.value
        cost = {"lower": value, "higher": -value, "near": abs(value - floor)}[first.better]
        return math.inf if math.isnan(cost) else cost

    return sorted(scores, key=cost)


def leader(scores: Mapping[str, Score]) -> str | None:
    """Name of the best model, if its lead on every other is larger than the standard error of that lead.

        lead > sqrt(e_1^2 + e_2^2),     errors of the floor too where it lies between two that should be near it

    A score without a standard error counts as exact.

    Args:
        scores: By name of the model, at least two for any of them to lead.

    Returns:
        None where no model is ahead: equal scores, a difference within the errors, NaN.

    Raises:
        ValueError: As `ranking`.
    """
    best, *others = ranking(scores)

    def ahead(other: str) -> bool:
        first, second = scores[best], scores[other]
        a, b, floor = first.value.value, second.value.value, first.floor.value
        if math.isnan(b):
            return True
        error = math.hypot(first.value.standard_error or 0.0, second.value.standard_error or 0.0)
        lead = abs(a - b)
        if first.better == "near":
            lead = abs(b - floor) - abs(a - floor)
            if (a - floor) * (b - floor) < 0:
                error = math.hypot(error, 2 * (first.floor.standard_error or 0.0))
        return lead > error

    value = scores[best].value.value
    return best if others and not math.isnan(value) and all(map(ahead, others)) else None


def alike(scores: Mapping[str, Score]) -> None:
    """Refuse scores that do not compare.

    Raises:
        ValueError: No scores, or scores of different kinds or under different conditions.
    """
    if not scores:
        raise ValueError("scores must hold at least one score, got none")
    first, *others = scores
    for other in others:
        a, b = scores[first], scores[other]
        if (a.better, a.value.unit) != (b.better, b.value.unit):
            raise ValueError(f"{first} and {other} are scores of different kinds: {a.value.unit}, {b.value.unit}")
        for field in fields(Conditions):
            mine, theirs = getattr(a.conditions, field.name), getattr(b.conditions, field.name)
            if mine != theirs:
                raise ValueError(f"{first} and {other} do not compare: {field.name} {mine!r} against {theirs!r}")
