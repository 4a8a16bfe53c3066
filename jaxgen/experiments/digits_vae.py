"""A VAE on scikit-learn's 8x8 handwritten digits: seconds on a laptop, from data to picture."""

from dataclasses import dataclass

from jaxgen import data, vae
from jaxgen.core import GenerativeModel, Spec
from jaxgen.data import Identity, Scale
from jaxgen.experiments import _images
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment, Settings


@dataclass(frozen=True)
class Config(Settings):
    """Settings of digits_vae.

    Args:
        data: Name of a data set of images, or a .npy or .npz file.
        scale: Scale of real values (float32); grey levels have their own.
        model: Configuration of the VAE.
    """

    data: str = "digits"
    scale: Scale = Identity()
    model: vae.Config = vae.Config(
        latent_dim=8,
        hidden=(256, 256),
        likelihood=vae.Bernoulli(),
        optimizer=Adam(2e-3, schedule=Cosine()),
    )
    steps: int = 4000
    checkpoint_every: int = 1000

    def model_for(self, spec: Spec) -> GenerativeModel:
        return vae.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        dataset = data.load(self.data, seed=self.seed, scale=self.scale)
        model = self.model_for(dataset.spec)
        return Experiment(
            model=model,
            dataset=dataset,
            evaluate=_images.estimates(model, dataset),
            picture=_images.reconstructed_and_sampled(model, dataset, "VAE", self.seed),
            samples=_images.samples(dataset.spec),
            best="negative_elbo",
            beside={"negative_elbo": "loss"},
        )
