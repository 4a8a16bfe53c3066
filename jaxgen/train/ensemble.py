"""Several members of one model, trained side by side in one program: the same experiment from several seeds.

    state     the members' states, stacked: every leaf [num, ...]
    step      vmap of the model's step; member s has the key fold_in(key, s) and its own part of the batch

An ensemble is a model of the contract itself, so that `fit`, checkpoints and run folders take it like any other. For
small networks it is much faster than one member after the other.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.core import Batch, GenerativeModel, Label, Metrics, PRNGKey, Variables, state_text
from jaxgen.inputs import checked_draws


@flax.struct.dataclass
class Members:
    """The states of an ensemble.

    Attributes:
        step: Steps that each member made, int32 [].
        states: The model's state with a leading axis of members.
    """

    step: Any
    states: Any

    def __repr__(self) -> str:
        return state_text("Members", self.step, parameters_of_all_members=self.params)

    @property
    def params(self) -> Any:
        """The members' parameters, stacked."""
        return self.states.params

    @property
    def variables(self) -> Variables:
        """The members' variables, stacked."""
        return self.states.variables


class Parts(NamedTuple):
    """Functions of an ensemble beyond the contract.

    Attributes:
        member: (variables, s) -> the variables of member s, as the model itself takes them.
        sample_each: (key, variables, num) -> [members, num, *event]: the same draws z for each member.
        model: The model of each member.
    """

    member: Callable[[Variables, int], Variables]
    sample_each: Callable[..., Array]
    model: GenerativeModel


def member(variables: Variables, s: int) -> Variables:
    """Variables of member s, as the model itself takes them, of those of all members."""
    return jax.tree.map(lambda leaf: leaf[s], variables)


def ensemble(
    model: GenerativeModel, num: int, *, parts_of: Callable[[Batch], Batch] | None = None
) -> GenerativeModel[Members, Parts]:
    """`num` members of a model as one model.

    Its `evaluate` gives the mean over the members; its sample k is drawn by member k mod num.

    Args:
        model: Any model of the contract.
        num: Number of members; the batch size must be a multiple of it, and each member takes its part.
        parts_of: Function (batch) -> the members' batches in place of such parts, each field [num, B, ...]: for members
            that share examples, for instance (`jaxgen.data.labelled.of_draws`).

    Raises:
        ValueError: num below 1; when traced, a batch size that is not a multiple of it.
    """
    require.size("num", num)

    def keys(key: Any) -> Array:
        require.typed_key("key", key)
        return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, jnp.arange(num, dtype=jnp.int32))

    def divided(batch: Any) -> Batch:
        if parts_of is not None:
            return parts_of(batch)
        if not isinstance(batch, Mapping):
            raise ValueError(f'batch must be a mapping with "x", got {type(batch).__name__}')

        def part(x: Any) -> Array:
            x = jnp.asarray(x)
            if x.ndim < 1:
                raise ValueError("every field of a batch must have a leading axis B, got a scalar")
            if x.shape[0] % num:
                raise ValueError(f"batch size {x.shape[0]} is not a multiple of the {num} members of the ensemble")
            # Divided before the axes change places, so that devices that share the batch keep their own examples.
            return jnp.moveaxis(x.reshape(-1, num, *x.shape[1:]), 1, 0)

        return jax.tree.map(part, dict(batch))

    def init(key: PRNGKey, batch: Batch) -> Members:
        return Members(jnp.zeros((), jnp.int32), jax.vmap(model.init)(keys(key), divided(batch)))

    def step(key: PRNGKey, state: Members, batch: Batch) -> tuple[Members, Metrics]:
        states, metrics = jax.vmap(model.step)(keys(key), state.states, divided(batch))
        return Members(state.step + 1, states), {name: value.mean(axis=0) for name, value in metrics.items()}

    def evaluate(key: PRNGKey, variables: Variables, batch: Batch) -> Metrics:
        values = jax.vmap(model.evaluate, in_axes=(0, 0, None))(keys(key), variables, batch)
        return {name: value.mean(axis=0) for name, value in values.items()}

    def sample_each(key: PRNGKey, variables: Variables, num: int, **options: Any) -> Float[Array, "s num *event"]:
        return jax.vmap(lambda of_member: model.sample(key, of_member, num, **options))(variables)

    def sample(
        key: PRNGKey, variables: Variables, num: int, *, first: int = 0, label: Label = None, condition: Any = None
    ) -> Float[Array, "num *event"]:
        first = checked_draws(key, num, first)
        each = sample_each(key, variables, num, first=first, label=label, condition=condition)
        return each[(first + jnp.arange(num, dtype=jnp.int32)) % each.shape[0], jnp.arange(num, dtype=jnp.int32)]

    parts = Parts(member, sample_each, model)
    return GenerativeModel(jax.jit(init), jax.jit(step), jax.jit(evaluate), sample, parts)
