"""The GAN as a model of the contract.

One step of it is one round of the game, in one compiled function (Goodfellow et al. 2014, algorithm 1):

    n_critic times:  the discriminator takes a step up V(D, G), on fresh data and fresh z;
    once:            the generator takes a step down, against the discriminator as it now is, on fresh z.
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer
from jaxtyping import Array, Float, Int

from jaxgen import optimizers
from jaxgen.core import Batch, GenerativeModel, Metrics, PRNGKey, Spec, TrainState, example_keys
from jaxgen.data import space
from jaxgen.gan import losses
from jaxgen.gan.augmentation import Augmentation
from jaxgen.gan.latent import Normal, Uniform, interpolated, inverted
from jaxgen.gan.monitor import diversity
from jaxgen.gan.networks import DCGAN, MLP, SNResNet
from jaxgen.gan.objective import value

Loss = (
    losses.Minimax
    | losses.NonSaturating
    | losses.LeastSquares
    | losses.Hinge
    | losses.Wasserstein
    | losses.Relativistic
)
Penalty = losses.NoPenalty | losses.ZeroCentred | losses.GradientPenalty


@dataclass(frozen=True)
class Config:
    """Of the GAN.

    Args:
        latent_dim: Dimension of z.
        prior: Where z comes from.
        network: The two networks.
        conditional: Whether both networks see the label.
        loss: What the two players minimise.
        penalty: What is added to the discriminator's loss.
        augmentation: How images are disturbed before the discriminator sees them.
        n_critic: Discriminator updates per generator update; it divides the batch, each update takes its part.
        generator_optimizer: How the generator moves.
        discriminator_optimizer: How the discriminator moves.
        ema_decay: Of the generator's moving average, which samples are drawn from; 0 for the generator itself.
        dtype: Of the computation, "float32" or "bfloat16"; parameters stay float32.
        axis_name: Mapped axis when the step runs under pmap, see `jaxgen.train.parallel.pmap_step`.

    Raises:
        ValueError: A number out of its range, or another dtype.
    """

    latent_dim: int = 64
    prior: Normal | Uniform = Normal()
    network: MLP | DCGAN | SNResNet = MLP()
    conditional: bool = False
    loss: Loss = losses.NonSaturating()
    penalty: Penalty = losses.NoPenalty()
    augmentation: Augmentation = Augmentation()
    n_critic: int = 1
    generator_optimizer: optimizers.Adam = optimizers.Adam(2e-4, b1=0.5)
    discriminator_optimizer: optimizers.Adam = optimizers.Adam(2e-4, b1=0.5)
    ema_decay: float = 0.999
    dtype: str = "float32"
    axis_name: str | None = None

    def __post_init__(self):
        for name in ("latent_dim", "n_critic"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay must lie in [0, 1), got {self.ema_decay}")
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(f'dtype must be "float32" or "bfloat16", got {self.dtype!r}')

    def lasting(self, num_steps: int) -> "Config":
        """With the ends of both schedules, where they are left open, at the last of `num_steps` steps."""
        return dataclasses.replace(
            self,
            generator_optimizer=self.generator_optimizer.lasting(num_steps),
            discriminator_optimizer=self.discriminator_optimizer.lasting(num_steps * self.n_critic),
        )


@flax.struct.dataclass
class State:
    """Both players, arrays only.

    Attributes:
        step: Rounds played, int32 [].
        generator: Its `TrainState`.
        discriminator: Its `TrainState`.
        ema_params: Moving average of the generator's parameters.
        ema_variables: The same average of its running statistics, which belong to its parameters.
    """

    step: Any
    generator: TrainState
    discriminator: TrainState
    ema_params: Any
    ema_variables: Any

    @property
    def params(self) -> dict[str, Any]:
        """What the two optimizers change."""
        return {"generator": self.generator.params, "discriminator": self.discriminator.params}


class Parts(NamedTuple):
    """What a GAN offers beyond the contract; x in data space (images in [0, 1]).

    Attributes:
        generate: (state, z, label=None) -> G(z), by the averaged generator, [B, *event].
        discriminate: (state, x, label=None) -> logits of D(x), [B].
        prior: (key, index) -> z of the samples with these numbers, [B, latent_dim].
        interpolate: (state, z_from, z_to, num, label=None) -> [num, B, *event], generated on the path between them.
        invert: (key, state, x, label=None, num_steps=500, num_starts=4) -> (z, G(z), squared error [B]): the z whose
            image is nearest to x.
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
        config: Of the model.
        spec: Of the data.
        generator_tx: An optimizer instead of the config's.
        discriminator_tx: An optimizer instead of the config's.

    Returns:
        The model; its state is a `State`.

    Raises:
        ValueError: Networks that cannot make such data, labels wanted where there are none, or augmentation of what is
            no image. When traced: a batch that n_critic does not divide.
    """
    config.network.check(spec)
    if config.conditional and spec.num_classes is None:
        raise ValueError("conditional=True needs labelled data, got a spec with num_classes=None")
    if config.augmentation and (spec.levels is None or len(spec.event_shape) < 2):
        raise ValueError(
            f"augmentation is for images of shape (*space, channels) with levels, got {spec.event_shape}, "
            f"levels={spec.levels}"
        )
    num_classes = spec.num_classes if config.conditional else None
    generator_tx = generator_tx or config.generator_optimizer.transformation()
    discriminator_tx = discriminator_tx or config.discriminator_optimizer.transformation()
    dtype = jnp.dtype(config.dtype)
    generator = config.network.generator(spec, num_classes, config.axis_name, dtype)
    discriminator = config.network.discriminator(spec, num_classes, config.axis_name, dtype)

    def data_of(batch: Batch) -> dict[str, Array]:
        """What the game is about, in model space, divided into n_critic batches: [n_critic, m, ...]."""
        x = space.to_signed(jnp.asarray(batch["x"]), spec)
        if x.shape[0] % config.n_critic:
            raise ValueError(f"batch size {x.shape[0]} is not a multiple of n_critic={config.n_critic}")
        rows = {"x": x}
        if config.conditional:
            if "label" not in batch:
                raise ValueError("conditional=True needs labels, got a batch without")
            rows["label"] = jnp.asarray(batch["label"])
        # The batch is divided before the axes change places, so that devices that share it keep their own examples.
        return jax.tree.map(
            lambda v: jnp.moveaxis(v.reshape(-1, config.n_critic, *v.shape[1:]), 1, 0),
            rows,
        )

    def drawn_z(key: PRNGKey, num: int) -> Float[Array, "b z"]:
        return config.prior(key, (num, config.latent_dim))

    def init(key: PRNGKey, batch: Batch) -> State:
        key_generator, key_discriminator, key_z, key_dropout = jax.random.split(key, 4)
        first = jax.tree.map(lambda v: v[0], data_of(batch))
        x, label = first["x"], first.get("label")
        # The shapes of parameters do not depend on the number of examples.
        x, label = x[:2], None if label is None else label[:2]
        z = drawn_z(key_z, x.shape[0])
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
        params: Any, key: PRNGKey, variables: Any, x_real: Array, x_fake: Array, label: Array | None
    ) -> tuple[Array, dict[str, Any]]:
        key_judge, key_penalty, key_disturb = jax.random.split(key, 3)
        both = jnp.concatenate([x_real, x_fake])
        labels = None if label is None else jnp.concatenate([label, label])
        # Data and samples in one pass: one power iteration per update, and larger matrices.
        logits, changed = judged(params, variables, key_judge, both, labels, learn=True)
        logits_real, logits_fake = jnp.split(logits, 2)
        losses_ = config.loss.discriminator(logits_real, logits_fake)

        def discriminate(x: Array) -> Array:
            # As the logits above were made: after the power iteration.
            return judged(params, changed, key_disturb, x, label)[0]

        penalty = config.penalty(key_penalty, discriminate, x_real, x_fake)
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

    @jax.jit
    def step(key: PRNGKey, state: State, batch: Batch) -> tuple[State, Metrics]:
        key_critic, key_generator = jax.random.split(optimizers.device_key(key, config.axis_name))
        rows = data_of(batch)
        of_generator = state.generator

        def update(critic: TrainState, now: tuple[PRNGKey, dict[str, Array]]) -> tuple[TrainState, Metrics]:
            (key, row) = now
            key_z, key_loss = jax.random.split(key)
            x, label = row["x"], row.get("label")
            x_fake, _ = generated(of_generator.params, of_generator.variables, drawn_z(key_z, x.shape[0]), label)
            gradient, metrics = optimizers.average_gradient(discriminator_loss, config.axis_name)(
                critic.params, key_loss, critic.variables, x, x_fake, label
            )
            variables = metrics.pop("variables")
            return optimizers.update(discriminator_tx, critic, gradient, variables), metrics

        critic, played = jax.lax.scan(
            update, state.discriminator, (jax.random.split(key_critic, config.n_critic), rows)
        )
        # What D says is that of its last update, in which it has seen the most.
        metrics, last = jax.tree.map(lambda v: v[-1], (_of("discriminator", played), rows))
        gradient, of_last = optimizers.average_gradient(generator_loss, config.axis_name)(
            of_generator.params, key_generator, of_generator.variables, critic, last["x"], last.get("label")
        )
        variables = of_last.pop("variables")
        metrics |= _of("generator", of_last)
        of_generator = optimizers.update(generator_tx, of_generator, gradient, variables)
        # Young averages forget faster, or the first random parameters would stay in them for long.
        n = state.step.astype(jnp.float32)
        keep = jnp.minimum(jnp.float32(config.ema_decay), (1 + n) / (10 + n)) if config.ema_decay else jnp.float32(0)
        ema_params, ema_variables = (
            cast(Any, optax.incremental_update(new, old, 1 - keep))
            for new, old in (
                (of_generator.params, state.ema_params),
                (of_generator.variables, state.ema_variables),
            )
        )
        return State(state.step + 1, of_generator, critic, ema_params, ema_variables), metrics

    def from_average(state: State, z: Array, label: Array | None) -> Float[Array, "b *event"]:
        """G(z) by the averaged parameters and running statistics, in model space."""
        variables = {"params": state.ema_params, **state.ema_variables}
        return cast(Array, generator.apply(variables, z, label, train=False))

    def logits_of(state: State, x: Array, label: Array | None) -> Float[Array, " b"]:
        variables = {"params": state.discriminator.params, **state.discriminator.variables}
        return cast(Array, discriminator.apply(variables, x, label, train=False))

    def prior(key: PRNGKey, index: Int[Array, " b"]) -> Float[Array, "b z"]:
        return jax.vmap(lambda k: config.prior(k, (config.latent_dim,)))(example_keys(key, index))

    @jax.jit
    def evaluate(key: PRNGKey, state: State, batch: Batch) -> Metrics:
        """V(D, G) of each example with a sample of its own; undisturbed, by the averaged generator."""
        x = space.to_signed(jnp.asarray(batch["x"]), spec)
        index = jnp.asarray(batch["index"]) if "index" in batch else jnp.arange(x.shape[0], dtype=jnp.int32)
        label = jnp.asarray(batch["label"]) if config.conditional else None
        logits_real = logits_of(state, x, label)
        logits_fake = logits_of(state, from_average(state, prior(key, index), label), label)
        return {
            "value": value(logits_real, logits_fake),
            "d_real": jax.nn.sigmoid(logits_real),
            "d_fake": jax.nn.sigmoid(logits_fake),
        }

    @jax.jit
    def generate(state: State, z: Float[Array, "b z"], label: Any = None) -> Float[Array, "b *event"]:
        return space.from_signed(from_average(state, z, label), spec)

    @jax.jit
    def discriminate(state: State, x: Float[Array, "b *event"], label: Any = None) -> Float[Array, " b"]:
        return logits_of(state, 2 * x - 1 if spec.levels else x, label)

    @functools.partial(jax.jit, static_argnames="num")
    def interpolate(state: State, z_from: Array, z_to: Array, num: int, label: Any = None) -> Array:
        path = interpolated(config.prior, z_from, z_to, num)
        return jax.vmap(lambda z: generate(state, z, label))(path)

    @functools.partial(jax.jit, static_argnames=("num_steps", "num_starts"))
    def invert(
        key: PRNGKey, state: State, x: Array, label: Any = None, num_steps: int = 500, num_starts: int = 4
    ) -> tuple[Array, Array, Array]:
        starts = jax.vmap(lambda k: drawn_z(k, x.shape[0]))(jax.random.split(key, num_starts))
        z, error = inverted(lambda z: generate(state, z, label), config.prior, x, starts, num_steps)
        return z, generate(state, z, label), error

    def sample(
        key: PRNGKey, state: State, num: int, *, first: int = 0, label: Any = None, condition: Any = None
    ) -> Float[Array, "num *event"]:
        """G(z) by the averaged generator; z of sample k, and its label if none is given, from fold_in(key, k)."""
        if condition is not None:
            raise ValueError("this model takes no condition, got one")
        return draws(key, state, num, first, _checked_label(label, num, num_classes))

    @functools.partial(jax.jit, static_argnums=2)
    def draws(key: PRNGKey, state: State, num: int, first: Any, label: Array | None) -> Float[Array, "num *event"]:
        index = first + jnp.arange(num, dtype=jnp.int32)
        if num_classes is not None and label is None:
            keys = example_keys(jax.random.fold_in(key, 2**32 - 1), index)
            label = jax.vmap(lambda k: jax.random.randint(k, (), 0, jnp.int32(num_classes)))(keys)
        return generate(state, prior(key, index), label)

    parts = Parts(generate, discriminate, prior, interpolate, invert)
    return GenerativeModel(jax.jit(init), step, evaluate, sample, parts)


def _of(player: str, metrics: Metrics) -> dict[str, Any]:
    """Metrics of one player, whose gradient has its name."""
    return {f"{player}_{name}" if name == "grad_norm" else name: value for name, value in metrics.items()}


def _created(tx: optax.GradientTransformation, variables: Any) -> TrainState:
    rest = {name: values for name, values in variables.items() if name != "params"}
    return optimizers.create(tx, variables["params"], rest)


def _checked_label(label: Any, num: int, num_classes: int | None) -> Array | None:
    """The label of every sample, if one is asked for; concrete ones are checked, traced ones are not."""
    if label is None:
        return None
    if num_classes is None:
        raise ValueError(f"this model is unconditional: label must be None, got {label!r}")
    if not isinstance(label, Tracer):
        values = np.asarray(label)
        if values.shape not in ((), (num,)) or values.dtype.kind not in "iu":
            raise ValueError(f"label must be an integer or {num} of them, got {values.dtype} of shape {values.shape}")
        if values.size and not (values.min() >= 0 and values.max() < num_classes):
            raise ValueError(f"label must lie in 0..{num_classes - 1}, got {label!r}")
    return jnp.broadcast_to(jnp.asarray(label, jnp.int32), (num,))
