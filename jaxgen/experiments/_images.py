"""What the experiments on images share: their numbers and their picture."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxgen import data, evaluate, plot, require
from jaxgen.core import Estimate, GenerativeModel, PRNGKey
from jaxgen.train import digest

MNIST_LIKE = ("mnist", "fashion_mnist")
"""Data sets of 60,000 training images, for which the experiments have numbers of their own."""

_SPLIT_FOR_EVER = ("digits", "binarized_mnist", "ring", "grid", "two_moons", "swiss_roll")


def held_out(name: str, value: int | float | None, of_mnist: int, dataset: str) -> int | float | None:
    """How many training images are held out, as a config has it: None for the experiment's own number.

    That number itself is None too where it is meant: configs of before None could be given are those of today.

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
    """(key, state, split) -> the bound and its terms, in bits/dim as well where the data are discrete."""

    def found(key: PRNGKey, state: Any, split: Any) -> dict[str, Estimate]:
        values = evaluate.per_example(model, key, state, split)
        rows = evaluate.estimates(values, f"nats, {model.parts.measure}")
        if model.parts.discrete:
            rows["bits_per_dim"] = evaluate.bits_per_dim(rows["negative_elbo"], dataset.spec.num_dimensions)
        return rows

    return found


def reconstructed_and_sampled(
    model: GenerativeModel, dataset: Any, name: str, seed: int, sampled: str = "sampled, z ~ N(0, I)"
) -> Callable[[PRNGKey, Any], Any]:
    """(key, state) -> a figure of real, reconstructed and sampled images."""

    def figure(key: PRNGKey, state: Any) -> Any:
        x = dataset.test.x[:20]
        real = x.astype(np.float32) / (dataset.spec.levels - 1) if dataset.spec.levels else x
        return plot.rows(
            {
                "real (test set)": real,
                "reconstructed": model.parts.reconstruct(state, x),
                sampled: model.sample(key, state, 60),
            },
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
    **options: Any,
) -> Callable[[PRNGKey, Any], Any]:
    """(key, state) -> a figure of real images, samples, and the training images nearest to the first samples."""

    def figure(key: PRNGKey, state: Any) -> Any:
        x = model.sample(key, state, 3 * num, **options)
        train = np.asarray(data.to_unit(dataset.train.x, dataset.spec))
        found = evaluate.nearest(np.asarray(x[:num]), train).indices[:, 0]
        return plot.rows(
            {
                "real (test set)": data.to_unit(dataset.test.x[:num], dataset.spec),
                label: x,
                "nearest training images to the first row of samples": train[found],
            },
            title=f"{name} on {dataset.name} after {int(state.step)} steps, seed {seed}",
            columns=num,
        )

    return figure


def fidelity(x: np.ndarray, dataset: Any, split: Any, seed: int, classifier_steps: int) -> dict[str, Estimate]:
    """What a classifier and the training images say of samples.

    Args:
        x: Samples in [0, 1].
        dataset: The classifier is trained on its training split, if that has labels.
        split: Held-out images, which the classifier and the distances are tried on.
        seed: Of the classifier.
        classifier_steps: Its updates.
    """
    found: dict[str, Estimate] = {}
    train, spec = dataset.train, dataset.spec
    if spec.num_classes is not None and train.label is not None:
        judge = evaluate.train_classifier(
            jax.random.key(seed), train.x, train.label, spec.num_classes, levels=spec.levels, num_steps=classifier_steps
        )
        occurring = np.arange(spec.num_classes) if spec.labels is None else np.array(spec.labels)
        name = f"classifier {digest(judge.params)[:8]}"
        accuracy = judge.accuracy(split.x, split.label)
        found["classifier"] = accuracy._replace(unit=f"accuracy on test images, {name}")
        shares = evaluate.class_histogram(judge.predictions(x), spec.num_classes)
        equal = np.where(np.isin(np.arange(spec.num_classes), occurring), 1 / len(occurring), 0).astype(np.float32)
        kl = float(evaluate.class_kl(shares, equal))
        found["class_kl"] = Estimate(kl, None, f"nats from equal shares, n = {len(x)}, {name}")
        found |= {f"share/{spec.class_name(c)}": Estimate(float(v), None, "share") for c, v in enumerate(shares)}
    distances = evaluate.memorisation(x, *(np.asarray(data.to_unit(part.x, spec)) for part in (train, split)))
    unit = "distance to the nearest training image"
    found["nearest_of_samples"] = distances.samples.mean._replace(unit=unit)
    found["nearest_of_test"] = distances.held_out.mean._replace(unit=unit)
    return found
