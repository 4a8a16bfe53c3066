"""Gaussian paths x_t = alpha(t) x_0 + sigma(t) eps over real t: what every diffusion and flow model shares.

    equation                                              here
    alpha(t), sigma(t), their derivatives, log SNR        path.Linear, .Cosine, .LinearBeta, .VarianceExploding,
                                                            tabulated.Tabulated; given by the log SNR
                                                            log_snr.LinearLogSNR, .LearnedLogSNR
    x_t; eps, x_0, v, velocity, score                     prediction.diffuse, .ends_from_eps, .ends_from_x_0,
                                                            .ends_from_v, .ends_from_velocity, .ends_from_score,
                                                            .v_from_ends, .velocity_from_ends, .score_from_ends
    what a network predicts                               as a choice of a model prediction.Eps, .X0, .V, .Velocity;
                                                            between EDM's scalings preconditioning.Preconditioned; as a
                                                            distribution of each value, by Bayes' rule mixture.Mixture
    a network as a velocity or a denoiser                 binding.bound_velocity, .bound_denoiser
    where t is drawn in training                          times.stratified_times of .Uniform, .LogitNormal, .LogNormal;
                                                            numbers that belong to their example .spread_uniforms,
                                                            between two ends .restricted
    where a sampler stops                                 times.even_times, .karras_times, .log_snr_times
    samplers along any path: by the probability flow, or  steps by the denoised data: sampler.ancestral, .dpm_solver_pp;
    with noise                                              the flow with noise put back (EDM): .churned; dx/dt =
                                                            u(x,t), from noise to data: ode.euler, .heun; their start
                                                            sampler.noise
    classifier-free guidance along any path               guidance.guided
    missing dimensions by replacement at every level      inpainting.inpaint
    pictures larger than the network's, in tiles          tiles.tiled
    d log p / dt = -div dx / dt                           flow.flow_log_prob; with an estimate of its error
                                                            .extrapolated_log_prob; to a tolerance
                                                            adaptive.adaptive_log_prob, and the flow itself
                                                            .adaptive_flow
    P(level), the integral of a density over a bin        dequantisation.dequantise; importance weighted
                                                            .dequantised_log_prob
    data for which all of this is known                   oracle.gaussian, .GaussianMixture

Nothing here knows a network or a family: a model is any function of (x_t [B, *event], t [B]). The lecture's chain of
integer steps is in `jaxgen.ddpm`; its schedules are paths, sampled at T points (`Tabulated`).
"""

from jaxgen.paths import (
    adaptive,
    binding,
    dequantisation,
    flow,
    guidance,
    inpainting,
    log_snr,
    ode,
    oracle,
    path,
    preconditioning,
    prediction,
    sampler,
    tabulated,
    tiles,
    times,
)
from jaxgen.paths.adaptive import adaptive_flow, adaptive_log_prob
from jaxgen.paths.binding import bound_denoiser, bound_velocity
from jaxgen.paths.dequantisation import dequantise, dequantised_log_prob
from jaxgen.paths.flow import LogProb, extrapolated_log_prob, flow_log_prob, random_signs
from jaxgen.paths.guidance import guided
from jaxgen.paths.inpainting import inpaint
from jaxgen.paths.log_snr import LearnedLogSNR, LinearLogSNR
from jaxgen.paths.mixture import Mixture
from jaxgen.paths.ode import euler, heun
from jaxgen.paths.path import Cosine, Linear, LinearBeta, Path, VarianceExploding
from jaxgen.paths.preconditioning import Preconditioned
from jaxgen.paths.prediction import X0, Ends, Eps, Prediction, V, Velocity, diffuse
from jaxgen.paths.sampler import ancestral, churned, dpm_solver_pp, noise
from jaxgen.paths.straight import straightness
from jaxgen.paths.tabulated import Tabulated
from jaxgen.paths.tiles import tiled
from jaxgen.paths.times import (
    LogitNormal,
    LogNormal,
    TimeDistribution,
    Uniform,
    even_times,
    karras_times,
    log_snr_times,
    stratified_times,
)

__all__ = [
    "X0",
    "Cosine",
    "Ends",
    "Eps",
    "LearnedLogSNR",
    "Linear",
    "LinearBeta",
    "LinearLogSNR",
    "LogNormal",
    "LogProb",
    "LogitNormal",
    "Mixture",
    "Path",
    "Preconditioned",
    "Prediction",
    "Tabulated",
    "TimeDistribution",
    "Uniform",
    "V",
    "VarianceExploding",
    "Velocity",
    "adaptive",
    "adaptive_flow",
    "adaptive_log_prob",
    "ancestral",
    "binding",
    "bound_denoiser",
    "bound_velocity",
    "churned",
    "dequantisation",
    "dequantise",
    "dequantised_log_prob",
    "diffuse",
    "dpm_solver_pp",
    "euler",
    "even_times",
    "extrapolated_log_prob",
    "flow",
    "flow_log_prob",
    "guidance",
    "guided",
    "heun",
    "inpaint",
    "inpainting",
    "karras_times",
    "log_snr",
    "log_snr_times",
    "noise",
    "ode",
    "oracle",
    "path",
    "preconditioning",
    "prediction",
    "random_signs",
    "sampler",
    "straightness",
    "stratified_times",
    "tabulated",
    "tiled",
    "tiles",
    "times",
]
