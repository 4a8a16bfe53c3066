"""The oracles against scipy, automatic differentiation, Monte Carlo and a numerical solution of the flow."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from jaxgen.ddpm import process
from jaxgen.ddpm.oracle import GaussianData, GaussianMixtureData
from jaxgen.ddpm.schedule import linear

SCHEDULE = linear(20, 0.01, 0.4)
GAUSSIAN = GaussianData(np.array([0.5, -1.0]), 0.3)
MIXTURE = GaussianMixtureData(
    np.array([[2.0, 0.0], [-1.0, 1.0], [0.0, -2.0]]), np.array([0.3, 0.5, 0.1]), np.array([0.5, 0.3, 0.2])
)
LEVELS = jnp.array([0, 1, 5, 20])


@pytest.fixture
def x(key):
    return 1.5 * jax.random.normal(key, (4, 2))


def test_log_probs_are_scipys(x):
    found = [jax.jit(functools.partial(o.log_prob, SCHEDULE))(x, LEVELS) for o in (GAUSSIAN, MIXTURE)]
    for i, t in enumerate(LEVELS):
        ab, row = SCHEDULE.alpha_bar[t], np.asarray(x[i], np.float64)

        def density(mean, std, row=row, ab=ab):
            return stats.norm.pdf(row, np.sqrt(ab) * mean, np.sqrt(ab * std**2 + 1 - ab)).prod()

        np.testing.assert_allclose(found[0][i], math.log(density(GAUSSIAN.mean, 0.3)), rtol=1e-5)
        total = sum(w * density(m, s) for m, s, w in zip(MIXTURE.means, MIXTURE.stds, MIXTURE.weights, strict=True))
        np.testing.assert_allclose(found[1][i], math.log(total), rtol=1e-5)


@pytest.mark.parametrize("oracle", [GAUSSIAN, MIXTURE])
def test_scores_are_gradients_and_denoisers_their_noise(oracle, x):
    score = jax.jit(functools.partial(oracle.score, SCHEDULE))(x, LEVELS)
    gradient = jax.jit(jax.grad(lambda x: oracle.log_prob(SCHEDULE, x, LEVELS).sum()))(x)
    np.testing.assert_allclose(score, gradient, rtol=1e-4, atol=1e-5)
    denoised = jax.jit(functools.partial(oracle.denoise, SCHEDULE))(x, LEVELS)
    assert (denoised[0] == 0).all()  # no noise in the data
    noise = np.sqrt(1 - SCHEDULE.alpha_bar[np.asarray(LEVELS)])[:, None]
    np.testing.assert_allclose(denoised, -noise * np.asarray(score, np.float64), rtol=1e-5)


@pytest.mark.parametrize("oracle", [GAUSSIAN, MIXTURE])
def test_the_denoiser_is_the_mean_of_the_noise(oracle, key):
    """E[eps g(x_t)] = E[E[eps | x_t] g(x_t)] for every function g of x_t."""
    num, t = 100_000, 6

    @jax.jit
    def drawn(key):
        key_x, key_eps = jax.random.split(key)
        x_0 = oracle.sample(key_x, num)
        eps = jax.random.normal(key_eps, x_0.shape)
        x_t = process.diffuse(SCHEDULE, x_0, t, eps)
        return x_t, eps - oracle.denoise(SCHEDULE, x_t, t)

    x_t, error = (np.asarray(array, np.float64) for array in drawn(key))
    for g in (np.ones_like, np.asarray, np.sin, np.square):
        product = error * g(x_t)
        assert (np.abs(product.mean(axis=0)) < 4 * product.std(axis=0) / math.sqrt(num)).all()


def test_the_exact_reversal_of_gaussian_data(key):
    """Regression of x_{t-1} on x_t: q(x_{t-1}, x_t) is Gaussian, its conditional mean and variance are `reverse`'s."""
    ab, beta, m, s = SCHEDULE.alpha_bar, SCHEDULE.beta, GAUSSIAN.mean, GAUSSIAN.std
    spread = ab * s**2 + 1 - ab
    x_t = jax.random.normal(key, (20, 2))
    denoise = functools.partial(GAUSSIAN.denoise, SCHEDULE)
    t = jnp.arange(1, 21)
    mean, variance = jax.jit(
        lambda: process.reverse(SCHEDULE, x_t, t, denoise(x_t, t), variance=GAUSSIAN.reverse_variance)
    )()
    for t in range(1, 21):
        slope = np.sqrt(1 - beta[t]) * spread[t - 1] / spread[t]  # Cov(x_{t-1}, x_t) / Var(x_t)
        exact = np.sqrt(ab[t - 1]) * m + slope * (np.asarray(x_t[t - 1], np.float64) - np.sqrt(ab[t]) * m)
        np.testing.assert_allclose(mean[t - 1], exact, rtol=1e-5, atol=2e-6)
        np.testing.assert_allclose(variance[t - 1], spread[t - 1] - slope**2 * spread[t], rtol=1e-5)


def test_the_limits_of_the_reverse_variance():
    one, point = GaussianData(np.zeros(1)), GaussianData(np.zeros(1), 1e-9)
    np.testing.assert_allclose(one.reverse_variance(SCHEDULE), process.beta_variance(SCHEDULE), rtol=1e-15)
    np.testing.assert_allclose(point.reverse_variance(SCHEDULE)[2:], process.posterior_variance(SCHEDULE)[2:])


def test_the_flow_solves_its_equation(x):
    """dx / d log alpha_bar = (x + score) / 2: the flow of Song et al. 2021 in terms of log alpha_bar."""
    ab = SCHEDULE.alpha_bar
    flow = jax.jit(functools.partial(GAUSSIAN.flow, SCHEDULE))

    def slope(level, x):
        ab = np.exp(level)
        score = -(x - np.sqrt(ab) * np.tile(GAUSSIAN.mean, 4)) / (ab * GAUSSIAN.std**2 + 1 - ab)
        return 0.5 * (x + score)

    start = np.asarray(x, np.float64).ravel()
    for t, s in ((20, 1), (20, 0), (3, 12)):
        span = np.log(ab[[t, s]])
        solved = integrate.solve_ivp(slope, span, start, rtol=1e-9, atol=1e-9).y[:, -1].reshape(4, 2)
        np.testing.assert_allclose(flow(x, t, s), solved, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(flow(flow(x, 20, 0), 0, 20), x, rtol=1e-4, atol=1e-5)


def test_draws_have_the_moments(key):
    num = 20_000
    x, y = (np.asarray(jax.jit(oracle.sample, static_argnums=1)(key, num)) for oracle in (GAUSSIAN, MIXTURE))
    np.testing.assert_allclose(x.mean(axis=0), GAUSSIAN.mean, atol=4 * 0.3 / math.sqrt(num))
    np.testing.assert_allclose(x.std(axis=0), 0.3, rtol=4 / math.sqrt(2 * num))
    # The components lie apart, four deviations and more, so that the nearest mean tells them.
    k = np.linalg.norm((y[:, None] - MIXTURE.means[None]) / MIXTURE.stds[None, :, None], axis=2).argmin(axis=1)
    for component, (mean, std, weight) in enumerate(zip(MIXTURE.means, MIXTURE.stds, MIXTURE.weights, strict=True)):
        own = y[k == component]
        assert abs(len(own) / num - weight) < 4 * math.sqrt(weight / num)
        np.testing.assert_allclose(own.mean(axis=0), mean, atol=4 * std / math.sqrt(len(own)))
        np.testing.assert_allclose(own.std(axis=0), std, rtol=4 / math.sqrt(2 * len(own)))


def test_entropy_and_prior_gap_are_those_of_scipy():
    assert math.isclose(GAUSSIAN.entropy(), 2 * float(stats.norm(0, 0.3).entropy()))
    mean, variance = np.sqrt(SCHEDULE.alpha_bar[-1]) * GAUSSIAN.mean, GAUSSIAN.variances(SCHEDULE)[-1]
    cross = math.log(2 * math.pi) + 0.5 * (2 * variance + np.square(mean).sum())
    exact = cross - 2 * float(stats.norm(0, np.sqrt(variance)).entropy())
    assert math.isclose(GAUSSIAN.prior_gap(SCHEDULE), exact, rel_tol=1e-9)


def test_a_mixture_of_one_is_a_gaussian(x):
    one = GaussianMixtureData(GAUSSIAN.mean[None], np.array([0.3]), np.array([1.0]))
    found, exact = (jax.jit(functools.partial(oracle.denoise, SCHEDULE))(x, LEVELS) for oracle in (one, GAUSSIAN))
    np.testing.assert_allclose(found, exact, rtol=1e-5)


def test_responsibilities_of_the_observed_dimensions(x):
    """The second component alone reaches 1 in the second dimension; with nothing observed the weights are left."""
    x = x.at[:, 1].set(1.0)
    second = jnp.broadcast_to(jnp.array([False, True]), x.shape)
    z = (1 - MIXTURE.means[:, 1]) / MIXTURE.stds
    density = MIXTURE.weights * np.exp(-0.5 * z**2) / MIXTURE.stds
    responsibilities = jax.jit(functools.partial(MIXTURE.responsibilities, SCHEDULE))
    found = responsibilities(x, 0, second)
    np.testing.assert_allclose(found, np.broadcast_to(density / density.sum(), (4, 3)), rtol=1e-4, atol=1e-7)
    found = responsibilities(x, 0, jnp.zeros_like(second))
    np.testing.assert_allclose(found, np.broadcast_to(MIXTURE.weights, (4, 3)), rtol=1e-6)


def test_errors(x):
    with pytest.raises(ValueError, match="std must be a finite number above 0, got 0"):
        GaussianData(np.zeros(2), 0.0)
    with pytest.raises(ValueError, match="stds must be positive and finite"):
        GaussianMixtureData(np.zeros((2, 1)), np.array([1.0, 0.0]), np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="weights must be positive and sum to 1"):
        GaussianMixtureData(np.zeros((2, 1)), np.ones(2), np.array([0.5, 0.6]))
    with pytest.raises(ValueError, match=r"t must lie in 0\.\.20, got 21"):
        GAUSSIAN.score(SCHEDULE, x, 21)
