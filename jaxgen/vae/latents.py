"""A VAE's latents z over X as a chain of one level, for a codec."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.core import Spec, Variables
from jaxgen.latents import Gaussian, Latents
from jaxgen.nn import condition_inputs
from jaxgen.vae.coding import Coding
from jaxgen.vae.config import Config

WIDTH = 2.0**-8
"""Width of the bins of z: a fraction of the smallest standard deviations that posteriors have, 0.01 and more."""


def latents_of(config: Config, spec: Spec, coder: Coding, num_levels: int | None = None) -> Latents:
    """The chain x_0 = X, x_1 = z.

        q(x_1 | x_0) = Q(z|X),     p(x_1) = N(0, I),     p(x_0 | x_1) = P(X|z)

    Conditions are withheld.

    Args:
        config: Configuration of the VAE.
        spec: Description of the data.
        coder: Its networks.
        num_levels: Number of levels, of which there is one; None for all.

    Raises:
        ValueError: A likelihood that is not of the data as they are stored, a mask's distribution, a condition that the
            model has never gone without, or another number of levels.
    """
    if num_levels is not None:
        require.integer("num_levels", num_levels, 1, 1, "for a VAE")
    if config.missing is not None:
        raise ValueError(f"missing must be None for a codec, which is of whole examples, got {config.missing}")
    condition_inputs.chosen(config.condition, spec, 1, drawn=())
    # Refused here rather than while something is coded.
    example = config.likelihood.output(jnp.zeros(spec.event_shape))[None]
    config.likelihood.probabilities(example, jnp.zeros(()), spec)

    def forms(num: int) -> dict[str, Array]:
        return condition_inputs.for_samples(config.condition, spec, {}, num)

    def first(variables: Variables, x: Array) -> Gaussian:
        mu, log_var = coder.q(variables, config.likelihood.target(x, spec, None), None, forms(len(x)))[0]
        return Gaussian(mu, jnp.exp(0.5 * log_var))

    def data(variables: Variables, z: Float[Array, "b z"]) -> Float[Array, "b ..."]:
        return coder.probabilities(variables, z, forms(len(z)))

    return Latents((config.latent_dim,), (WIDTH,), first, data)
