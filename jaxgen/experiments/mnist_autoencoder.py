"""An autoencoder on MNIST: what its features are worth, and why it is no generative model."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from jaxgen import autoencoder, data, evaluate, require
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Identity, Scale
from jaxgen.experiments import _images
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment, Settings


@dataclass(frozen=True)
class Config(Settings):
    """Settings of mnist_autoencoder.

    Args:
        data: Name of a data set of images; see `jaxgen.data.load` for where they come from.
        scale: Scale of real values (float32); grey levels have their own.
        probe_examples: Training examples whose features (and pixels) a linear probe learns from.
        labels_per_class: Labelled examples of each class for fine-tuning; unless given no more than the smallest class
            has.
        label_draws: Draws of these; the standard error of an accuracy is over them.
        fine_tuning_steps: Updates of a classifier, whether its encoder was trained before or not.
        model: Configuration of the autoencoder.

    Raises:
        ValueError: A number below 1; when built, more labels of each class than there are.
    """

    at_hand = (*Settings.at_hand, "probe_examples", "labels_per_class", "label_draws", "fine_tuning_steps")

    data: str = "mnist"
    scale: Scale = Identity()
    probe_examples: int = 10_000
    labels_per_class: int = 10
    label_draws: int = 5
    fine_tuning_steps: int = 300
    model: autoencoder.Config = autoencoder.Config(
        latent_dim=32,
        hidden=(400,),
        optimizer=Adam(1e-3, schedule=Cosine()),
    )
    steps: int = 12_000
    log_every: int = 500
    checkpoint_every: int = 3000

    def __post_init__(self):
        super().__post_init__()
        self.require(probe_examples=1, labels_per_class=1, label_draws=1, fine_tuning_steps=1)

    def model_for(self, spec: Spec) -> GenerativeModel:
        return autoencoder.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        dataset = data.load(self.data, seed=self.seed, scale=self.scale)
        train, num_classes = dataset.train, dataset.spec.num_classes
        counts = np.unique(train.label, return_counts=True)[1] if train.label is not None else np.zeros(0, int)
        per_class = self.labels_per_class
        if counts.size:
            require.whole(**dataset.splits)  # The probes and the fine-tuned classifiers see whole images.
            per_class = self.fitted("labels_per_class", int(counts.min()), "the smallest class")
        model = self.model_for(dataset.spec)

        def encode(params: Any, x: Any) -> Any:
            """z, by variables that hold nothing but an encoder."""
            return model.parts.encode({"params": {"encoder": params}}, x)

        def flat(x: Any) -> Any:
            return x.reshape(len(x), -1)

        def fresh(key: PRNGKey) -> Any:
            return model.init(key, {"x": train.x[:1]}).params["encoder"]

        def estimates(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            return _images.of_examples(evaluate.per_example(model, key, variables, split), "squared error")

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = estimates(key, variables, split)
            if num_classes is None or train.label is None:
                return found
            trained = variables["params"]["encoder"]
            x, label = train.x[: self.probe_examples], train.label[: self.probe_examples]
            # A linear probe tells classes apart, and chooses its penalty on every fifth example.
            if len(np.unique(label[np.arange(len(label)) % 5 != 4])) > 1:
                for name, features in {"probe_features": partial(encode, trained), "probe_pixels": flat}.items():
                    found[name] = evaluate.linear_probe(features(x), label, features(split.x), split.label)
            fine_tuned, from_scratch = (
                evaluate.few_label_accuracy(
                    key,
                    encode,
                    initial,
                    train,
                    split,
                    num_classes,
                    per_class=per_class,
                    num_draws=self.label_draws,
                    num_steps=self.fine_tuning_steps,
                )
                for initial in (lambda _: trained, fresh)
            )
            compared = {"fine_tuned": fine_tuned, "from_scratch": from_scratch, "gain": fine_tuned - from_scratch}
            return found | evaluate.estimates(compared, f"accuracy, {per_class * len(counts)} labels")

        return Experiment(
            model=model,
            dataset=dataset,
            evaluate=estimates,
            picture=_images.reconstructed_and_sampled(
                model, dataset, "autoencoder", self.seed, "decoded z ~ N(0, I): no generative model"
            ),
            samples=_images.samples(dataset.spec),
            report=report,
            best="reconstruction",
            beside={"reconstruction": "loss"},
        )
