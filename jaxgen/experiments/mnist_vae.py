"""The VAE of Burda et al. 2016 on binarised MNIST, with -log p(x) by 5000 importance samples."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import jax
import numpy as np

from jaxgen import data, evaluate, vae
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Identity, Scale
from jaxgen.experiments import _images
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment, Settings


@dataclass(frozen=True)
class Config(Settings):
    """One stochastic layer of 50, 200-200 tanh, trained on all 60,000 images, binarised anew at every step.

    Args:
        data: Name of a data set of images; see `jaxgen.data.load` for where they come from.
        scale: Scale of real values (float32); grey levels have their own.
        valid: Training images that are held out, as a number of them or a fraction; none unless given, as in the
            published protocol.
        importance_samples: Draws per test image for -log p(x) at the end; 0 reports the bound alone.
        binarisations: Binarisations of the test images that -log p(x) is averaged over.
        model: Configuration of the VAE; `--model.num-samples 5 --model.no-path-gradient` makes it the IWAE.

    Raises:
        ValueError: A negative number of images or samples, or no binarisation.
    """

    at_hand = (*Settings.at_hand, "importance_samples", "binarisations")
    held_out_of_mnist: ClassVar[int] = 0
    """Training images of MNIST and its kin that are held out unless `valid` is given."""

    data: str = "mnist"
    scale: Scale = Identity()
    valid: int | float | None = None
    importance_samples: int = 5000
    binarisations: int = 3
    model: vae.Config = vae.Config(
        latent_dim=50,
        hidden=(200, 200),
        likelihood=vae.Bernoulli(),
        warmup_steps=60_000,
        path_gradient=True,
        optimizer=Adam(2e-3, schedule=Cosine()),
    )
    steps: int = 1_000_000
    batch_size: int = 100
    log_every: int = 2000
    checkpoint_every: int = 20_000

    def __post_init__(self):
        super().__post_init__()
        self.require(importance_samples=0, binarisations=1)
        object.__setattr__(self, "valid", _images.held_out("valid", self.valid, self.held_out_of_mnist, self.data))

    def model_for(self, spec: Spec) -> GenerativeModel:
        return vae.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        dataset = data.load(
            self.data,
            seed=self.seed,
            scale=self.scale,
            **_images.split_off(self.valid, self.held_out_of_mnist, self.data),
        )
        model = self.model_for(dataset.spec)

        estimates = _images.estimates(model, dataset)

        def report(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            found = estimates(key, variables, split)
            if self.importance_samples:
                values = [
                    evaluate.per_example(
                        model._replace(evaluate=importance),
                        jax.random.fold_in(key, k),
                        variables,
                        split,
                        batch_size=100,
                    )["nll"]
                    for k in range(self.binarisations)
                ]
                # One value per image, its mean over the binarisations: the standard error is over images.
                unit = f"nats, {model.parts.measure}, k = {self.importance_samples}"
                found["-log p(x)"] = evaluate.estimate(np.mean(values, axis=0), unit)
            return found

        # Draws at a time: 50, or the largest part of it that divides their number.
        chunk = math.gcd(self.importance_samples, 50)

        def importance(key: PRNGKey, variables: Any, batch: Any) -> dict[str, Any]:
            return {"nll": -model.parts.log_likelihood(key, variables, batch, self.importance_samples, chunk)}

        # The decoder's bias starts at the mean of the whole training set, not of a batch.
        whole = {name: dataset.train.arrays[name] for name in ("x", "mask") if name in dataset.train.arrays}
        return Experiment(
            model=model._replace(init=lambda key, _: model.init(key, whole)),
            dataset=dataset,
            evaluate=estimates,
            picture=_images.reconstructed_and_sampled(model, dataset, "VAE", self.seed),
            samples=_images.samples(dataset.spec),
            report=report,
        )
