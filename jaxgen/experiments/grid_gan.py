"""GANs on 25 Gaussians on a grid, five seeds in one program: how many modes survive?"""

from dataclasses import dataclass

from jaxgen import data, gan
from jaxgen.experiments import _toys
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import Experiment


@dataclass(frozen=True)
class Config(_toys.Config):
    """25 modes; see `_toys.Config` for the settings.

    The modes lie on a surface, and so does a z of two dimensions: with more of them G is slow to leave the space
    between modes. The penalty is strong until every mode is found, then falls so that D sees how narrow they are.

    Args:
        model: Configuration of the GAN.
    """

    toy = "grid"

    model: gan.Config = gan.Config(
        latent_dim=2,
        network=gan.MLP(generator_hidden=(128, 128, 128), discriminator_hidden=(128, 128, 128), octaves=4),
        loss=gan.Relativistic(),
        penalty=gan.ZeroCentred(r1=0.3, r2=0.3),
        penalty_schedule=Cosine(final=0.01),
        generator_optimizer=Adam(1e-3, Cosine(), b1=0.0, b2=0.99),
        discriminator_optimizer=Adam(1e-3, Cosine(), b1=0.0, b2=0.99),
    )

    def build(self) -> Experiment:
        return _toys.experiment(self, data.grid_centres(), std=0.05)
