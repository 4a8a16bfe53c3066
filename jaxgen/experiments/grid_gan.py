"""GANs on 25 Gaussians on a grid, five seeds in one program: how many modes survive?"""

from dataclasses import dataclass

from jaxgen import data, gan
from jaxgen.experiments import _toys
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment


@dataclass(frozen=True)
class Config(_toys.Config):
    """25 modes, counted as Lin et al. 2018 (PacGAN) do: 2,500 samples, of high quality within three deviations.

    `model.loss:non-saturating model.penalty:no-penalty` is the plain GAN of the lecture.

    Args:
        model: Of the GAN.
    """

    model: gan.Config = gan.Config(
        latent_dim=32,
        network=gan.MLP(generator_hidden=(128, 128, 128), discriminator_hidden=(128, 128, 128)),
        loss=gan.Relativistic(),
        penalty=gan.ZeroCentred(r1=0.01, r2=0.01),
        generator_optimizer=Adam(1e-3, Cosine(), b1=0.0, b2=0.99),
        discriminator_optimizer=Adam(1e-3, Cosine(), b1=0.0, b2=0.99),
    )
    steps: int = 50_000
    batch_size: int = 640
    log_every: int = 500
    checkpoint_every: int = 5000
    picture_every: int = 5000

    def build(self) -> Experiment:
        return _toys.experiment(self, "grid", data.grid_centres(), std=0.05)
