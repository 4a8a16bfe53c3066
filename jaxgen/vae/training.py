"""The loss of training: the negative ELBO at one draw of Q(z|X), or the importance-weighted bound at several."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.core import Aux, Batch, Loss, Metrics, PRNGKey, Spec, Variables
from jaxgen.data import space
from jaxgen.distributions import affine, normal_log_prob, standard_normal_kl
from jaxgen.draws import coarse_uniforms
from jaxgen.nn.coders import changed_with
from jaxgen.nn.condition_inputs import for_training
from jaxgen.vae.coding import Coding
from jaxgen.vae.config import Config
from jaxgen.vae.objective import importance_weighted_bound, negative_elbo, path_negative_elbo


def of_data(values: Metrics, volume: Array | None) -> dict[str, Array]:
    """The terms of the bound for the density of the data in their own units instead of scaled ones.

    Args:
        values: Terms of the bound, among them "negative_elbo" and "distortion".
        volume: log-volume of the scale, see `jaxgen.data.space.log_volume`; None where there is no scale.
    """
    if volume is None:
        return dict(values)
    moved = {name: values[name] - volume for name in ("negative_elbo", "distortion")}
    return {**values, **moved}


def training_loss(config: Config, spec: Spec, coding: Coding) -> Loss:
    """Build the loss that a VAE is trained on.

    Args:
        config: Configuration of the VAE.
        spec: Description of the data.
        coding: Encoder and decoder with the likelihood.

    Returns:
        (variables, key, batch, step) -> (losses [B] in nats, with the metrics "distortion" and "rate").
    """
    likelihood, conditions, num_samples = config.likelihood, config.condition, config.num_samples

    def weight(step: Any) -> Any:
        """The weight of the rate, which rises during the warm-up."""
        if not config.warmup_steps:
            return config.beta
        return config.beta * jnp.minimum(1.0, jnp.asarray(step).astype(jnp.float32) / config.warmup_steps)

    def loss(variables: Variables, key: PRNGKey, batch: Batch, step: Any) -> tuple[Float[Array, " b"], Aux]:
        fields = coding.fields(batch)
        x, mask, num = fields["x"], fields.get("mask"), fields["x"].shape[0]
        key_x, key_eps = jax.random.split(key)
        # A split into two is a fold of 0 and 1.
        key_withheld, key_encoder, key_decoder = (jax.random.fold_in(key, i) for i in (2, 3, 4))
        uniform = coarse_uniforms(key_x, x.shape) if likelihood.stochastic else None
        volume, x = space.log_volume(x, spec, mask), likelihood.target(x, spec, uniform)
        forms = for_training(key_withheld, conditions, spec, fields, num)
        beta = weight(step)
        q, of_encoder = coding.q(variables, x, mask, forms, key_encoder)
        mu, log_var = coding.latents(q)
        if num_samples == 1:
            z = affine(mu, log_var, jax.random.normal(key_eps, (num, coding.num_latents), jnp.float32))
            log_likelihood, of_decoder = coding.log_p(variables, x, z, mask, forms, key_decoder)
            if config.path_gradient:
                bound = path_negative_elbo(log_likelihood, z, mu, log_var, beta)
            else:
                bound = negative_elbo(log_likelihood, mu, log_var, beta)
            distortion = -log_likelihood
        else:
            _require_no_memory(variables, num_samples)
            eps = jax.random.normal(key_eps, (num_samples, num, coding.num_latents), jnp.float32)
            z = jax.vmap(lambda e: affine(mu, log_var, e))(eps)
            log_likelihood, of_decoder = jax.vmap(lambda draw, key: coding.log_p(variables, x, draw, mask, forms, key))(
                z, jax.random.split(key_decoder, num_samples)
            )
            log_prior = jax.vmap(lambda draw: normal_log_prob(draw, jnp.zeros_like(draw), jnp.zeros((), draw.dtype)))(z)
            log_q = jax.vmap(lambda draw: normal_log_prob(draw, mu, log_var))(z)
            bound = -importance_weighted_bound(log_likelihood, beta * log_prior, beta * log_q)
            distortion = -log_likelihood.mean(axis=0)
        terms = {"negative_elbo": bound, "distortion": distortion, "rate": standard_normal_kl(mu, log_var)}
        values = of_data(terms, volume)
        # With beta the loss is no bound.
        return values.pop("negative_elbo"), Aux(values, changed_with(variables, of_encoder, of_decoder))

    return loss


def _require_no_memory(variables: Variables, num_samples: int) -> None:
    """Refuse a decoder that is called for several draws and has running statistics: one for each would come of it.

    Raises:
        ValueError: Further collections of the decoder.
    """
    further = [name for name, networks in variables.items() if name != "params" and "decoder" in networks]
    if further:
        raise ValueError(
            f"num_samples must be 1 for a decoder with collections beside its parameters ({', '.join(further)}), got "
            f"{num_samples}"
        )
