"""One round of the game: the discriminator first, then the generator (Goodfellow et al. 2014, algorithm 1).

n_critic times:  the discriminator takes a step up V(D, G), on fresh data and fresh z;
once:            the generator takes a step down, against the discriminator as it now is, on fresh z.

Each player minimises a loss of its own, per example, with the other player's variables held fixed. The two losses are
functions of the variables of both (`Game`); those of a GAN stand in `training`.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array

from jaxgen import learning
from jaxgen.core import (
    Aux,
    Batch,
    Evaluate,
    Loss,
    Metrics,
    PRNGKey,
    Replaceable,
    Sample,
    TrainState,
    Variables,
    averaged,
    joined,
    keyed,
    state_text,
)
from jaxgen.gan.config import Config

P = TypeVar("P", covariant=True)


@dataclass(frozen=True)
class Game(Replaceable, Generic[P]):
    """The objectives of two players, as pure functions that know no optimizer.

    Variables are {"generator": {"params": ..., ...}, "discriminator": {"params": ..., ...}}.

    Attributes:
        init: (key, batch) -> variables.
        discriminator_loss: (variables, key, batch, step) -> (losses [B], `Aux`), to be minimised by the discriminator;
            the collections are its own.
        generator_loss: The same for the generator.
        evaluate: (key, variables, batch) -> metrics, each [B].
        sample: (key, variables, num, *, first=0, label=None, ...) -> [num, *event] in data space.
        parts: Further functions of variables.
    """

    init: Callable[[PRNGKey, Batch], Variables]
    discriminator_loss: Loss
    generator_loss: Loss
    evaluate: Evaluate
    sample: Sample
    parts: P


@jax.tree_util.register_pytree_with_keys_class
@dataclass(frozen=True, repr=False)
class State:
    """Both players, arrays only.

    Attributes:
        step: Rounds played, int32 [].
        generator: `TrainState` of the generator.
        discriminator: `TrainState` of the discriminator.
        ema: Moving average of the generator's parameters and of its running statistics, which belong to them.
    """

    step: Any
    generator: TrainState
    discriminator: TrainState
    ema: Any

    def tree_flatten_with_keys(self) -> tuple[Any, Any]:
        # The names of the leaves are part of checkpoints and digests, and older than those of the fields.
        own = {"step": self.step, "generator": self.generator, "discriminator": self.discriminator}
        return keyed(own | averaged(self.ema)), None

    @classmethod
    def tree_unflatten(cls, _: None, children: Any) -> "State":
        step, generator, discriminator, *average = children
        return cls(step, generator, discriminator, joined(*average))

    def replace(self, **changes: Any) -> "State":
        """The same state with other values of some fields."""
        return dataclasses.replace(self, **changes)

    def __repr__(self) -> str:
        players = {"generator_parameters": self.generator.params, "discriminator_parameters": self.discriminator.params}
        return state_text("gan.State", self.step, **players)

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of both networks, which the two optimizers change."""
        return {"generator": self.generator.params, "discriminator": self.discriminator.params}

    @property
    def variables(self) -> Variables:
        """Everything that inference reads: the averaged generator, and the discriminator."""
        return {"generator": self.ema, "discriminator": self.discriminator.variables}


class Losses(NamedTuple):
    """The losses of the two players, see `Game`."""

    discriminator: Loss
    generator: Loss


def play(
    config: Config,
    losses: Losses,
    generator_tx: optax.GradientTransformation,
    discriminator_tx: optax.GradientTransformation,
) -> Callable[[PRNGKey, State, Batch], tuple[State, Metrics]]:
    """The function that plays one round of the game between two networks.

    Args:
        config: Configuration of the GAN.
        losses: Losses of the two players.
        generator_tx: Optimizer of G.
        discriminator_tx: Optimizer of D.

    Returns:
        (key, state, batch) -> (state, metrics).

    Raises:
        ValueError: When traced, a batch that n_critic does not divide.
    """

    def play_round(key: PRNGKey, state: State, batch: Batch) -> tuple[State, Metrics]:
        key_critic, key_generator = jax.random.split(key)
        parts = divided(batch, config.n_critic)
        fixed = learning.whole(network_of(state.generator))

        def against_generator(own: Variables, *arguments: Any) -> tuple[Array, Aux]:
            return losses.discriminator({"generator": fixed, "discriminator": own}, *arguments)

        def update(critic: TrainState, now: tuple[PRNGKey, Batch]) -> tuple[TrainState, Metrics]:
            change, metrics, collections = learning.gradient(against_generator, config.axis_name)(
                critic.params, critic.collections, *now, state.step
            )
            return learning.update(discriminator_tx, critic, change, collections), _of("discriminator", metrics)

        critic, played = jax.lax.scan(
            update, state.discriminator, (jax.random.split(key_critic, config.n_critic), parts)
        )

        opponent = learning.whole(network_of(critic))

        def against_critic(own: Variables, *arguments: Any) -> tuple[Array, Aux]:
            return losses.generator({"generator": own, "discriminator": opponent}, *arguments)

        # The metrics of D are those of its last update, when it is trained furthest.
        metrics, last = jax.tree.map(lambda v: v[-1], (played, parts))
        change, of_last, collections = learning.gradient(against_critic, config.axis_name)(
            state.generator.params, state.generator.collections, key_generator, last, state.step
        )
        generator = learning.update(generator_tx, state.generator, change, collections)
        of = network_of(generator)
        ema = learning.moving_average(config.ema_decay, state.generator, generator, state.ema, of)
        return State(state.step + 1, generator, critic, ema), {**metrics, **_of("generator", of_last)}

    return play_round


def network_of(player: TrainState) -> Variables:
    """Variables of a player as they are now, not their average."""
    return {"params": player.params, **player.collections}


def divided(batch: Batch, n_critic: int) -> dict[str, Array]:
    """A batch divided into those of the discriminator's updates, each field [n_critic, m, ...].

    Raises:
        ValueError: A batch size that is not a multiple of n_critic.
    """
    size = batch["x"].shape[0]
    if size % n_critic:
        raise ValueError(f"batch size {size} is not a multiple of n_critic={n_critic}")
    # The batch is divided before the axes change places, so that devices that share it keep their own examples.
    return {name: jnp.moveaxis(jnp.asarray(v).reshape(-1, n_critic, *v.shape[1:]), 1, 0) for name, v in batch.items()}


def _of(player: str, metrics: Metrics) -> dict[str, Any]:
    """Metrics of one player: "grad_norm" with the player's name in front, and the loss by its own name alone."""
    return {
        f"{player}_{name}" if name == "grad_norm" else name: value for name, value in metrics.items() if name != "loss"
    }
