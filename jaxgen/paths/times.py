"""Which t: draws for a training step, and grids for a sampler.

A distribution of t is a quantile function. Draws are its values at numbers u_i that are spread evenly over (0, 1), so
that the mean loss over a batch varies less than with independent t:

    t_i = F^-1((u + i / B) mod 1),     u ~ U[0, 1)
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.events import require_integers, require_rank
from jaxgen.paths.path import Path


@runtime_checkable
class TimeDistribution(Protocol):
    """Distribution of t in training, a choice of a config."""

    def quantile(self, u: Float[Array, "..."]) -> Float[Array, "..."]:
        """The t that is larger than a share u of all draws, for u in (0, 1)."""
        ...


@dataclass(frozen=True)
class Uniform(TimeDistribution):
    """t uniform between two limits.

    Args:
        low: Smallest t.
        high: Largest t.

    Raises:
        ValueError: A low below 0, or a high that is not above it.
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self):
        require.number("low", self.low, 0)
        require.number("high", self.high, above=self.low)

    def quantile(self, u: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.low + (self.high - self.low) * u


@dataclass(frozen=True)
class LogitNormal(TimeDistribution):
    """t in (0, 1) whose logit log(t / (1 - t)) is N(mean, std^2): most draws are of middle levels.

    Args:
        mean: Mean of the logit; 0 has the median at t = 1/2.
        std: Standard deviation of the logit.

    Raises:
        ValueError: A std that is not positive.

    Source: Esser et al. 2024, section 3.1.
    """

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self):
        require.number("mean", self.mean)
        require.number("std", self.std, above=0)

    def quantile(self, u: Float[Array, "..."]) -> Float[Array, "..."]:
        return jax.nn.sigmoid(self.mean + self.std * ndtri(u))


@dataclass(frozen=True)
class LogNormal(TimeDistribution):
    """t > 0 whose logarithm is N(mean, std^2), for a path on which t is the standard deviation of the noise.

    Args:
        mean: Mean of log t.
        std: Standard deviation of log t.

    Raises:
        ValueError: A std that is not positive.

    Source: Karras et al. 2022 (EDM), table 1.
    """

    mean: float = -1.2
    std: float = 1.2

    def __post_init__(self):
        require.number("mean", self.mean)
        require.number("std", self.std, above=0)

    def quantile(self, u: Float[Array, "..."]) -> Float[Array, "..."]:
        return jnp.exp(self.mean + self.std * ndtri(u))


def stratified_uniforms(key: PRNGKey, num: int) -> Float[Array, " num"]:
    """Draw `num` numbers, each uniform on (0, 1) and all of them spread evenly: u_i = (u + i / num) mod 1.

    Source: Kingma et al. 2021 (VDM), appendix I.1.
    """
    require.typed_key("key", key)
    require.size("num", num)
    starts = jnp.asarray(np.arange(num) / num, jnp.float32)
    u = (jax.random.uniform(key, (), jnp.float32) + starts) % 1
    return jnp.clip(u, 2.0**-25, 1 - 2.0**-24)  # neither end, where a quantile may be infinite


def stratified_times(key: PRNGKey, num: int, distribution: TimeDistribution) -> Float[Array, " num"]:
    """Draw `num` times t, each from the distribution and all of them spread evenly over it.

    Args:
        key: Key of the one number that is drawn.
        num: Number of times t.
        distribution: `Uniform`, `LogitNormal`, `LogNormal`, or your own.

    Source: Kingma et al. 2021 (VDM), appendix I.1.
    """
    return distribution.quantile(stratified_uniforms(key, num))


def spread_uniforms(key: PRNGKey, index: Int[Array, " b"], num_draws: int = 1) -> Float[Array, "draws b"]:
    """Draw numbers for each example, uniform on (0, 1) and spread evenly, though none belongs to a batch.

        u_jk = (j + (u + k (sqrt 5 - 1) / 2) mod 1) / num_draws,     u ~ U[0, 1)

    Example k has the same in any batch: its own strata, one for each draw. Over consecutive k the golden ratio fills
    the interval evenly, so that a mean over them has little noise.

    Args:
        key: Key of the one number u.
        index: Number k of each example.
        num_draws: Number of draws for each.

    Source: Kingma et al. 2021 (VDM), appendix I.1, with a sequence of Kronecker's in place of a batch's grid.
    """
    require.typed_key("key", key)
    require_integers(index=index)
    require_rank(1, "[b]", index=index)
    require.size("num_draws", num_draws)
    # In steps of 2^-32, with its carry dropped: exact for every k.
    steps = jax.random.bits(key, (), jnp.uint32) + index.astype(jnp.uint32) * jnp.uint32(2654435769)
    u = (steps >> 8).astype(jnp.float32) * 2.0**-24 + 2.0**-25
    draws = jnp.arange(num_draws, dtype=jnp.float32)[:, None]
    return jnp.minimum((draws + u[None]) / num_draws, 1 - 2.0**-24)


def restricted(
    distribution: TimeDistribution, low: float, high: float, u: Float[Array, "..."], *, whole: bool = False
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Times of a distribution that is cut off at two ends, and the derivative dt / du, one over their density.

        t = F^-1(v),     v = F(low) + (F(high) - F(low)) u

    so that the integral of f(t) from low to high is the mean of f(t) dt / du over u uniform on (0, 1).

    Args:
        distribution: Distribution of t; F(low) and F(high) are found by bisection.
        low: Smallest t.
        high: Largest t.
        u: Numbers in (0, 1).
        whole: Whether draws must reach both ends, as an integral needs. (A distribution with thin tails does not in
            float32, where its largest draw is at v = 1 - 2^-24, though it has values of t beyond.)

    Raises:
        ValueError: A distribution that has no t close to one of the ends or, with whole=True, no draws.
    """
    with jax.ensure_compile_time_eval():
        ends = jnp.asarray([low, high], jnp.float32)

        def halve(_: Any, sides: tuple[Array, Array]) -> tuple[Array, Array]:
            left, right = sides
            middle = 0.5 * (left + right)
            beyond = distribution.quantile(middle) > ends
            return jnp.where(beyond, left, middle), jnp.where(beyond, middle, right)

        # Below 2^-126 too, where the left tail of a distribution may be.
        left, right = jax.lax.fori_loop(0, 150, halve, (jnp.zeros(2, jnp.float32), jnp.ones(2, jnp.float32)))
        v = jnp.minimum(0.5 * (left + right), 1 - 2.0**-24)
        reached = np.asarray(distribution.quantile(v))
        first, last = np.asarray(distribution.quantile(jnp.asarray([0.0, 1.0], jnp.float32)))
    if whole and not np.allclose(reached, [low, high], rtol=1e-3, atol=1e-30):
        first, last = reached
    if not (first <= low * (1 + 1e-3) + 1e-30 and last >= high * (1 - 1e-3)):
        raise ValueError(f"times must be drawn from {low:g} to {high:g}, got a distribution from {first:g} to {last:g}")
    start, length = v[0], v[1] - v[0]
    return jax.jvp(lambda u: distribution.quantile(start + length * u), (u,), (jnp.ones_like(u),))


def even_times(num_steps: int, start: float = 1.0, end: float = 0.0) -> tuple[float, ...]:
    """Times of `num_steps` steps of equal length, from `start` down to `end`.

    Raises:
        ValueError: A num_steps below 1, or a start that is not above the end.
    """
    require.size("num_steps", num_steps)
    require.number("end", end, 0)
    require.number("start", start, above=end)
    return tuple(np.linspace(start, end, num_steps + 1).tolist())


def log_snr_times(path: Path, num_steps: int, start: float, end: float) -> tuple[float, ...]:
    """Times of steps that are equally long in the log signal-to-noise ratio, and a last step to the data.

    `dpm_solver_pp` is then of second order in all but its first and last step.

    Args:
        path: Path whose log signal-to-noise ratio is taken.
        num_steps: Number of steps, at least 2.
        start: Largest t, where alpha is not 0.
        end: Smallest t but 0, where sigma is not 0.

    Raises:
        ValueError: A num_steps below 2, or times at which the ratio is not finite or does not grow.

    Source: Lu et al. 2022 (DPM-Solver), section 3.3.
    """
    require.size("num_steps", num_steps, 2)
    low, high = (float(path.log_snr(t)) for t in (start, end))
    if not -math.inf < low < high < math.inf:
        raise ValueError(
            f"start and end must have finite log signal-to-noise ratios that grow, got {low:g} at t={start:g} and "
            f"{high:g} at t={end:g}"
        )
    between = [float(path.time(ratio)) for ratio in np.linspace(low, high, num_steps)[1:-1].tolist()]
    return (float(start), *between, float(end), 0.0)[: num_steps + 1]


def karras_times(
    num_steps: int, sigma_max: float = 80.0, sigma_min: float = 0.002, rho: float = 7.0
) -> tuple[float, ...]:
    """Standard deviations of the noise that become closer towards the data, and 0: times of `VarianceExploding`.

        t_i = (sigma_max^(1/rho) + i / (n - 1) (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho,     i = 0 .. n - 1

    Args:
        num_steps: Number n of steps, the last to 0; at least 2.
        sigma_max: First standard deviation.
        sigma_min: Last standard deviation but 0.
        rho: Power; 1 for equal steps.

    Raises:
        ValueError: A number out of its range.

    Source: Karras et al. 2022 (EDM), equation 5.
    """
    require.size("num_steps", num_steps, 2)
    require.number("rho", rho, 1)
    require.number("sigma_min", sigma_min, above=0)
    require.number("sigma_max", sigma_max, above=sigma_min)
    roots = np.linspace(sigma_max ** (1 / rho), sigma_min ** (1 / rho), num_steps)
    return (float(sigma_max), *(roots[1:-1] ** rho).tolist(), float(sigma_min), 0.0)
