"""The GAN as a model of the contract. One step of it is one round of the `game`, in one compiled function."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from jaxgen import optimizers, require
from jaxgen.core import Batch, GenerativeModel, Label, Metrics, PRNGKey, Spec, TrainState
from jaxgen.data import space
from jaxgen.data.statistics import warn_unscaled
from jaxgen.draws import example_keys, example_labels
from jaxgen.events import require_floats, require_latent, require_shape
from jaxgen.gan.config import Config
from jaxgen.gan.game import State, game
from jaxgen.gan.latent import interpolated, inverted
from jaxgen.gan.objective import value
from jaxgen.inputs import checked_batch, checked_draws, checked_init, checked_label, known_labels


class Parts(NamedTuple):
    """Functions of a GAN beyond the contract; x in data space (images in [0, 1], real values in their own units).

    Attributes:
        generate: (state, z, label=None) -> G(z), by the averaged generator, [B, *event].
        discriminate: (state, x, label=None) -> logits of D(x), [B].
        prior: (key, index) -> z of the samples with the numbers `index`, [B, latent_dim].
        interpolate: (state, z_from, z_to, num, label=None) -> [num, B, *event], generated on the path between them.
        invert: (key, state, x, label=None, num_steps=500, num_starts=4) -> (z, G(z), squared error [B]): the z whose
            image is nearest to x; real values are compared on their scale.
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
) -> GenerativeModel:
    """A GAN for data of this spec.

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
    generator_tx = generator_tx or config.generator_optimizer.transformation()
    discriminator_tx = discriminator_tx or config.discriminator_optimizer.transformation()
    dtype = jnp.dtype(config.dtype)
    generator = config.network.generator(spec, num_classes, config.axis_name, dtype)
    discriminator = config.network.discriminator(spec, num_classes, config.axis_name, dtype)

    def fields_of(batch: Batch) -> dict[str, Array]:
        return checked_batch(batch, spec, needs=("label",) if config.conditional else (), refuses=("mask",))

    def data_of(batch: Batch) -> dict[str, Array]:
        """Data and labels for one round, in model space, divided into n_critic batches: [n_critic, m, ...]."""
        fields = fields_of(batch)
        x = space.to_model(fields["x"], spec)
        if x.shape[0] % config.n_critic:
            raise ValueError(f"batch size {x.shape[0]} is not a multiple of n_critic={config.n_critic}")
        rows = {"x": x}
        if config.conditional:
            rows["label"] = fields["label"]
        # The batch is divided before the axes change places, so that devices that share it keep their own examples.
        return jax.tree.map(
            lambda v: jnp.moveaxis(v.reshape(-1, config.n_critic, *v.shape[1:]), 1, 0),
            rows,
        )

    def init(key: PRNGKey, batch: Batch) -> State:
        key_generator, key_discriminator, key_z, key_dropout = jax.random.split(key, 4)
        first = jax.tree.map(lambda v: v[0], data_of(batch))
        x, label = first["x"], first.get("label")
        # The shapes of parameters do not depend on the number of examples.
        x, label = x[:2], None if label is None else label[:2]
        z = config.prior(key_z, (x.shape[0], config.latent_dim))
        of_generator = generator.init(key_generator, z, label, train=True)
        of_discriminator = discriminator.init(
            {"params": key_discriminator, "dropout": key_dropout}, x, label, train=True
        )
        player = _created(generator_tx, of_generator)
        # Copies: the loop donates its buffers, and none may be donated twice.
        ema_params, ema_variables = jax.tree.map(jnp.copy, (player.params, player.variables))
        return State(
            step=jnp.zeros((), jnp.int32),
            generator=player,
            discriminator=_created(discriminator_tx, of_discriminator),
            ema_params=ema_params,
            ema_variables=ema_variables,
        )

    play = game(config, generator, discriminator, generator_tx, discriminator_tx)

    @jax.jit
    def step(key: PRNGKey, state: State, batch: Batch) -> tuple[State, Metrics]:
        require.typed_key("key", key)
        return play(optimizers.device_key(key, config.axis_name), state, data_of(batch))

    def from_average(state: State, z: Array, label: Array | None) -> Float[Array, "b *event"]:
        """G(z) by the averaged parameters and running statistics, in model space."""
        variables = {"params": state.ema_params, **state.ema_variables}
        return cast(Array, generator.apply(variables, z, label, train=False))

    def logits_of(state: State, x: Array, label: Array | None) -> Float[Array, " b"]:
        variables = {"params": state.discriminator.params, **state.discriminator.variables}
        return cast(Array, discriminator.apply(variables, x, label, train=False))

    def labels(label: Any, of: Array) -> Array | None:
        """One label for each example; a scalar is the label of all."""
        if num_classes is not None and label is None:
            raise ValueError("label must be given: this model is conditional, got None")
        return checked_label(label, of.shape[0], num_classes)

    def prior(key: PRNGKey, index: Int[Array, " b"]) -> Float[Array, "b z"]:
        return jax.vmap(lambda k: config.prior(k, (config.latent_dim,)))(example_keys(key, index))

    @jax.jit
    def evaluate(key: PRNGKey, state: State, batch: Batch) -> Metrics:
        """V(D, G) of each example with a sample of its own, drawn by the averaged generator; neither is disturbed."""
        require.typed_key("key", key)
        fields = fields_of(batch)
        x, label = space.to_model(fields["x"], spec), fields.get("label")
        logits_real = logits_of(state, x, label)
        logits_fake = logits_of(state, from_average(state, prior(key, fields["index"]), label), label)
        return {
            "value": value(logits_real, logits_fake),
            "d_real": jax.nn.sigmoid(logits_real),
            "d_fake": jax.nn.sigmoid(logits_fake),
        }

    @jax.jit
    def generate(state: State, z: Float[Array, "b z"], label: Any = None) -> Float[Array, "b *event"]:
        require_latent(config.latent_dim, z=z)
        return space.from_model(from_average(state, z, labels(label, z)), spec)

    def require_data(x: Any) -> None:
        """Refuse x outside data space: another shape or kind or, where concrete, images out of range."""
        require_floats(x=x)
        require_shape((*jnp.shape(x)[:1], *spec.event_shape), x=x)
        if spec.levels is not None:
            space.require_range("x", x, 0, 1, "; data.to_unit makes grey levels so")

    @jax.jit
    def of_data(state: State, x: Float[Array, "b *event"], label: Any) -> Float[Array, " b"]:
        return logits_of(state, space.data_to_model(x, spec), labels(label, x))

    def discriminate(state: State, x: Any, label: Any = None) -> Float[Array, " b"]:
        require_data(x)
        return of_data(state, x, label)

    @functools.partial(jax.jit, static_argnames="num")
    def interpolate(state: State, z_from: Array, z_to: Array, num: int, label: Any = None) -> Array:
        require_latent(config.latent_dim, z_from=z_from, z_to=z_to)
        path = interpolated(config.prior, z_from, z_to, num)
        return jax.vmap(lambda z: generate(state, z, label))(path)

    @functools.partial(jax.jit, static_argnames=("num_steps", "num_starts"))
    def nearest_z(
        key: PRNGKey, state: State, x: Array, label: Any, num_steps: int, num_starts: int
    ) -> tuple[Array, Array, Array]:
        require.typed_key("key", key)
        require.size("num_steps", num_steps)
        require.size("num_starts", num_starts)
        starts = config.prior(key, (num_starts, x.shape[0], config.latent_dim))

        def seen(z: Array) -> Array:
            x_hat = from_average(state, z, labels(label, z))
            return x_hat if spec.scale is not None else space.from_model(x_hat, spec)

        z, error = inverted(seen, config.prior, space.seen(x, spec), starts, num_steps)
        return z, generate(state, z, label), error

    def invert(
        key: PRNGKey, state: State, x: Any, label: Any = None, num_steps: int = 500, num_starts: int = 4
    ) -> tuple[Array, Array, Array]:
        require_data(x)
        return nearest_z(key, state, x, label, num_steps, num_starts)

    def sample(
        key: PRNGKey, state: State, num: int, *, first: int = 0, label: Label = None, condition: Any = None
    ) -> Float[Array, "num *event"]:
        """G(z) by the averaged generator; z of sample k, and its label if none is given, from fold_in(key, k)."""
        if condition is not None:
            raise ValueError("this model takes no condition, got one")
        first = checked_draws(key, num, first)
        return draws(key, state, num, first, checked_label(label, num, num_classes, spec.labels))

    @functools.partial(jax.jit, static_argnums=2)
    def draws(key: PRNGKey, state: State, num: int, first: Any, label: Array | None) -> Float[Array, "num *event"]:
        index = first + jnp.arange(num, dtype=jnp.int32)
        if num_classes is not None and label is None:
            label = example_labels(jax.random.fold_in(key, 2**32 - 1), index, num_classes, spec.labels)
        return generate(state, prior(key, index), label)

    def check(batch: Any) -> None:
        fields_of(batch)
        space.require_storage(batch["x"], spec)

    known = functools.partial(known_labels, num_classes=num_classes, labels=spec.labels)
    parts = Parts(known(generate), known(discriminate), prior, known(interpolate), known(invert))
    return GenerativeModel(checked_init(init, check), step, evaluate, sample, parts)


def _created(tx: optax.GradientTransformation, variables: Any) -> TrainState:
    rest = {name: values for name, values in variables.items() if name != "params"}
    return optimizers.create(tx, variables["params"], rest)
