"""The autoencoder as an objective and as a model of the contract."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

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
from jaxgen.events import require_latent
from jaxgen.inputs import checked_batch, checked_init, num_observed
from jaxgen.nn.coders import Forms, asked_beside, changed_with, checked_output, coders, latent_sampler
from jaxgen.nn.condition_inputs import for_samples, for_training
from jaxgen.nn.conditions import given


class Parts(NamedTuple):
    """Functions of an autoencoder beyond the contract; x in storage dtype, as the data set holds it.

    A conditional model takes `condition={"low": images}` in all of them, one value for all examples or one for each;
    `label=3` is short for `condition={"label": 3}`. A condition that is left out is withheld, which is refused where
    the model has never gone without it in training.

    Attributes:
        encode: (variables, x, mask=None, *, label=None, condition=None) -> z, [B, latent_dim]. Reads only
            params["encoder"] of the variables, and further collections of the encoder.
        decode: (variables, z, *, label=None, condition=None) -> x_hat in data space, [B, *event]: images cut off at 0
            and 1, real values in their units.
        reconstruct: (variables, x, mask=None, *, label=None, condition=None) -> x_hat, likewise. A mask [B, *event] is
            True where x is observed.
    """

    encode: Callable[..., Array]
    decode: Callable[..., Array]
    reconstruct: Callable[..., Array]


def model(
    config: Config, spec: Spec, tx: optax.GradientTransformation | None = None, *, network: Any = None
) -> GenerativeModel[TrainState, Parts]:
    """Build an autoencoder for data of this spec, which learns its `objective`.

    Args:
        config: Configuration of the autoencoder.
        spec: Description of the data.
        tx: Optimizer in place of the config's; None for the config's.
        network: Networks in place of the shipped ones, see `objective`.

    Returns:
        The model; its state is a `TrainState`.

    Raises:
        ValueError: Convolutions or conditions that do not fit the data, or no such networks.
    """
    tx = config.optimizer.transformation() if tx is None else tx
    return learning.model(objective(config, spec, network=network), tx, axis_name=config.axis_name)


def objective(config: Config, spec: Spec, *, network: Any = None) -> Objective[Parts]:
    """Build what an autoencoder learns of data of this spec: the reconstruction error.

    Its `sample` decodes z ~ N(0, I), although nothing in training made N(0, I) the distribution of z: samples do not
    look like data. This is the lecture's point that an autoencoder is not a generative model, since the space of z is
    unknown. The VAE mends this by the KL divergence in its objective.

    The loss and `evaluate` measure images in [0, 1] and real values on their scale.

    `evaluate` gives "reconstruction", the squared error of each example, as in the loss. Where a batch has a
    "mask", only observed dimensions count, the encoder sees 0 for the others, and `evaluate` gives their number as
    "observed".

    Args:
        config: Configuration of the autoencoder.
        spec: Description of the data.
        network: Networks in place of the shipped ones, {"encoder": ..., "decoder": ...}, either of which may be left
            out: linen modules or pairs (init, apply), see `jaxgen.nn.network`. The encoder is called with x [B, *event]
            (twice the channels with `see_mask`) and returns z [B, latent_dim]; the decoder is called with z and returns
            x_hat [B, *event]. Both are given the dictionary of conditions behind it, if the config has some.

    Returns:
        The objective; its variables are params "encoder" and "decoder", and further collections by the same names.

    Raises:
        ValueError: Convolutions or conditions that do not fit the data, or no such networks.
    """
    if config.features and len(spec.event_shape) < 2:
        raise ValueError(f"features need events of shape (*space, channels), got {spec.event_shape}")
    warn_unscaled(spec, "an autoencoder")
    dtype, conditions, latent_dim = jnp.dtype(config.dtype), config.condition, config.latent_dim
    encoder = Encoder(config.hidden, latent_dim, spec, config.features, dtype, conditions)
    decoder = Decoder(config.hidden[::-1], spec, config.features[::-1], dtype, conditions)
    coder = coders(conditions, spec, latent_dim, encoder, decoder, network)

    def fields_of(batch: Batch) -> dict[str, Array]:
        return checked_batch(batch, spec, needs=tuple(conditions))

    def observed(fields: Mapping[str, Array]) -> tuple[Float[Array, "b *event"], Array | None]:
        """x in [0, 1] or scaled, 0 where it was not observed, and the mask that says where."""
        x, mask = space.to_seen(fields["x"], spec), fields.get("mask")
        return (x, None) if mask is None else (jnp.where(mask, x, 0), mask)

    def shown(x: Array, mask: Array | None) -> Array:
        """Input of the encoder: x and, with `see_mask`, the mask beside it."""
        if not config.see_mask:
            return x
        flags = jnp.ones_like(x) if mask is None else mask.astype(x.dtype)
        return jnp.concatenate([x, flags], axis=-1)

    def z_of(
        variables: Variables, x: Array, mask: Array | None, forms: Forms, key: Any = None
    ) -> tuple[Float[Array, "b z"], dict[str, Any]]:
        z, changed = coder.encode(variables, shown(x, mask), forms, key)
        return checked_output("output of the encoder", z, (len(x), latent_dim)), changed

    def in_data_space(x_hat: Array) -> Float[Array, "b *event"]:
        return jnp.clip(x_hat, 0, 1) if spec.levels else space.from_seen(x_hat, spec)

    def init(key: PRNGKey, batch: Batch) -> Variables:
        fields = fields_of(batch)
        x, mask = observed(fields)
        count = x.shape[0] if mask is None else jnp.maximum(mask.sum(axis=0), 1).astype(jnp.float32)
        return coder.init(key, shown(x, mask), given(conditions, spec, fields), x.sum(axis=0) / count)

    def loss(variables: Variables, key: PRNGKey, batch: Batch, step: Any) -> tuple[Float[Array, " b"], Aux]:
        del step
        fields = fields_of(batch)
        x, mask = observed(fields)
        key_withheld, key_encoder, key_decoder = jax.random.split(key, 3)
        forms = for_training(key_withheld, conditions, spec, fields, len(x))
        z, of_encoder = z_of(variables, x, mask, forms, key_encoder)
        x_hat, of_decoder = coder.decode(variables, z, forms, key_decoder)
        return reconstruction_loss(x, x_hat, mask), Aux(collections=changed_with(variables, of_encoder, of_decoder))

    @jax.jit
    def evaluate(key: PRNGKey, variables: Variables, batch: Batch) -> Metrics:
        require.typed_key("key", key)
        fields = fields_of(batch)
        x, mask = observed(fields)
        forms = given(conditions, spec, fields)
        x_hat, _ = coder.decode(variables, z_of(variables, x, mask, forms)[0], forms)
        return {"reconstruction": reconstruction_loss(x, x_hat, mask), **num_observed(batch)}

    @jax.jit
    def encoded(variables: Variables, x: Array, mask: Array | None, asked: dict[str, Array]) -> Float[Array, "b z"]:
        x, mask = observed(checked_batch({"x": x, "mask": mask}, spec))
        return z_of(variables, x, mask, for_samples(conditions, spec, asked, len(x)))[0]

    @jax.jit
    def decoded(variables: Variables, z: Array, asked: dict[str, Array]) -> Float[Array, "b *event"]:
        require_latent(latent_dim, z=z)
        return in_data_space(coder.decode(variables, z, for_samples(conditions, spec, asked, len(z)))[0])

    @jax.jit
    def reconstructed(
        variables: Variables, x: Array, mask: Array | None, asked: dict[str, Array]
    ) -> Float[Array, "b *event"]:
        return decoded(variables, encoded(variables, x, mask, asked), asked)

    def encode(
        variables: Variables, x: Any, mask: Any = None, *, label: Any = None, condition: Any = None
    ) -> Float[Array, "b z"]:
        return encoded(variables, x, mask, asked_beside(x, conditions, spec, label, condition))

    def decode(variables: Variables, z: Any, *, label: Any = None, condition: Any = None) -> Float[Array, "b *event"]:
        return decoded(variables, z, asked_beside(z, conditions, spec, label, condition))

    def reconstruct(
        variables: Variables, x: Any, mask: Any = None, *, label: Any = None, condition: Any = None
    ) -> Float[Array, "b *event"]:
        return reconstructed(variables, x, mask, asked_beside(x, conditions, spec, label, condition))

    def check(batch: Any) -> None:
        fields_of(batch)
        space.require_storage(batch["x"], spec, batch.get("mask"))

    sample = latent_sampler(conditions, spec, latent_dim, decoded)
    return Objective(checked_init(init, check), loss, evaluate, sample, Parts(encode, decode, reconstruct))
