"""Estimates of log P(X) from many draws, in bounded memory.

    from the prior             P(X) ~ 1/N sum_i P(X|z_i),                   z_i ~ P(z)
    from the encoder           P(X) ~ 1/N sum_i P(X|z_i) P(z_i) / Q(z_i|X),  z_i ~ Q(z|X)

Both are unbiased for P(X). The first is the lecture's, and fails: P(X|z) is nearly zero for most z. The second is
importance sampling with the encoder as the proposal, and is how likelihoods of VAEs are reported.

Draw i of example n comes from `fold_in(fold_in(key, n), i)`: it does not depend on batches or chunks.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.distributions import affine, normal_log_prob
from jaxgen.draws import example_keys
from jaxgen.events import require_floats, require_integers, require_rank, require_shape

LogLikelihood = Callable[[Array], Array]
"""z [b, z] -> log P(X|z) [b], for the batch at hand."""


def log_mean_exp(
    log_weights: Callable[[Int[Array, " c"]], Float[Array, "c b"]], num_samples: int, chunk: int, num_examples: int
) -> Float[Array, " b"]:
    """log 1/N sum_i exp w_i, the w_i computed chunk by chunk and never held at once.

    Args:
        log_weights: Function from numbers of draws to their log-weights.
        num_samples: Number of draws N.
        chunk: Draws at a time, a divisor of N.
        num_examples: Number of examples b.

    Raises:
        ValueError: N is not a positive multiple of chunk.
    """
    _whole_chunks(num_samples, chunk)

    def add(carry: tuple[Array, Array], first: Array) -> tuple[tuple[Array, Array], None]:
        largest, total = carry
        weights = log_weights(first + jnp.arange(chunk, dtype=jnp.int32))
        require_floats(log_weights=weights)
        require_shape((chunk, num_examples), log_weights=weights)
        # Where all weights so far are zero, any finite reference will do.
        now = jnp.maximum(largest, weights.max(axis=0))
        reference = jnp.where(jnp.isfinite(now), now, 0.0)
        total = total * jnp.exp(largest - reference) + jnp.exp(weights - reference[None]).sum(axis=0)
        return (now, total), None

    start = (jnp.full(num_examples, -jnp.inf, jnp.float32), jnp.zeros(num_examples, jnp.float32))
    (largest, total), _ = jax.lax.scan(add, start, jnp.arange(0, num_samples, chunk, dtype=jnp.int32))
    return largest + jnp.log(total) - jnp.log(jnp.float32(num_samples))


def weighted_mean(
    values: Callable[[Int[Array, " c"]], tuple[Float[Array, "c b"], Float[Array, "c b *event"]]],
    num_samples: int,
    chunk: int,
    shape: tuple[int, ...],
) -> Float[Array, "b *event"]:
    """sum_i exp(w_i) f_i / sum_i exp(w_i), chunk by chunk.

    Args:
        values: Function from numbers of draws to their log-weights w_i and values f_i.
        num_samples: Number of draws.
        chunk: Draws at a time, a divisor of num_samples.
        shape: Shape [b, *event] of the result.

    Raises:
        ValueError: num_samples is not a positive multiple of chunk.
    """
    _whole_chunks(num_samples, chunk)

    def along(weights: Array, rank: int) -> Array:
        return weights.reshape(*weights.shape, *(1,) * (rank - weights.ndim))

    def add(carry: tuple[Array, Array, Array], first: Array) -> tuple[tuple[Array, Array, Array], None]:
        largest, total, mean = carry
        log_weights, f = values(first + jnp.arange(chunk, dtype=jnp.int32))
        require_floats(log_weights=log_weights, values=f)
        require_shape((chunk, shape[0]), log_weights=log_weights)
        require_shape((chunk, *shape), values=f)
        now = jnp.maximum(largest, log_weights.max(axis=0))
        weights, kept = jnp.exp(log_weights - now[None]), total * jnp.exp(largest - now)
        total = kept + weights.sum(axis=0)
        # A running mean, not a running sum: its size does not grow with the draws.
        mean = mean * along(kept / total, f.ndim - 1) + (f * along(weights / total[None], f.ndim)).sum(axis=0)
        return (now, total, mean), None

    start = (jnp.full(shape[0], -jnp.inf, jnp.float32), jnp.zeros(shape[0], jnp.float32), jnp.zeros(shape, jnp.float32))
    (_, _, mean), _ = jax.lax.scan(add, start, jnp.arange(0, num_samples, chunk, dtype=jnp.int32))
    return mean


def importance_log_likelihood(
    key: PRNGKey,
    index: Int[Array, " b"],
    mu: Float[Array, "b z"],
    log_var: Float[Array, "b z"],
    log_likelihood: LogLikelihood,
    num_samples: int,
    chunk: int,
) -> Float[Array, " b"]:
    """log P(X) by importance samples from Q(z|X) = N(mu, diag exp log_var).

    Args:
        key: Root key of the draws.
        index: Number of each example.
        mu: Mean of Q.
        log_var: Log-variance of Q.
        log_likelihood: Function z -> log P(X|z).
        num_samples: Draws per example.
        chunk: Draws at a time.

    Returns:
        One estimate per example, in nats; its mean is at most log P(X), which it approaches as num_samples grows.

    Source: Burda et al. 2016, section 5 (there with 5000 samples).
    """
    require.typed_key("key", key)
    _require_proposal(index, mu, log_var)

    def weights(draws: Int[Array, " c"]) -> Float[Array, "c b"]:
        def one(i: Array) -> Float[Array, " b"]:
            z = affine(mu, log_var, _draw(key, index, i, mu.shape[1]))
            log_prior = normal_log_prob(z, jnp.zeros_like(z), jnp.zeros((), z.dtype))
            log_q = normal_log_prob(z, mu, log_var)
            return _of_examples(log_likelihood(z), index) + log_prior - log_q

        return jax.vmap(one)(draws)

    return log_mean_exp(weights, num_samples, chunk, mu.shape[0])


def importance_expectation(
    key: PRNGKey,
    index: Int[Array, " b"],
    mu: Float[Array, "b z"],
    log_var: Float[Array, "b z"],
    log_likelihood: LogLikelihood,
    f: Callable[[Array], Array],
    num_samples: int,
    chunk: int,
) -> Float[Array, "b *event"]:
    """E[f(z) | X] by importance samples, weighted by P(X|z) P(z) over the proposal and normalised.

    With log_likelihood of the observed dimensions alone and f the decoder, this is the imputation of the rest. An
    encoder may give a poor Q where dimensions are missing, so every second draw comes from the prior: the proposal is
    (Q + P(z)) / 2, and no weight is more than twice the likelihood.

    Args:
        key: Root key of the draws.
        index: Number of each example.
        mu: Mean of Q.
        log_var: Log-variance of Q.
        log_likelihood: Function z -> log P(X|z) of the observed dimensions.
        f: Function z -> [b, *event] that is averaged.
        num_samples: Draws per example.
        chunk: Draws at a time.

    Source: Mattei & Frellsen 2019, eq. 12; Hesterberg 1995 for the mixture.
    """
    require.typed_key("key", key)
    _require_proposal(index, mu, log_var)

    def values(draws: Int[Array, " c"]) -> tuple[Float[Array, "c b"], Float[Array, "c b *event"]]:
        def one(i: Array) -> tuple[Array, Array]:
            z, log_weight = _proposed(key, index, i, mu, log_var, log_likelihood)
            return log_weight, f(z)

        return jax.vmap(one)(draws)

    return weighted_mean(values, num_samples, chunk, jax.eval_shape(f, mu).shape)


def importance_resample(
    key: PRNGKey,
    index: Int[Array, " b"],
    mu: Float[Array, "b z"],
    log_var: Float[Array, "b z"],
    log_likelihood: LogLikelihood,
    f: Callable[[Array, Array], Array],
    num: int,
    num_samples: int,
    chunk: int,
) -> Float[Array, "num b *event"]:
    """Draws of f(z) given X: each is one of many weighted draws, taken with a probability in proportion to its weight.

        i = argmax_i (w_i + g_i),     w_i = log P(X|z_i) P(z_i) / r(z_i),  g_i standard Gumbel

    The proposal r and the weights are those of `importance_expectation`; all results choose among the same draws, so
    that `num_samples` should be many times `num`.

    Args:
        key: Root key of the draws.
        index: Number of each example.
        mu: Mean of Q.
        log_var: Log-variance of Q.
        log_likelihood: Function z -> log P(X|z) of the observed dimensions.
        f: Function (number of the draw, z) -> [b, *event].
        num: Number of results for each example.
        num_samples: Weighted draws per example.
        chunk: Draws at a time.

    Source: Rubin 1987, "sampling importance resampling"; Gumbel 1954 for the maximum.
    """
    require.typed_key("key", key)
    _require_proposal(index, mu, log_var)
    require.size("num", num)
    _whole_chunks(num_samples, chunk)
    key_z, key_gumbel = jax.random.split(key)

    def one(i: Array) -> tuple[Array, Array]:
        z, log_weight = _proposed(key_z, index, i, mu, log_var, log_likelihood)
        keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(example_keys(key_gumbel, index), i)
        gumbel = jax.vmap(lambda k: jax.random.gumbel(k, (num,), jnp.float32))(keys)
        return log_weight[None] + gumbel.T, f(i, z)

    def add(carry: tuple[Array, Array], first: Array) -> tuple[tuple[Array, Array], None]:
        best, kept = carry  # [num, b], [num, b, *event]
        scores, values = jax.vmap(one)(first + jnp.arange(chunk, dtype=jnp.int32))
        chosen = jnp.concatenate([best[None], scores]).argmax(axis=0)  # 0 keeps what there is
        better = values[jnp.maximum(chosen - 1, 0), jnp.arange(index.shape[0])[None]]
        keep = (chosen == 0).reshape(*chosen.shape, *(1,) * (kept.ndim - 2))
        return (jnp.maximum(best, scores.max(axis=0)), jnp.where(keep, kept, better)), None

    shape = jax.eval_shape(f, jnp.int32(0), mu).shape
    start = jnp.full((num, index.shape[0]), -jnp.inf, jnp.float32), jnp.zeros((num, *shape), jnp.float32)
    (_, kept), _ = jax.lax.scan(add, start, jnp.arange(0, num_samples, chunk, dtype=jnp.int32))
    return kept


def prior_log_likelihood(
    key: PRNGKey,
    index: Int[Array, " b"],
    latent_dim: int,
    log_likelihood: LogLikelihood,
    num_samples: int,
    chunk: int,
) -> Float[Array, " b"]:
    """log P(X) by draws from the prior: the lecture's first estimate, which needs very many.

    Args:
        key: Root key of the draws.
        index: Number of each example.
        latent_dim: Dimension of z.
        log_likelihood: Function z -> log P(X|z).
        num_samples: Draws per example.
        chunk: Draws at a time.

    Returns:
        One estimate per example, in nats, too small on average.

    Source: lecture, "How to deal with the integral over z?".
    """
    require.typed_key("key", key)
    require_integers(index=index)
    require_rank(1, "[b]", index=index)
    require.size("latent_dim", latent_dim)

    def weights(draws: Int[Array, " c"]) -> Float[Array, "c b"]:
        return jax.vmap(lambda i: _of_examples(log_likelihood(_draw(key, index, i, latent_dim)), index))(draws)

    return log_mean_exp(weights, num_samples, chunk, index.shape[0])


def _proposed(
    key: PRNGKey, index: Array, i: Array, mu: Array, log_var: Array, log_likelihood: LogLikelihood
) -> tuple[Array, Array]:
    """Draw i of the proposal (Q + P(z)) / 2 and its log-weight, up to a constant."""
    eps = _draw(key, index, i, mu.shape[1])
    z = jnp.where(i % 2 == 0, affine(mu, log_var, eps), eps)
    log_prior = normal_log_prob(z, jnp.zeros_like(z), jnp.zeros((), z.dtype))
    log_q = normal_log_prob(z, mu, log_var)
    return z, _of_examples(log_likelihood(z), index) + log_prior - jnp.logaddexp(log_prior, log_q)


def _of_examples(log_likelihood: Array, index: Array) -> Array:
    """log P(X|z), if it has one value for each example."""
    require_floats(log_likelihood=log_likelihood)
    require_shape(index.shape, log_likelihood=log_likelihood)
    return log_likelihood


def _require_proposal(index: Array, mu: Array, log_var: Array) -> None:
    require_integers(index=index)
    require_rank(1, "[b]", index=index)
    require_floats(mu=mu, log_var=log_var)
    require_rank(2, "[b, z]", mu=mu)
    require_shape((index.shape[0], mu.shape[1]), mu=mu)
    require_shape(mu.shape, log_var=log_var)


def _draw(key: PRNGKey, index: Int[Array, " b"], i: Array, latent_dim: int) -> Float[Array, "b z"]:
    keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(example_keys(key, index), i)
    return jax.vmap(lambda k: jax.random.normal(k, (latent_dim,), jnp.float32))(keys)


def _whole_chunks(num_samples: int, chunk: int) -> None:
    require.size("num_samples", num_samples)
    require.size("chunk", chunk)
    if num_samples % chunk:
        raise ValueError(f"num_samples must be a positive multiple of chunk={chunk}, got {num_samples}")
