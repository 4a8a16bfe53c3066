"""Denoising diffusion probabilistic models: the process, its bound and its samplers; a network is yet to come.

    lecture                                              here
    beta_t, alpha_t, alpha_bar_t                         schedule.linear, .cosine
    q(x_t | x_{t-1}), q(x_t | x_0), q(x_{1:T} | x_0)     process.transition, .marginal, .diffuse, .forward_chain
    q(x_{t-1} | x_t, x_0)                                process.posterior
    p_theta(x_{t-1} | x_t)                               process.reverse
    x_0, eps, v, score                                   prediction
    the bound in three terms                             objective.variational_bound
    p_theta(x_{0:T})                                     sampler.ancestral
    data whose reversal is known                         oracle.GaussianData, .GaussianMixtureData

Everything here takes `denoise(x_t, t) -> eps`, a function of arrays, whatever made it.
"""

from jaxgen.ddpm import conditioning, objective, oracle, prediction, process, sampler, schedule, weighting

__all__ = ["conditioning", "objective", "oracle", "prediction", "process", "sampler", "schedule", "weighting"]
