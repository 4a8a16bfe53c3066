"""A convolutional GAN on MNIST, judged by a classifier of its own and by its nearest training images."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from jaxgen import data, evaluate, gan
from jaxgen.core import Estimate, PRNGKey
from jaxgen.experiments import _gan
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment, Settings
from jaxgen.train import digest


@dataclass(frozen=True)
class Config(Settings):
    """A DCGAN.

    Args:
        data: Name of a labelled data set of images; see `jaxgen.data.load` for where they come from.
        samples: Draws that the classifier looks at; 0 for none.
        classifier_steps: Updates of the classifier, which is trained at the end.
        model: Of the GAN.

    Raises:
        ValueError: A negative number of samples, or no updates.
    """

    data: str = "mnist"
    samples: int = 10_000
    classifier_steps: int = 2000
    model: gan.Config = gan.Config(
        latent_dim=64,
        network=gan.DCGAN(features=32),
        penalty=gan.ZeroCentred(r1=0.5),
        generator_optimizer=Adam(5e-4, Cosine(), b1=0.0, b2=0.99),
        discriminator_optimizer=Adam(5e-4, Cosine(), b1=0.0, b2=0.99),
    )
    steps: int = 20_000
    batch_size: int = 64
    log_every: int = 200
    checkpoint_every: int = 2000
    picture_every: int = 2000

    def __post_init__(self):
        super().__post_init__()
        self.require(samples=0, classifier_steps=1)

    def build(self) -> Experiment:
        dataset = data.load(self.data, seed=self.seed)
        model = gan.model(self.model.lasting(self.steps), dataset.spec)
        estimates = _gan.estimates(model)

        def report(key: PRNGKey, state: Any, split: Any) -> dict[str, Estimate]:
            found = estimates(key, state, split)
            if split is dataset.test and self.samples:
                x = _gan.sampled(model, key, state, self.samples)
                train = dataset.train
                if dataset.spec.num_classes is not None and train.label is not None:
                    judge = evaluate.train_classifier(
                        jax.random.key(self.seed),
                        train.x,
                        train.label,
                        dataset.spec.num_classes,
                        levels=dataset.spec.levels,
                        num_steps=self.classifier_steps,
                    )
                    name = f"classifier {digest(judge.params)[:8]}"
                    accuracy = judge.accuracy(split.x, split.label)
                    found["classifier"] = accuracy._replace(unit=f"accuracy on test images, {name}")
                    shares = evaluate.class_histogram(judge.predictions(x), dataset.spec.num_classes)
                    kl = float(evaluate.class_kl(shares))
                    found["class_kl"] = Estimate(kl, None, f"nats from equal shares, n = {len(x)}, {name}")
                    found |= {f"share/{c}": Estimate(float(v), None, "share") for c, v in enumerate(shares)}
                unit = (np.asarray(data.to_unit(part.x, dataset.spec)) for part in (train, split))
                found |= _gan.memorisation(evaluate.memorisation(x, *unit))
            return found

        return _gan.experiment(model, dataset, self.seed, report)
