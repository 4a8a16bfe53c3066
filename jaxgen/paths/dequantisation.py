"""The probability of grey levels under a density of real values, which is their integral over a bin.

    P(x) = E_u p~(x + w u) w^D,     u uniform on [-1/2, 1/2)^D,     w the distance of neighbouring levels

A density says how likely real values are; integrals over bins add up to 1 and are comparable with the bounds of models
of the levels themselves. The mean of the logarithm over one draw of u bounds log P(x) from below; the logarithm of the
mean over k draws bounds it more tightly, and reaches it as k grows.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.draws import example_keys
from jaxgen.events import require_events, require_integers, require_levels, require_per_example, require_shape


def dequantise(
    key: PRNGKey, x_0: Float[Array, "b *event"], levels: int, index: Int[Array, " b"] | None = None
) -> Float[Array, "b *event"]:
    """Grey levels spread uniformly over their bins, x + w u.

    Args:
        key: Root of the draws; that of example k is keyed by k.
        x_0: Grey levels, scaled to [-1, 1].
        levels: Number of grey levels, w = 2 / (levels - 1) apart.
        index: Number k of each example; None counts from 0.

    Raises:
        ValueError: Fewer than two levels, or a concrete x_0 that is not on their grid.

    Source: Theis et al. 2016, section 3.1; Uria et al. 2013.
    """
    require.typed_key("key", key)
    return _spread(example_keys(key, _checked(x_0, levels, index)), x_0, levels)


def dequantised_log_prob(
    key: PRNGKey,
    log_prob: Callable[[Float[Array, "b *event"]], Float[Array, " b"]],
    x_0: Float[Array, "b *event"],
    levels: int,
    *,
    index: Int[Array, " b"] | None = None,
    num_draws: int = 1,
) -> Float[Array, " b"]:
    """A bound of the log-probability of grey levels from below, by draws within their bins.

        log 1/k sum_i p(x + w u_i) + D log w,     u_i uniform on [-1/2, 1/2)^D

    With one draw it is uniform dequantisation, with more it is importance weighted: higher on average with every
    draw, and never above log P(x) on average. That needs the log-density itself: if `log_prob` is an estimate with
    noise (a divergence by random signs), the noise raises the mean over draws, and only k = 1 is a bound.

    Args:
        key: Root of the draws; those of example k are keyed by k.
        log_prob: x -> log p(x), log-density of real values in the units of x_0, in nats.
        x_0: Grey levels, scaled to [-1, 1].
        levels: Number of grey levels, w = 2 / (levels - 1) apart.
        index: Number k of each example; None counts from 0.
        num_draws: Number of draws, each with a call of `log_prob`; the first is that of `dequantise`.

    Returns:
        One value per example, in nats: minus bits/dim times D log 2.

    Raises:
        ValueError: Fewer than two levels, num_draws below 1, or a concrete x_0 that is not on the grid.

    Source: Theis et al. 2016, section 3.1, for one draw; Burda et al. 2016, equation 8, and Ho et al. 2019 (Flow++),
    section 3.1, for more.
    """
    require.typed_key("key", key)
    require.size("num_draws", num_draws)
    keys = example_keys(key, _checked(x_0, levels, index))

    def one(_: None, i: Array) -> tuple[None, Array]:
        drawn = keys if num_draws == 1 else jax.vmap(lambda k: _draw(k, i))(keys)
        found = log_prob(_spread(drawn, x_0, levels))
        require_per_example(log_prob=found)
        require_shape(x_0.shape[:1], log_prob=found)
        return None, found

    _, found = jax.lax.scan(one, None, jnp.arange(num_draws, dtype=jnp.int32))
    size = x_0.size // x_0.shape[0]
    width = jnp.asarray(size * np.log(2 / (levels - 1)), x_0.dtype)
    return jax.nn.logsumexp(found, axis=0) - jnp.asarray(np.log(num_draws), x_0.dtype) + width


def _draw(key: PRNGKey, i: Array) -> PRNGKey:
    """Key of draw i; the first is the example's own."""
    return jax.lax.cond(i == 0, lambda: key, lambda: jax.random.fold_in(key, i))


def _spread(keys: Array, x_0: Array, levels: int) -> Array:
    u = jax.vmap(lambda k: jax.random.uniform(k, x_0.shape[1:], x_0.dtype, -0.5, 0.5))(keys)
    return x_0 + 2 / (levels - 1) * u


def _checked(x_0: Array, levels: int, index: Array | None) -> Array:
    require_events(x_0=x_0)
    require.size("levels", levels, 2)
    require_levels(levels, x_0=x_0)
    require_integers(index=index)
    require_shape(x_0.shape[:1], index=index)
    return jnp.arange(len(x_0), dtype=jnp.int32) if index is None else index
