"""Games known exactly: densities with their optimal discriminator and the value that it reaches.

    D*(x) = p_d(x) / (p_d(x) + p_g(x)),     V(D*, G) = 2 JSD(p_d, p_g) - log 4
    V(D*, G) - V(D, G) = integral (p_d + p_g) KL(Bernoulli(D*) || Bernoulli(D)) dx,  never negative, 0 at D = D*

A density is a function from points [n, d] to log-densities [n]: `Mixture(...).log_prob`, `Box(...).log_prob` or, where
there are only samples, a `kernel_density`. Compare any discriminator with them: `optimal_logits` are the logits that it
should give, and `value_gap` is the value that it loses by giving others. An undertrained discriminator loses much. But
the better it is, the less a generator whose samples lie apart from the data learns from the minimax loss, because
V(D*, G) is flat at 0 there.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.data.toys import grid_centres, ring_centres
from jaxgen.draws import example_keys
from jaxgen.events import require_floats, require_rank, require_shape
from jaxgen.gan import objective

LogDensity: TypeAlias = Callable[[Array], Array]
"""x [n, d] -> log p(x) [n], nats; -inf outside the support."""


@flax.struct.dataclass
class Mixture:
    """Isotropic Gaussians, p(x) = sum_m w_m N(x | mu_m, sigma_m^2 I).

    Attributes:
        weights: w [m], probabilities that sum to 1.
        means: mu [m, d].
        stds: sigma [m].
    """

    weights: Any
    means: Any
    stds: Any

    @classmethod
    def equal(cls, centres: Float[Array | np.ndarray, "m d"], std: float | Float[Array, ""]) -> "Mixture":
        """Gaussians of equal weight and equal spread around these centres; a single centre gives a normal distribution.

        Raises:
            ValueError: std not above 0 (jax arrays go unchecked).
        """
        if not isinstance(std, jax.Array):
            require.number("std", std, above=0)
        means = jnp.asarray(centres)
        num, dtype = means.shape[0], means.dtype
        return cls(jnp.full(num, 1 / num, dtype), means, jnp.full(num, std, dtype))

    @classmethod
    def ring(cls, modes: int = 8, radius: float = 1.0, std: float = 0.01) -> "Mixture":
        """The density of `jaxgen.data.ring`."""
        return cls.equal(ring_centres(modes, radius), std)

    @classmethod
    def grid(cls, modes: int = 25, spacing: float = 2.0, std: float = 0.05) -> "Mixture":
        """The density of `jaxgen.data.grid`."""
        return cls.equal(grid_centres(modes, spacing), std)

    def log_prob(self, x: Float[Array, "n d"]) -> Float[Array, " n"]:
        """log p(x), nats; n m d differences are in memory."""
        _require_points(self.means.shape[1], x=x)
        z = (x[:, None] - self.means[None]) / self.stds[None, :, None]
        log_volume = x.shape[1] * (0.5 * math.log(2 * math.pi) + jnp.log(self.stds))
        components = jnp.log(self.weights)[None] - log_volume[None] - 0.5 * jnp.square(z).sum(axis=-1)
        return jax.nn.logsumexp(components, axis=1)

    @functools.partial(jax.jit, static_argnames="num")
    def sample(self, key: PRNGKey, num: int) -> Float[Array, "num d"]:
        """Draws of p; draw k comes from `fold_in(key, k)`."""

        def draw(key: PRNGKey) -> Array:
            key_mode, key_eps = jax.random.split(key)
            mode = jax.random.categorical(key_mode, jnp.log(self.weights))
            eps = jax.random.normal(key_eps, self.means.shape[1:], self.means.dtype)
            return self.means[mode] + self.stds[mode] * eps

        return jax.vmap(draw)(example_keys(key, jnp.arange(num, dtype=jnp.int32)))


@flax.struct.dataclass
class Box:
    """The uniform density on low <= x < high, whose game is known in closed form in any dimension.

    Attributes:
        low: Corner [d].
        high: Opposite corner [d], larger in every dimension.
    """

    low: Any
    high: Any

    def log_prob(self, x: Float[Array, "n d"]) -> Float[Array, " n"]:
        """log p(x) = -log volume inside, -inf outside, nats."""
        _require_points(self.low.shape[0], x=x)
        inside = ((x >= self.low[None]) & (x < self.high[None])).all(axis=1)
        return jnp.where(inside, -jnp.log(self.high - self.low).sum(), -jnp.inf)

    @functools.partial(jax.jit, static_argnames="num")
    def sample(self, key: PRNGKey, num: int) -> Float[Array, "num d"]:
        """Draws of p; draw k comes from `fold_in(key, k)`."""

        def draw(key: PRNGKey) -> Array:
            return jax.random.uniform(key, self.low.shape, self.low.dtype, self.low, self.high)

        return jax.vmap(draw)(example_keys(key, jnp.arange(num, dtype=jnp.int32)))


def box_optimal_value(p_data: Box, p_model: Box) -> Float[Array, ""]:
    """V(D*, G) of two uniform densities, in closed form.

        V = -C/A log(1 + A/B) - C/B log(1 + B/A)

    for volumes A and B that have C in common, where D* = B / (A + B); elsewhere D* is 0 or 1. It is -log 4 for
    equal boxes and 0 for disjoint ones, however far apart, so that the generator has nothing to follow.

    Args:
        p_data: Density p_d.
        p_model: Density p_g, in the same dimension.

    Returns:
        V(D*, G), nats.

    Source: `objective.optimal_value` for densities 1/A and 1/B; Arjovsky & Bottou 2017, section 2.
    """
    require_shape(p_data.low.shape, **{"high of p_data": p_data.high})
    require_shape(p_data.low.shape, **{"low of p_model": p_model.low, "high of p_model": p_model.high})
    a, b = (jnp.prod(box.high - box.low) for box in (p_data, p_model))
    edges = jnp.minimum(p_data.high, p_model.high) - jnp.maximum(p_data.low, p_model.low)
    c = jnp.prod(jnp.maximum(edges, 0))
    return -c / a * jnp.log1p(a / b) - c / b * jnp.log1p(b / a)


def kernel_density(
    samples: Float[Array, "m d"], x: Float[Array, "n d"], *, bandwidth: float | Float[Array, ""], block: int = 256
) -> Float[Array, " n"]:
    """Log-density of Gaussian windows around samples: an estimate of p_g for a generator known only by its samples.

        log p(x) = log 1/m sum_j N(x | s_j, h^2 I)

    The windows widen what they estimate: its variance becomes that of the samples plus h^2.

    Args:
        samples: Samples s_j.
        x: Points at which the density is computed.
        bandwidth: Standard deviation h of a window.
        block: Points at a time; block m d differences are in memory.

    Returns:
        log p(x), nats.

    Raises:
        ValueError: bandwidth not above 0 (jax arrays go unchecked), block below 1.
    """
    if not isinstance(bandwidth, jax.Array):
        require.number("bandwidth", bandwidth, above=0)
    require.size("block", block)
    require_floats(samples=samples)
    require_rank(2, "[m, d]", samples=samples)
    _require_points(samples.shape[1], x=x)
    return _kernel_density(samples, x, bandwidth, block)


class Quadrature(NamedTuple):
    """An integral as a sum: integral f dx ~ sum_i weights_i f(points_i).

    Attributes:
        points: Points [n, d].
        weights: Weights [n].
    """

    points: Float[Array, "n d"]
    weights: Float[Array, " n"]


def box_quadrature(low: Sequence[float], high: Sequence[float], num: int) -> Quadrature:
    """The trapezoidal rule on a box, with `num` points along each axis.

    On densities that are smooth and vanish at the walls, its error falls exponentially as the spacing shrinks. For
    the mass of a normal it is 2 exp(-2 (pi sigma / spacing)^2), 5e-9 where the spacing is sigma. The value of the game
    needs more points, because D* may be steep: at spacing sigma / 2 its error is 4e-6 nats for two normals of one
    sigma, however far apart. Doubling `num` shows the error that is left; float32 sums add some 1e-6. Densities with
    walls of their own, like `Box`, are right only to first order in the spacing.

    Args:
        low: Lower corner, one number per dimension.
        high: Opposite corner, so far out that all mass is inside.
        num: Points along each axis, num^d in all.

    Raises:
        ValueError: Corners of different length, low not below high, fewer than two points.
    """
    if len(low) != len(high) or any(not a < b for a, b in zip(low, high, strict=True)):
        raise ValueError(f"low must be below high in every dimension, got {tuple(low)} and {tuple(high)}")
    for value in (*low, *high):
        require.number("each of low and high", value)
    require.size("num", num, 2)
    # In float64 on the host, then in jax's default dtype.
    axes = [np.linspace(a, b, num) for a, b in zip(low, high, strict=True)]
    ends = np.where((np.arange(num) == 0) | (np.arange(num) == num - 1), 0.5, 1.0)
    steps = [ends * (b - a) / (num - 1) for a, b in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(low))
    weights = np.stack(np.meshgrid(*steps, indexing="ij")).prod(axis=0).ravel()
    return Quadrature(jnp.asarray(points, float), jnp.asarray(weights, float))


def optimal_logits(log_p_data: LogDensity, log_p_model: LogDensity) -> Callable[[Array], Array]:
    """The optimal discriminator as a function x [n, d] -> logits [n], to use in place of a network.

        log D*(x) / (1 - D*(x)) = log p_d(x) - log p_g(x)

    Source: `objective.optimal_logits`.
    """
    return lambda x: objective.optimal_logits(log_p_data(x), log_p_model(x))


def optimal_value_by_quadrature(
    log_p_data: LogDensity, log_p_model: LogDensity, quadrature: Quadrature, *, block: int = 65_536
) -> Float[Array, ""]:
    """V(D*, G) by quadrature: 2 JSD(p_d, p_g) - log 4.

    Args:
        log_p_data: Log-density log p_d.
        log_p_model: Log-density log p_g.
        quadrature: Quadrature on a box that holds the mass of both.
        block: Points at a time.

    Returns:
        V(D*, G), nats.

    Raises:
        ValueError: block below 1.
    """

    def densities(x: Array) -> Array:
        return jnp.exp(jnp.stack([log_p_data(x), log_p_model(x)], axis=1))

    p_data, p_model = _in_blocks(densities, quadrature.points, block).T
    return objective.optimal_value(p_data, p_model, quadrature.weights)


def value_gap(
    discriminate: Callable[[Array], Array],
    log_p_data: LogDensity,
    log_p_model: LogDensity,
    quadrature: Quadrature,
    *,
    block: int = 65_536,
) -> Float[Array, ""]:
    """The value that a discriminator falls short of the optimum: V(D*, G) - V(D, G), by quadrature.

        integral p_d (log D* - log D) + p_g (log(1 - D*) - log(1 - D)) dx

    The integrand is (p_d + p_g) times a KL divergence, that of Bernoulli(D*) from Bernoulli(D), hence never negative;
    where rounding makes it negative, it counts as 0. The gap of `optimal_logits` is 0.

    Args:
        discriminate: x [n, d] -> logits [n], any discriminator.
        log_p_data: Log-density log p_d.
        log_p_model: Log-density log p_g.
        quadrature: Quadrature on a box that holds the mass of both.
        block: Points at a time.

    Returns:
        The gap, nats; +inf where D gives probability 0 to a case that occurs.

    Raises:
        ValueError: block below 1.

    Source: lecture, "Min-Max Optimization" (an undertrained discriminator); Goodfellow et al. 2014, proposition 1.
    """

    def lost(log_p: Array, optimal: Array, logits: Array) -> Array:
        p = jnp.exp(log_p)
        optimal, logits = (jnp.where(p == 0, 0, a) for a in (optimal, logits))  # which may be infinite there
        return p * (jax.nn.log_sigmoid(optimal) - jax.nn.log_sigmoid(logits))

    def integrand(x: Array) -> Array:
        log_d, log_g, logits = log_p_data(x), log_p_model(x), discriminate(x)
        optimal = objective.optimal_logits(log_d, log_g)
        return jnp.maximum(lost(log_d, optimal, logits) + lost(log_g, -optimal, -logits), 0)

    return jnp.sum(quadrature.weights * _in_blocks(integrand, quadrature.points, block))


@functools.partial(jax.jit, static_argnames="block")
def _kernel_density(samples: Array, x: Array, bandwidth: float | Array, block: int) -> Array:
    return _in_blocks(Mixture.equal(samples, bandwidth).log_prob, x, block)


def _require_points(dimensions: int, **arrays: Array) -> None:
    """Raise unless all are floats [n, d] in as many dimensions."""
    require_floats(**arrays)
    for name, array in arrays.items():
        require_shape((*array.shape[:1], dimensions), **{name: array})


def _in_blocks(function: Callable[[Array], Array], x: Array, block: int) -> Array:
    """function(x), computed for a block of rows at a time."""
    require.size("block", block)
    num = x.shape[0]
    block = min(block, num)
    padding = -num % block
    blocks = jnp.pad(x, ((0, padding), (0, 0))).reshape(-1, block, x.shape[1])
    values = jax.lax.map(function, blocks)
    return values.reshape(num + padding, *values.shape[2:])[:num]
