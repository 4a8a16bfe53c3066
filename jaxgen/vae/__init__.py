"""The variational autoencoder.

    equation                                              here
    P(X|z) = N(X | f(z), sigma^2 I)                       distributions.normal_log_prob, .bernoulli_log_prob,
                                                            .discretized_normal_log_prob,
                                                            .discretized_normal_probabilities; .categorical_log_prob; as
                                                            a choice of the model Normal, Bernoulli, DiscretizedNormal
    P(X) = integral of P(X|z) P(z) dz                     oracle.LinearGaussian
    P(X) ~ 1/N sum_i P(X|z_i), z_i ~ P(z)                 objective.monte_carlo_log_likelihood; of a trained model
                                                            inference.prior_log_likelihood (its part monte_carlo)
    E_{z~Q} P(X|z), made an estimate of P(X)              objective.importance_weighted_bound; -log p(x) of a trained
                                                            model: inference.importance_log_likelihood (its part
                                                            log_likelihood)
    KL[Q || P(z|X)]                                       oracle.LinearGaussian
    KL[N_0 || N_1]                                        distributions.multivariate_normal_kl, .normal_kl
    KL[N || N(0, I)]                                      distributions.standard_normal_kl
    log P(X) - KL[Q || P(z|X)] = ELBO                     objective.negative_elbo; oracle.LinearGaussian, where both
                                                            sides are known
    z = mu + Sigma^(1/2) eps                              distributions.reparameterise, .reparameterise_full, .affine
    E log P(X|z) - KL[Q(z|X) || P(z)] and its gradient    objective.negative_elbo (its negative) = distortion + rate;
                                                            with Q learning through its draw alone, .path_negative_elbo;
                                                            which latents it uses: .active_units; the step of training,
                                                            in all families but the GAN: learning.model
    log P(X) >= sum_y Q(y|X) (ELBO(X|y) + log P(y) - log  labels.summed_out_bound (its negative); where the label is
    Q(y|X))                                                 known, .labelled_bound; the classifier's cross-entropy,
                                                            distributions.categorical_log_prob (its negative); where all
                                                            of it is known oracle.Labelled; put together by
                                                            semi_supervised.model
    E[X | what is observed]                               inference.importance_expectation (its part impute), exactly
                                                            oracle.LinearGaussian; draws of what is missing:
                                                            inference.importance_resample (its part imputations)
    log P(s|x)                                            missingness.mask_log_prob; as a choice of the model
                                                            .SelfMasking, .Agnostic

`model(Config(...), spec)` puts them together.
"""

from jaxgen.vae import objective, oracle
from jaxgen.vae.config import Config
from jaxgen.vae.likelihood import Bernoulli, DiscretizedNormal, Normal
from jaxgen.vae.missingness import Agnostic, SelfMasking
from jaxgen.vae.model import Parts, model

__all__ = [
    "Agnostic",
    "Bernoulli",
    "Config",
    "DiscretizedNormal",
    "Normal",
    "Parts",
    "SelfMasking",
    "model",
    "objective",
    "oracle",
]
