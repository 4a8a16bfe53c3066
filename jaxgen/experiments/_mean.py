"""Regression of the mean: the network of a diffusion model, given its conditions alone, learns E[x | condition].

    loss = |u - f(0, T, condition)|^2 / D

u is x in model space, f the network. It is what a conditional diffusion model is held against: the best estimate in
squared error, and a blurred one where several answers are right.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen import ddpm, learning
from jaxgen.core import Aux, Batch, GenerativeModel, Metrics, Objective, PRNGKey, Spec, TrainState, Variables
from jaxgen.data import space
from jaxgen.ddpm.denoiser import denoiser
from jaxgen.events import sum_event
from jaxgen.inputs import checked_draws, checked_init
from jaxgen.nn import condition_inputs


class Parts(NamedTuple):
    """Functions of a regression beyond the contract.

    Attributes:
        mean: (variables, num, condition=None) -> E[x | condition] of `num` examples, [num, *event] in data space.
    """

    mean: Callable[..., Array]


def model(config: ddpm.Config, spec: Spec) -> GenerativeModel[TrainState, Parts]:
    """Build a regression with the network, conditions and optimizer of a diffusion model's config.

    Args:
        config: Configuration of the diffusion model; its schedule only says which t the network is told.
        spec: Description of the data.

    Returns:
        The model. All its samples under one condition are the same.

    Raises:
        ValueError: A network that cannot take such data, or a condition that the data do not have.
    """
    net = denoiser(config, spec)
    conditions, event = net.conditions, spec.event_shape

    def predicted(variables: Variables, num: int, forms: Any, key_dropout: PRNGKey | None = None) -> tuple[Array, Any]:
        nothing = jnp.zeros((num, *event), jnp.float32)
        t = jnp.full(num, net.schedule.num_timesteps, jnp.int32)
        found = net.predict(variables, nothing, t, forms, key_dropout)
        return found.output, found.collections

    def init(key: PRNGKey, batch: Batch) -> Variables:
        net.fields(batch)
        return net.init(key)

    def loss(variables: Variables, key: PRNGKey, batch: Batch, step: Any) -> tuple[Float[Array, " b"], Aux]:
        del step
        fields = net.fields(batch)
        num = len(fields["x"])
        key_label, key_dropout = jax.random.split(key)
        forms = condition_inputs.for_training(key_label, conditions, spec, fields, num)
        mean, changed = predicted(variables, num, forms, key_dropout)
        error = sum_event(jnp.square(space.to_model(fields["x"], spec) - mean)) / spec.num_dimensions
        return error, Aux({"squared_error": error}, changed)

    def of(variables: Variables, num: int, fields: dict[str, Array]) -> Array:
        return space.from_model(
            predicted(variables, num, condition_inputs.for_samples(conditions, spec, fields, num))[0], spec
        )

    @jax.jit
    def evaluate(key: PRNGKey, variables: Variables, batch: Batch) -> Metrics:
        """The mean squared error per dimension, in the data's own units (images in [0, 1])."""
        del key
        fields = net.fields(batch)
        given = {name: fields[name] for name in conditions}
        error = space.to_unit(fields["x"], spec) - of(variables, len(fields["x"]), given)
        return {"squared_error": sum_event(jnp.square(error)) / spec.num_dimensions}

    compiled = partial(jax.jit, static_argnames="num")(of)

    def mean(variables: Variables, num: int, condition: Any = None) -> Float[Array, "num *event"]:
        return compiled(variables, num, condition_inputs.chosen(conditions, spec, num, None, condition, True, ()))

    def sample(
        key: PRNGKey, variables: Variables, num: int, *, first: int = 0, condition: Any = None
    ) -> Float[Array, "num *event"]:
        """The mean under the condition of each sample; nothing is drawn."""
        checked_draws(key, num, first)
        return mean(variables, num, condition)

    def check(batch: Any) -> None:
        space.require_storage(net.fields(batch)["x"], spec)

    objective = Objective(checked_init(init, check), loss, evaluate, sample, Parts(mean))
    return learning.model(objective, config.optimizer.transformation(), ema_decay=config.ema_decay)
