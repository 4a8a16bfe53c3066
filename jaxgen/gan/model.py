"""The GAN as a model of the contract. One step of it is one round of the `game`, in one compiled function."""

import functools
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxgen import learning, require
from jaxgen.core import Batch, GenerativeModel, Label, Metrics, PRNGKey, Spec, Variables
from jaxgen.data import space
from jaxgen.data.statistics import warn_unscaled
from jaxgen.draws import example_keys, example_labels
from jaxgen.events import require_floats, require_latent, require_shape
from jaxgen.gan.config import Config
from jaxgen.gan.game import Game, Losses, State, divided, play
from jaxgen.gan.latent import interpolated, inverted
from jaxgen.gan.objective import value
from jaxgen.gan.players import Forms, players
from jaxgen.gan.training import losses
from jaxgen.inputs import checked_batch, checked_draws, checked_init, checked_variables
from jaxgen.nn import condition_inputs
from jaxgen.nn.conditions import given

P = TypeVar("P")


class Parts(NamedTuple):
    """Functions of a GAN beyond the contract; x in data space (images in [0, 1], real values in their own units).

    A condition is given by name, `condition={"low": images}`; `label=3` is short for `condition={"label": 3}`. One
    that is not given is withheld, if the model has learned to go without it.

    Attributes:
        generate: (variables, z, label=None, condition=None) -> G(z), by the averaged generator, [B, *event].
        discriminate: (variables, x, label=None, condition=None) -> logits of D(x), [B].
        prior: (key, index) -> z of the samples with the numbers `index`, [B, latent_dim].
        interpolate: (variables, z_from, z_to, num, label=None, condition=None) -> [num, B, *event], generated on the
            path between them.
        invert: (key, variables, x, label=None, num_steps=500, num_starts=4, condition=None) -> (z, G(z), squared error
            [B]): the z whose image is nearest to x; real values are compared on their scale.
    """

    generate: Callable[..., Array]
    discriminate: Callable[..., Array]
    prior: Callable[..., Array]
    interpolate: Callable[..., Array]
    invert: Callable[..., tuple[Array, Array, Array]]


def model(
    config: Config,
    spec: Spec,
    generator_tx: optax.GradientTransformation | None = None,
    discriminator_tx: optax.GradientTransformation | None = None,
    *,
    network: Any = None,
) -> GenerativeModel[State, Parts]:
    """A GAN for data of this spec: two players, who learn the two losses of its `objective`.

    Args:
        config: Configuration of the GAN.
        spec: Spec of the data.
        generator_tx: Optimizer of G in place of the config's.
        discriminator_tx: Optimizer of D in place of the config's.
        network: Networks in place of the config's, see `objective`.

    Returns:
        The model; its state is a `State`.

    Raises:
        ValueError: Networks that cannot make such data, labels wanted where there are none, or augmentation of data
            that are not images. When traced: a batch that n_critic does not divide.
    """
    return model_of(objective(config, spec, network=network), config, spec, generator_tx, discriminator_tx)


def model_of(
    game: Game[P],
    config: Config,
    spec: Spec,
    generator_tx: optax.GradientTransformation | None = None,
    discriminator_tx: optax.GradientTransformation | None = None,
    *,
    beside: Collection[str] = (),
) -> GenerativeModel[State, P]:
    """A model that plays a game of your own: a GAN's with another loss in the place of one of its two, say.

        game = gan.model(config, spec).objective
        own = gan.model_of(game.replace(generator_loss=...), config, spec)

    Args:
        game: The game.
        config: Configuration of the rounds: updates of D in each, optimizers, moving average, conditions.
        spec: Spec of the data.
        generator_tx: Optimizer of G in place of the config's.
        discriminator_tx: Optimizer of D in place of the config's.
        beside: Names of further fields of a batch that the losses read, as they are: those that the spec does not
            describe.

    Returns:
        The model; its state is a `State`.

    Raises:
        ValueError: When traced, a batch that n_critic does not divide.
    """
    generator_tx = generator_tx or config.generator_optimizer.transformation()
    discriminator_tx = discriminator_tx or config.discriminator_optimizer.transformation()
    play_round = play(config, Losses(game.discriminator_loss, game.generator_loss), generator_tx, discriminator_tx)

    @jax.jit
    def started(variables: Variables) -> State:
        generator, discriminator = (variables[name] for name in ("generator", "discriminator"))
        return State(
            step=jnp.zeros((), jnp.int32),
            generator=learning.create(generator_tx, generator["params"], learning.rest(generator)),
            discriminator=learning.create(discriminator_tx, discriminator["params"], learning.rest(discriminator)),
            # A copy: the loop donates its buffers, and none may be donated twice.
            ema=jax.tree.map(jnp.copy, generator),
        )

    def init(key: PRNGKey, batch: Batch) -> State:
        return started(game.init(key, batch))

    @jax.jit
    def step(key: PRNGKey, state: State, batch: Batch) -> tuple[State, Metrics]:
        require.typed_key("key", key)
        fields = checked_batch(batch, spec, needs=tuple(config.conditions), refuses=("mask",))
        fields |= {name: batch[name] for name in beside if batch.get(name) is not None}
        return play_round(learning.device_key(key, config.axis_name), state, fields)

    return GenerativeModel(init, step, game.evaluate, game.sample, game.parts, game)


def objective(config: Config, spec: Spec, *, network: Any = None) -> Game[Parts]:
    """The game of a GAN for data of this spec: the losses of its two players, and what it can be asked.

    Args:
        config: Configuration of the GAN.
        spec: Spec of the data.
        network: {"generator": ..., "discriminator": ...}, networks in place of the config's, either may be left out:
            linen modules or pairs (init, apply), see `jaxgen.nn.network`. G is called with z [B, latent_dim] and
            returns x [B, *event] in model space; D is called with such x and returns logits [B]. If the config has
            conditions, their dictionary is the second argument of both.

    Returns:
        The game; its variables are those of the two networks, by the names of the players.

    Raises:
        ValueError: Networks that cannot make such data, a condition that the data do not have, or augmentation of data
            that are not images.
    """
    both = players(config, spec, network)
    conditions, fields_of = both.conditions, both.fields
    if config.augmentation and (space.limit(spec) is None or len(spec.event_shape) < 2):
        # Values from outside are -1, and brightness is on the scale [-1, 1].
        raise ValueError(
            f"augmentation is for images of shape (*space, channels) with levels, or real values with the scale "
            f"ToRange(), got {spec.event_shape}, levels={spec.levels}, scale={spec.scale}"
        )
    warn_unscaled(spec, "a GAN")

    def rows(batch: Batch) -> dict[str, Array]:
        fields = fields_of(batch)
        return {**fields, "x": space.to_model(fields["x"], spec)}

    def init(key: PRNGKey, batch: Batch) -> Variables:
        key_generator, key_discriminator, key_z, _ = jax.random.split(key, 4)
        parts = divided(fields_of(batch), config.n_critic)
        # The shapes of parameters do not depend on the number of examples.
        fields = rows({name: values[0][:2] for name, values in parts.items()})
        x, forms = fields["x"], given(conditions, spec, fields)
        z = config.prior(key_z, (x.shape[0], config.latent_dim))
        return {
            "generator": both.generator.init(key_generator, z, forms),
            "discriminator": both.discriminator.init(key_discriminator, x, forms),
        }

    of_players = losses(config, spec, both, rows)

    def generated(variables: Variables, z: Array, forms: Forms) -> Float[Array, "b *event"]:
        """G(z) by running statistics, in model space."""
        of_generator = checked_variables(variables, "generator", "discriminator")["generator"]
        return both.generator.apply(of_generator, z, forms)[0]

    def logits_of(variables: Variables, x: Array, forms: Forms) -> Float[Array, " b"]:
        of_discriminator = checked_variables(variables, "generator", "discriminator")["discriminator"]
        return both.discriminator.apply(of_discriminator, x, forms)[0]

    def chosen(of: Any, label: Any, condition: Any, drawn: bool = False) -> dict[str, Array]:
        """Conditions that a caller gives, one value for each of the examples `of`, or of that many."""
        num = of if isinstance(of, int) else int(jnp.shape(of)[0]) if jnp.ndim(of) else 1
        fields = condition_inputs.chosen(conditions, spec, num, label, condition)
        if "label" in conditions and conditions["label"].dropout == 0 and not drawn and "label" not in fields:
            raise ValueError("label must be given: this model is conditional, got None")
        return fields

    def forms_of(fields: dict[str, Array], num: int) -> Forms:
        return condition_inputs.for_samples(conditions, spec, fields, num)

    def prior(key: PRNGKey, index: Int[Array, " b"]) -> Float[Array, "b z"]:
        return jax.vmap(lambda k: config.prior(k, (config.latent_dim,)))(example_keys(key, index))

    @jax.jit
    def evaluate(key: PRNGKey, variables: Variables, batch: Batch) -> Metrics:
        """V(D, G) of each example with a sample of its own, drawn by the averaged generator; neither is disturbed."""
        require.typed_key("key", key)
        fields = rows(batch)
        forms = given(conditions, spec, fields)
        logits_real = logits_of(variables, fields["x"], forms)
        logits_fake = logits_of(variables, generated(variables, prior(key, fields["index"]), forms), forms)
        return {
            "value": value(logits_real, logits_fake),
            "d_real": jax.nn.sigmoid(logits_real),
            "d_fake": jax.nn.sigmoid(logits_fake),
        }

    @jax.jit
    def made(variables: Variables, z: Array, fields: dict[str, Array]) -> Float[Array, "b *event"]:
        """G(z) in data space."""
        require_latent(config.latent_dim, z=z)
        return space.from_model(generated(variables, z, forms_of(fields, z.shape[0])), spec)

    def generate(variables: Variables, z: Any, label: Any = None, condition: Any = None) -> Float[Array, "b *event"]:
        return made(variables, z, chosen(z, label, condition))

    def require_data(x: Any) -> None:
        """Refuse x outside data space: another shape or kind or, where concrete, images out of range."""
        require_floats(x=x)
        require_shape((*jnp.shape(x)[:1], *spec.event_shape), x=x)
        if spec.levels is not None:
            space.require_range("x", x, 0, 1, "; data.to_unit makes grey levels so")

    @jax.jit
    def of_data(variables: Variables, x: Array, fields: dict[str, Array]) -> Float[Array, " b"]:
        return logits_of(variables, space.data_to_model(x, spec), forms_of(fields, x.shape[0]))

    def discriminate(variables: Variables, x: Any, label: Any = None, condition: Any = None) -> Float[Array, " b"]:
        require_data(x)
        return of_data(variables, x, chosen(x, label, condition))

    def interpolate(
        variables: Variables, z_from: Any, z_to: Any, num: int, label: Any = None, condition: Any = None
    ) -> Float[Array, "num b *event"]:
        return between(variables, z_from, z_to, num, chosen(z_from, label, condition))

    @functools.partial(jax.jit, static_argnames="num")
    def between(variables: Variables, z_from: Array, z_to: Array, num: int, fields: dict[str, Array]) -> Array:
        require_latent(config.latent_dim, z_from=z_from, z_to=z_to)
        path = interpolated(config.prior, z_from, z_to, num)
        return jax.vmap(lambda z: made(variables, z, fields))(path)

    @functools.partial(jax.jit, static_argnames=("num_steps", "num_starts"))
    def nearest_z(
        key: PRNGKey, variables: Variables, x: Array, fields: dict[str, Array], num_steps: int, num_starts: int
    ) -> tuple[Array, Array, Array]:
        require.typed_key("key", key)
        require.size("num_steps", num_steps)
        require.size("num_starts", num_starts)
        starts = config.prior(key, (num_starts, x.shape[0], config.latent_dim))

        def seen(z: Array) -> Array:
            x_hat = generated(variables, z, forms_of(fields, z.shape[0]))
            return x_hat if spec.scale is not None else space.from_model(x_hat, spec)

        z, error = inverted(seen, config.prior, space.seen(x, spec), starts, num_steps)
        return z, made(variables, z, fields), error

    def invert(
        key: PRNGKey,
        variables: Variables,
        x: Any,
        label: Any = None,
        num_steps: int = 500,
        num_starts: int = 4,
        condition: Any = None,
    ) -> tuple[Array, Array, Array]:
        require_data(x)
        return nearest_z(key, variables, x, chosen(x, label, condition), num_steps, num_starts)

    def sample(
        key: PRNGKey, variables: Variables, num: int, *, first: int = 0, label: Label = None, condition: Any = None
    ) -> Float[Array, "num *event"]:
        """G(z) by the averaged generator; z of sample k, and its label if none is given, from fold_in(key, k)."""
        first = checked_draws(key, num, first)
        # A label that is not spoken of is drawn; condition={"label": None} withholds it.
        spoken = label is not None or (isinstance(condition, Mapping) and "label" in condition)
        drawn = "label" in conditions and not spoken
        return draws(key, variables, num, first, chosen(num, label, condition, drawn), drawn)

    @functools.partial(jax.jit, static_argnames=("num", "drawn"))
    def draws(
        key: PRNGKey, variables: Variables, num: int, first: Any, fields: dict[str, Array], drawn: bool
    ) -> Float[Array, "num *event"]:
        index = first + jnp.arange(num, dtype=jnp.int32)
        if drawn:
            key_label = jax.random.fold_in(key, 2**32 - 1)
            fields = {**fields, "label": example_labels(key_label, index, spec.num_classes or 0, spec.labels)}
        return made(variables, prior(key, index), fields)

    def check(batch: Any) -> None:
        fields_of(batch)
        space.require_storage(batch["x"], spec)

    parts = Parts(generate, discriminate, prior, interpolate, invert)
    return Game(checked_init(init, check), of_players.discriminator, of_players.generator, evaluate, sample, parts)
