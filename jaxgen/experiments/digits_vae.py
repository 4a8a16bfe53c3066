"""A VAE on scikit-learn's 8x8 handwritten digits: a minute on a laptop, from data to picture."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxgen import data, evaluate, plot, vae
from jaxgen.core import Estimate, PRNGKey
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment, Settings


@dataclass(frozen=True)
class Config(Settings):
    """Settings of digits_vae.

    Args:
        data: Name of a data set of images, or a .npy or .npz file.
        model: Of the VAE.
    """

    data: str = "digits"
    model: vae.Config = vae.Config(
        latent_dim=8,
        hidden=(256, 256),
        likelihood=vae.Bernoulli(),
        optimizer=Adam(2e-3, schedule=Cosine()),
    )
    steps: int = 4000
    checkpoint_every: int = 1000

    def build(self) -> Experiment:
        dataset = data.load(self.data, seed=self.seed)
        model = vae.model(replace(self.model, optimizer=self.model.optimizer.lasting(self.steps)), dataset.spec)

        def estimates(key: PRNGKey, state: Any, split: Any) -> dict[str, Estimate]:
            values = evaluate.per_example(model, key, state, split)
            found = evaluate.estimates(values, f"nats, {model.parts.measure}")
            if model.parts.discrete:
                found["bits_per_dim"] = evaluate.bits_per_dim(found["negative_elbo"], dataset.spec.num_dimensions)
            return found

        def picture(key: PRNGKey, state: Any) -> Any:
            x = dataset.test.x[:20]
            real = x.astype(np.float32) / (dataset.spec.levels - 1) if dataset.spec.levels else x
            return plot.rows(
                {
                    "real (test set)": real,
                    "reconstructed": model.parts.reconstruct(state, x),
                    "sampled, z ~ N(0, I)": model.sample(key, state, 60),
                },
                title=f"VAE on {dataset.name} after {int(state.step)} steps, seed {self.seed}",
                columns=20,
            )

        return Experiment(
            model=model,
            dataset=dataset,
            evaluate=estimates,
            picture=picture,
            samples=lambda x, title: plot.images(x, title=title),
            best="negative_elbo",
        )
