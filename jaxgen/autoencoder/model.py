"""The autoencoder as an objective and as a model of the contract."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxgen import learning, require
from jaxgen.autoencoder.config import Config
from jaxgen.autoencoder.networks import Decoder, Encoder
from jaxgen.autoencoder.objective import reconstruction_loss
from jaxgen.core import Aux, Batch, GenerativeModel, Metrics, Objective, PRNGKey, Spec, TrainState, Variables
from jaxgen.data import space
from jaxgen.data.statistics import warn_unscaled
from jaxgen.draws import example_normals
from jaxgen.events import require_latent
from jaxgen.inputs import checked_batch, checked_draws, checked_init, checked_variables, num_observed


class Parts(NamedTuple):
    """Functions of an autoencoder beyond the contract; x in storage dtype, as the data set holds it.

    Attributes:
        encode: (variables, x, mask=None) -> z, [B, latent_dim]. Reads only params["encoder"] of the variables.
        decode: (variables, z) -> x_hat in data space, [B, *event]: images cut off at 0 and 1, real values in their
            units.
        reconstruct: (variables, x, mask=None) -> x_hat, likewise. A mask [B, *event] is True where x is observed.
    """

    encode: Callable[..., Array]
    decode: Callable[..., Array]
    reconstruct: Callable[..., Array]


def model(
    config: Config, spec: Spec, tx: optax.GradientTransformation | None = None
) -> GenerativeModel[TrainState, Parts]:
    """An autoencoder for data of this spec, which learns its `objective`.

    Args:
        config: Configuration of the autoencoder.
        spec: Spec of the data.
        tx: Optimizer in place of the config's; None for the config's.

    Returns:
        The model; its state is a `TrainState`.

    Raises:
        ValueError: Convolutions that do not fit the data.
    """
    tx = config.optimizer.transformation() if tx is None else tx
    return learning.model(objective(config, spec), tx, axis_name=config.axis_name)


def objective(config: Config, spec: Spec) -> Objective[Parts]:
    """The reconstruction error of an autoencoder for data of this spec.

    The loss and `evaluate` measure images in [0, 1] and real values on their scale.

    `evaluate` gives "reconstruction", the squared error of each example, as in the loss. Where a batch has a
    "mask", only observed dimensions count, the encoder sees 0 for the others, and `evaluate` gives their number as
    "observed".

    Args:
        config: Configuration of the autoencoder.
        spec: Spec of the data.

    Returns:
        The objective; its variables are params "encoder" and "decoder".

    Raises:
        ValueError: Convolutions that do not fit the data.
    """
    if config.features and len(spec.event_shape) < 2:
        raise ValueError(f"features need events of shape (*space, channels), got {spec.event_shape}")
    warn_unscaled(spec, "an autoencoder")
    dtype = jnp.dtype(config.dtype)
    encoder = Encoder(config.hidden, config.latent_dim, config.features, dtype)
    decoder = Decoder(config.hidden[::-1], spec.event_shape, config.features[::-1], dtype)

    def params_of(variables: Any) -> Any:
        return checked_variables(variables, "params")["params"]

    def observed(batch: Batch) -> tuple[Float[Array, "b *event"], Array | None]:
        """x in [0, 1] or scaled, 0 where it was not observed, and the mask that says where."""
        fields = checked_batch(batch, spec)
        x, mask = space.to_seen(fields["x"], spec), fields.get("mask")
        return (x, None) if mask is None else (jnp.where(mask, x, 0), mask)

    def shown(x: Array, mask: Array | None) -> Array:
        """Input of the encoder: x and, with `see_mask`, the mask beside it."""
        if not config.see_mask:
            return x
        flags = jnp.ones_like(x) if mask is None else mask.astype(x.dtype)
        return jnp.concatenate([x, flags], axis=-1)

    def z_of(params: Any, x: Array, mask: Array | None = None) -> Float[Array, "b z"]:
        return cast(Array, encoder.apply({"params": params["encoder"]}, shown(x, mask)))

    def x_hat_of(params: Any, z: Array) -> Float[Array, "b *event"]:
        return cast(Array, decoder.apply({"params": params["decoder"]}, z))

    def init(key: PRNGKey, batch: Batch) -> Variables:
        key_encoder, key_decoder = jax.random.split(key)
        x, mask = observed(batch)
        count = x.shape[0] if mask is None else jnp.maximum(mask.sum(axis=0), 1).astype(jnp.float32)
        params = {
            "encoder": encoder.init(key_encoder, shown(x, mask))["params"],
            "decoder": decoder.init(key_decoder, jnp.zeros((x.shape[0], config.latent_dim), jnp.float32))["params"],
        }
        params["decoder"]["bias"] = x.sum(axis=0) / count  # the mean: the network has only the rest to learn
        return {"params": params}

    def squared_error(params: Any, batch: Batch) -> Float[Array, " b"]:
        x, mask = observed(batch)
        return reconstruction_loss(x, x_hat_of(params, z_of(params, x, mask)), mask)

    def loss(variables: Variables, key: PRNGKey, batch: Batch, step: Any) -> tuple[Float[Array, " b"], Aux]:
        del key, step
        return squared_error(params_of(variables), batch), Aux()

    @jax.jit
    def evaluate(key: PRNGKey, variables: Variables, batch: Batch) -> Metrics:
        require.typed_key("key", key)
        return {"reconstruction": squared_error(params_of(variables), batch), **num_observed(batch)}

    @jax.jit
    def encode(variables: Variables, x: Array, mask: Array | None = None) -> Float[Array, "b z"]:
        return z_of(params_of(variables), *observed({"x": x, "mask": mask}))

    @jax.jit
    def decode(variables: Variables, z: Float[Array, "b z"]) -> Float[Array, "b *event"]:
        require_latent(config.latent_dim, z=z)
        x_hat = x_hat_of(params_of(variables), z)
        return jnp.clip(x_hat, 0, 1) if spec.levels else space.from_seen(x_hat, spec)

    @jax.jit
    def reconstruct(variables: Variables, x: Array, mask: Array | None = None) -> Float[Array, "b *event"]:
        return decode(variables, encode(variables, x, mask))

    def sample(
        key: PRNGKey, variables: Variables, num: int, *, first: int = 0, label: Any = None, condition: Any = None
    ) -> Float[Array, "num *event"]:
        """Decode z ~ N(0, I), although nothing in training made N(0, I) the distribution of z.

        The samples do not look like data. This is the lecture's point that an autoencoder is not a generative model,
        since the space of z is unknown. The VAE mends this by the KL divergence in its objective. z of sample k comes
        from fold_in(key, k).
        """
        if label is not None or condition is not None:
            raise ValueError("this model is unconditional: label and condition must be None")
        return draws(key, variables, num, checked_draws(key, num, first))

    @functools.partial(jax.jit, static_argnums=2)
    def draws(key: PRNGKey, variables: Variables, num: int, first: Any) -> Float[Array, "num *event"]:
        index = first + jnp.arange(num, dtype=jnp.int32)
        return decode(variables, example_normals(key, index, (config.latent_dim,)))

    def check(batch: Any) -> None:
        checked_batch(batch, spec)
        space.require_storage(batch["x"], spec, batch.get("mask"))

    return Objective(checked_init(init, check), loss, evaluate, sample, Parts(encode, decode, reconstruct))
