"""Denoising diffusion probabilistic models: the process, its bound, its samplers, and a network that steers it.

    lecture                                              here
    beta_t, alpha_t, alpha_bar_t                         schedule.linear, .cosine
    q(x_t | x_{t-1}), q(x_t | x_0), q(x_{1:T} | x_0)     process.transition, .marginal, .diffuse, .forward_chain
    q(x_{t-1} | x_t, x_0)                                process.posterior
    p_theta(x_{t-1} | x_t)                               process.reverse
    x_0, eps, v, score                                   prediction
    the bound in three terms                             objective.variational_bound
    p_theta(x_{0:T})                                     sampler.ancestral
    log p(x) by the probability flow                     flow_log_prob
    data whose reversal is known                         oracle.GaussianData, .GaussianMixtureData

These functions take any `denoise(x_t, t) -> eps`, a function of arrays. `model(Config(...), spec)` trains one: a `UNet`
or an `MLP`, on L_simple or with a learned variance, as a model of the contract.
"""

from jaxgen.ddpm import conditioning, objective, oracle, prediction, process, sampler, schedule, weighting
from jaxgen.ddpm.choices import DDIM, Ancestral, BetaVariance, DPMSolver, LearnedVariance, PosteriorVariance
from jaxgen.ddpm.config import Config
from jaxgen.ddpm.flow import flow_log_prob
from jaxgen.ddpm.model import Parts, model
from jaxgen.ddpm.networks import MLP, Output, UNet
from jaxgen.ddpm.prediction import X0, Eps, V
from jaxgen.ddpm.process import Denoised
from jaxgen.ddpm.schedule import Betas, Cosine, Linear
from jaxgen.ddpm.weighting import MinSNR, Uniform

__all__ = [
    "DDIM",
    "MLP",
    "X0",
    "Ancestral",
    "BetaVariance",
    "Betas",
    "Config",
    "Cosine",
    "DPMSolver",
    "Denoised",
    "Eps",
    "LearnedVariance",
    "Linear",
    "MinSNR",
    "Output",
    "Parts",
    "PosteriorVariance",
    "UNet",
    "Uniform",
    "V",
    "conditioning",
    "flow_log_prob",
    "model",
    "objective",
    "oracle",
    "prediction",
    "process",
    "sampler",
    "schedule",
    "weighting",
]
