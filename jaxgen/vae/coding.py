"""The two networks of a VAE as distributions: Q(z|X, c) and P(X|z, c), with their conditions c, if there are some."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.core import Batch, PRNGKey, Spec, Variables
from jaxgen.inputs import checked_batch, checked_variables
from jaxgen.nn.coders import Forms, checked_output, coders
from jaxgen.nn.conditions import given
from jaxgen.vae.config import Config
from jaxgen.vae.likelihood import Likelihood
from jaxgen.vae.missingness import mask_log_prob
from jaxgen.vae.networks import Decoder, Encoder, Gaussian

Changed = dict[str, Any]
"""Further collections of a network that have changed in training."""


class Coding(NamedTuple):
    """Encoder and decoder with the likelihood.

    x is a target of the likelihood; forms are the conditions as a network receives them. With a key the network is in
    training, which the key is for.

    Where the config has a mask's distribution (`jaxgen.vae.missingness`), the draws u of what is missing are latents
    too: `log_p` and `drawn` take (z, u), and log P(X|z, c) is log P(X, s | z, u, c).

    Attributes:
        num_latents: Number of latents, those of the missing entries included.
        latents: (Q(z|X, c)) -> the same for all latents; u ~ N(0, I).
        fields: (batch) -> the fields that a model reads, checked.
        init: (key, batch) -> variables.
        q: (variables, x, mask, forms, key=None) -> (Q(z|X, c), changed collections).
        f: (variables, z, forms, key=None) -> (the decoder's output [B, *event], changed collections).
        log_p: (variables, x, z, mask, forms, key=None) -> (log P(X|z, c) [B] in nats, changed collections).
        drawn: (variables, z, eps, forms) -> a draw of P(X|z, c) in data space from eps ~ N(0, I) [B, *event]; with a
            mask's distribution eps is None, and u is in its place.
        probabilities: (variables, z, forms) -> P(X|z, c) of every stored value, [B, *event, levels].
    """

    num_latents: int
    latents: Callable[[Gaussian], Gaussian]
    fields: Callable[[Batch], dict[str, Array]]
    init: Callable[[PRNGKey, Batch], Variables]
    q: Callable[..., tuple[Gaussian, Changed]]
    f: Callable[..., tuple[Array, Changed]]
    log_p: Callable[..., tuple[Array, Changed]]
    drawn: Callable[..., Array]
    probabilities: Callable[..., Array]


def coding(config: Config, spec: Spec, own: Any = None) -> Coding:
    """Build the networks of a VAE for data of this spec.

    Args:
        config: Configuration of the VAE.
        spec: Description of the data.
        own: Networks in place of the shipped ones, see `jaxgen.vae.model`.

    Raises:
        ValueError: A likelihood, convolutions or conditions that do not fit the data, or no such networks.
    """
    likelihood: Likelihood = config.likelihood
    conditions, dtype = config.condition, jnp.dtype(config.dtype)
    likelihood.check(spec)
    if config.features and len(spec.event_shape) < 2:
        raise ValueError(f"features need events of shape (*space, channels), got {spec.event_shape}")
    encoder = Encoder(config.hidden, config.latent_dim, spec, config.features, dtype, conditions)
    output = _output(spec, likelihood.outputs)
    decoder = Decoder(config.hidden[::-1], output, config.features[::-1], dtype, conditions)
    coder = coders(conditions, output, config.latent_dim, encoder, decoder, own)
    hiding = None if config.missing is None else config.missing.module(spec, dtype)
    num_latents = config.latent_dim + (0 if hiding is None else math.prod(spec.event_shape))

    def fields_of(batch: Batch) -> dict[str, Array]:
        fields = checked_batch(batch, spec, needs=tuple(conditions))
        if hiding is not None and "mask" not in fields:
            raise ValueError(f'batch must hold "mask", whose distribution is {config.missing}, got none')
        return fields

    def init(key: PRNGKey, batch: Batch) -> Variables:
        fields = fields_of(batch)
        x, mask = likelihood.target(fields["x"], spec, None), fields.get("mask")
        count = x.shape[0] if mask is None else jnp.maximum(mask.sum(axis=0), 1).astype(jnp.float32)
        x = x if mask is None else jnp.where(mask, x, 0.0)
        bias = likelihood.output(x.sum(axis=0) / count)
        variables = coder.init(key, shown(x, None), given(conditions, spec, fields), bias)
        if likelihood.learn:
            variables["params"]["log_scale"] = jnp.float32(likelihood.log_scale)
        if hiding is not None:
            variables["params"]["missing"] = hiding.init(jax.random.fold_in(key, 2), x)["params"]
        return variables

    def shown(x: Array, mask: Array | None) -> Array:
        """Input of the encoder: x, 0 where it is not observed (Mattei & Frellsen 2019), and the mask."""
        seen = x if mask is None else jnp.where(mask, x, 0.0)
        if not config.see_mask:
            return seen
        flags = jnp.ones_like(seen) if mask is None else mask.astype(seen.dtype)
        return jnp.concatenate([seen, flags], axis=-1)

    def q(
        variables: Variables, x: Array, mask: Array | None, forms: Forms, key: Any = None
    ) -> tuple[Gaussian, Changed]:
        output, changed = coder.encode(variables, shown(x, mask), forms, key)
        return _gaussian(output, (x.shape[0], config.latent_dim)), changed

    def log_scale(variables: Variables) -> Float[Array, ""]:
        learned = checked_variables(variables, "params")["params"]
        return learned["log_scale"] if likelihood.learn else jnp.float32(likelihood.log_scale or 0.0)

    def log_p(
        variables: Variables, x: Array, z: Array, mask: Array | None, forms: Forms, key: Any = None
    ) -> tuple[Float[Array, " b"], Changed]:
        if hiding is None or mask is None:
            output, changed = coder.decode(variables, z, forms, key)
            return likelihood.log_prob(x, output, log_scale(variables), spec, mask), changed
        z, u = apart(z)
        output, changed = coder.decode(variables, z, forms, key)
        scale = log_scale(variables)
        whole = jnp.where(mask, x, likelihood.draw(output, scale, u, spec))
        logits: Any = hiding.apply({"params": variables["params"]["missing"]}, whole)
        return likelihood.log_prob(x, output, scale, spec, mask) + mask_log_prob(mask, logits), changed

    def latents(q: Gaussian) -> Gaussian:
        if hiding is None:
            return q
        return Gaussian(*(jnp.pad(part, ((0, 0), (0, num_latents - config.latent_dim))) for part in q))

    def apart(z: Array) -> tuple[Array, Array]:
        """(z, u) as two arrays, u of the event's shape."""
        return z[:, : config.latent_dim], z[:, config.latent_dim :].reshape(len(z), *spec.event_shape)

    def drawn(variables: Variables, z: Array, eps: Array | None, forms: Forms) -> Float[Array, "b *event"]:
        if hiding is not None:
            z, eps = apart(z)
        assert eps is not None  # `imputations` draws it where it is no latent
        x = likelihood.draw(coder.decode(variables, z, forms)[0], log_scale(variables), eps, spec)
        return likelihood.to_data(x, spec)

    def probabilities(variables: Variables, z: Array, forms: Forms) -> Float[Array, "b ..."]:
        return likelihood.probabilities(coder.decode(variables, z, forms)[0], log_scale(variables), spec)

    return Coding(num_latents, latents, fields_of, init, q, coder.decode, log_p, drawn, probabilities)


def _output(spec: Spec, outputs: int) -> Spec:
    """What the decoder returns, as if it were data: events with so many times the channels."""
    if outputs == 1:
        return spec
    *space, channels = spec.event_shape
    return dataclasses.replace(spec, event_shape=(*space, outputs * channels), columns=None)


def _gaussian(output: Any, shape: tuple[int, ...]) -> Gaussian:
    """Output of an encoder, if it is (mu, log_var).

    Raises:
        ValueError: Something else, or another shape.
    """
    if not isinstance(output, tuple | list) or len(output) != 2:
        several = isinstance(output, tuple | list)
        kind = (
            f"{len(output)} values" if several else "one array" if hasattr(output, "shape") else type(output).__name__
        )
        raise ValueError(f"the encoder must return (mu, log_var), got {kind}")
    parts = zip(Gaussian._fields, output, strict=True)
    return Gaussian(*(checked_output(f"{name} of the encoder", part, shape) for name, part in parts))
