"""A VAE of galaxies, rendered with known parameters or from a file of the SDSS or FIRST."""

from dataclasses import dataclass

from jaxgen import vae
from jaxgen.core import GenerativeModel, Spec
from jaxgen.experiments import _galaxies, _images
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment


@dataclass(frozen=True)
class Config(_galaxies.Config):
    """Settings of galaxies_vae.

    Args:
        model: Configuration of the VAE; its decoder's noise is learned, on the scale of the data.
    """

    model: vae.Config = vae.Config(
        latent_dim=32,
        hidden=(256,),
        features=(32, 64, 128),
        likelihood=vae.Normal(0.5, learn=True),
        warmup_steps=500,
        optimizer=Adam(1e-3, Cosine(), clip_norm=10.0),
    )
    steps: int = 4000
    batch_size: int = 64

    def model_for(self, spec: Spec) -> GenerativeModel:
        return vae.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        dataset = self.dataset()
        model = self.model_for(dataset.spec)
        return _galaxies.experiment(
            self,
            model,
            dataset,
            "VAE",
            _images.estimates(model, dataset),
            best="negative_elbo",
            beside={"negative_elbo": "loss"},
            pictures={"reconstructed": _images.reconstructed_and_sampled(model, dataset, "VAE", self.seed)},
        )
