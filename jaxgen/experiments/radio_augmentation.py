"""Radio galaxies drawn by class, added to the real ones that a classifier learns from: one fold of five."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxgen import ddpm, evaluate, plot
from jaxgen.core import Estimate, GenerativeModel, PRNGKey
from jaxgen.data import Dataset, space
from jaxgen.evaluate import radio_classifiers
from jaxgen.experiments import galaxies_ddpm
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment

_KINDS = {"fcn": radio_classifiers.FullyConnected, "cnn": radio_classifiers.Convolutional}
PUBLISHED = {"fcn": (58.7, 69.4), "cnn": (78.95, 81.35)}
"""Accuracy in percent, mean of five folds, on real images alone and with generated ones (Rustige et al. 2023)."""


@dataclass(frozen=True)
class Config(galaxies_ddpm.Config):
    """Settings of radio_augmentation.

    Args:
        data: File of FIRST with x, label and fold, see `jaxgen.data.galaxy_files`.
        generated: Generated images for each real one that the classifiers are given; with them all classes are equally
            frequent.
        classifier_steps: Updates of each classifier.
        classifier_batch: Images per update of a classifier.
        learning_rate: Learning rate of the classifiers.
        model: Configuration of the diffusion model, which is told the class.
    """

    at_hand = (*galaxies_ddpm.Config.at_hand, "generated", "classifier_steps", "classifier_batch", "learning_rate")

    generated: int = 3
    classifier_steps: int = 10_000
    classifier_batch: int = 250
    learning_rate: float = 1e-4
    sampler: ddpm.Ancestral | ddpm.DDIM | ddpm.DPMSolver = ddpm.DPMSolver(20)
    model: ddpm.Config = ddpm.Config(
        schedule=ddpm.Cosine(400),
        prediction=ddpm.V(),
        network=ddpm.UNet(features=48, multipliers=(1, 2), attention=(1,), patch=4),
        conditional=True,
        label_dropout=0.1,
        optimizer=Adam(1e-3, Cosine(), clip_norm=1.0),
        ema_decay=0.999,
    )
    steps: int = 5000

    def __post_init__(self):
        super().__post_init__()
        self.require(generated=1, classifier_steps=1, classifier_batch=1)
        if not self.model.conditional:
            raise ValueError("model.conditional must be True, for images are drawn by class, got False")

    def dataset(self) -> Dataset:
        if self.data is None:
            raise ValueError("data must be a file of FIRST with x, label and fold (data.radio_galaxies), got None")
        dataset = super().dataset()
        if dataset.name != "radio_galaxies":
            raise ValueError(f"data must be a file of FIRST with x, label and fold, got {self.data}")
        return dataset

    def drawn(
        self, key: PRNGKey, model: GenerativeModel, variables: Any, dataset: Dataset
    ) -> tuple[np.ndarray, np.ndarray]:
        """Generated images in [-1, 1] and their classes: as many of each as make all classes equally frequent.

        Args:
            key: Root of the draws.
            model: The diffusion model.
            variables: Its variables.
            dataset: Its data.
        """
        counts = np.bincount(np.asarray(dataset.train.label), minlength=dataset.spec.num_classes or 1)
        wanted = max(int(counts.max()), -(-(1 + self.generated) * len(dataset.train) // len(counts)))
        label = np.repeat(np.arange(len(counts), dtype=np.int32), wanted - counts)
        x = evaluate.samples(model, key, variables, len(label), label=label, chunk=250, sampler=self.sampler)
        return images(np.clip(np.nan_to_num(x), 0, 255)), label

    def compared(self, key: PRNGKey, dataset: Dataset, drawn: tuple[np.ndarray, np.ndarray]) -> dict[str, Any]:
        """Accuracy of both classifiers on the test images, after training without and with generated images.

        Args:
            key: Root of the trainings.
            dataset: Real images of one fold.
            drawn: Generated images and their classes.
        """
        sets = {name: (images(split.x), np.asarray(split.label)) for name, split in dataset.splits.items()}
        both = tuple(np.concatenate(parts) for parts in zip(sets["train"], drawn, strict=True))
        options = {
            "num_steps": self.classifier_steps,
            "batch_size": self.classifier_batch,
            "learning_rate": self.learning_rate,
            "every": max(1, self.classifier_steps // 20),
        }
        found = {}
        for number, (kind, network) in enumerate(_KINDS.items()):
            for name, train in (("real", sets["train"]), ("augmented", both)):
                found[f"{kind}/{name}"] = radio_classifiers.trained(
                    jax.random.fold_in(key, number),
                    network(dataset.spec.num_classes or 1),
                    (train[0], train[1]),
                    sets["valid"],
                    sets["test"],
                    **options,
                )
        return found

    def build(self) -> Experiment:
        whole = super().build()
        dataset, model = whole.dataset, whole.model

        def report(key: PRNGKey, variables: Any, split: Any) -> Mapping[str, Estimate]:
            found = dict(whole.evaluate(key, variables, split))
            if split is not dataset.test:
                return found
            outcomes = self.compared(key, dataset, self.drawn(key, model, variables, dataset))
            for name, outcome in outcomes.items():
                kind, _, which = name.partition("/")
                published = PUBLISHED[kind][which == "augmented"]
                unit = f"accuracy, fold {self.fold}, {len(outcome.correct)} test images; published {published:g} %"
                found[name] = evaluate.estimate(outcome.correct, unit)
                found[f"{name}/valid"] = Estimate(outcome.valid, None, f"accuracy, chosen at step {outcome.step}")
            return found

        def by_class(key: PRNGKey, state: Any) -> Any:
            """Rows: real images and samples of each class."""
            groups = {}
            for c in range(dataset.spec.num_classes or 1):
                name = dataset.spec.class_name(c)
                groups[f"{name}: real"] = dataset.train.x[np.asarray(dataset.train.label) == c][:10]
                label = np.full(10, c, np.int32)
                groups[f"{name}: generated"] = model.sample(
                    jax.random.fold_in(key, c), state.variables, 10, label=label, sampler=self.sampler
                )
            seen = {name: np.asarray(space.seen(np.asarray(x), dataset.spec)) for name, x in groups.items()}
            title = f"radio galaxies after {int(state.step)} steps, fold {self.fold}: on the scale of the model"
            return plot.rows(seen, title=title, columns=10, vmin=-1.1, vmax=1.1)

        pictures = {**whole.pictures, "by_class": by_class}
        return whole._replace(report=report, picture=by_class, pictures=pictures)


def images(x: np.ndarray) -> np.ndarray:
    """Grey levels 0 .. 255 as the classifiers take them, in [-1, 1]."""
    return np.asarray(x, np.float32) / np.float32(127.5) - 1


def averaged(folds: list[Mapping[str, float]]) -> dict[str, Estimate]:
    """Mean over the folds of each accuracy, in percent, and the standard deviation over folds as published.

    Args:
        folds: Accuracy by name, of each fold.
    """
    columns = {name: np.array([100 * fold[name] for fold in folds]) for name in folds[0]}
    return {name: Estimate(float(v.mean()), float(v.std(ddof=1)), "%, folds' deviation") for name, v in columns.items()}
