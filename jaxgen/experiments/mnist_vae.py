"""The VAE of Burda et al. 2016 on binarised MNIST, with -log p(x) by 5000 importance samples."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jaxgen import data, evaluate, plot, vae
from jaxgen.core import Estimate, PRNGKey
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment, Settings


@dataclass(frozen=True)
class Config(Settings):
    """One stochastic layer of 50, 200-200 tanh, trained on all 60,000 images, binarised anew at every step.

    Args:
        data: Name of a data set of images; see `jaxgen.data.load` for where they come from.
        model: Of the VAE; `--model.num-samples 5` makes it the IWAE.
    """

    data: str = "mnist"
    model: vae.Config = vae.Config(
        latent_dim=50,
        hidden=(200, 200),
        likelihood=vae.Bernoulli(),
        warmup_steps=60_000,
        optimizer=Adam(1e-3, schedule=Cosine()),
    )
    steps: int = 720_000
    batch_size: int = 100
    log_every: int = 2000
    checkpoint_every: int = 20_000

    def build(self) -> Experiment:
        dataset = data.load(self.data, seed=self.seed, valid=0)
        model = vae.model(replace(self.model, optimizer=self.model.optimizer.lasting(self.steps)), dataset.spec)

        def estimates(key: PRNGKey, state: Any, split: Any) -> dict[str, Estimate]:
            values = evaluate.per_example(model, key, state, split)
            return evaluate.estimates(values, f"nats, {model.parts.measure}")

        def picture(key: PRNGKey, state: Any) -> Any:
            x = dataset.test.x[:20]
            return plot.rows(
                {
                    "real (test set)": x.astype(np.float32) / 255,
                    "reconstructed": model.parts.reconstruct(state, x),
                    "sampled, z ~ N(0, I)": model.sample(key, state, 60),
                },
                title=f"VAE on {dataset.name} after {int(state.step)} steps, seed {self.seed}",
                columns=20,
            )

        # The decoder's bias starts at the mean of the whole training set, not of a batch.
        whole = {"x": dataset.train.x}
        return Experiment(
            model=model._replace(init=lambda key, _: model.init(key, whole)),
            dataset=dataset,
            evaluate=estimates,
            picture=picture,
            samples=lambda x, title: plot.images(x, title=title),
        )
