"""A convolutional GAN on MNIST, judged by a classifier of its own and by its nearest training images."""

from dataclasses import dataclass
from typing import Any

from jaxgen import data, evaluate, gan
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Identity, Scale
from jaxgen.experiments import _gan, _images
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment, Settings


@dataclass(frozen=True)
class Config(Settings):
    """A DCGAN.

    Args:
        data: Name of a labelled data set of images; see `jaxgen.data.load` for where they come from.
        scale: Scale of real values (float32); grey levels have their own.
        samples: Draws that the classifier looks at; 0 for none.
        classifier_steps: Updates of the classifier, which is trained at the end.
        model: Configuration of the GAN.

    Raises:
        ValueError: A negative number of samples, or no updates.
    """

    at_hand = (*Settings.at_hand, "samples", "classifier_steps")

    data: str = "mnist"
    scale: Scale = Identity()
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

    @property
    def batch_unit(self) -> int:
        return self.model.n_critic

    def model_for(self, spec: Spec) -> GenerativeModel:
        return gan.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        dataset = data.load(self.data, seed=self.seed, scale=self.scale)
        model = self.model_for(dataset.spec)
        estimates = _gan.estimates(model)

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = estimates(key, variables, split)
            if split is dataset.test and self.samples:
                x = evaluate.samples(model, key, variables, self.samples)
                found |= _images.fidelity(x, dataset, split, self.seed, self.classifier_steps)
            return found

        return _gan.experiment(model, dataset, self.seed, report, conditional=self.model.conditional)
