"""One round of the game: the discriminator first, then the generator (Goodfellow et al. 2014, algorithm 1).

n_critic times:  the discriminator takes a step up V(D, G), on fresh data and fresh z;
once:            the generator takes a step down, against the discriminator as it now is, on fresh z.

Each player minimises a loss of its own, per example, with the other player's variables held fixed. The two losses are
those of `losses`, with a penalty for the discriminator; here they meet the networks.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

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
from jaxgen.gan.monitor import diversity
from jaxgen.gan.objective import value

P = TypeVar("P", covariant=True)


@dataclass(frozen=True)
class Game(Replaceable, Generic[P]):
    """What the two players learn, as pure functions that know no optimizer.

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


def losses(
    config: Config, generator: nn.Module, discriminator: nn.Module, rows: Callable[[Batch], Mapping[str, Array]]
) -> Losses:
    """Build the losses of the two players.

    Args:
        config: Configuration of the GAN.
        generator: G, see `networks.Architecture`.
        discriminator: D, see `networks.Architecture`.
        rows: (batch) -> {"x" in model space, "label" where there are labels}, checked.
    """
    strength = config.penalty_schedule.schedule(1.0)

    def drawn_z(key: PRNGKey, num: int) -> Float[Array, "b z"]:
        return config.prior(key, (num, config.latent_dim))

    def generated(variables: Variables, z: Array, label: Array | None) -> tuple[Array, Any]:
        """G(z) in training, and the collections that it changed."""
        applied = generator.apply(variables, z, label, train=True, mutable=["batch_stats"])
        return cast(tuple[Array, Any], applied)

    def judged(
        variables: Variables, key: PRNGKey, x: Array, label: Array | None, learn: bool = False
    ) -> tuple[Array, Any]:
        """Logits of D(T(x)), and the collections that it changed; only the discriminator's own update changes them."""
        key_augmentation, key_dropout = jax.random.split(key)
        if config.augmentation:
            x = config.augmentation(key_augmentation, x)
        applied = discriminator.apply(
            variables, x, label, train=True, rngs={"dropout": key_dropout}, mutable=["spectral"] if learn else []
        )
        return cast(tuple[Array, Any], applied)

    def discriminator_loss(variables: Variables, key: PRNGKey, batch: Batch, step: Any) -> tuple[Array, Aux]:
        given = rows(batch)
        x_real, label = given["x"], given.get("label")
        key_z, key_loss = jax.random.split(key)
        key_judge, key_penalty, key_disturb = jax.random.split(key_loss, 3)
        x_fake, _ = generated(variables["generator"], drawn_z(key_z, x_real.shape[0]), label)
        own = variables["discriminator"]
        # Data and samples in one pass: one power iteration per update, and larger matrices.
        logits, changed = judged(own, key_judge, paired(x_real, x_fake), paired(label, label), learn=True)
        logits_real, logits_fake = logits.reshape(-1, 2).T
        losses_ = config.loss.discriminator(logits_real, logits_fake)

        def discriminate(x: Array) -> Array:
            # With the variables after the power iteration, as for the logits above.
            return judged({**own, **changed}, key_disturb, x, label)[0]

        weight = strength(jnp.asarray(step).astype(jnp.float32))
        penalty = weight * config.penalty(key_penalty, discriminate, x_real, x_fake)
        metrics = {
            "discriminator_loss": losses_,
            "penalty": penalty,
            "value": value(logits_real, logits_fake),
            "d_real": jax.nn.sigmoid(logits_real),
            "d_fake": jax.nn.sigmoid(logits_fake),
        }
        return losses_ + penalty, Aux(metrics, changed)

    def generator_loss(variables: Variables, key: PRNGKey, batch: Batch, step: Any) -> tuple[Array, Aux]:
        del step
        given = rows(batch)
        x_real, label = given["x"], given.get("label")
        key_z, key_real, key_fake = jax.random.split(key, 3)
        x_fake, changed = generated(variables["generator"], drawn_z(key_z, x_real.shape[0]), label)
        logits_fake, _ = judged(variables["discriminator"], key_fake, x_fake, label)
        logits_real = logits_fake
        if config.loss.paired:
            logits_real, _ = judged(variables["discriminator"], key_real, x_real, label)
        losses_ = config.loss.generator(logits_real, logits_fake)
        return losses_, Aux({"generator_loss": losses_, "diversity": diversity(x_fake, x_real)}, changed)

    return Losses(discriminator_loss, generator_loss)


def paired(x: Any, y: Any) -> Any:
    """Two batches as one of twice the size, x_0, y_0, x_1, y_1, ...; None for None.

    Devices that share the batch keep their own examples: one batch after the other would be divided among them anew.
    """
    return None if x is None else jnp.stack([x, y], axis=1).reshape(2 * x.shape[0], *x.shape[1:])


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
        fixed = network_of(state.generator)

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

        def against_critic(own: Variables, *arguments: Any) -> tuple[Array, Aux]:
            return losses.generator({"generator": own, "discriminator": network_of(critic)}, *arguments)

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
