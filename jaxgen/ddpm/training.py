"""One training step: noise at some t for each example, the squared error of the network's prediction, an update.

x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) eps,     t spread evenly over the batch of all devices
"""

from collections.abc import Callable
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from jaxgen import optimizers
from jaxgen.core import Metrics, PRNGKey, Spec, TrainState, state_text
from jaxgen.ddpm.config import Config
from jaxgen.ddpm.denoiser import Denoiser
from jaxgen.ddpm.objective import hybrid_loss, simple_loss
from jaxgen.ddpm.process import diffuse
from jaxgen.ddpm.weighting import stratified_t


@flax.struct.dataclass
class State:
    """State of training, arrays only.

    Attributes:
        train: `TrainState` of the denoiser.
        ema_params: Moving average of the denoiser's parameters.
    """

    train: TrainState
    ema_params: Any

    def __repr__(self) -> str:
        return state_text("ddpm.State", self.step, parameters=self.params)

    @property
    def step(self) -> Any:
        """Calls of `step` so far."""
        return self.train.step

    @property
    def params(self) -> Any:
        """The parameters that the optimizer changes."""
        return self.train.params


def training(
    config: Config, spec: Spec, denoiser: Denoiser, tx: optax.GradientTransformation
) -> Callable[[PRNGKey, State, Array, Array | None], tuple[State, Metrics]]:
    """Build the function of one training step.

    Args:
        config: Configuration of the model.
        spec: Description of the data.
        denoiser: Denoiser to be trained.
        tx: Optimizer of the parameters.

    Returns:
        (key, state, x_0 in model space, label or None) -> (state, metrics).
    """
    schedule, learned = denoiser.schedule, config.learned

    def loss(params: Any, key: PRNGKey, t: Array, x_0: Array, label: Array | None) -> tuple[Array, dict[str, Array]]:
        key_eps, key_label, key_dropout = jax.random.split(key, 3)
        if label is not None:
            withheld = jax.random.bernoulli(key_label, jnp.float32(config.label_dropout), label.shape)
            label = jnp.where(withheld, jnp.int32(denoiser.num_classes), label)
        eps = jax.random.normal(key_eps, x_0.shape, x_0.dtype)
        x_t = diffuse(schedule, x_0, t, eps)
        output, eps_hat, fraction = denoiser.outputs(params, x_t, t, label, key_dropout)
        error = simple_loss(config.prediction.target(schedule, x_0, t, eps), output)
        losses = config.weighting(schedule, t, config.prediction) * error
        if learned is not None and fraction is not None:
            losses = hybrid_loss(
                losses, schedule, x_0, x_t, t, eps_hat, fraction, levels=spec.levels, weight=learned.weight
            )
        # Means per dimension, as in the papers.
        means = {"loss": losses.mean() / spec.num_dimensions, "squared_error": error.mean() / spec.num_dimensions}
        return means["loss"], means

    def drawn_t(key: PRNGKey, num: int) -> Int[Array, " b"]:
        """Draw t for the batch of all devices; under pmap return this device's part of it."""
        if config.axis_name is None:
            return stratified_t(key, num, schedule.num_timesteps)
        whole = stratified_t(key, num * jax.lax.axis_size(config.axis_name), schedule.num_timesteps)
        return jax.lax.dynamic_slice_in_dim(whole, jax.lax.axis_index(config.axis_name) * num, num)

    def step(key: PRNGKey, state: State, x_0: Array, label: Array | None) -> tuple[State, Metrics]:
        key_t, key = jax.random.split(key)
        key_flip, key_loss = jax.random.split(optimizers.device_key(key, config.axis_name))
        if config.flip:
            mirrored = jax.random.bernoulli(key_flip, jnp.float32(0.5), shape=(x_0.shape[0], 1, 1, 1))
            x_0 = jnp.where(mirrored, jnp.flip(x_0, axis=2), x_0)
        gradient, metrics = optimizers.average_gradient(loss, config.axis_name)(
            state.params, key_loss, drawn_t(key_t, x_0.shape[0]), x_0, label
        )
        train = optimizers.update(tx, state.train, gradient)
        ema_params = optimizers.moving_average(
            config.ema_decay, state.train, train, average=state.ema_params, of=train.params
        )
        return State(train, ema_params), metrics

    return step
