"""The lecture's chain is a Gaussian path in T points: the same numbers from `jaxgen.ddpm` and `jaxgen.paths`."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import paths
from jaxgen.ddpm import flow_log_prob, prediction, process, sampler
from jaxgen.ddpm.oracle import GaussianData
from jaxgen.ddpm.schedule import cosine, linear

T = 20
SCHEDULES = [linear(T, 0.01, 0.4), cosine(T)]
DATA = GaussianData(np.array([0.5, -0.2, 0.1]), 0.4)
LEVELS = tuple((np.arange(T, -1, -1) / T).tolist())

either = pytest.mark.parametrize("schedule", SCHEDULES, ids=["linear", "cosine"])


def path_of(schedule):
    return paths.Tabulated(tuple(schedule.alpha_bar[1:].tolist()))


def exact(schedule):
    """The exact denoiser as both take it: of integers t, and of t / T."""
    denoise = functools.partial(DATA.denoise, schedule)
    by_steps = lambda x, t: denoise(x, jnp.round(schedule.num_timesteps * t).astype(jnp.int32))  # noqa: E731
    return denoise, by_steps


@either
def test_predictions_are_converted_alike(schedule, key):
    x_0, eps = jax.random.normal(key, (2, T, 3))
    i, path = jnp.arange(1, T + 1), path_of(schedule)
    t = i / T
    x_t = paths.diffuse(path, x_0, t, eps)
    np.testing.assert_allclose(x_t, process.diffuse(schedule, x_0, i, eps), rtol=1e-5, atol=1e-6)
    ends = paths.Ends(x_0, eps)
    for kind, theirs in ((paths.V(), prediction.V()), (paths.Eps(), prediction.Eps()), (paths.X0(), prediction.X0())):
        target = kind.target(path, x_0, t, eps)
        np.testing.assert_allclose(target, theirs.target(schedule, x_0, i, eps), rtol=1e-4, atol=1e-5)
        found = kind.ends(path, x_t, t, target)
        np.testing.assert_allclose(found.eps, theirs.eps(schedule, x_t, i, target), rtol=1e-4, atol=1e-5)
    score = paths.prediction.score_from_ends(path, t, ends)
    np.testing.assert_allclose(score, prediction.score_from_eps(schedule, i, eps), rtol=1e-5)
    np.testing.assert_allclose(path.log_snr(t), np.log(prediction.signal_to_noise(schedule)[1:]), rtol=1e-4, atol=1e-5)


@either
def test_samplers_take_the_same_steps(schedule, key):
    path, x_T = path_of(schedule), jax.random.normal(key, (8, 3))
    denoise, by_steps = exact(schedule)
    denoised = paths.bound_denoiser(path, paths.Eps(), by_steps)
    found = jax.jit(lambda x: paths.ancestral(key, denoised, path, x, LEVELS, eta=0.0))(x_T)
    np.testing.assert_allclose(found, sampler.ddim(key, denoise, schedule, x_T), rtol=1e-4, atol=2e-5)
    found = jax.jit(lambda x: paths.dpm_solver_pp(denoised, path, x, LEVELS))(x_T)
    np.testing.assert_allclose(found, sampler.dpm_solver_pp(key, denoise, schedule, x_T), rtol=1e-4, atol=1e-4)


def test_the_ancestral_step_has_the_posterior_s_mean_and_variance(key):
    schedule, num, i = SCHEDULES[0], 20_000, 7
    path = path_of(schedule)
    x_0, x_t = jnp.full((num, 1), 0.7), jnp.full((num, 1), -0.4)
    found = paths.ancestral(key, lambda x, t: x_0, path, x_t, (i / T, (i - 1) / T))
    mean, variance = process.posterior(schedule, x_0[:1], x_t[:1], i)
    assert abs(float(found.mean() - mean[0, 0])) < 4 * float(jnp.sqrt(variance).max()) / num**0.5
    assert abs(float(found.var() / variance.max()) - 1) < 4 * (2 / num) ** 0.5


@pytest.mark.parametrize(("schedule", "atol"), [(cosine(200), 2e-3), (linear(200, 0.001, 0.08), 0.05)])
def test_the_flow_has_the_same_density(schedule, atol, key):
    """Ours steps in t, theirs in the angle, which is the same for the cosine, whose angle has one speed."""
    path, x = path_of(schedule), DATA.sample(key, 6)
    num = schedule.num_timesteps
    denoise, by_steps = exact(schedule)
    velocity = paths.bound_velocity(path, paths.Eps(), by_steps)
    # (The last level of the cosine has nearly no signal left.)
    theirs = flow_log_prob(key, denoise, schedule, x, timesteps=range(num - 1, 0, -1))
    found = jax.jit(lambda x: paths.flow_log_prob(velocity, x, (np.arange(num - 1, 0, -1) / num).tolist()))(x)
    np.testing.assert_allclose(found, theirs, atol=atol)


def test_the_linear_schedule_comes_to_the_path_of_linear_beta_as_its_steps_grow_shorter():
    path, errors = paths.LinearBeta(0.1, 20.0), []
    for steps in (250, 500, 1000):
        schedule = linear(steps, 0.1 / steps, 20.0 / steps)
        exact = np.asarray(path.alpha(jnp.arange(1, steps + 1) / steps))
        errors.append(np.abs(np.sqrt(schedule.alpha_bar[1:]) - exact).max())
    assert errors[-1] < 4e-3
    np.testing.assert_allclose(np.array(errors[:-1]) / np.array(errors[1:]), 2, rtol=0.05)
