"""The variational autoencoder.

    lecture                                       here
    P(X|z) = N(X | f(z), sigma^2 I)               likelihood.Normal, .Bernoulli, .DiscretizedNormal
    P(X) ~ 1/N sum_i P(X|z_i), z_i ~ P(z)         objective.monte_carlo_log_likelihood
    E_{z~Q} P(X|z), made an estimate of P(X)      objective.importance_weighted_bound
    KL[N_0 || N_1], KL[N || N(0, I)]              distributions.multivariate_normal_kl, .standard_normal_kl
    log P(X) - KL[Q || P(z|X)] = ELBO             oracle.LinearGaussian, where both sides are known
    z = mu + Sigma^(1/2) eps                      distributions.reparameterise
    E log P(X|z) - KL[Q(z|X) || P(z)]             objective.negative_elbo (its negative)

`model(Config(...), spec)` puts them together.
"""

from jaxgen.vae import objective, oracle
from jaxgen.vae.config import Config
from jaxgen.vae.likelihood import Bernoulli, DiscretizedNormal, Normal
from jaxgen.vae.model import Parts, model

__all__ = ["Bernoulli", "Config", "DiscretizedNormal", "Normal", "Parts", "model", "objective", "oracle"]
