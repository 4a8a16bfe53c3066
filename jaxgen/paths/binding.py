"""Functions that solvers and samplers take, made of a network, its prediction and the path it was trained on.

A network is any function (x_t [B, *event], t [B]) -> [B, *event]: a bound method of a module, or a closure over
parameters. Guidance comes before (`jaxgen.paths.guidance`); limits come after, as a function around the denoiser:

    denoise = bound_denoiser(path, Eps(), network)
    clipped = lambda x_t, t: jnp.clip(denoise(x_t, t), -1, 1)
"""

from jaxtyping import Array

from jaxgen.paths.path import Path
from jaxgen.paths.prediction import Predict, Prediction


def bound_velocity(path: Path, prediction: Prediction, network: Predict) -> Predict:
    """The velocity (x_t, t) -> dx / dt that a network implies, for the solvers of the flow."""

    def velocity(x_t: Array, t: Array) -> Array:
        return prediction.velocity(path, x_t, t, network(*prediction.inputs(path, x_t, t)))

    return velocity


def bound_denoiser(path: Path, prediction: Prediction, network: Predict) -> Predict:
    """The denoiser (x_t, t) -> x_0_hat that a network implies, for the samplers that step by the denoised data."""

    def denoise(x_t: Array, t: Array) -> Array:
        return prediction.ends(path, x_t, t, network(*prediction.inputs(path, x_t, t))).x_0

    return denoise
