"""The VAE as an objective and as a model of the contract."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxgen import learning, require
from jaxgen.core import Batch, GenerativeModel, Metrics, Objective, PRNGKey, Spec, TrainState, Variables
from jaxgen.data import space
from jaxgen.distributions import affine, standard_normal_kl
from jaxgen.draws import example_normals, example_uniforms
from jaxgen.events import require_equal_shapes, require_latent
from jaxgen.inputs import checked_batch, checked_init, num_observed
from jaxgen.latents import Latents
from jaxgen.nn.coders import Forms, asked_beside, latent_sampler
from jaxgen.nn.condition_inputs import for_samples
from jaxgen.nn.conditions import given
from jaxgen.vae.coding import coding
from jaxgen.vae.config import Config
from jaxgen.vae.inference import (
    importance_expectation,
    importance_log_likelihood,
    importance_resample,
    prior_log_likelihood,
)
from jaxgen.vae.latents import latents_of
from jaxgen.vae.networks import Gaussian
from jaxgen.vae.objective import negative_elbo
from jaxgen.vae.training import of_data, training_loss


class Parts(NamedTuple):
    """Functions of a VAE beyond the contract; x in storage dtype, as the data set holds it.

    A conditional model reads its conditions c from a batch, where a function takes one. All others take
    `condition={"low": images}`, one value for all examples or one for each; `label=3` is short for
    `condition={"label": 3}`. A condition that is left out there is withheld, which is refused where the model has never
    gone without it in training.

    Attributes:
        encode: (variables, x, mask=None, *, label=None, condition=None) -> (mu, log_var) of Q(z|X), each
            [B, latent_dim]. A mask [B, *event] is True where x is observed.
        decode: (variables, z, *, label=None, condition=None) -> E[X|z] in data space, [B, *event].
        reconstruct: (variables, x, mask=None, *, label=None, condition=None) -> E[X|z] at z = mu(x), [B, *event].
        log_likelihood: (key, variables, batch, num_samples=5000, chunk=50) -> log P(X), or log P(X|c), by importance
            samples, [B] nats; for real values, this and the terms of the bound are densities in their own units,
            whatever their scale.
        monte_carlo: The same from draws of the prior: the lecture's first estimate, to show why it fails.
        impute: (key, variables, batch, num_samples=1000, chunk=50) -> E[X | the dimensions that "mask" marks as
            observed], [B, *event] in data space; observed dimensions keep their values.
        imputations: (key, variables, batch, num=10, num_samples=1000, chunk=50) -> [num, B, *event], draws of X given
            the dimensions that "mask" marks as observed: multiple imputation, whose spread says how sure the values
            are. Each is taken from `num_samples` weighted draws.
        interpolate: (variables, x_from, x_to, num, mask=None, *, label=None, condition=None) -> [num, B, *event],
            decoded on the line between their mu; the mask and the conditions hold for both.
        measure: Measure of the probabilities, as the likelihood names it.
        discrete: Whether the data are discrete, so that bits/dim have a meaning.
        latents: (num_levels=None) -> z over X as `jaxgen.latents.Latents`, for a codec: one level. Conditions are
            withheld. Raises ValueError for data that are not discrete, a mask's distribution, or another number.
    """

    encode: Callable[..., Gaussian]
    decode: Callable[..., Array]
    reconstruct: Callable[..., Array]
    log_likelihood: Callable[..., Array]
    monte_carlo: Callable[..., Array]
    impute: Callable[..., Array]
    imputations: Callable[..., Array]
    interpolate: Callable[..., Array]
    measure: str
    discrete: bool
    latents: Callable[..., Latents]


def model(
    config: Config, spec: Spec, tx: optax.GradientTransformation | None = None, *, network: Any = None
) -> GenerativeModel[TrainState, Parts]:
    """Build a VAE for data of this spec, which learns its `objective`.

    Args:
        config: Configuration of the VAE.
        spec: Description of the data.
        tx: Optimizer in place of the config's; None for the config's.
        network: Networks in place of the shipped ones, see `objective`.

    Returns:
        The model; its state is a `TrainState`.

    Raises:
        ValueError: A likelihood, convolutions or conditions that do not fit the data, or no such networks.
    """
    tx = config.optimizer.transformation() if tx is None else tx
    return learning.model(objective(config, spec, network=network), tx, axis_name=config.axis_name)


def objective(config: Config, spec: Spec, *, network: Any = None) -> Objective[Parts]:
    """Build what a VAE learns of data of this spec: the negative ELBO, or the importance-weighted bound.

    With conditions c the encoder is Q(z|X, c), the decoder P(X|z, c), the prior N(0, I) for every c, and the bound that
    of log P(X|c).

    Args:
        config: Configuration of the VAE.
        spec: Description of the data.
        network: Networks in place of the shipped ones, {"encoder": ..., "decoder": ...}, either of which may be left
            out: linen modules or pairs (init, apply), see `jaxgen.nn.network`. The encoder is called with x [B, *event]
            as the likelihood takes it (twice the channels with `see_mask`) and returns (mu, log_var), each
            [B, latent_dim]; the decoder is called with z [B, latent_dim] and returns the likelihood's mean or logits
            [B, *event], with twice the channels where it gives deviations as well. Both are given the dictionary of
            conditions behind it, if the config has some.

    Returns:
        The objective; its variables are params "encoder", "decoder" and, where it is learned, "log_scale", and further
        collections of the networks by the same names.

    Raises:
        ValueError: A likelihood, convolutions or conditions that do not fit the data, or no such networks.

    Source: Kingma & Welling 2014; with conditions, Sohn, Lee & Yan 2015, eq. 4, there with a prior that depends on c.
    """
    likelihood, conditions, latent_dim = config.likelihood, config.condition, config.latent_dim
    coder = coding(config, spec, network)

    def observed(key: Any, batch: Batch) -> tuple[Array, Array | None, Array, Forms, PRNGKey]:
        """The likelihood's target, the mask, each example's number, the conditions, and a key for z.

        Draws belong to their example.
        """
        require.typed_key("key", key)
        fields = coder.fields(batch)
        key_x, key_eps = jax.random.split(key)
        uniform = example_uniforms(key_x, fields["index"], spec.event_shape) if likelihood.stochastic else None
        x, forms = likelihood.target(fields["x"], spec, uniform), given(conditions, spec, fields)
        return x, fields.get("mask"), fields["index"], forms, key_eps

    def log_p_of(variables: Variables, x: Array, mask: Array | None, forms: Forms) -> Callable[[Array], Array]:
        return lambda z: coder.log_p(variables, x, z, mask, forms)[0]

    @jax.jit
    def evaluate(key: PRNGKey, variables: Variables, batch: Batch) -> Metrics:
        x, mask, index, forms, key_eps = observed(key, batch)
        mu, log_var = coder.latents(coder.q(variables, x, mask, forms)[0])
        z = affine(mu, log_var, example_normals(key_eps, index, (coder.num_latents,)))
        log_likelihood = log_p_of(variables, x, mask, forms)(z)
        values = {
            "negative_elbo": negative_elbo(log_likelihood, mu, log_var),
            "distortion": -log_likelihood,
            "rate": standard_normal_kl(mu, log_var),
        }
        return {**of_data(values, space.log_volume(batch["x"], spec, mask)), **num_observed(batch)}

    @functools.partial(jax.jit, static_argnames=("num_samples", "chunk"))
    def log_likelihood(
        key: PRNGKey, variables: Variables, batch: Batch, num_samples: int = 5000, chunk: int = 50
    ) -> Float[Array, " b"]:
        x, mask, index, forms, key_eps = observed(key, batch)
        mu, log_var = coder.latents(coder.q(variables, x, mask, forms)[0])
        log_p_x = log_p_of(variables, x, mask, forms)
        found = importance_log_likelihood(key_eps, index, mu, log_var, log_p_x, num_samples, chunk)
        volume = space.log_volume(batch["x"], spec, mask)
        return found if volume is None else found + volume

    @functools.partial(jax.jit, static_argnames=("num_samples", "chunk"))
    def monte_carlo(
        key: PRNGKey, variables: Variables, batch: Batch, num_samples: int = 5000, chunk: int = 50
    ) -> Float[Array, " b"]:
        x, mask, index, forms, key_eps = observed(key, batch)
        log_p_x = log_p_of(variables, x, mask, forms)
        found = prior_log_likelihood(key_eps, index, coder.num_latents, log_p_x, num_samples, chunk)
        volume = space.log_volume(batch["x"], spec, mask)
        return found if volume is None else found + volume

    @functools.partial(jax.jit, static_argnames=("num_samples", "chunk"))
    def impute(
        key: PRNGKey, variables: Variables, batch: Batch, num_samples: int = 1000, chunk: int = 50
    ) -> Float[Array, "b *event"]:
        require.typed_key("key", key)
        mask, index, forms, whole, mu, log_var, log_p_x = incomplete(variables, batch)

        def value(z: Array) -> Float[Array, "b *event"]:
            return mean_of(variables, z, forms) if config.missing is None else coder.drawn(variables, z, None, forms)

        mean = importance_expectation(key, index, mu, log_var, log_p_x, value, num_samples, chunk)
        return jnp.where(mask, whole, mean)

    @functools.partial(jax.jit, static_argnames=("num", "num_samples", "chunk"))
    def imputations(
        key: PRNGKey, variables: Variables, batch: Batch, num: int = 10, num_samples: int = 1000, chunk: int = 50
    ) -> Float[Array, "num b *event"]:
        require.typed_key("key", key)
        mask, index, forms, whole, mu, log_var, log_p_x = incomplete(variables, batch)
        key_z, key_x = jax.random.split(key)

        def value(draw: Array, z: Array) -> Float[Array, "b *event"]:
            if config.missing is not None:
                return coder.drawn(variables, z, None, forms)
            eps = example_normals(jax.random.fold_in(key_x, draw), index, spec.event_shape)
            return coder.drawn(variables, z, eps, forms)

        found = importance_resample(key_z, index, mu, log_var, log_p_x, value, num, num_samples, chunk)
        return jnp.where(mask[None], whole[None], found)

    def incomplete(variables: Variables, batch: Batch) -> tuple[Any, ...]:
        """Mask, numbers and conditions of a batch, x in data space, the proposal of its latents, and log P(X|z)."""
        fields = checked_batch(batch, spec, needs=("mask", *conditions))
        mask, forms = fields["mask"], given(conditions, spec, fields)
        x = likelihood.target(fields["x"], spec, None)
        mu, log_var = coder.latents(coder.q(variables, x, mask, forms)[0])
        log_p_x = log_p_of(variables, x, mask, forms)
        return mask, fields["index"], forms, space.to_unit(fields["x"], spec), mu, log_var, log_p_x

    def mean_of(variables: Variables, z: Array, forms: Forms) -> Float[Array, "b *event"]:
        """E[X|z] in data space."""
        return likelihood.mean(coder.f(variables, z, forms)[0], spec)

    @jax.jit
    def encoded(variables: Variables, x: Array, mask: Array | None, asked: dict[str, Array]) -> Gaussian:
        fields = checked_batch({"x": x, "mask": mask}, spec)
        x, forms = likelihood.target(fields["x"], spec, None), for_samples(conditions, spec, asked, len(fields["x"]))
        return coder.q(variables, x, fields.get("mask"), forms)[0]

    @jax.jit
    def decoded(variables: Variables, z: Array, asked: dict[str, Array]) -> Float[Array, "b *event"]:
        require_latent(latent_dim, z=z)
        return mean_of(variables, z, for_samples(conditions, spec, asked, len(z)))

    @jax.jit
    def reconstructed(
        variables: Variables, x: Array, mask: Array | None, asked: dict[str, Array]
    ) -> Float[Array, "b *event"]:
        return decoded(variables, encoded(variables, x, mask, asked).mu, asked)

    @functools.partial(jax.jit, static_argnums=3)
    def interpolated(
        variables: Variables, x_from: Array, x_to: Array, num: int, mask: Array | None, asked: dict[str, Array]
    ) -> Float[Array, "num b *event"]:
        require.size("num", num)
        require_equal_shapes(x_from=x_from, x_to=x_to)
        start, end = encoded(variables, x_from, mask, asked).mu, encoded(variables, x_to, mask, asked).mu
        parts = jnp.linspace(0.0, 1.0, num, dtype=jnp.float32)
        return jax.vmap(lambda part: decoded(variables, start + part * (end - start), asked))(parts)

    def encode(variables: Variables, x: Any, mask: Any = None, *, label: Any = None, condition: Any = None) -> Gaussian:
        return encoded(variables, x, mask, asked_beside(x, conditions, spec, label, condition))

    def decode(variables: Variables, z: Any, *, label: Any = None, condition: Any = None) -> Float[Array, "b *event"]:
        return decoded(variables, z, asked_beside(z, conditions, spec, label, condition))

    def reconstruct(
        variables: Variables, x: Any, mask: Any = None, *, label: Any = None, condition: Any = None
    ) -> Float[Array, "b *event"]:
        return reconstructed(variables, x, mask, asked_beside(x, conditions, spec, label, condition))

    def interpolate(
        variables: Variables, x_from: Any, x_to: Any, num: int, mask: Any = None, *, label: Any = None,
        condition: Any = None,
    ) -> Float[Array, "num b *event"]:  # fmt: skip
        asked = asked_beside(x_from, conditions, spec, label, condition)
        return interpolated(variables, x_from, x_to, num, mask, asked)

    def check(batch: Any) -> None:
        coder.fields(batch)
        likelihood.require(batch["x"], spec, batch.get("mask"))

    parts = Parts(
        encode,
        decode,
        reconstruct,
        log_likelihood,
        monte_carlo,
        impute,
        imputations,
        interpolate,
        likelihood.measure(spec) + ("" if config.missing is None else " and of the mask"),
        likelihood.discrete,
        functools.partial(latents_of, config, spec, coder),
    )
    sample = latent_sampler(conditions, spec, latent_dim, decoded)  # E[X|z]
    return Objective(checked_init(coder.init, check), training_loss(config, spec, coder), evaluate, sample, parts)
