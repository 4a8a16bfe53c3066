"""Generative models in continuous time, along any Gaussian path: flow matching, EDM, variational diffusion, MeanFlow.

    equation                            here
    ||u - u_hat(x_t, t)||^2             objective.velocity_loss, .weighted_loss; as a choice of a model which t:
                                          Uniform, LogitNormal, LogNormal; what each t weighs: Plain, Likelihood,
                                          Sigmoid
    prior + diffusion + reconstruction  objective.continuous_bound; the terms .prior_cost, .diffusion_cost,
                                          .reconstruction_cost; data for which it is known oracle.gaussian_bound,
                                          .GreyLevels
    u = v - (t - r) du/dt               mean_flow.mean_flow, .shortcut_target, .guided_velocity, .adaptive_loss; as a
                                          choice of a model Average; its sampler Jump
    samplers as choices of a model      choices.Euler, .Heun, .DPMSolver, .Ancestral, .Churned, .Jump; their times
                                          grids.Even, .LogSNR, .Karras

These functions take any network as functions of (x_t, t), see `jaxgen.paths`. `model(Config(...), spec)` trains one: a
`UNet` or an `MLP`, on a path and a prediction of choice, as a model of the contract.
"""

from jaxgen.flow import average, choices, dynamics, ends, mean_flow, objective, weighting
from jaxgen.flow.average import Average
from jaxgen.flow.choices import Ancestral, AnySampler, Churned, DPMSolver, Euler, Heun, Jump
from jaxgen.flow.config import Config
from jaxgen.flow.dynamics import Dynamics
from jaxgen.flow.grids import Even, Karras, LogSNR
from jaxgen.flow.mean_flow import MeanFlow
from jaxgen.flow.model import Parts, model
from jaxgen.flow.networks import MLP, UNet
from jaxgen.flow.objective import Bound, continuous_bound
from jaxgen.flow.weighting import Likelihood, Plain, Sigmoid
from jaxgen.paths.log_snr import LearnedLogSNR, LinearLogSNR
from jaxgen.paths.mixture import Mixture
from jaxgen.paths.path import Cosine, Linear, LinearBeta, VarianceExploding
from jaxgen.paths.preconditioning import Preconditioned
from jaxgen.paths.prediction import X0, Eps, V, Velocity
from jaxgen.paths.times import LogitNormal, LogNormal, Uniform

__all__ = [
    "MLP",
    "X0",
    "Ancestral",
    "AnySampler",
    "Average",
    "Bound",
    "Churned",
    "Config",
    "Cosine",
    "DPMSolver",
    "Dynamics",
    "Eps",
    "Euler",
    "Even",
    "Heun",
    "Jump",
    "Karras",
    "LearnedLogSNR",
    "Likelihood",
    "Linear",
    "LinearBeta",
    "LinearLogSNR",
    "LogNormal",
    "LogSNR",
    "LogitNormal",
    "MeanFlow",
    "Mixture",
    "Parts",
    "Plain",
    "Preconditioned",
    "Sigmoid",
    "UNet",
    "Uniform",
    "V",
    "VarianceExploding",
    "Velocity",
    "average",
    "choices",
    "continuous_bound",
    "dynamics",
    "ends",
    "mean_flow",
    "model",
    "objective",
    "weighting",
]
