"""A VAE and a classifier that learn from few labels: the label is summed out where it is not known (M2)."""

from dataclasses import dataclass

from jaxgen import vae
from jaxgen.core import GenerativeModel, Spec
from jaxgen.experiments import _few_labels
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment
from jaxgen.vae import semi_supervised


@dataclass(frozen=True)
class Config(_few_labels.Config):
    """Settings of few_labels_m2.

    Args:
        model: Configuration of the VAE and the classifier.
    """

    model: semi_supervised.Config = semi_supervised.Config(
        vae=vae.Config(latent_dim=8, hidden=(128,), optimizer=Adam(2e-3, Cosine())),
        classifier=(128,),
        dropout=0.2,
        alpha=1.0,
        labelled=0.05,
    )
    steps: int = 2000
    log_every: int = 100
    checkpoint_every: int = 1000

    def one(self, spec: Spec) -> GenerativeModel:
        """The model of one draw of the labels."""
        return semi_supervised.model(self.model.lasting(self.steps), spec)

    def model_for(self, spec: Spec) -> GenerativeModel:
        return _few_labels.members(self.one(spec), self.draws)

    def build(self) -> Experiment:
        dataset = self.dataset()
        model = self.one(dataset.spec)
        title = f"M2 on {dataset.name}, seed {self.seed}"
        picture = _few_labels.classes_of_samples(model, dataset.spec, title)
        return _few_labels.experiment(self, model, dataset, "M2", picture)
