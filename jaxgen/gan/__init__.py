"""Generative adversarial networks.

    lecture                                              here
    V(D, G) = E log D(x) + E log(1 - D(G(z)))            objective.value
    the discriminator maximises it                       objective.discriminator_loss (its negative)
    the generator minimises it                           objective.minimax_generator_loss
    D* = p_d / (p_d + p_g)                               objective.optimal_discriminator
    V(D*, G) = 2 JSD(p_d, p_g) - log 4                   objective.optimal_value, distributions.js_divergence
    discriminator first, then generator                  game.game, one `step` of the model
    densities with known D* and V                        oracle

`model(Config(...), spec)` puts them together.
"""

from jaxgen.gan import objective, oracle
from jaxgen.gan.augmentation import Augmentation
from jaxgen.gan.config import Config
from jaxgen.gan.game import State
from jaxgen.gan.latent import Normal, Uniform
from jaxgen.gan.losses import (
    GradientPenalty,
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    NoPenalty,
    Relativistic,
    Wasserstein,
    ZeroCentred,
)
from jaxgen.gan.model import Parts, model
from jaxgen.gan.networks import DCGAN, MLP, SNResNet

__all__ = [
    "DCGAN",
    "MLP",
    "Augmentation",
    "Config",
    "GradientPenalty",
    "Hinge",
    "LeastSquares",
    "Minimax",
    "NoPenalty",
    "NonSaturating",
    "Normal",
    "Parts",
    "Relativistic",
    "SNResNet",
    "State",
    "Uniform",
    "Wasserstein",
    "ZeroCentred",
    "model",
    "objective",
    "oracle",
]
