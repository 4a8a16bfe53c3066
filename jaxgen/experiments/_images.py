"""What the experiments on images share: their numbers and their picture."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxgen import data, evaluate, plot
from jaxgen.core import Estimate, GenerativeModel, PRNGKey
from jaxgen.train import digest


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
        name = f"classifier {digest(judge.params)[:8]}"
        accuracy = judge.accuracy(split.x, split.label)
        found["classifier"] = accuracy._replace(unit=f"accuracy on test images, {name}")
        shares = evaluate.class_histogram(judge.predictions(x), spec.num_classes)
        kl = float(evaluate.class_kl(shares))
        found["class_kl"] = Estimate(kl, None, f"nats from equal shares, n = {len(x)}, {name}")
        found |= {f"share/{c}": Estimate(float(v), None, "share") for c, v in enumerate(shares)}
    distances = evaluate.memorisation(x, *(np.asarray(data.to_unit(part.x, spec)) for part in (train, split)))
    unit = "distance to the nearest training image"
    found["nearest_of_samples"] = distances.samples.mean._replace(unit=unit)
    found["nearest_of_test"] = distances.held_out.mean._replace(unit=unit)
    return found
