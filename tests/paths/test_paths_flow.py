"""The flow's log-density against the closed forms of a Gaussian and of a mixture, and the oracle against jax.grad."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.paths import Cosine, Linear, VarianceExploding, even_times, flow_log_prob, oracle, random_signs
from jaxgen.paths.flow import divergence, extrapolated_log_prob

DATA = oracle.gaussian(np.array([[0.5, -0.3], [0.1, 1.0]]), 0.4)
MIXTURE = oracle.GaussianMixture(
    np.array([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]]), np.array([0.3, 0.5, 0.4]), np.array([0.3, 0.3, 0.4])
)


@pytest.mark.parametrize("path", [Linear(), Cosine()], ids=["linear", "cosine"])
def test_it_is_the_closed_form_of_gaussian_data_and_of_second_order(path, key):
    """At t = 1 nothing is left of the data, so that the flow's density is the data's own."""
    x_0 = DATA.sample(key, 8)
    velocity, exact = functools.partial(DATA.velocity, path), DATA.log_prob(path, x_0, 0.0)
    errors = []
    for n in (20, 40, 80):
        found = jax.jit(lambda x, n=n: flow_log_prob(velocity, x, even_times(n)))(x_0)
        errors.append(float(jnp.abs(found - exact).max()))
    orders = np.log2(np.array(errors[:-1]) / np.array(errors[1:]))
    assert errors[-1] < 0.02 and (abs(orders - 2) < 0.4).all()


def test_on_the_exploding_path_the_noise_has_its_deviation(key):
    path = VarianceExploding()
    data = oracle.gaussian(np.zeros(2), 0.4)  # of another mean, the noise would not be centred at any level
    x_0 = data.sample(key, 8)
    times = (*(40.0 * (1 - i / 300) ** 3 for i in range(300)), 0.0)
    found = jax.jit(
        lambda x: flow_log_prob(functools.partial(data.velocity, path), x, times, prior_std=math.hypot(40.0, 0.4))
    )(x_0)
    np.testing.assert_allclose(found, data.log_prob(path, x_0, 0.0), atol=0.02)


def test_it_is_the_closed_form_of_a_mixture_and_its_estimate_is_unbiased(key):
    path = Linear()
    velocity = functools.partial(MIXTURE.velocity, path)
    x_0 = jnp.array([[0.4, 0.2], [-1.0, 0.1], [2.0, -2.0]])
    exact = MIXTURE.log_prob(path, x_0, 0.0)
    times = even_times(60)
    np.testing.assert_allclose(jax.jit(lambda x: flow_log_prob(velocity, x, times))(x_0), exact, atol=0.03)

    same = jnp.tile(x_0[:1], (400, 1))
    signs = random_signs(key, jnp.arange(400), (2,))
    log_prob = jax.jit(lambda x, signs: flow_log_prob(velocity, x, times, signs=signs))
    draws = np.asarray(log_prob(same, signs), np.float64)
    assert abs(draws.mean() - float(exact[0])) < 4 * draws.std() / math.sqrt(400) + 0.03
    some = random_signs(key, jnp.array([5, 7]), (2,))
    np.testing.assert_allclose(log_prob(same[:2], some), draws[[5, 7]], rtol=1e-4)


@pytest.mark.parametrize("path", [Linear(), Cosine()], ids=["linear", "cosine"])
def test_the_density_of_a_mixture_is_within_the_reported_error(path):
    """Rounding is allowed for, and is no part of it."""
    velocity = functools.partial(MIXTURE.velocity, path)
    x_0 = jnp.array([[0.4, 0.2], [-1.0, 0.1], [2.0, -2.0], [0.9, 0.1], [0.1, -0.7]])
    exact = MIXTURE.log_prob(path, x_0, 0.0)
    errors = []
    for n in (40, 80):
        found = jax.jit(lambda x, n=n: extrapolated_log_prob(velocity, x, even_times(n)))(x_0)
        plain = jax.jit(lambda x, n=n: flow_log_prob(velocity, x, even_times(2 * n)))(x_0)
        assert (np.abs(found.log_prob - exact) < found.error + 2e-4).all()
        np.testing.assert_allclose(np.abs(found.log_prob - plain), found.error, atol=1e-5)
        errors.append(float(found.error.mean()))
    assert 0 < errors[1] < errors[0] / 2


def test_the_divergence_is_the_trace(key):
    matrix = np.asarray(jax.random.normal(key, (3, 3)), np.float32)
    x = jnp.ones((2, 3))
    _, pullback = jax.vjp(lambda x: x @ jnp.asarray(matrix), x)
    np.testing.assert_allclose(divergence(lambda r: pullback(r)[0], x), np.trace(matrix), rtol=1e-5)
    signs = random_signs(key, jnp.arange(2), (3,))
    expected = np.einsum("bi,ij,bj->b", signs, matrix, signs)
    np.testing.assert_allclose(divergence(lambda r: pullback(r)[0], x, signs), expected, rtol=1e-5)


def test_a_prior_or_times_that_are_none_are_refused():
    x = jnp.zeros((2, 3))
    with pytest.raises(ValueError, match="prior_std must be a finite number above 0"):
        flow_log_prob(lambda x, t: x, x, (1.0, 0.0), prior_std=0.0)
    with pytest.raises(ValueError, match="times must hold numbers that fall"):
        flow_log_prob(lambda x, t: x, x, (0.0, 1.0))


@pytest.mark.parametrize("path", [Linear(), Cosine(), VarianceExploding()], ids=["linear", "cosine", "exploding"])
def test_the_oracle_s_means_are_those_of_its_score(path, key):
    t = jnp.array([0.05, 0.3, 0.6, 0.95])
    x = jax.random.normal(key, (4, 2))

    @jax.jit
    def parts(x):
        score = jax.grad(lambda x: MIXTURE.log_prob(path, x, t).sum())(x)
        return score, MIXTURE.score(path, x, t), MIXTURE.ends(path, x, t)

    score, found, (x_0, eps) = parts(x)
    np.testing.assert_allclose(found, score, rtol=1e-4, atol=1e-5)
    alpha, sigma = path.alpha(t)[:, None], path.sigma(t)[:, None]
    np.testing.assert_allclose(eps, -sigma * score, rtol=1e-4, atol=1e-5)  # Vincent
    np.testing.assert_allclose(alpha * x_0 + sigma * eps, x, rtol=1e-5, atol=1e-6)
    # Tweedie's formula, in the terms of the density alone.
    np.testing.assert_allclose(alpha * x_0, x + jnp.square(sigma) * score, rtol=1e-4, atol=1e-5)


def test_the_oracle_s_flow_carries_its_density(key):
    """The continuity equation along the flow of a Gaussian: log q(x_s) + log |dx_s / dx_t| = log q(x_t)."""
    path, x = Cosine(), DATA.sample(key, 3)
    there = DATA.flow(path, x, 0.2, 0.7)
    log_slope = (
        4
        * 0.5
        * math.log(
            (float(path.alpha(0.7)) ** 2 * 0.16 + float(path.sigma(0.7)) ** 2)
            / (float(path.alpha(0.2)) ** 2 * 0.16 + float(path.sigma(0.2)) ** 2)
        )
    )
    np.testing.assert_allclose(DATA.log_prob(path, there, 0.7) + log_slope, DATA.log_prob(path, x, 0.2), rtol=1e-5)
    np.testing.assert_allclose(DATA.flow(path, there, 0.7, 0.2), x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: oracle.gaussian(np.array([np.nan]), 1.0), "finite"),
        (lambda: oracle.gaussian(np.zeros(1), 0.0), "std must be a finite number above 0"),
        (lambda: oracle.GaussianMixture(np.zeros((2, 1)), np.ones(2), np.array([0.5, 0.6])), "sum to 1"),
        (lambda: oracle.GaussianMixture(np.zeros((2, 1)), np.array([1.0, -1.0]), np.array([0.5, 0.5])), "stds must be"),
    ],
)
def test_data_that_are_none_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
