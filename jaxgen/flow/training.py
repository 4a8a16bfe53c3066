"""The loss of training: noise at some t for each example, and the error of the network's prediction.

x_t = alpha(t) x_0 + sigma(t) eps,     t spread evenly over the batch of all devices
"""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen import learning
from jaxgen.core import Aux, Batch, Loss, PRNGKey, Spec, Variables
from jaxgen.data import space
from jaxgen.events import sum_event
from jaxgen.flow.average import Average
from jaxgen.flow.config import Config
from jaxgen.flow.denoiser import PATH, Denoiser, Forms
from jaxgen.flow.mean_flow import adaptive_loss, guided_velocity, mean_flow
from jaxgen.flow.objective import prior_cost, reconstruction_cost
from jaxgen.flow.weighting import Plain
from jaxgen.nn import condition_inputs, conditions
from jaxgen.nn.condition_inputs import mirror, mirror_images
from jaxgen.paths.log_snr import LearnedLogSNR
from jaxgen.paths.prediction import Ends, diffuse, velocity_from_ends
from jaxgen.paths.times import restricted, stratified_uniforms


def training_loss(config: Config, spec: Spec, denoiser: Denoiser) -> Loss:
    """Build the loss that a model in continuous time is trained on.

    Args:
        config: Configuration of the model.
        spec: Description of the data.
        denoiser: Network on its path.

    Returns:
        (variables, key, batch, step) -> (losses [B] per dimension, with the metric "squared_error").

    Raises:
        ValueError: Times that are not drawn from all of the path between its ends.
    """
    (t_0, t_1), prediction = denoiser.ends, config.prediction

    weighted = config.weighting != Plain()  # by one over the density of t
    restricted(config.times, t_0, t_1, jnp.full(1, 0.5, jnp.float32), whole=weighted)  # refuses before any work

    def drawn_t(key: PRNGKey, num: int) -> tuple[Array, Array]:
        """Times of a batch, spread evenly over that of all devices, and one over their density."""
        u = learning.of_all_devices(stratified_uniforms, key, num, config.axis_name)
        return restricted(config.times, t_0, t_1, u, whole=weighted)

    def of_one_time(
        variables: Variables, key: PRNGKey, x_0: Array, forms: Forms, key_dropout: PRNGKey
    ) -> tuple[Array, Array, Array, Any]:
        """Losses, squared errors, times, and changed collections."""
        path = denoiser.path_of(variables)
        key_t, key_eps = jax.random.split(key)
        t, rate = drawn_t(key_t, len(x_0))
        eps = jax.random.normal(key_eps, x_0.shape, x_0.dtype)
        x_t = diffuse(path, x_0, t, eps)
        output, changed = denoiser.output(variables, x_t, t, forms, key_dropout=key_dropout)
        weight = config.weighting(path, t, rate)
        if weight is None:
            error = sum_event(jnp.square(prediction.target(path, x_0, t, eps) - output))
            return error, error, t, changed
        error = sum_event(jnp.square(eps - denoiser.of_output(path, x_t, t, output).eps))
        return weight * error, error, t, changed

    def of_learned_path(
        variables: Variables, key: PRNGKey, x_0: Array, forms: Forms, key_dropout: PRNGKey
    ) -> tuple[Array, Array, Any]:
        """The whole bound, on which the ends depend, and for the way between the evenness of its integrand."""
        key_bound, key_end = jax.random.split(key)

        def fixed(part: str) -> Variables:
            """The variables, of whose path no gradient reaches this part."""
            params = variables["params"]
            still = {**params[PATH], part: jax.lax.stop_gradient(params[PATH][part])}
            return {**variables, "params": {**params, PATH: still}}

        cost, error, t, changed = of_one_time(fixed("way"), key_bound, x_0, forms, key_dropout)
        path = denoiser.path_of(fixed("way"))
        x_t = diffuse(path, x_0, t_0, jax.random.normal(key_end, x_0.shape, x_0.dtype))
        cost = cost + prior_cost(path, x_0, t_1) + reconstruction_cost(path, x_0, x_t, t_0, spec.levels)
        uneven = jnp.square(denoiser.path_of(fixed("ends")).log_snr_rate(t)) * jax.lax.stop_gradient(error)
        # Its value is no part of the loss, its gradient is: it reaches the way alone, which the bound's does not.
        return cost + uneven - jax.lax.stop_gradient(uneven), error, changed

    def of_average(
        variables: Variables, key: PRNGKey, x_0: Array, forms: Forms, key_dropout: PRNGKey, chosen: Average
    ) -> tuple[Array, Array, Any]:
        path = denoiser.path_of(variables)
        key_t, key_r, key_same, key_eps = jax.random.split(key, 4)
        num = len(x_0)
        first, second = drawn_t(key_t, num)[0], drawn_t(key_r, num)[0]
        # Which examples have r = t is drawn, so that it does not go with t.
        apart = jax.random.bernoulli(key_same, jnp.float32(chosen.ratio), (num,))
        t = jnp.maximum(first, second)
        r = jnp.where(apart, jnp.minimum(first, second), t)
        eps = jax.random.normal(key_eps, x_0.shape, x_0.dtype)
        x_t = diffuse(path, x_0, t, eps)
        velocity = velocity_from_ends(path, t, Ends(x_0, eps))
        if chosen.guidance != 1 or chosen.kappa:
            conditional, _ = denoiser.output(variables, x_t, t, forms)
            without = conditions.absent(denoiser.conditions, spec, num)
            unconditional, _ = denoiser.output(variables, x_t, t, {**forms, **without})
            velocity = guided_velocity(velocity, conditional, unconditional, chosen.guidance, chosen.kappa)

        def average(x_t: Array, r: Array, t: Array) -> Array:
            return denoiser.output(variables, x_t, t, forms, r, key_dropout)[0]

        found = mean_flow(average, velocity, x_t, r, t)
        error = sum_event(jnp.square(found.average - found.target))
        further = any(name != "params" for name in variables)
        changed = denoiser.output(variables, x_t, t, forms, r, key_dropout)[1] if further else {}
        # The adaptive weight is that of the mean square, so that it means the same for images of all sizes.
        return spec.num_dimensions * adaptive_loss(error / spec.num_dimensions, chosen.power), error, changed

    def loss(variables: Variables, key: PRNGKey, batch: Batch, step: Any) -> tuple[Float[Array, " b"], Aux]:
        del step
        fields = denoiser.fields(batch)
        x_0, num = space.to_model(fields["x"], spec), len(fields["x"])
        key, key_flip, key_spread, key_condition, key_dropout = jax.random.split(key, 5)
        forms = condition_inputs.for_training(key_condition, denoiser.conditions, spec, fields, num)
        if config.dequantise and spec.levels is not None:
            width = 2 / (spec.levels - 1)
            x_0 = x_0 + width * (jax.random.uniform(key_spread, x_0.shape, x_0.dtype) - 0.5)
        if config.flip:
            mirrored = jax.random.bernoulli(key_flip, jnp.float32(0.5), shape=(num, 1, 1, 1))
            x_0, forms = mirror(mirrored, x_0), mirror_images(mirrored, denoiser.conditions, forms)
        if isinstance(config.path, LearnedLogSNR):
            losses, error, changed = of_learned_path(variables, key, x_0, forms, key_dropout)
        elif config.average is None:
            losses, error, _, changed = of_one_time(variables, key, x_0, forms, key_dropout)
        else:
            losses, error, changed = of_average(variables, key, x_0, forms, key_dropout, config.average)
        # Means per dimension, as in the papers.
        return losses / spec.num_dimensions, Aux({"squared_error": error / spec.num_dimensions}, changed)

    return loss
