"""The VAE as a model of the contract."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from jaxgen import optimizers
from jaxgen.core import Batch, GenerativeModel, Metrics, PRNGKey, Spec, TrainState, example_normals, example_uniforms
from jaxgen.distributions import affine, standard_normal_kl
from jaxgen.vae.likelihood import Bernoulli, DiscretizedNormal, Normal
from jaxgen.vae.networks import Decoder, Encoder
from jaxgen.vae.objective import negative_elbo


@dataclass(frozen=True)
class Config:
    """Of the VAE.

    Args:
        latent_dim: Dimension of z.
        hidden: Widths of the encoder's hidden layers; the decoder has them in reverse.
        likelihood: P(X|z).
        beta: Weight of the rate in the training loss; 1 is the bound.
        optimizer: How the parameters move.
        dtype: Of the computation, "float32" or "bfloat16"; parameters stay float32.
        axis_name: Mapped axis when the step runs under pmap, see `jaxgen.train.parallel.pmap_step`.

    Raises:
        ValueError: A size below 1, a negative beta, or another dtype.
    """

    latent_dim: int = 20
    hidden: tuple[int, ...] = (400,)
    likelihood: Normal | Bernoulli | DiscretizedNormal = Bernoulli()
    beta: float = 1.0
    optimizer: optimizers.Adam = optimizers.Adam()
    dtype: str = "float32"
    axis_name: str | None = None

    def __post_init__(self):
        if self.latent_dim < 1:
            raise ValueError(f"latent_dim must be at least 1, got {self.latent_dim}")
        if any(width < 1 for width in self.hidden):
            raise ValueError(f"hidden must hold widths of at least 1, got {self.hidden}")
        if self.beta < 0:
            raise ValueError(f"beta must not be negative, got {self.beta}")
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(f'dtype must be "float32" or "bfloat16", got {self.dtype!r}')


class Parts(NamedTuple):
    """What a VAE offers beyond the contract; x in storage dtype, as the data set holds it.

    Attributes:
        encode: (state, x) -> (mu, log_var) of Q(z|X), each [B, latent_dim].
        decode: (state, z) -> E[X|z] in data space, [B, *event].
        reconstruct: (state, x) -> E[X|z] at z = mu(x), [B, *event].
        measure: What the probabilities are of.
        discrete: Whether they are of discrete data, so that bits/dim mean something.
    """

    encode: Callable[..., tuple[Array, Array]]
    decode: Callable[..., Array]
    reconstruct: Callable[..., Array]
    measure: str
    discrete: bool


def model(config: Config, spec: Spec, tx: optax.GradientTransformation | None = None) -> GenerativeModel:
    """A VAE for data of this spec.

    Args:
        config: Of the model.
        spec: Of the data.
        tx: An optimizer instead of the config's.

    Returns:
        The model; its state is a `TrainState` with params "encoder", "decoder" and, where it is learned,
        "log_scale".

    Raises:
        ValueError: A likelihood that does not fit the data.
    """
    likelihood, dtype = config.likelihood, jnp.dtype(config.dtype)
    likelihood.check(spec)
    tx = config.optimizer.transformation() if tx is None else tx
    encoder = Encoder(config.hidden, config.latent_dim, dtype)
    decoder = Decoder(config.hidden[::-1], spec.event_shape, dtype)

    def log_scale(params: Any) -> Float[Array, ""]:
        return params["log_scale"] if likelihood.learn else jnp.float32(likelihood.log_scale or 0.0)

    def init(key: PRNGKey, batch: Batch) -> TrainState:
        key_encoder, key_decoder = jax.random.split(key)
        x = likelihood.target(jnp.asarray(batch["x"]), spec, None)
        params = {
            "encoder": encoder.init(key_encoder, x)["params"],
            "decoder": decoder.init(key_decoder, jnp.zeros((x.shape[0], config.latent_dim)))["params"],
        }
        if likelihood.learn:
            params["log_scale"] = jnp.float32(likelihood.log_scale)
        return optimizers.create(tx, params)

    def q(params: Any, x: Array) -> tuple[Float[Array, "b z"], Float[Array, "b z"]]:
        return cast(tuple[Array, Array], encoder.apply({"params": params["encoder"]}, x))

    def f(params: Any, z: Array) -> Float[Array, "b *event"]:
        return cast(Array, decoder.apply({"params": params["decoder"]}, z))

    def bound(params: Any, batch: Batch, uniform: Array | None, eps: Array, beta: float) -> Metrics:
        """The bound of every example and its two terms, with all noise given."""
        x = likelihood.target(batch["x"], spec, uniform)
        mu, log_var = q(params, x)
        output = f(params, affine(mu, log_var, eps))
        log_likelihood = likelihood.log_prob(x, output, log_scale(params), spec, batch.get("mask"))
        return {
            "negative_elbo": negative_elbo(log_likelihood, mu, log_var, beta),
            "distortion": -log_likelihood,
            "rate": standard_normal_kl(mu, log_var),
        }

    def loss(params: Any, key: PRNGKey, batch: Batch) -> tuple[Array, Metrics]:
        key_x, key_eps = jax.random.split(key)
        size = batch["x"].shape[0]
        uniform = jax.random.uniform(key_x, batch["x"].shape) if likelihood.stochastic else None
        eps = jax.random.normal(key_eps, (size, config.latent_dim))
        terms = {name: value.mean() for name, value in bound(params, batch, uniform, eps, config.beta).items()}
        terms["loss"] = terms.pop("negative_elbo")  # with beta, it is no bound
        return terms["loss"], terms

    @jax.jit
    def step(key: PRNGKey, state: TrainState, batch: Batch) -> tuple[TrainState, Metrics]:
        key = optimizers.device_key(key, config.axis_name)
        gradient, metrics = optimizers.average_gradient(loss, config.axis_name)(state.params, key, batch)
        return optimizers.update(tx, state, gradient), metrics

    @jax.jit
    def evaluate(key: PRNGKey, state: TrainState, batch: Batch) -> Metrics:
        index = batch["index"] if "index" in batch else jnp.arange(batch["x"].shape[0], dtype=jnp.int32)
        key_x, key_eps = jax.random.split(key)
        uniform = example_uniforms(key_x, index, spec.event_shape) if likelihood.stochastic else None
        eps = example_normals(key_eps, index, (config.latent_dim,))
        return bound(state.params, batch, uniform, eps, beta=1.0)

    @jax.jit
    def decode(state: TrainState, z: Float[Array, "b z"]) -> Float[Array, "b *event"]:
        return likelihood.mean(f(state.params, z), spec)

    @jax.jit
    def encode(state: TrainState, x: Array) -> tuple[Float[Array, "b z"], Float[Array, "b z"]]:
        return q(state.params, likelihood.target(jnp.asarray(x), spec, None))

    @jax.jit
    def reconstruct(state: TrainState, x: Array) -> Float[Array, "b *event"]:
        return decode(state, encode(state, x)[0])

    def sample(
        key: PRNGKey, state: TrainState, num: int, *, first: int = 0, label: Any = None, condition: Any = None
    ) -> Float[Array, "num *event"]:
        """E[X|z] of z ~ N(0, I); z of sample k comes from fold_in(key, k)."""
        if label is not None or condition is not None:
            raise ValueError("this model is unconditional: label and condition must be None")
        return draws(key, state, num, first)

    @jax.jit(static_argnums=2)
    def draws(key: PRNGKey, state: TrainState, num: int, first: Any) -> Float[Array, "num *event"]:
        index = first + jnp.arange(num, dtype=jnp.int32)
        return decode(state, example_normals(key, index, (config.latent_dim,)))

    parts = Parts(encode, decode, reconstruct, likelihood.measure(spec), likelihood.discrete)
    return GenerativeModel(jax.jit(init), step, evaluate, sample, parts)
