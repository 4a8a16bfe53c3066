"""Generative adversarial networks.

    equation                                          here
    V(D, G) = E log D(x) + E log(1 - D(G(z)))         objective.value; the discriminator maximises it:
                                                        .discriminator_loss (its negative)
    G minimises log(1 - D(G(z))); -log D(G(z))        objective.minimax_generator_loss; as it is played,
                                                        .non_saturating_generator_loss; as a choice of the model
                                                        Minimax, NonSaturating
    discriminator first, then generator               game.play, one round with the training.losses of both: one step of
                                                        a model; each player's by learning.gradient, .update
    p_d log D + p_g log(1 - D), concave in D          objective.value_density
    D* = p_d / (p_d + p_g)                            objective.optimal_discriminator, .optimal_logits
    KL(p || q), JSD(p, q)                             distributions.kl_divergence, .js_divergence
    V(D*, G) = 2 JSD(p_d, p_g) - log 4                objective.optimal_value; where both densities are known
                                                        oracle.optimal_value_by_quadrature
    V(D*, G) - V(D, G)                                the gap of any discriminator to the optimum: oracle.value_gap
    densities with known D* and V                     oracle.Mixture, .Box
    other losses of the two players                   objective.least_squares_discriminator_loss,
                                                        .least_squares_generator_loss, .hinge_discriminator_loss,
                                                        .hinge_generator_loss, .wasserstein_discriminator_loss,
                                                        .wasserstein_generator_loss, .relativistic_discriminator_loss,
                                                        .relativistic_generator_loss; as a choice of the model
                                                        LeastSquares, Hinge, Wasserstein, Relativistic
    (||grad D|| - 1)^2; 1/2 ||grad D||^2              penalties.gradient_penalty, .r1_penalty, .r2_penalty; as a choice
                                                        of the model GradientPenalty, ZeroCentred
    D = Z / (Z + 1), Z = sum_k exp l_k; ||E f(x) - E  labels.real_logit, .feature_matching_loss; put together by
    f(G(z))||^2                                         feature_matching.model

`model(Config(...), spec)` puts them together; `model_of` does so for a game with a loss of your own.
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
from jaxgen.gan.model import Parts, model, model_of
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
    "model_of",
    "objective",
    "oracle",
]
