"""The GAN of Goodfellow et al. 2014 on MNIST, with its Parzen-window log-likelihood and what that is worth."""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np

from jaxgen import data, evaluate, gan
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Identity, Scale, space
from jaxgen.experiments import _gan, _images
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment, Settings


@dataclass(frozen=True)
class Config(Settings):
    """A GAN of dense layers of the paper's scale; 1,000 training images are held out to choose sigma.

    Args:
        data: Name of a data set of images; see `jaxgen.data.load` for where they come from.
        scale: Scale of real values (float32); grey levels have their own.
        held_out: Training images that sigma is chosen on, as a number of them or a fraction; unless given 1,000 of
            MNIST and Fashion-MNIST, and a tenth of other data that come without a validation set.
        samples: Draws that the Parzen windows are around; 0 for no Parzen figure.
        centroids: Clusters of k-means that are measured beside them, as if they were samples; unless given no more than
            there are training images.
        model: Configuration of the GAN.

    Raises:
        ValueError: A negative number of samples, or another below 1.
    """

    at_hand = (*Settings.at_hand, "samples", "centroids")
    held_out_of_mnist: ClassVar[int] = 1000
    """Training images of MNIST and its kin that are held out unless `held_out` is given."""

    data: str = "mnist"
    scale: Scale = Identity()
    held_out: int | float | None = None
    samples: int = 10_000
    centroids: int = 1000
    model: gan.Config = gan.Config(
        latent_dim=20,
        prior=gan.Uniform(),
        network=gan.MLP(generator_hidden=(1200, 1200), discriminator_hidden=(240, 240), maxout=5),
        penalty=gan.ZeroCentred(r1=2.0),
        # Chosen on the held-out images, which punish speckles: a generator that moves slowly beside its discriminator
        # has fewer of them, and one whose weights decay (at first 2.5e-4 of themselves a step) forgets its start's.
        generator_optimizer=Adam(2.5e-4, Cosine(), b1=0.0, b2=0.99, weight_decay=1.0),
        discriminator_optimizer=Adam(2e-3, Cosine(), b1=0.0, b2=0.99),
    )
    steps: int = 30_000
    batch_size: int = 100
    log_every: int = 500
    checkpoint_every: int = 5000
    picture_every: int = 3000

    def __post_init__(self):
        super().__post_init__()
        self.require(samples=0, centroids=1)
        value = _images.held_out("held_out", self.held_out, self.held_out_of_mnist, self.data)
        if value == 0:
            raise ValueError("held_out must be a number or a fraction of the training images above 0, got 0")
        object.__setattr__(self, "held_out", value)

    @property
    def batch_unit(self) -> int:
        return self.model.n_critic

    def model_for(self, spec: Spec) -> GenerativeModel:
        return gan.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        dataset = data.load(
            self.data,
            seed=self.seed,
            scale=self.scale,
            **_images.split_off(self.held_out, self.held_out_of_mnist, self.data),
        )
        num_centroids = self.fitted("centroids", len(dataset.train), "the training images")
        model = self.model_for(dataset.spec)
        estimates = _gan.estimates(model)

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = estimates(key, variables, split)
            if split is dataset.train or dataset.valid is None or not self.samples:
                return found
            key_centroids, key_samples = jax.random.split(key)
            spec = space.for_metrics(dataset.spec)
            valid, measured = (np.asarray(space.to_seen(part.x, spec)) for part in (dataset.valid, split))
            references = {}
            if split is dataset.test:  # what the settings are chosen by, on the held-out images, needs no references
                train = np.asarray(space.to_seen(dataset.train.x, spec))
                centroids = evaluate.kmeans_centroids(key_centroids, train, num_centroids)
                references["of training images"] = train[: self.samples]
                references[f"of {num_centroids} centroids"] = centroids
            samples = np.asarray(space.seen(evaluate.samples(model, key_samples, variables, self.samples), spec))
            volume = space.log_volume(split.x, spec)
            window = evaluate.parzen(
                samples,
                valid,
                measured,
                references=references,
                log_volume=None if volume is None else np.asarray(volume),
                bounded=spec.levels is not None,
            )
            for name, result in {"of samples": window, **window.references}.items():
                unit = (
                    f"nats, {result.num_samples} windows, sigma = {result.sigma:.3f}{_images.scale_said(dataset.spec)}"
                )
                found[f"Parzen {name}"] = result.log_likelihood._replace(unit=unit)
            return found

        return _gan.experiment(model, dataset, self.seed, report, conditional=self.model.conditional)
