"""The chain x_1 .. x_T of a diffusion model over x_0, for a codec."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.core import Spec, Variables
from jaxgen.data import space
from jaxgen.ddpm.config import Config
from jaxgen.ddpm.denoiser import Denoiser
from jaxgen.ddpm.process import eps_and_fraction, posterior_variance, reverse, transition
from jaxgen.ddpm.schedule import Schedule, respaced, uniform_timesteps
from jaxgen.distributions import discretized_normal_probabilities
from jaxgen.latents import Gaussian, Latents
from jaxgen.nn import condition_inputs

_BINS = 4
"""Bins of a level within the smallest standard deviation that it is drawn with, at least."""


def latents_of(config: Config, spec: Spec, trained: Denoiser, num_levels: int | None = None) -> Latents:
    """The chain of all levels, or of some with the same marginals (`schedule.respaced`).

        q(x_l | x_{l-1}) = N(sqrt(alpha_l) x_{l-1}, beta_l I),     p(x_{l-1} | x_l) = N(mu_theta, sigma_l^2 I)

    p(x_0 | x_1) is the normal distribution integrated over the bins of the grey levels, as in the bound. Conditions are
    withheld.

    Args:
        config: Configuration of the model.
        spec: Description of the data.
        trained: Its denoiser.
        num_levels: Number of levels, at even distances; None for all T.

    Raises:
        ValueError: Data without grey levels, a condition that the model has never gone without, or num_levels outside
            1 .. T.
    """
    if spec.levels is None:
        raise ValueError("data must have grey levels for a codec, got real values (levels=None)")
    condition_inputs.chosen(trained.conditions, spec, 1, drawn=())
    steps = trained.schedule.num_timesteps
    if num_levels is not None:
        require.integer("num_levels", num_levels, 1, steps, "the number of timesteps")
    times = uniform_timesteps(steps, num_levels or steps)
    visited, levels, clip = respaced(trained.schedule, times), spec.levels, space.limit(spec)
    time_of = np.array((0, *reversed(times)), np.int32)  # t of level l

    def below(variables: Variables, level: Array, x: Array) -> tuple[Array, Array]:
        """Mean and variance of p(x_{level-1} | x_level)."""
        t = jnp.broadcast_to(jnp.asarray(time_of)[level], x.shape[:1])
        eps_hat, fraction = eps_and_fraction(trained.bind(variables, {})(x, t), x)
        return reverse(visited, x, level, eps_hat, fraction, variance=config.variance.fixed, clip=clip)

    def first(variables: Variables, x: Array) -> Gaussian:
        return up(variables, jnp.ones((), jnp.int32), space.to_model(x, spec))

    def up(variables: Variables, level: Array, x: Float[Array, "b *event"]) -> Gaussian:
        mean, variance = transition(visited, x, level)
        return Gaussian(mean, jnp.sqrt(variance))

    def down(variables: Variables, level: Array, x: Float[Array, "b *event"]) -> Gaussian:
        mean, variance = below(variables, level, x)
        return Gaussian(mean, jnp.sqrt(variance))

    def data(variables: Variables, x_1: Float[Array, "b *event"]) -> Float[Array, "b ..."]:
        mean, variance = below(variables, jnp.ones((), jnp.int32), x_1)
        return discretized_normal_probabilities(mean, 0.5 * jnp.log(variance), levels)

    return Latents(spec.event_shape, _widths(visited), first, data, up, down)


def _widths(visited: Schedule) -> tuple[float, ...]:
    """Widths of the bins of each level, as powers of two, which no rounding changes.

    Level l is drawn with variance beta_l upwards, and downwards with one of at least beta_tilde_{l+1}.
    """
    variance = visited.beta[1:].copy()
    variance[:-1] = np.minimum(variance[:-1], posterior_variance(visited)[2:])
    return tuple(float(width) for width in 2.0 ** np.floor(np.log2(np.sqrt(variance) / _BINS)))
