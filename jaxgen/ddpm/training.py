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
from jaxgen.nn import condition_inputs
from jaxgen.nn.condition_inputs import mirror, mirror_images


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
        return learning.of_all_devices(
            lambda key, num: stratified_t(key, num, schedule.num_timesteps), key, num, config.axis_name
        )

    def loss(variables: Variables, key: PRNGKey, batch: Batch, step: Any) -> tuple[Float[Array, " b"], Aux]:
        del step
        fields = denoiser.fields(batch, learning=True)
        x_0, num, mask = space.to_model(fields["x"], spec), len(fields["x"]), fields.get("mask")
        key_t, key = jax.random.split(key)
        key_flip, key = jax.random.split(key)
        key_eps, key_label, key_dropout = jax.random.split(key, 3)
        forms = condition_inputs.for_training(key_label, denoiser.conditions, spec, fields, num)
        if config.flip:
            mirrored = jax.random.bernoulli(key_flip, jnp.float32(0.5), shape=(num, 1, 1, 1))
            x_0, forms = mirror(mirrored, x_0), mirror_images(mirrored, denoiser.conditions, forms)
            mask = None if mask is None else mirror(mirrored, mask)
        x_0 = x_0 if mask is None else jnp.where(mask, x_0, 0.0)  # NaN behind a mask is no part of the data
        t = drawn_t(key_t, num)
        eps = jax.random.normal(key_eps, x_0.shape, x_0.dtype)
        x_t = diffuse(schedule, x_0, t, eps)
        output, (eps_hat, fraction), changed = denoiser.predict(
            variables, x_t, t, {**forms, **denoiser.shown(mask, num)}, key_dropout
        )
        target = config.prediction.target(schedule, x_0, t, eps)
        error = simple_loss(target, output if mask is None else jnp.where(mask, output, target))
        losses = config.weighting(schedule, t, config.prediction) * error
        if learned is not None and fraction is not None:
            losses = hybrid_loss(
                losses, schedule, x_0, x_t, t, eps_hat, fraction, levels=spec.levels, weight=learned.weight
            )
        # Means per dimension, as in the papers.
        return losses / spec.num_dimensions, Aux({"squared_error": error / spec.num_dimensions}, changed)

    return loss
