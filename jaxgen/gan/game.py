"""One round of the game: the discriminator first, then the generator (Goodfellow et al. 2014, algorithm 1).

n_critic times:  the discriminator takes a step up V(D, G), on fresh data and fresh z;
once:            the generator takes a step down, against the discriminator as it now is, on fresh z.
"""

from collections.abc import Callable
from typing import Any, cast

import flax.linen as nn
import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxgen import optimizers
from jaxgen.core import Metrics, PRNGKey, TrainState, state_text
from jaxgen.gan.config import Config
from jaxgen.gan.monitor import diversity
from jaxgen.gan.objective import value


@flax.struct.dataclass
class State:
    """Both players, arrays only.

    Attributes:
        step: Rounds played, int32 [].
        generator: `TrainState` of the generator.
        discriminator: `TrainState` of the discriminator.
        ema_params: Moving average of the generator's parameters.
        ema_variables: The same average of the generator's running statistics, which belong to its parameters.
    """

    step: Any
    generator: TrainState
    discriminator: TrainState
    ema_params: Any
    ema_variables: Any

    def __repr__(self) -> str:
        players = {"generator_parameters": self.generator.params, "discriminator_parameters": self.discriminator.params}
        return state_text("gan.State", self.step, **players)

    @property
    def params(self) -> dict[str, Any]:
        """Parameters of both networks, which the two optimizers change."""
        return {"generator": self.generator.params, "discriminator": self.discriminator.params}


def game(
    config: Config,
    generator: nn.Module,
    discriminator: nn.Module,
    generator_tx: optax.GradientTransformation,
    discriminator_tx: optax.GradientTransformation,
) -> Callable[[PRNGKey, State, dict[str, Array]], tuple[State, Metrics]]:
    """The function that plays one round of the game between two networks.

    Args:
        config: Configuration of the GAN.
        generator: G, see `networks.Architecture`.
        discriminator: D, see `networks.Architecture`.
        generator_tx: Optimizer of G.
        discriminator_tx: Optimizer of D.

    Returns:
        (key, state, rows) -> (state, metrics); rows hold "x" in model space and "label" where there are labels,
        each [n_critic, m, ...].
    """

    strength = config.penalty_schedule.schedule(1.0)

    def drawn_z(key: PRNGKey, num: int) -> Float[Array, "b z"]:
        return config.prior(key, (num, config.latent_dim))

    def generated(params: Any, variables: Any, z: Array, label: Array | None) -> tuple[Array, Any]:
        """G(z) in training, and the running statistics after it."""
        applied = generator.apply({"params": params, **variables}, z, label, train=True, mutable=["batch_stats"])
        x, changed = cast(tuple[Array, Any], applied)
        return x, {**variables, **changed}

    def judged(
        params: Any, variables: Any, key: PRNGKey, x: Array, label: Array | None, learn: bool = False
    ) -> tuple[Array, Any]:
        """Logits of D(T(x)), and the variables after it; only the discriminator's own update changes them."""
        key_augmentation, key_dropout = jax.random.split(key)
        if config.augmentation:
            x = config.augmentation(key_augmentation, x)
        applied = discriminator.apply(
            {"params": params, **variables},
            x,
            label,
            train=True,
            rngs={"dropout": key_dropout},
            mutable=["spectral"] if learn else [],
        )
        logits, changed = cast(tuple[Array, Any], applied)
        return logits, {**variables, **changed}

    def discriminator_loss(
        params: Any, key: PRNGKey, variables: Any, x_real: Array, x_fake: Array, label: Array | None, step: Array
    ) -> tuple[Array, dict[str, Any]]:
        key_judge, key_penalty, key_disturb = jax.random.split(key, 3)
        both = jnp.concatenate([x_real, x_fake])
        labels = None if label is None else jnp.concatenate([label, label])
        # Data and samples in one pass: one power iteration per update, and larger matrices.
        logits, changed = judged(params, variables, key_judge, both, labels, learn=True)
        logits_real, logits_fake = jnp.split(logits, 2)
        losses_ = config.loss.discriminator(logits_real, logits_fake)

        def discriminate(x: Array) -> Array:
            # With the variables after the power iteration, as for the logits above.
            return judged(params, changed, key_disturb, x, label)[0]

        penalty = strength(step.astype(jnp.float32)) * config.penalty(key_penalty, discriminate, x_real, x_fake)
        metrics = {
            "discriminator_loss": losses_.mean(),
            "penalty": penalty.mean(),
            "value": value(logits_real, logits_fake).mean(),
            "d_real": jax.nn.sigmoid(logits_real).mean(),
            "d_fake": jax.nn.sigmoid(logits_fake).mean(),
            "variables": changed,
        }
        return (losses_ + penalty).mean(), metrics

    def generator_loss(
        params: Any, key: PRNGKey, variables: Any, critic: TrainState, x_real: Array, label: Array | None
    ) -> tuple[Array, dict[str, Any]]:
        key_z, key_real, key_fake = jax.random.split(key, 3)
        x_fake, changed = generated(params, variables, drawn_z(key_z, x_real.shape[0]), label)
        logits_fake, _ = judged(critic.params, critic.variables, key_fake, x_fake, label)
        logits_real = logits_fake
        if config.loss.paired:
            logits_real, _ = judged(critic.params, critic.variables, key_real, x_real, label)
        loss = config.loss.generator(logits_real, logits_fake).mean()
        metrics = {"generator_loss": loss, "diversity": diversity(x_fake, x_real), "variables": changed}
        return loss, metrics

    def play(key: PRNGKey, state: State, rows: dict[str, Array]) -> tuple[State, Metrics]:
        key_critic, key_generator = jax.random.split(key)
        of_generator = state.generator

        def update(critic: TrainState, now: tuple[PRNGKey, dict[str, Array]]) -> tuple[TrainState, Metrics]:
            (key, row) = now
            key_z, key_loss = jax.random.split(key)
            x, label = row["x"], row.get("label")
            x_fake, _ = generated(of_generator.params, of_generator.variables, drawn_z(key_z, x.shape[0]), label)
            gradient, metrics = optimizers.average_gradient(discriminator_loss, config.axis_name)(
                critic.params, key_loss, critic.variables, x, x_fake, label, state.step
            )
            variables = metrics.pop("variables")
            return optimizers.update(discriminator_tx, critic, gradient, variables), metrics

        critic, played = jax.lax.scan(
            update, state.discriminator, (jax.random.split(key_critic, config.n_critic), rows)
        )
        # The metrics of D are those of its last update, when it is trained furthest.
        metrics, last = jax.tree.map(lambda v: v[-1], (_of("discriminator", played), rows))
        gradient, of_last = optimizers.average_gradient(generator_loss, config.axis_name)(
            of_generator.params, key_generator, of_generator.variables, critic, last["x"], last.get("label")
        )
        variables = of_last.pop("variables")
        metrics |= _of("generator", of_last)
        of_generator = optimizers.update(generator_tx, of_generator, gradient, variables)
        ema_params, ema_variables = optimizers.moving_average(
            config.ema_decay,
            state.generator,
            of_generator,
            average=(state.ema_params, state.ema_variables),
            of=(of_generator.params, of_generator.variables),
        )
        return State(state.step + 1, of_generator, critic, ema_params, ema_variables), metrics

    return play


def _of(player: str, metrics: Metrics) -> dict[str, Any]:
    """Metrics of one player, "grad_norm" with the player's name in front."""
    return {f"{player}_{name}" if name == "grad_norm" else name: value for name, value in metrics.items()}
