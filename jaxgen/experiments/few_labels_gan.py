"""A GAN that learns a classifier from few labels: its generator matches the classifier's features."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax

from jaxgen.core import GenerativeModel, PRNGKey, Spec
from jaxgen.experiments import _few_labels
from jaxgen.gan import feature_matching
from jaxgen.optimizers import Adam, Cosine
from jaxgen.rehearsal import host
from jaxgen.runs import Experiment, pictures


@dataclass(frozen=True)
class Config(_few_labels.Config):
    """Settings of few_labels_gan.

    Args:
        model: Configuration of the game.
    """

    model: feature_matching.Config = feature_matching.Config(
        gan=replace(
            feature_matching.Config.gan,
            generator_optimizer=Adam(3e-3, Cosine(), b1=0.5),
            discriminator_optimizer=Adam(3e-3, Cosine(), b1=0.5),
        ),
    )
    steps: int = 2000
    log_every: int = 100
    checkpoint_every: int = 1000

    def one(self, spec: Spec) -> GenerativeModel:
        """The model of one draw of the labels."""
        return feature_matching.model(self.model.lasting(self.steps), spec)

    def model_for(self, spec: Spec) -> GenerativeModel:
        return _few_labels.members(self.one(spec), self.draws)

    def build(self) -> Experiment:
        dataset = self.dataset()
        model = self.one(dataset.spec)
        title = f"feature matching on {dataset.name}, seed {self.seed}"
        units = {"value": "nats; -1.386 where D cannot tell", "d_real": "probability", "d_fake": "probability"}
        picture = _drawn(model, dataset.spec, title)
        return _few_labels.experiment(self, model, dataset, "feature matching", picture, **units)


def _drawn(model: GenerativeModel, spec: Spec, title: str) -> Callable[[PRNGKey, Any], Any]:
    """(key, state) -> a figure of samples of the first member."""

    def figure(key: PRNGKey, state: Any) -> Any:
        x = host(model.sample(key, jax.tree.map(lambda leaf: leaf[0], state.variables), 60))
        return pictures.examples({"": x}, spec, title=f"{title} after {int(state.step)} steps: samples", columns=20)

    return figure
