"""The GAN as a model of the contract. One step of it is one round of the `game`, in one compiled function."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

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
from jaxgen.gan.game import Game, Losses, State, divided, losses, play
from jaxgen.gan.latent import interpolated, inverted
from jaxgen.gan.objective import value
from jaxgen.inputs import checked_batch, checked_draws, checked_init, checked_label, checked_variables, known_labels


class Parts(NamedTuple):
    """Functions of a GAN beyond the contract; x in data space (images in [0, 1], real values in their own units).

    Attributes:
        generate: (variables, z, label=None) -> G(z), by the averaged generator, [B, *event].
        discriminate: (variables, x, label=None) -> logits of D(x), [B].
        prior: (key, index) -> z of the samples with the numbers `index`, [B, latent_dim].
        interpolate: (variables, z_from, z_to, num, label=None) -> [num, B, *event], generated on the path between them.
        invert: (key, variables, x, label=None, num_steps=500, num_starts=4) -> (z, G(z), squared error [B]): the z
            whose image is nearest to x; real values are compared on their scale.
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
) -> GenerativeModel[State, Parts]:
    """A GAN for data of this spec: two players, who learn the two losses of its `objective`.

    Args:
        config: Configuration of the GAN.
        spec: Spec of the data.
        generator_tx: Optimizer of G in place of the config's.
        discriminator_tx: Optimizer of D in place of the config's.

    Returns:
        The model; its state is a `State`.

    Raises:
        ValueError: Networks that cannot make such data, labels wanted where there are none, or augmentation of data
            that are not images. When traced: a batch that n_critic does not divide.
    """
    game = objective(config, spec)
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
        fields = fields_of(batch, config, spec)
        return play_round(learning.device_key(key, config.axis_name), state, fields)

    return GenerativeModel(init, step, game.evaluate, game.sample, game.parts, game)


def fields_of(batch: Batch, config: Config, spec: Spec) -> dict[str, Array]:
    """The fields of a batch that a GAN reads, checked."""
    return checked_batch(batch, spec, needs=("label",) if config.conditional else (), refuses=("mask",))


def objective(config: Config, spec: Spec) -> Game[Parts]:
    """The game of a GAN for data of this spec: the losses of its two players, and what it can be asked.

    Args:
        config: Configuration of the GAN.
        spec: Spec of the data.

    Raises:
        ValueError: Networks that cannot make such data, labels wanted where there are none, or augmentation of data
            that are not images.
    """
    config.network.check(spec)
    if config.conditional and spec.num_classes is None:
        raise ValueError("conditional=True needs labelled data, got a spec with num_classes=None")
    if config.augmentation and (space.limit(spec) is None or len(spec.event_shape) < 2):
        # Values from outside are -1, and brightness is on the scale [-1, 1].
        raise ValueError(
            f"augmentation is for images of shape (*space, channels) with levels, or real values with the scale "
            f"ToRange(), got {spec.event_shape}, levels={spec.levels}, scale={spec.scale}"
        )
    warn_unscaled(spec, "a GAN")
    num_classes = spec.num_classes if config.conditional else None
    dtype = jnp.dtype(config.dtype)
    generator = config.network.generator(spec, num_classes, config.axis_name, dtype)
    discriminator = config.network.discriminator(spec, num_classes, config.axis_name, dtype)

    def rows(batch: Batch) -> dict[str, Array]:
        fields = fields_of(batch, config, spec)
        return {**fields, "x": space.to_model(fields["x"], spec)}

    def init(key: PRNGKey, batch: Batch) -> Variables:
        key_generator, key_discriminator, key_z, key_dropout = jax.random.split(key, 4)
        first = rows(
            {name: values[0] for name, values in divided(fields_of(batch, config, spec), config.n_critic).items()}
        )
        # The shapes of parameters do not depend on the number of examples.
        x, label = first["x"][:2], first["label"][:2] if config.conditional else None
        z = config.prior(key_z, (x.shape[0], config.latent_dim))
        keys = {"params": key_discriminator, "dropout": key_dropout}
        return {
            "generator": generator.init(key_generator, z, label, train=True),
            "discriminator": discriminator.init(keys, x, label, train=True),
        }

    of_players = losses(config, generator, discriminator, rows)

    def generated(variables: Variables, z: Array, label: Array | None) -> Float[Array, "b *event"]:
        """G(z) by running statistics, in model space."""
        of_generator = checked_variables(variables, "generator", "discriminator")["generator"]
        return cast(Array, generator.apply(of_generator, z, label, train=False))

    def logits_of(variables: Variables, x: Array, label: Array | None) -> Float[Array, " b"]:
        of_discriminator = checked_variables(variables, "generator", "discriminator")["discriminator"]
        return cast(Array, discriminator.apply(of_discriminator, x, label, train=False))

    def labels(label: Any, of: Array) -> Array | None:
        """One label for each example; a scalar is the label of all."""
        if num_classes is not None and label is None:
            raise ValueError("label must be given: this model is conditional, got None")
        return checked_label(label, of.shape[0], num_classes)

    def prior(key: PRNGKey, index: Int[Array, " b"]) -> Float[Array, "b z"]:
        return jax.vmap(lambda k: config.prior(k, (config.latent_dim,)))(example_keys(key, index))

    @jax.jit
    def evaluate(key: PRNGKey, variables: Variables, batch: Batch) -> Metrics:
        """V(D, G) of each example with a sample of its own, drawn by the averaged generator; neither is disturbed."""
        require.typed_key("key", key)
        fields = fields_of(batch, config, spec)
        x, label = space.to_model(fields["x"], spec), fields.get("label")
        logits_real = logits_of(variables, x, label)
        logits_fake = logits_of(variables, generated(variables, prior(key, fields["index"]), label), label)
        return {
            "value": value(logits_real, logits_fake),
            "d_real": jax.nn.sigmoid(logits_real),
            "d_fake": jax.nn.sigmoid(logits_fake),
        }

    @jax.jit
    def generate(variables: Variables, z: Float[Array, "b z"], label: Any = None) -> Float[Array, "b *event"]:
        require_latent(config.latent_dim, z=z)
        return space.from_model(generated(variables, z, labels(label, z)), spec)

    def require_data(x: Any) -> None:
        """Refuse x outside data space: another shape or kind or, where concrete, images out of range."""
        require_floats(x=x)
        require_shape((*jnp.shape(x)[:1], *spec.event_shape), x=x)
        if spec.levels is not None:
            space.require_range("x", x, 0, 1, "; data.to_unit makes grey levels so")

    @jax.jit
    def of_data(variables: Variables, x: Float[Array, "b *event"], label: Any) -> Float[Array, " b"]:
        return logits_of(variables, space.data_to_model(x, spec), labels(label, x))

    def discriminate(variables: Variables, x: Any, label: Any = None) -> Float[Array, " b"]:
        require_data(x)
        return of_data(variables, x, label)

    @functools.partial(jax.jit, static_argnames="num")
    def interpolate(variables: Variables, z_from: Array, z_to: Array, num: int, label: Any = None) -> Array:
        require_latent(config.latent_dim, z_from=z_from, z_to=z_to)
        path = interpolated(config.prior, z_from, z_to, num)
        return jax.vmap(lambda z: generate(variables, z, label))(path)

    @functools.partial(jax.jit, static_argnames=("num_steps", "num_starts"))
    def nearest_z(
        key: PRNGKey, variables: Variables, x: Array, label: Any, num_steps: int, num_starts: int
    ) -> tuple[Array, Array, Array]:
        require.typed_key("key", key)
        require.size("num_steps", num_steps)
        require.size("num_starts", num_starts)
        starts = config.prior(key, (num_starts, x.shape[0], config.latent_dim))

        def seen(z: Array) -> Array:
            x_hat = generated(variables, z, labels(label, z))
            return x_hat if spec.scale is not None else space.from_model(x_hat, spec)

        z, error = inverted(seen, config.prior, space.seen(x, spec), starts, num_steps)
        return z, generate(variables, z, label), error

    def invert(
        key: PRNGKey, variables: Variables, x: Any, label: Any = None, num_steps: int = 500, num_starts: int = 4
    ) -> tuple[Array, Array, Array]:
        require_data(x)
        return nearest_z(key, variables, x, label, num_steps, num_starts)

    def sample(
        key: PRNGKey, variables: Variables, num: int, *, first: int = 0, label: Label = None, condition: Any = None
    ) -> Float[Array, "num *event"]:
        """G(z) by the averaged generator; z of sample k, and its label if none is given, from fold_in(key, k)."""
        if condition is not None:
            raise ValueError("this model takes no condition, got one")
        first = checked_draws(key, num, first)
        return draws(key, variables, num, first, checked_label(label, num, num_classes, spec.labels))

    @functools.partial(jax.jit, static_argnums=2)
    def draws(
        key: PRNGKey, variables: Variables, num: int, first: Any, label: Array | None
    ) -> Float[Array, "num *event"]:
        index = first + jnp.arange(num, dtype=jnp.int32)
        if num_classes is not None and label is None:
            label = example_labels(jax.random.fold_in(key, 2**32 - 1), index, num_classes, spec.labels)
        return generate(variables, prior(key, index), label)

    def check(batch: Any) -> None:
        fields_of(batch, config, spec)
        space.require_storage(batch["x"], spec)

    known = functools.partial(known_labels, num_classes=num_classes, labels=spec.labels)
    parts = Parts(known(generate), known(discriminate), prior, known(interpolate), known(invert))
    return Game(checked_init(init, check), of_players.discriminator, of_players.generator, evaluate, sample, parts)
