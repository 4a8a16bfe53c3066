"""From noise to data along a path, by the denoised data of each step or with noise on the way.

    the probability flow, with x_0_hat linear in the log signal-to-noise ratio     dpm_solver_pp
    x_s = alpha_s x_0_hat + sqrt(sigma_s^2 - added^2) eps_hat + added z            ancestral
    a little noise back in before each step of Heun's along the flow               churned

The first two are free functions of `denoise(x, t) -> x_0_hat`, which takes x [B, *event] and t [B]; `bound_denoiser`
makes it of a network. They need no derivative of the path, start at pure noise, and end at the data, where their last
step is x_0_hat itself. The third takes a velocity, as the solvers in `jaxgen.paths.ode` do. Compile the call
(`jax.jit`) if it is made more than once.

The noise of sample k at step i is normal(fold_in(fold_in(key, k), i)), with i = 0 for the state to start from.
"""

import math
from typing import TypeAlias

import jax
import jax.core
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.draws import example_keys
from jaxgen.events import require_events, require_integers, require_rank, require_shape
from jaxgen.paths.multistep import multistep_weights
from jaxgen.paths.ode import Times, descend, euler_step, heun_step, monotone, sloped, spread
from jaxgen.paths.path import Path, log_snr_ends, signal_and_noise
from jaxgen.paths.prediction import Predict

_Event: TypeAlias = Float[Array, "b *event"]
_Index: TypeAlias = Int[Array, " b"]
_Samples: TypeAlias = Float[Array, "b *event"] | Float[Array, "states b *event"]


def noise(
    key: PRNGKey, path: Path, t: int | float, index: _Index, event_shape: tuple[int, ...]
) -> Float[Array, "b ..."]:
    """States to start from, draws of N(0, sigma(t)^2 I): what is left of the data at t must be negligible.

    The draw of sample k is normal(fold_in(fold_in(key, k), 0)); the steps of a sampler count from 1, so that a sampler
    may be given the same key.
    """
    require.typed_key("key", key)
    require_integers(index=index)
    require_rank(1, "[b]", index=index)
    require.sizes("event_shape", event_shape)
    drawn = step_normals(example_keys(key, index), jnp.int32(0), jnp.zeros((len(index), *event_shape), jnp.float32))
    return signal_and_noise(path, t, drawn)[1] * drawn


def dpm_solver_pp(
    denoise: Predict, path: Path, x: _Event, times: Times, *, order: int = 2, keep: bool = False
) -> _Samples:
    """Samples by the probability flow, in steps that take x_0_hat as a polynomial of the log signal-to-noise ratio.

        x_s = sigma_s / sigma_t x_t + alpha_s ((1 - exp(-h)) x_0_hat(t) + (exp(-h) - 1 + h) D_1 + (...) D_2)
        h = (lambda_s - lambda_t) / 2

    With order 1 it is `ancestral` with eta = 0. With order 2 the slope D_1 is that between x_0_hat at t and at the
    step before, and its factor is (1 - exp(-h)) h / 2, of the same order. With order 3, D_1 and the curvature D_2 are
    those of the parabola through x_0_hat at t and at the two steps before. Terms whose steps before are not there, or
    reach an infinite ratio (pure noise, or the data), are left out; with order 3 the second step also corrects the
    first, which had to do without them. Each step calls `denoise` once.

    Args:
        denoise: (x_t, t) -> x_0_hat.
        path: Path that the states are on.
        x: States at the first of the times.
        times: Levels to visit, descending; ascending, between levels of finite ratios, to find the noise of data.
        order: Order of the steps, 1, 2 or 3.
        keep: Whether all states are returned.

    Returns:
        The states at the last of the times; with keep those at all times, along a new first axis.

    Raises:
        ValueError: Fewer than two times, times that are not monotone or lie beyond the path's, or another order.

    Source: Lu et al. 2022 (DPM-Solver++), algorithm 2 (2M) and appendix A (third order), over steps already made.
    """
    require.one_of("order", order, (1, 2, 3))
    require_events(x=x)
    _check_rise(path, times)
    times = monotone(times, x.dtype, path.t_max, may_rise=True)
    alpha, sigma, log_snr = levels(path, times)
    h = jnp.diff(log_snr) / 2
    weights = [alpha[1:] * weight for weight in multistep_weights(h, order)]
    tables = (times[:-1], sigma[1:] / sigma[:-1], *weights)

    def move(x: Array, before: tuple[Array, ...], t: Array, rest: Array, *weights: Array) -> tuple[Array, tuple]:
        known = (denoised(denoise, x, t), *before)
        x = rest * x + sum(weight * x_0_hat for weight, x_0_hat in zip(weights, known, strict=True))
        return x, known[: order - 1]

    return descend(move, x, tables, keep, (jnp.zeros_like(x),) * (order - 1))


def ancestral(
    key: PRNGKey,
    denoise: Predict,
    path: Path,
    x: _Event,
    times: Times,
    *,
    index: _Index | None = None,
    eta: float = 1.0,
    keep: bool = False,
) -> _Samples:
    """Samples by the path's reversal, a Markov chain with its marginals.

        x_s = alpha_s x_0_hat + sqrt(sigma_s^2 - added^2) eps_hat + added z,     z ~ N(0, I)
        added = eta sigma_s sqrt(1 - SNR_t / SNR_s)

    eta = 1 draws from q(x_s | x_t, x_0 = x_0_hat), the ancestral sampler; eta = 0 adds no noise and takes steps of
    first order along the probability flow (DDIM).

    Args:
        key: Root of the noise; not used if eta is 0.
        denoise: (x_t, t) -> x_0_hat.
        path: Path that the states are on.
        x: States at the first of the times.
        times: Levels to visit, descending.
        index: Number k of each sample; None counts from 0.
        eta: Share of the ancestral noise, in [0, 1].
        keep: Whether all states are returned.

    Returns:
        The states at the last of the times; with keep those at all times, along a new first axis.

    Raises:
        ValueError: Fewer than two times, times that do not fall, or an eta outside [0, 1].

    Source: Kingma et al. 2021, appendix A.4; for eta, Song et al. 2021 (DDIM), equation 16.
    """
    require.number("eta", eta, 0, 1)
    keys = sample_keys(key, x, index)
    times = monotone(times, x.dtype, path.t_max)
    alpha, sigma, log_snr = levels(path, times)
    added = -(eta**2) * jnp.square(sigma[1:]) * jnp.expm1(-jnp.diff(log_snr))
    kept = jnp.sqrt(jnp.maximum(jnp.square(sigma[1:]) - added, 0))
    steps = jnp.arange(1, len(times), dtype=jnp.int32)
    tables = (steps, times[:-1], alpha[:-1], sigma[:-1], alpha[1:], kept, jnp.sqrt(added))

    def move(x: Array, memory: None, i: Array, t: Array, *now: Array) -> tuple[Array, None]:
        alpha_t, sigma_t, alpha_s, kept, added = now
        x_0_hat = denoised(denoise, x, t)
        eps_hat = (x - alpha_t * x_0_hat) / sigma_t
        x = alpha_s * x_0_hat + kept * eps_hat
        return (x + added * step_normals(keys, i, x) if eta > 0 else x), memory

    return descend(move, x, tables, keep)


def churned(
    key: PRNGKey,
    velocity: Predict,
    path: Path,
    x: _Event,
    times: Times,
    *,
    churn: float,
    low: float = 0.0,
    high: float = math.inf,
    noise_scale: float = 1.0,
    index: _Index | None = None,
    keep: bool = False,
) -> _Samples:
    """Samples by the probability flow, with some noise put back before every step of Heun's.

        ratio' = (1 + gamma) ratio,     ratio = sigma / alpha at t, ratio' at an earlier t'
        x' = alpha' / alpha x + sqrt(sigma'^2 - (alpha' / alpha sigma)^2) noise_scale z,     z ~ N(0, I)
        x_s = a step of `heun` from x' at t' to s

    with gamma = min(churn / number of steps, sqrt 2 - 1) where low <= ratio <= high, and 0 elsewhere, at pure noise in
    particular. What a step has got wrong is forgotten with the noise that replaces it.

    Args:
        key: Root of the noise.
        velocity: (x_t, t) -> dx / dt; evaluated twice in every step.
        path: Path that the states are on.
        x: States at the first of the times.
        times: Levels to visit, descending; the last step is Euler's.
        churn: Amount of noise; 0 for `heun`.
        low: Smallest ratio of noise to signal at which noise is put back.
        high: Largest such ratio.
        noise_scale: Standard deviation of the noise, a little above 1 where a network removes a little too much.
        index: Number k of each sample; None counts from 0.
        keep: Whether all states are returned.

    Returns:
        The states at the last of the times; with keep those at all times, along a new first axis.

    Raises:
        ValueError: Fewer than two times, times that do not fall, or a number out of its range.

    Source: Karras et al. 2022 (EDM), algorithm 2.
    """
    require.number("churn", churn, 0)
    require.number("low", low, 0)
    require.number("noise_scale", noise_scale, 0)
    if not high > low:
        raise ValueError(f"high must be a number above low={low}, got {high}")
    keys, slope = sample_keys(key, x, index), sloped(velocity)
    times = monotone(times, x.dtype, path.t_max)
    starts, log_snr = times[:-1], path.log_snr(times[:-1])
    ratio = jnp.exp(-log_snr / 2)
    put_back = (ratio >= low) & (ratio <= high) & jnp.isfinite(log_snr) & (churn > 0)
    gamma = min(churn / len(starts), math.sqrt(2) - 1)
    raised = jnp.where(put_back, jnp.minimum(path.time(log_snr - 2 * math.log1p(gamma)), path.t_max), starts)
    kept = jnp.where(put_back, path.alpha(raised) / path.alpha(starts), 1)
    added = jnp.square(path.sigma(raised)) - jnp.square(kept * path.sigma(starts))
    steps = jnp.arange(1, len(times), dtype=jnp.int32)
    tables = (steps, raised, times[1:], kept, noise_scale * jnp.sqrt(jnp.where(put_back, jnp.maximum(added, 0), 0)))

    def noisy(x: Array, i: Array, kept: Array, added: Array) -> Array:
        return kept * x + added * step_normals(keys, i, x)

    def move(x: Array, memory: None, i: Array, t: Array, s: Array, *now: Array) -> tuple[Array, None]:
        return heun_step(slope, noisy(x, i, *now), t, s), memory

    states = descend(move, x, tuple(table[:-1] for table in tables), keep)
    i, t, s, *now = (table[-1] for table in tables)
    last = euler_step(slope, noisy(states[-1] if keep else states, i, *now), t, s)
    return jnp.concatenate([states, last[None]]) if keep else last


def sample_keys(key: PRNGKey, x: Array, index: Array | None) -> Array:
    """fold_in(key, k) of each sample; k counts from 0 where there is no index."""
    require.typed_key("key", key)
    require_events(x=x)
    require_integers(index=index)
    require_shape(x.shape[:1], index=index)
    return example_keys(key, jnp.arange(len(x), dtype=jnp.int32) if index is None else index)


def levels(path: Path, times: Float[Array, " n"]) -> tuple[Array, Array, Array]:
    """alpha, sigma and the log signal-to-noise ratio at all times; where the last of falling times is 0, of the data.

    A path that leaves a little noise at t = 0 (`LinearLogSNR`) would have it in its samples: a step to 0 is one to the
    denoised data.
    """
    to_the_data = (times[-1] == 0) & (times[0] > 0)

    def ended(values: Array, at_the_data: float) -> Array:
        return values.at[-1].set(jnp.where(to_the_data, at_the_data, values[-1]))

    alpha, sigma, log_snr = path.alpha(times), path.sigma(times), path.log_snr(times)
    return ended(alpha, 1.0), ended(sigma, 0.0), ended(log_snr, jnp.inf)


def denoised(denoise: Predict, x: Array, t: Array) -> Array:
    """x_0_hat of all examples at one t, checked."""
    x_0_hat = denoise(x, spread(t, x))
    require_events(x=x, x_0_hat=x_0_hat)
    return x_0_hat


def _check_rise(path: Path, times: Times) -> None:
    """Refuse to rise from or to an infinite ratio: from the data themselves no noise can be found by scaling."""
    if isinstance(times, jax.core.Tracer) or len(times) < 2 or not times[-1] > times[0] or times[-1] > path.t_max:
        return
    log_snr_ends(path, float(times[0]), float(times[-1]), ("the first of rising times", "the last of rising times"))


def step_normals(keys: Array, i: Array, x: Array) -> Array:
    """Noise of step i, that of each sample from its own key."""
    return jax.vmap(lambda k: jax.random.normal(jax.random.fold_in(k, i), x.shape[1:], x.dtype))(keys)
