"""A convolutional VAE on binarised MNIST."""

from dataclasses import dataclass
from typing import ClassVar

from jaxgen import vae
from jaxgen.experiments import mnist_vae
from jaxgen.optimizers import Adam, Cosine


@dataclass(frozen=True)
class Config(mnist_vae.Config):
    """As mnist_vae, with two convolutional levels in front of a smaller dense layer.

    10,000 training images are held out, as for the GAN and the diffusion model that it is compared with.

    Args:
        valid: Training images that are held out, as a number of them or a fraction; unless given 10,000 of MNIST and
            Fashion-MNIST, and a tenth of other data that come without a validation set.
        model: Configuration of the VAE.
    """

    held_out_of_mnist: ClassVar[int] = 10_000

    model: vae.Config = vae.Config(
        latent_dim=32,
        hidden=(128,),
        features=(16, 32),
        likelihood=vae.Bernoulli(),
        warmup_steps=2000,
        optimizer=Adam(1e-3, schedule=Cosine()),
    )
    importance_samples: int = 500
    binarisations: int = 1
    steps: int = 20_000
    log_every: int = 500
    checkpoint_every: int = 5000
