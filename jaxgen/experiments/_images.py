"""Numbers and pictures of examples of any kind, shared by the experiments of all families."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from jaxgen import data, evaluate, require
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import space
from jaxgen.rehearsal import host, rehearsing
from jaxgen.runs import pictures
from jaxgen.train import digest

MNIST_LIKE = ("mnist", "fashion_mnist")
"""Data sets of 60,000 training images, for which the experiments have numbers of their own."""

_SPLIT_FOR_EVER = ("digits", "binarized_mnist", "ring", "grid", "two_moons", "swiss_roll")


def held_out(name: str, value: int | float | None, of_mnist: int, dataset: str) -> int | float | None:
    """How many training images are held out, as a config has it: None for the experiment's own number.

    The number itself is written as None too: a config from before None could be given equals today's.

    Args:
        name: Name of the field.
        value: A number of images, a fraction of them, or None.
        of_mnist: The experiment's own number, which is meant for `MNIST_LIKE`; 0 holds out none of any data.
        dataset: Name of the data set.

    Raises:
        ValueError: A negative number, or no fraction.
    """
    if value is None or (value == of_mnist and (dataset in MNIST_LIKE or not of_mnist)):
        return None
    if isinstance(value, float):
        return require.number(name, value, above=0, below=1)
    return require.integer(name, value, 0)


def split_off(value: int | float | None, of_mnist: int, dataset: str) -> dict[str, Any]:
    """The same as options of `data.load`: the experiment's own number for MNIST's kin, a tenth of other data.

    Args:
        value: As `held_out` returned it.
        of_mnist: The experiment's own number.
        dataset: Name of the data set.
    """
    if value is not None:
        return {"valid": value}
    if dataset in _SPLIT_FOR_EVER or (dataset not in MNIST_LIKE and of_mnist):
        return {}
    return {"valid": of_mnist}


def estimates(model: GenerativeModel, dataset: Any) -> Callable[[PRNGKey, Any, Any], dict[str, Estimate]]:
    """(key, variables, split) -> the bound and its terms, in bits/dim as well where the data are discrete."""

    def found(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
        values = evaluate.per_example(model, key, variables, split)
        observed = values.get("observed")
        rows = of_examples(values, f"nats, {model.parts.measure}")
        if model.parts.discrete and observed is None:
            rows["bits_per_dim"] = evaluate.bits_per_dim(rows["negative_elbo"], dataset.spec.num_dimensions)
        if model.parts.discrete and observed is not None and not rehearsing():
            rows["bits_per_dim"] = evaluate.bits_per_dim(values["negative_elbo"], observed)
        return rows

    return found


def of_examples(values: Mapping[str, np.ndarray], unit: str) -> dict[str, Estimate]:
    """Results of `evaluate.per_example` as estimates in this unit; "observed", of data with a mask, is a number."""
    rows = evaluate.estimates(values, unit)
    if "observed" in rows:
        rows["observed"] = rows["observed"]._replace(unit="observed dimensions")
    return rows


def labels(dataset: Any, conditional: bool, num: int, columns: int) -> tuple[dict[str, Any], str]:
    """Labels of samples that are drawn in rows, one class for each column, and what to say of them.

    Args:
        dataset: The data, whose spec says which classes occur.
        conditional: Whether the model takes labels.
        num: Number of samples.
        columns: Samples in a row.

    Returns:
        Options of the model's `sample`, none for a model without labels, and a few words, empty then.
    """
    if not conditional:
        return {}, ""
    spec = dataset.spec
    classes = np.asarray(range(spec.num_classes) if spec.labels is None else spec.labels, np.int32)
    shown = classes[np.arange(min(columns, num)) % len(classes)]
    names = [spec.class_name(c) for c in dict.fromkeys(shown.tolist())]
    said = ", ".join(names) if len(names) < 5 else f"{names[0]}, {names[1]}, ..., {names[-1]}"
    return {"label": np.resize(shown, num)}, f", columns by class {said}"


def samples(spec: Spec) -> Callable[[Any, str], Any]:
    """(x, title) -> a figure of samples: a square of images, or what suits other shapes."""
    return lambda x, title: pictures.examples({"": x}, spec, title=title)


def reconstructed_and_sampled(
    model: GenerativeModel, dataset: Any, name: str, seed: int, sampled: str = "sampled, z ~ N(0, I)"
) -> Callable[[PRNGKey, Any], Any]:
    """(key, state) -> a figure of real, reconstructed and sampled examples."""

    def figure(key: PRNGKey, state: Any) -> Any:
        shown, num = few(dataset, 20)
        x, mask = dataset.test.x[:shown], dataset.test.mask
        real = host(data.to_unit(x, dataset.spec))
        if mask is not None:
            mask = mask[:shown]
            real = np.where(mask, real, np.nan)
        return pictures.examples(
            {
                "real (test set)": real,
                "reconstructed": model.parts.reconstruct(state.variables, x, mask=mask),
                sampled: model.sample(key, state.variables, num),
            },
            dataset.spec,
            title=f"{name} on {dataset.name} after {int(state.step)} steps, seed {seed}",
            columns=20,
        )

    return figure


def beside_neighbours(
    model: GenerativeModel,
    dataset: Any,
    name: str,
    seed: int,
    num: int = 20,
    label: str = "sampled, as they come",
    *,
    conditional: bool = False,
    **options: Any,
) -> Callable[[PRNGKey, Any], Any]:
    """(key, state) -> a figure of real examples, samples, and the training examples nearest to the first
    samples."""

    def figure(key: PRNGKey, state: Any) -> Any:
        shown, drawn = few(dataset, num)
        chosen, said = labels(dataset, conditional, drawn, num)
        x = host(model.sample(key, state.variables, drawn, **chosen, **options))
        return pictures.examples(
            {
                "real (test set)": data.to_unit(dataset.test.x[:shown], dataset.spec),
                f"{label}{said}": x,
                f"nearest training examples to the first {min(num, drawn)} samples": neighbours(x[:num], dataset),
            },
            dataset.spec,
            title=f"{name} on {dataset.name} after {int(state.step)} steps, seed {seed}",
            columns=num,
        )

    return figure


def neighbours(x: np.ndarray, dataset: Any) -> np.ndarray:
    """The nearest training example of each of x, whose values must be finite to have one."""
    if rehearsing():
        return x
    spec = space.for_metrics(dataset.spec)
    seen, train = np.asarray(space.seen(x, spec)), np.asarray(space.to_seen(dataset.train.x, spec))
    nearest = np.full(x.shape, np.nan, np.float32)
    whole = np.isfinite(x).reshape(len(x), -1).all(axis=1)
    if whole.any():
        found = evaluate.nearest(seen[whole], train).indices[:, 0]
        nearest[whole] = data.to_unit(dataset.train.x[found], spec)
    return nearest


def few(dataset: Any, num: int) -> tuple[int, int]:
    """How many test examples and how many samples a picture shows: more of points and rows of a table, and no more than
    there are."""
    if dataset.spec.event_shape == (2,) or dataset.spec.columns is not None:
        shown = min(50 * num, len(dataset.test))
        return shown, shown
    return min(num, len(dataset.test)), 3 * num


def fidelity(x: np.ndarray, dataset: Any, split: Any, seed: int, classifier_steps: int) -> dict[str, Estimate]:
    """Estimates about samples, from a classifier and from the training examples.

    Real values are looked at on their scale; where they have none and lie elsewhere than in [0, 1], their range becomes
    that, and the classifier's unit says how many values of the samples lie beyond the range.

    Args:
        x: Samples in data space.
        dataset: The classifier is trained on its training split, if it holds images with labels.
        split: Held-out images, which the classifier and the distances are tried on.
        seed: Seed of the classifier.
        classifier_steps: Updates of the classifier.
    """
    found: dict[str, Estimate] = {}
    train, spec = dataset.train, space.for_metrics(dataset.spec)
    outside = beyond(x, dataset.spec)
    said = scale_said(dataset.spec)
    x, real = np.asarray(space.seen(x, spec)), [np.asarray(space.to_seen(part.x, spec)) for part in (train, split)]
    if spec.num_classes is not None and len(spec.event_shape) == 3:
        judge = evaluate.train_classifier(
            jax.random.key(seed),
            train.x if spec.levels else real[0],
            train.label,
            spec.num_classes,
            levels=spec.levels,
            bounded=spec.levels is not None,
            num_steps=classifier_steps,
            batch_size=min(128, len(train)),
        )
        occurring = np.arange(spec.num_classes) if spec.labels is None else np.array(spec.labels)
        name = f"classifier {digest(judge.params)[:8]}{said}"
        if outside > 0:
            name += f", {outside:.2%} of the samples' values beyond"
        accuracy = judge.accuracy(split.x if spec.levels else real[1], split.label)
        found["classifier"] = accuracy._replace(unit=f"accuracy on test images, {name}")
        shares = evaluate.class_histogram(judge.predictions(x), spec.num_classes)
        equal = np.where(np.isin(np.arange(spec.num_classes), occurring), 1 / len(occurring), 0).astype(np.float32)
        kl = float(evaluate.class_kl(shares, equal))
        found["class_kl"] = Estimate(kl, None, f"nats from equal shares, n = {len(x)}, {name}")
        found |= {f"share/{spec.class_name(c)}": Estimate(float(v), None, "share") for c, v in enumerate(shares)}
    if len(train) > 1:
        distances = evaluate.memorisation(x, *real)
        unit = f"distance to the nearest training image{said}"
        found["nearest_of_samples"] = distances.samples.mean._replace(unit=unit)
        found["nearest_of_test"] = distances.held_out.mean._replace(unit=unit)
    return found


def scale_said(spec: Spec) -> str:
    """Notes about the scale that metrics look at examples by; none where there is no scale."""
    if spec.scale is not None:
        return f", on the scale {type(spec.scale).__name__}"
    known = spec.statistics
    return "" if known is None or space.for_metrics(spec) == spec else f", {known.low:.4g}..{known.high:.4g} as [0, 1]"


def beyond(x: np.ndarray, spec: Spec) -> float:
    """Share of values that lie beyond the range of the data; of images in [0, 1] beyond that."""
    known = spec.statistics
    if spec.levels is not None or (known is not None and spec.scale is None and known.low >= 0 and known.high <= 1):
        low, high = 0.0, 1.0
    elif known is None:
        return 0.0
    else:
        low, high = known.low, known.high
    slack = 1e-6 * (high - low)
    return float(((x < low - slack) | (x > high + slack)).mean())
