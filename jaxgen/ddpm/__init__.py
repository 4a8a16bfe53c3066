"""Denoising diffusion probabilistic models: the process, its bound, its samplers, and a network that steers it.

    equation                                           here
    beta_t, increasing; alpha_t, alpha_bar_t           schedule.linear, .cosine, .from_betas; of a sub-sequence of steps
                                                         .respaced, .uniform_timesteps; with other ends .stretched
    q(x_t | x_{t-1})                                   process.transition
    q(x_{1:T} | x_0)                                   process.forward_chain
    q(x_t | x_0)                                       process.marginal, .diffuse
    q(x_{t-1} | x_t, x_0)                              process.posterior
    p_theta(x_{t-1} | x_t), sigma_t^2 I                process.reverse, with .posterior_variance, .beta_variance or
                                                         .interpolated_variance
    p_theta(x_{0:T}), p(x_T)                           sampler.ancestral; its start sampler.noise; as a choice of the
                                                         model's samples Ancestral, DDIM, DPMSolver
    E_q[log p_theta(x_{0:T}) - log q(x_{1:T} | x_0)]   objective.path_negative_bound (its negative)
    the bound in three terms: reconstruction, prior    objective.variational_bound; the terms .prior_cost,
    matching, denoising                                  .denoising_cost, .reconstruction_cost, .step_cost
    data whose reversal is known, and so the bound     oracle.GaussianData, .GaussianMixtureData
    L_simple = ||eps - eps_theta(x_t, t)||^2           objective.simple_loss; with a learned variance .hybrid_loss;
                                                         which t: weighting.stratified_t; what each t weighs:
                                                         weighting.MinSNR
    eps, x_0, v, score                                 prediction.x_0_from_eps, .eps_from_x_0, .v_from_eps, .v_from_x_0,
                                                         .eps_from_v, .x_0_from_v, .score_from_eps, .eps_from_score,
                                                         .signal_to_noise
    other samplers, guidance and inpainting            sampler.ddim, .dpm_solver_pp; conditioning.guided, .inpaint
    the noise of data, and from there data of another  encoding.encode, .translate
    kind
    log p(x) by the probability flow                   flow.flow_log_prob

These functions take any `denoise(x_t, t) -> eps`, a function of arrays. `model(Config(...), spec)` trains one: a `UNet`
or an `MLP`, on L_simple or with a learned variance, as a model of the contract.
"""

from jaxgen.ddpm import conditioning, encoding, objective, oracle, prediction, process, sampler, schedule, weighting
from jaxgen.ddpm.choices import DDIM, Ancestral, BetaVariance, DPMSolver, LearnedVariance, PosteriorVariance
from jaxgen.ddpm.config import Config
from jaxgen.ddpm.encoding import encode, translate
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
    "encode",
    "encoding",
    "flow_log_prob",
    "model",
    "objective",
    "oracle",
    "prediction",
    "process",
    "sampler",
    "schedule",
    "translate",
    "weighting",
]
