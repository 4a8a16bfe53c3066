"""A GAN of galaxies, rendered with known parameters or from a file of the SDSS or FIRST."""

from dataclasses import dataclass

from jaxgen import gan
from jaxgen.core import GenerativeModel, Spec
from jaxgen.experiments import _galaxies, _gan
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment


@dataclass(frozen=True)
class Config(_galaxies.Config):
    """Settings of galaxies_gan.

    Args:
        model: Configuration of the GAN; both players see orientations that are drawn anew at every step.
    """

    model: gan.Config = gan.Config(
        latent_dim=64,
        network=gan.DCGAN(features=32),
        penalty=gan.ZeroCentred(r1=0.5),
        generator_optimizer=Adam(5e-4, Cosine(), b1=0.0, b2=0.99),
        discriminator_optimizer=Adam(5e-4, Cosine(), b1=0.0, b2=0.99),
        ema_decay=0.999,
    )
    steps: int = 6000
    batch_size: int = 32

    @property
    def batch_unit(self) -> int:
        return self.model.n_critic

    def model_for(self, spec: Spec) -> GenerativeModel:
        return gan.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        dataset = self.dataset()
        model = self.model_for(dataset.spec)
        return _galaxies.experiment(
            self,
            model,
            dataset,
            "GAN",
            _gan.estimates(model),
            film=_gan.film(dataset),
            levels=_gan.LEVELS,
            pictures={"latent": _gan.latent_path(model, dataset, self.seed)},
        )
