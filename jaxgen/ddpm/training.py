"""The loss of training: noise at some t for each example, and the squared error of the network's prediction.

x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps,     t spread evenly over the batch of all devices
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen import learning
from jaxgen.core import Aux, Batch, Loss, PRNGKey, Spec, Variables
from jaxgen.data import space
from jaxgen.ddpm.config import Config
from jaxgen.ddpm.denoiser import Denoiser
from jaxgen.ddpm.objective import hybrid_loss, simple_loss
from jaxgen.ddpm.process import diffuse
from jaxgen.ddpm.weighting import stratified_t


def training_loss(config: Config, spec: Spec, denoiser: Denoiser) -> Loss:
    """Build the loss that a diffusion model is trained on.

    Args:
        config: Configuration of the model.
        spec: Description of the data.
        denoiser: Denoiser to be trained.

    Returns:
        (variables, key, batch, step) -> (losses [B] per dimension, with the metric "squared_error").
    """
    schedule, learned = denoiser.schedule, config.learned

    def drawn_t(key: PRNGKey, num: int) -> Int[Array, " b"]:
        """Draw t for the batch of all devices; under pmap return this device's part of it."""
        if config.axis_name is None:
            return stratified_t(key, num, schedule.num_timesteps)
        whole = stratified_t(
            learning.shared_key(key, config.axis_name),
            num * jax.lax.axis_size(config.axis_name),
            schedule.num_timesteps,
        )
        return jax.lax.dynamic_slice_in_dim(whole, jax.lax.axis_index(config.axis_name) * num, num)

    def loss(variables: Variables, key: PRNGKey, batch: Batch, step: Any) -> tuple[Float[Array, " b"], Aux]:
        del step
        fields = denoiser.fields(batch)
        x_0, label = space.to_model(fields["x"], spec), fields.get("label")
        key_t, key = jax.random.split(key)
        key_flip, key = jax.random.split(key)
        key_eps, key_label, key_dropout = jax.random.split(key, 3)
        if config.flip:
            mirrored = jax.random.bernoulli(key_flip, jnp.float32(0.5), shape=(x_0.shape[0], 1, 1, 1))
            x_0 = jnp.where(mirrored, jnp.flip(x_0, axis=2), x_0)
        t = drawn_t(key_t, x_0.shape[0])
        if label is not None:
            withheld = jax.random.bernoulli(key_label, jnp.float32(config.label_dropout), label.shape)
            label = jnp.where(withheld, jnp.int32(denoiser.num_classes), label)
        eps = jax.random.normal(key_eps, x_0.shape, x_0.dtype)
        x_t = diffuse(schedule, x_0, t, eps)
        output, eps_hat, fraction = denoiser.outputs(variables, x_t, t, label, key_dropout)
        error = simple_loss(config.prediction.target(schedule, x_0, t, eps), output)
        losses = config.weighting(schedule, t, config.prediction) * error
        if learned is not None and fraction is not None:
            losses = hybrid_loss(
                losses, schedule, x_0, x_t, t, eps_hat, fraction, levels=spec.levels, weight=learned.weight
            )
        # Means per dimension, as in the papers.
        return losses / spec.num_dimensions, Aux({"squared_error": error / spec.num_dimensions})

    return loss
