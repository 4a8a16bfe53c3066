"""A VAE on handwritten digits: an experiment to change into your own."""

from dataclasses import dataclass
from typing import Any

from jaxgen import data, evaluate, plot, vae
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.optimizers import Adam
from jaxgen.runs import Experiment, Settings


@dataclass(frozen=True)
class Config(Settings):
    """Every field is a flag (`--steps 2000`, `--model.latent-dim 2`), beside those that all experiments share.

    Args:
        data: Name of a data set, a .npy or .npz file, or a folder of images.
        model: Configuration of the VAE.
    """

    data: str = "digits"
    model: vae.Config = vae.Config(latent_dim=8, hidden=(128,), optimizer=Adam(2e-3))
    steps: int = 1000

    def model_for(self, spec: Spec) -> GenerativeModel:
        """The model: all that samples need, who see of the data no more than their description."""
        return vae.model(self.model, spec)

    def build(self) -> Experiment:
        """The model and its data, what is measured at every checkpoint, and what is drawn at the end."""
        dataset = data.load(self.data, seed=self.seed)
        model = self.model_for(dataset.spec)

        def measured(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
            return evaluate.estimates(evaluate.per_example(model, key, variables, split), "nats")

        def picture(key: PRNGKey, state: Any) -> Any:
            x = dataset.test.x[:20]
            groups = {
                "real": data.to_unit(x, dataset.spec),
                "reconstructed": model.parts.reconstruct(state.variables, x),
            }
            return samples(model.sample(key, state.variables, 40), "VAE", **groups)

        def samples(x: Any, title: str, **above: Any) -> Any:
            return plot.examples({**above, "sampled": x}, title=title, columns=20)

        # The smallest negative_elbo on the validation split marks the best checkpoint.
        return Experiment(model, dataset, measured, picture, samples, best="negative_elbo")
