"""The VAE as an objective and as a model of the contract."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxgen import learning, require
from jaxgen.core import Aux, Batch, GenerativeModel, Metrics, Objective, PRNGKey, Spec, TrainState, Variables
from jaxgen.data import space
from jaxgen.distributions import affine, normal_log_prob, standard_normal_kl
from jaxgen.draws import coarse_uniforms, example_normals, example_uniforms
from jaxgen.events import require_equal_shapes, require_latent
from jaxgen.inputs import checked_batch, checked_draws, checked_init, checked_variables, num_observed
from jaxgen.vae.config import Config
from jaxgen.vae.inference import importance_expectation, importance_log_likelihood, prior_log_likelihood
from jaxgen.vae.networks import Decoder, Encoder
from jaxgen.vae.objective import importance_weighted_bound, negative_elbo, path_negative_elbo


class Parts(NamedTuple):
    """Functions of a VAE beyond the contract; x in storage dtype, as the data set holds it.

    Attributes:
        encode: (variables, x, mask=None) -> (mu, log_var) of Q(z|X), each [B, latent_dim]. A mask [B, *event] is True
            where x is observed.
        decode: (variables, z) -> E[X|z] in data space, [B, *event].
        reconstruct: (variables, x, mask=None) -> E[X|z] at z = mu(x), [B, *event].
        log_likelihood: (key, variables, batch, num_samples=5000, chunk=50) -> log P(X) by importance samples, [B] nats;
            for real values, this and the terms of the bound are densities in their own units, whatever their scale.
        monte_carlo: The same from draws of the prior: the lecture's first estimate, to show why it fails.
        impute: (key, variables, batch, num_samples=1000, chunk=50) -> E[X | the dimensions that "mask" marks as
            observed], [B, *event] in data space; observed dimensions keep their values.
        interpolate: (variables, x_from, x_to, num, mask=None) -> [num, B, *event], decoded on the line between their
            mu; the mask holds for both.
        measure: Measure of the probabilities, as the likelihood names it.
        discrete: Whether the data are discrete, so that bits/dim have a meaning.
    """

    encode: Callable[..., tuple[Array, Array]]
    decode: Callable[..., Array]
    reconstruct: Callable[..., Array]
    log_likelihood: Callable[..., Array]
    monte_carlo: Callable[..., Array]
    impute: Callable[..., Array]
    interpolate: Callable[..., Array]
    measure: str
    discrete: bool


def model(
    config: Config, spec: Spec, tx: optax.GradientTransformation | None = None
) -> GenerativeModel[TrainState, Parts]:
    """A VAE for data of this spec, which learns its `objective`.

    Args:
        config: Configuration of the VAE.
        spec: Spec of the data.
        tx: Optimizer in place of the config's; None for the config's.

    Returns:
        The model; its state is a `TrainState`.

    Raises:
        ValueError: A likelihood or convolutions that do not fit the data.
    """
    tx = config.optimizer.transformation() if tx is None else tx
    return learning.model(objective(config, spec), tx, axis_name=config.axis_name)


def objective(config: Config, spec: Spec) -> Objective[Parts]:
    """The negative ELBO of a VAE for data of this spec, or the importance-weighted bound.

    Args:
        config: Configuration of the VAE.
        spec: Spec of the data.

    Returns:
        The objective; its variables are params "encoder", "decoder" and, where it is learned, "log_scale".

    Raises:
        ValueError: A likelihood or convolutions that do not fit the data.
    """
    likelihood, dtype = config.likelihood, jnp.dtype(config.dtype)
    likelihood.check(spec)
    if config.features and len(spec.event_shape) < 2:
        raise ValueError(f"features need events of shape (*space, channels), got {spec.event_shape}")
    encoder = Encoder(config.hidden, config.latent_dim, config.features, dtype)
    decoder = Decoder(config.hidden[::-1], spec.event_shape, config.features[::-1], dtype)

    def params_of(variables: Any) -> Any:
        return checked_variables(variables, "params")["params"]

    def log_scale(params: Any) -> Float[Array, ""]:
        return params["log_scale"] if likelihood.learn else jnp.float32(likelihood.log_scale or 0.0)

    def init(key: PRNGKey, batch: Batch) -> Variables:
        fields = checked_batch(batch, spec)
        key_encoder, key_decoder = jax.random.split(key)
        x, mask = likelihood.target(fields["x"], spec, None), fields.get("mask")
        count = x.shape[0] if mask is None else jnp.maximum(mask.sum(axis=0), 1).astype(jnp.float32)
        x = x if mask is None else jnp.where(mask, x, 0.0)
        shown = jnp.concatenate([x, x], axis=-1) if config.see_mask else x
        params = {
            "encoder": encoder.init(key_encoder, shown)["params"],
            "decoder": decoder.init(key_decoder, jnp.zeros((x.shape[0], config.latent_dim), jnp.float32))["params"],
        }
        params["decoder"]["bias"] = likelihood.output(x.sum(axis=0) / count)  # the network has only the rest to learn
        if likelihood.learn:
            params["log_scale"] = jnp.float32(likelihood.log_scale)
        return {"params": params}

    def q(params: Any, x: Array, mask: Array | None) -> tuple[Float[Array, "b z"], Float[Array, "b z"]]:
        """Q(z|X); the encoder sees 0 for dimensions that are not observed (Mattei & Frellsen 2019)."""
        seen = x if mask is None else jnp.where(mask, x, 0.0)
        if config.see_mask:
            flags = jnp.ones_like(seen) if mask is None else mask.astype(seen.dtype)
            seen = jnp.concatenate([seen, flags], axis=-1)
        return cast(tuple[Array, Array], encoder.apply({"params": params["encoder"]}, seen))

    def f(params: Any, z: Array) -> Float[Array, "b *event"]:
        return cast(Array, decoder.apply({"params": params["decoder"]}, z))

    def log_p(params: Any, x: Array, z: Array, mask: Array | None) -> Float[Array, " b"]:
        return likelihood.log_prob(x, f(params, z), log_scale(params), spec, mask)

    def bound(params: Any, x: Array, eps: Array, mask: Array | None, beta: Any) -> Metrics:
        """The negative ELBO of every example and its two terms, for one draw of z."""
        mu, log_var = q(params, x, mask)
        log_likelihood = log_p(params, x, affine(mu, log_var, eps), mask)
        return {
            "negative_elbo": negative_elbo(log_likelihood, mu, log_var, beta),
            "distortion": -log_likelihood,
            "rate": standard_normal_kl(mu, log_var),
        }

    def by_path(params: Any, x: Array, eps: Array, mask: Array | None, beta: Any) -> Metrics:
        """The bound and its terms with the path gradient."""
        mu, log_var = q(params, x, mask)
        z = affine(mu, log_var, eps)
        log_likelihood = log_p(params, x, z, mask)
        return {
            "negative_elbo": path_negative_elbo(log_likelihood, z, mu, log_var, beta),
            "distortion": -log_likelihood,
            "rate": standard_normal_kl(mu, log_var),
        }

    def importance_weighted(params: Any, x: Array, eps: Array, mask: Array | None, beta: Any) -> Metrics:
        """The bound and its terms for k draws, eps [k, B, z]: the loss is the importance-weighted bound."""
        mu, log_var = q(params, x, mask)
        z = jax.vmap(lambda e: affine(mu, log_var, e))(eps)
        log_likelihood = jax.vmap(lambda draw: log_p(params, x, draw, mask))(z)
        log_prior = jax.vmap(lambda draw: normal_log_prob(draw, jnp.zeros_like(draw), jnp.zeros((), draw.dtype)))(z)
        log_q = jax.vmap(lambda draw: normal_log_prob(draw, mu, log_var))(z)
        return {
            "negative_elbo": -importance_weighted_bound(log_likelihood, beta * log_prior, beta * log_q),
            "distortion": -log_likelihood.mean(axis=0),
            "rate": standard_normal_kl(mu, log_var),
        }

    def of_data(values: Metrics, volume: Array | None) -> dict[str, Array]:
        """The terms of the bound for the density of the data in their own units instead of scaled ones."""
        if volume is None:
            return dict(values)
        moved = {name: values[name] - volume for name in ("negative_elbo", "distortion")}
        return {**values, **moved}

    def loss(variables: Variables, key: PRNGKey, batch: Batch, step: Any) -> tuple[Float[Array, " b"], Aux]:
        params = params_of(variables)
        fields = checked_batch(batch, spec)
        x, mask = fields["x"], fields.get("mask")
        key_x, key_eps = jax.random.split(key)
        uniform = coarse_uniforms(key_x, x.shape) if likelihood.stochastic else None
        volume, x = space.log_volume(x, spec, mask), likelihood.target(x, spec, uniform)
        beta = config.beta
        if config.warmup_steps:
            beta = beta * jnp.minimum(1.0, jnp.asarray(step).astype(jnp.float32) / config.warmup_steps)
        if config.num_samples == 1:
            eps = jax.random.normal(key_eps, (x.shape[0], config.latent_dim), jnp.float32)
            values = (by_path if config.path_gradient else bound)(params, x, eps, mask, beta)
        else:
            eps = jax.random.normal(key_eps, (config.num_samples, x.shape[0], config.latent_dim), jnp.float32)
            values = importance_weighted(params, x, eps, mask, beta)
        values = of_data(values, volume)
        return values.pop("negative_elbo"), Aux(values)  # with beta the loss is no bound

    def observed(key: Any, batch: Batch) -> tuple[Array, Array | None, Array, PRNGKey]:
        """The likelihood's target, the mask, each example's number, and a key for z; draws belong to their example."""
        require.typed_key("key", key)
        fields = checked_batch(batch, spec)
        key_x, key_eps = jax.random.split(key)
        uniform = example_uniforms(key_x, fields["index"], spec.event_shape) if likelihood.stochastic else None
        return likelihood.target(fields["x"], spec, uniform), fields.get("mask"), fields["index"], key_eps

    @jax.jit
    def evaluate(key: PRNGKey, variables: Variables, batch: Batch) -> Metrics:
        params = params_of(variables)
        x, mask, index, key_eps = observed(key, batch)
        eps = example_normals(key_eps, index, (config.latent_dim,))
        values = of_data(bound(params, x, eps, mask, beta=1.0), space.log_volume(batch["x"], spec, mask))
        return {**values, **num_observed(batch)}

    @functools.partial(jax.jit, static_argnames=("num_samples", "chunk"))
    def log_likelihood(
        key: PRNGKey, variables: Variables, batch: Batch, num_samples: int = 5000, chunk: int = 50
    ) -> Float[Array, " b"]:
        params = params_of(variables)
        x, mask, index, key_eps = observed(key, batch)
        mu, log_var = q(params, x, mask)
        log_p_x = functools.partial(log_p, params, x, mask=mask)
        found = importance_log_likelihood(key_eps, index, mu, log_var, log_p_x, num_samples, chunk)
        volume = space.log_volume(batch["x"], spec, mask)
        return found if volume is None else found + volume

    @functools.partial(jax.jit, static_argnames=("num_samples", "chunk"))
    def monte_carlo(
        key: PRNGKey, variables: Variables, batch: Batch, num_samples: int = 5000, chunk: int = 50
    ) -> Float[Array, " b"]:
        x, mask, index, key_eps = observed(key, batch)
        log_p_x = functools.partial(log_p, params_of(variables), x, mask=mask)
        found = prior_log_likelihood(key_eps, index, config.latent_dim, log_p_x, num_samples, chunk)
        volume = space.log_volume(batch["x"], spec, mask)
        return found if volume is None else found + volume

    @jax.jit
    def decode(variables: Variables, z: Float[Array, "b z"]) -> Float[Array, "b *event"]:
        require_latent(config.latent_dim, z=z)
        return likelihood.mean(f(params_of(variables), z), spec)

    @jax.jit
    def encode(
        variables: Variables, x: Array, mask: Array | None = None
    ) -> tuple[Float[Array, "b z"], Float[Array, "b z"]]:
        fields = checked_batch({"x": x, "mask": mask}, spec)
        return q(params_of(variables), likelihood.target(fields["x"], spec, None), fields.get("mask"))

    @jax.jit
    def reconstruct(variables: Variables, x: Array, mask: Array | None = None) -> Float[Array, "b *event"]:
        return decode(variables, encode(variables, x, mask)[0])

    @functools.partial(jax.jit, static_argnames=("num_samples", "chunk"))
    def impute(
        key: PRNGKey, variables: Variables, batch: Batch, num_samples: int = 1000, chunk: int = 50
    ) -> Float[Array, "b *event"]:
        require.typed_key("key", key)
        fields = checked_batch(batch, spec, needs=("mask",))
        mask, index = fields["mask"], fields["index"]
        x = likelihood.target(fields["x"], spec, None)
        params = params_of(variables)
        mu, log_var = q(params, x, mask)
        log_p_x = functools.partial(log_p, params, x, mask=mask)
        mean = importance_expectation(
            key, index, mu, log_var, log_p_x, lambda z: decode(variables, z), num_samples, chunk
        )
        return jnp.where(mask, space.to_unit(fields["x"], spec), mean)

    @functools.partial(jax.jit, static_argnums=3)
    def interpolate(
        variables: Variables, x_from: Array, x_to: Array, num: int, mask: Array | None = None
    ) -> Float[Array, "num b *event"]:
        require.size("num", num)
        require_equal_shapes(x_from=x_from, x_to=x_to)
        start, end = encode(variables, x_from, mask)[0], encode(variables, x_to, mask)[0]
        parts = jnp.linspace(0.0, 1.0, num, dtype=jnp.float32)
        return jax.vmap(lambda part: decode(variables, start + part * (end - start)))(parts)

    def sample(
        key: PRNGKey, variables: Variables, num: int, *, first: int = 0, label: Any = None, condition: Any = None
    ) -> Float[Array, "num *event"]:
        """E[X|z] of z ~ N(0, I); z of sample k comes from fold_in(key, k)."""
        if label is not None or condition is not None:
            raise ValueError("this model is unconditional: label and condition must be None")
        return draws(key, variables, num, checked_draws(key, num, first))

    @functools.partial(jax.jit, static_argnums=2)
    def draws(key: PRNGKey, variables: Variables, num: int, first: Any) -> Float[Array, "num *event"]:
        index = first + jnp.arange(num, dtype=jnp.int32)
        return decode(variables, example_normals(key, index, (config.latent_dim,)))

    def check(batch: Any) -> None:
        checked_batch(batch, spec)
        likelihood.require(batch["x"], spec, batch.get("mask"))

    parts = Parts(
        encode,
        decode,
        reconstruct,
        log_likelihood,
        monte_carlo,
        impute,
        interpolate,
        likelihood.measure(spec),
        likelihood.discrete,
    )
    return Objective(checked_init(init, check), loss, evaluate, sample, parts)
