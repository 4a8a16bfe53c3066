"""A GAN on scikit-learn's 8x8 handwritten digits: about a minute on a laptop."""

from dataclasses import dataclass

from jaxgen import data, gan
from jaxgen.core import GenerativeModel, Spec
from jaxgen.data import Identity, Scale
from jaxgen.experiments import _gan
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment, Settings


@dataclass(frozen=True)
class Config(Settings):
    """Settings of digits_gan.

    Args:
        data: Name of a data set of images, or a .npy or .npz file.
        scale: Scale of real values (float32); grey levels have their own.
        model: Configuration of the GAN.
    """

    data: str = "digits"
    scale: Scale = Identity()
    model: gan.Config = gan.Config(
        latent_dim=32,
        network=gan.MLP(generator_hidden=(256, 256), discriminator_hidden=(256, 256)),
        penalty=gan.ZeroCentred(r1=0.2),
        generator_optimizer=Adam(1e-3, Cosine(), b1=0.0, b2=0.99),
        discriminator_optimizer=Adam(1e-3, Cosine(), b1=0.0, b2=0.99),
    )
    steps: int = 8000
    log_every: int = 100
    checkpoint_every: int = 2000
    picture_every: int = 1000

    @property
    def batch_unit(self) -> int:
        return self.model.n_critic

    def model_for(self, spec: Spec) -> GenerativeModel:
        return gan.model(self.model.lasting(self.steps), spec)

    def build(self) -> Experiment:
        dataset = data.load(self.data, seed=self.seed, scale=self.scale)
        model = self.model_for(dataset.spec)
        return _gan.experiment(model, dataset, self.seed, conditional=self.model.conditional)
