"""Solvers and samplers against data whose flow is known: orders of convergence, moments, limits."""

import functools
import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgen.paths import (
    Cosine,
    Linear,
    LinearBeta,
    LinearLogSNR,
    Path,
    VarianceExploding,
    ancestral,
    churned,
    dpm_solver_pp,
    euler,
    even_times,
    heun,
    inpaint,
    karras_times,
    log_snr_times,
    noise,
    oracle,
)
from jaxgen.paths.path import floats

DATA = oracle.gaussian(np.array([0.5, -0.3, 1.0]), 0.4)
MIXTURE = oracle.GaussianMixture(np.array([[1.0, 0.0], [-1.0, 0.5]]), np.array([0.3, 0.5]), np.array([0.4, 0.6]))


LOW = log_snr_times(LinearBeta(), 40, 0.99, 0.001)


@pytest.fixture
def x_T(key):
    return jax.random.normal(key, (6, 3))


def both(path, data: oracle.GaussianMixture = DATA):
    """The exact velocity and denoiser."""
    return functools.partial(data.velocity, path), functools.partial(data.denoise, path)


def orders(solve, grids, x, exact):
    """log2 of the ratio of errors from each grid to the next, of twice the steps."""
    errors = [float(jnp.abs(jax.jit(lambda x, t=times: solve(x, t))(x) - exact).max()) for times in grids]
    return np.log2(np.array(errors[:-1]) / np.array(errors[1:]))


@pytest.mark.parametrize("path", [Linear(), Cosine()], ids=["linear", "cosine"])
def test_orders_of_convergence_to_the_exact_flow(path, x_T):
    velocity, _ = both(path)
    exact = DATA.flow(path, x_T, 1.0)
    grids = [even_times(n) for n in (16, 32, 64)]
    assert (abs(orders(lambda x, t: euler(velocity, x, t), grids, x_T, exact) - 1) < 0.2).all()
    assert (abs(orders(lambda x, t: heun(velocity, x, t), grids, x_T, exact) - 2) < 0.35).all()
    found = orders(lambda x, t: heun(velocity, x, t, correct_last=True), grids, x_T, exact)
    assert (abs(found - 2) < 0.35).all()


def test_orders_on_the_exploding_path_whose_velocity_is_not_needed_at_the_data(x_T):
    velocity, _ = both(VarianceExploding())
    x = 5.0 * x_T
    exact = DATA.flow(VarianceExploding(), x, 5.0)
    grids = [karras_times(n, 5.0, 0.4 / n) for n in (16, 32, 64)]
    assert (abs(orders(lambda x, t: euler(velocity, x, t), grids, x, exact) - 1) < 0.3).all()
    assert (abs(orders(lambda x, t: heun(velocity, x, t), grids, x, exact) - 2) < 0.5).all()


@pytest.mark.parametrize(
    ("path", "start", "end"), [(Linear(), 0.9, 0.05), (LinearBeta(), 0.8, 0.1)], ids=["linear", "linear_beta"]
)
def test_orders_in_the_signal_to_noise_ratio(path, start, end, x_T):
    """Between two levels with finite ratios, where dpm_solver_pp is of second order; ddim is of first."""
    _, denoise = both(path)
    x, exact = x_T, DATA.flow(path, x_T, start, end)
    grids = [log_snr_times(path, n + 1, start, end)[:-1] for n in (16, 32, 64)]
    key = jax.random.key(0)
    assert (abs(orders(lambda x, t: dpm_solver_pp(denoise, path, x, t), grids, x, exact) - 2) < 0.35).all()
    assert (abs(orders(lambda x, t: dpm_solver_pp(denoise, path, x, t, order=1), grids, x, exact) - 1) < 0.2).all()
    assert (abs(orders(lambda x, t: ancestral(key, denoise, path, x, t, eta=0.0), grids, x, exact) - 1) < 0.2).all()


@pytest.mark.parametrize("path", [Linear(), Cosine(), LinearBeta()], ids=["linear", "cosine", "linear_beta"])
def test_without_noise_the_ancestral_step_is_the_solvers_first_order(path, x_T):
    _, denoise = both(path)
    times = even_times(12)

    @jax.jit
    def samples(x):
        ddim = ancestral(jax.random.key(0), denoise, path, x, times, eta=0.0)
        return ddim, *(dpm_solver_pp(denoise, path, x, times, order=order) for order in (1, 2))

    ddim, first, second = samples(x_T)
    np.testing.assert_allclose(first, ddim, atol=2e-5)
    # From pure noise to the data, through infinite ratios at both ends.
    assert np.isfinite(second).all()
    exact = DATA.flow(path, x_T, 1.0)
    assert np.abs(second - exact).max() < np.abs(ddim - exact).max()


def test_solvers_map_noise_to_the_data_s_mean_and_deviation(key):
    path = VarianceExploding()
    velocity, denoise = both(path)
    x = noise(key, path, 80.0, jnp.arange(5000), (3,))
    for found in (
        jax.jit(lambda x: heun(velocity, x, karras_times(40)))(x),
        jax.jit(lambda x: dpm_solver_pp(denoise, path, x, karras_times(40)))(x),
        jax.jit(lambda x: ancestral(key, denoise, path, x, karras_times(300)))(x),
    ):
        # Four standard errors, and a little for the steps.
        np.testing.assert_allclose(found.mean(axis=0), DATA.means[0], atol=4 * 0.4 / math.sqrt(5000) + 0.005)
        np.testing.assert_allclose(found.std(axis=0), 0.4, atol=4 * 0.4 / math.sqrt(10_000) + 0.012)


def test_a_mixture_s_components_have_their_weights(key):
    path = Linear()
    velocity, denoise = both(path, MIXTURE)
    x = noise(key, path, 1.0, jnp.arange(8000), (2,))
    for found in (
        jax.jit(lambda x: heun(velocity, x, even_times(40)))(x),
        jax.jit(lambda x: ancestral(key, denoise, path, x, even_times(100)))(x),
    ):
        mean = (MIXTURE.weights[:, None] * MIXTURE.means).sum(axis=0)
        second = (MIXTURE.weights[:, None] * (MIXTURE.means**2 + MIXTURE.stds[:, None] ** 2)).sum(axis=0)
        np.testing.assert_allclose(found.mean(axis=0), mean, atol=4 * np.sqrt((second - mean**2).max() / 8000))
        np.testing.assert_allclose(jnp.square(found).mean(axis=0), second, atol=0.08)
        share = float(jnp.mean(found[:, 0] > 0.1, dtype=jnp.float32))
        cut = np.dot(MIXTURE.weights, stats.norm.sf(0.1, MIXTURE.means[:, 0], MIXTURE.stds))
        assert abs(share - cut) < 4 * 0.5 / math.sqrt(8000) + 0.01


def test_the_ancestral_step_is_the_reversal_given_the_data(key):
    """Of a point x_0 the denoiser is exact, and one step draws from q(x_s | x_t, x_0): its mean and variance."""
    path, t, s, num = Cosine(), 0.7, 0.4, 10_000
    x_0, x_t = jnp.full((num, 1), 0.8), jnp.full((num, 1), -0.2)
    found = ancestral(key, lambda x, t: x_0, path, x_t, (t, s))
    a_t, s_t, a_s, s_s = (float(v) for v in (path.alpha(t), path.sigma(t), path.alpha(s), path.sigma(s)))
    step = s_t**2 - (a_t / a_s) ** 2 * s_s**2  # the variance of x_t given x_s
    variance = 1 / (1 / s_s**2 + (a_t / a_s) ** 2 / step)
    mean = variance * (a_s * 0.8 / s_s**2 + (a_t / a_s) * -0.2 / step)
    assert abs(float(found.mean()) - mean) < 4 * math.sqrt(variance / num)
    assert abs(float(found.var()) / variance - 1) < 4 * math.sqrt(2 / num)


def test_the_last_step_is_the_denoised_data_where_a_path_leaves_noise_at_its_end(x_T):
    path, times = LinearLogSNR(-5.0, 6.0), even_times(6)

    def denoise(x, t):
        return 0.3 + 0.1 * jnp.tanh(x) * (1 + t[:, None])

    @jax.jit
    def samples(x):
        solve = functools.partial(dpm_solver_pp, denoise, path, x, keep=True)
        drawn = ancestral(jax.random.key(0), denoise, path, x, times, keep=True)
        mask = jnp.arange(3)[None] < jnp.array([[1]] * len(x))
        known = inpaint(jax.random.key(0), denoise, path, x, times, jnp.full_like(x, 0.7), mask)
        return drawn, solve(times), solve(times, order=3), solve(times[:-1]), known

    drawn, second, third, before, known = samples(x_T)
    for states in (drawn, second, third):
        np.testing.assert_allclose(states[-1], denoise(states[-2], jnp.full(len(x_T), times[-2])), rtol=1e-5)
    np.testing.assert_allclose(before[-1], second[-2], rtol=1e-6)  # elsewhere the path's own levels count
    np.testing.assert_array_equal(known[:, 0], np.float32(0.7))


def test_churn_puts_noise_back_and_keeps_the_marginals(key):
    path, num, t = VarianceExploding(), 2000, 2.0
    x = jnp.full((num, 1), 3.0)
    # A velocity of zero leaves what one step puts in: (1 + gamma)^2 t^2 - t^2, here with gamma = 1 / 4.
    still = functools.partial(churned, key, lambda x, t: jnp.zeros_like(x), path, x)
    found = still((t, 0.0), churn=0.25, noise_scale=1.1)
    variance = 1.1**2 * ((1.25 * t) ** 2 - t**2)
    assert abs(float(found.mean()) - 3) < 4 * math.sqrt(variance / num)
    assert abs(float(found.var()) / variance - 1) < 4 * math.sqrt(2 / num)
    capped = float(still((t, 0.0), churn=100.0).var()) / t**2  # to twice the variance, and no more
    assert abs(capped - 1) < 4 * math.sqrt(2 / num)
    np.testing.assert_array_equal(still((t, 0.0), churn=1.0, low=2.5), x)
    np.testing.assert_array_equal(still((t, 0.0), churn=1.0, high=1.5), x)
    # On every path, with the exact velocity, samples stay those of the data.
    for path, times in ((Linear(), even_times(40)), (LinearBeta(), (1.0, *LOW))):
        velocity, _ = both(path)
        x = noise(key, path, 1.0, jnp.arange(num), (3,))
        sample = functools.partial(churned, key, velocity, path, times=times)
        found = jax.jit(lambda x, sample=sample: sample(x, churn=10.0))(x)
        np.testing.assert_allclose(found.mean(axis=0), DATA.means[0], atol=4 * 0.4 / math.sqrt(num) + 0.01)
        np.testing.assert_allclose(found.std(axis=0), 0.4, atol=4 * 0.4 / math.sqrt(2 * num) + 0.01)
    velocity, _ = both(Linear())
    kept = jax.jit(lambda x: churned(key, velocity, Linear(), x, even_times(5), churn=0.0, keep=True))(x[:4])
    np.testing.assert_allclose(kept, heun(velocity, x[:4], even_times(5), keep=True), rtol=1e-5, atol=1e-6)


def test_noise_belongs_to_its_sample(key):
    path = Linear()
    _, denoise = both(path)
    index = jnp.arange(6)
    x = noise(key, path, 1.0, index, (3,))
    sample = jax.jit(lambda x, index: ancestral(key, denoise, path, x, even_times(5), index=index))
    whole, part = sample(x, index), sample(x[3:5], index[3:5])
    np.testing.assert_allclose(part, whole[3:5], atol=1e-6)
    drawn = jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, 4), 0), (3,))
    np.testing.assert_array_equal(x[4], drawn)
    last = ancestral(key, denoise, path, x, (0.5, 0.2), index=index)
    calm = ancestral(key, denoise, path, x, (0.5, 0.2), index=index, eta=1e-6)
    step = jax.random.normal(jax.random.fold_in(jax.random.fold_in(key, 4), 1), (3,))
    ratio = float(jnp.exp(path.log_snr(0.5) - path.log_snr(0.2)))
    x_0 = denoise(x, jnp.full(6, 0.5))
    eps = (x - 0.5 * x_0) / 0.5
    added = 0.2 * math.sqrt(1 - ratio)
    np.testing.assert_allclose(
        last[4], 0.8 * x_0[4] + math.sqrt(0.04 - added**2) * eps[4] + added * step, rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(calm, 0.8 * x_0 + 0.2 * eps, atol=1e-5)


def test_data_go_to_their_noise_and_back(x_T):
    velocity, _ = both(Linear())
    times = even_times(200)
    x_0 = heun(velocity, x_T, times, correct_last=True)
    np.testing.assert_allclose(heun(velocity, x_0, times[::-1], correct_last=True), x_T, atol=1e-3)


def test_states_are_kept(x_T):
    path = Linear()
    velocity, denoise = both(path)
    times = even_times(4)
    for solve in (
        functools.partial(euler, velocity),
        functools.partial(heun, velocity),
        functools.partial(dpm_solver_pp, denoise, path),
        functools.partial(ancestral, jax.random.key(0), denoise, path),
    ):
        kept, last = jax.jit(lambda x, solve=solve: (solve(x, times, keep=True), solve(x, times)))(x_T)
        assert kept.shape == (5, *x_T.shape)
        np.testing.assert_array_equal(kept[0], x_T)
        np.testing.assert_allclose(kept[-1], last, rtol=1e-6)
    np.testing.assert_allclose(heun(velocity, x_T, (1.0, 0.5)), euler(velocity, x_T, (1.0, 0.5)), rtol=1e-6)


def test_times_may_be_arrays_and_traced(x_T):
    velocity, _ = both(Linear())
    times = even_times(4)
    found = euler(velocity, x_T, times)
    np.testing.assert_allclose(euler(velocity, x_T, np.asarray(times)), found, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(lambda t: euler(velocity, x_T, t))(jnp.asarray(times)), found, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda v, x: euler(v, x, (1.0,)), "times must hold two or more numbers"),
        (lambda v, x: euler(v, x, (1.0, 0.5, 0.6)), "numbers that rise or fall throughout, at least 0, got"),
        (lambda v, x: heun(v, x, (1.0, -0.5)), "at least 0"),
        (lambda v, x: heun(v, x, (1.0, float("nan"))), "rise or fall"),
        (lambda v, x: dpm_solver_pp(v, Linear(), x, (0.0, 1.0)), "the first of rising times must be a time at which"),
        (lambda v, x: dpm_solver_pp(v, Linear(), x, (0.5, 1.0)), "the last of rising times must be a time at which"),
        (
            lambda v, x: ancestral(jax.random.key(0), v, Linear(), x, (0.0, 1.0)),
            "that fall throughout, at least 0 and at most 1",
        ),
        (lambda v, x: dpm_solver_pp(v, Linear(), x, (2.0, 1.0)), "at most 1"),
        (lambda v, x: dpm_solver_pp(v, Linear(), x, (1.0, 0.0), order=4), "order must be 1 or 2 or 3, got 4"),
        (lambda v, x: ancestral(jax.random.key(0), v, Linear(), x, (1.0, 0.0), eta=1.5), "eta must be"),
        (lambda v, x: churned(jax.random.key(0), v, Linear(), x, (1.0, 0.0), churn=-1.0), "churn must be"),
        (
            lambda v, x: churned(jax.random.key(0), v, Linear(), x, (1.0, 0.0), churn=1.0, low=2.0, high=1.0),
            "above low",
        ),
        (lambda v, x: noise(jax.random.key(0), Linear(), 2.0, jnp.arange(2), (3,)), r"t must lie in \[0, 1\]"),
    ],
)
def test_what_cannot_be_sampled_is_refused(call, message, x_T):
    with pytest.raises(ValueError, match=message):
        call(lambda x, t: x, x_T)


@dataclass(frozen=True)
class Sharp(Path):
    """A user's own path, alpha = 1 - t^2 and sigma = t, which gives no more than it must."""

    def alpha(self, t):
        return 1 - floats(t) ** 2

    def sigma(self, t):
        return floats(t)

    def alpha_rate(self, t):
        return -2 * floats(t)

    def sigma_rate(self, t):
        return jnp.ones_like(floats(t))

    def time(self, log_snr):
        ratio = jnp.exp(floats(log_snr) / 2)  # 1 - t^2 = ratio t
        return 2 / (ratio + jnp.sqrt(jnp.square(ratio) + 4))


def test_a_path_of_one_s_own(x_T):
    path = Sharp()
    velocity, denoise = both(path)
    t = jnp.array([0.2, 0.7])
    np.testing.assert_allclose(path.time(path.log_snr(t)), t, rtol=1e-6)
    exact = DATA.flow(path, x_T, 1.0)
    np.testing.assert_allclose(jax.jit(lambda x: heun(velocity, x, even_times(100)))(x_T), exact, atol=2e-3)
    np.testing.assert_allclose(
        jax.jit(lambda x: dpm_solver_pp(denoise, path, x, even_times(100)))(x_T), exact, atol=1e-2
    )
