"""Log-probabilities, divergences and draws against float64 references, closed forms and Monte Carlo."""

import math
import runpy
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxgen import distributions as d

ULP = 6e-8  # half a step of float32: what inputs and each operation are uncertain by
SQUARES = np.array([0, 1e-6, 0.3, -1, 2.5, -40, 1e4, -1e9, 1e15])
LOG_VARS = np.array([-30, -12, -3, -0.4, -1e-3, 0, 1e-5, 0.01, 0.3, 0.49, 0.51, 2, 11, 30])
DISCARDED = "ignore:.*encountered in:RuntimeWarning"  # in branches that a float64 reference discards


def grid(*axes):
    """Every combination of the values: float32 columns [n, 1], and what they hold as float64 [n]."""
    columns = [a.reshape(-1, 1).astype(np.float32) for a in np.meshgrid(*axes, indexing="ij")]
    return [jnp.asarray(c) for c in columns], [c[:, 0].astype(np.float64) for c in columns]


def assert_equals_float64(value, reference, rtol=1e-6, atol=0.0):
    assert value.dtype == jnp.float32
    held = np.where(np.abs(reference) > np.finfo(np.float32).max, np.copysign(np.inf, reference), reference)
    np.testing.assert_allclose(np.asarray(value, np.float64).reshape(held.shape), held, rtol=rtol, atol=atol)


def gradients(function, *arguments):
    return jax.jit(jax.grad(lambda *a: function(*a).sum(), range(len(arguments))))(*arguments)


def exp_remainder(x):
    """exp(x) - 1 - x in float64."""
    return np.where(np.abs(x) < 0.1, sum(x**n / math.factorial(n) for n in range(2, 20)), np.expm1(x) - x)


def assert_mean(draws, truth):
    """The mean of the draws lies within four standard errors of the truth."""
    draws = np.asarray(draws, np.float64)
    error = np.std(draws, axis=0, ddof=1) / np.sqrt(len(draws))
    assert np.all(np.abs(np.mean(draws, axis=0) - truth) < 4 * error)


# Log-probabilities


def test_normal_equals_float64():
    arrays, (x, mu, log_var) = grid(SQUARES, SQUARES[::2], LOG_VARS)
    z, slope = (x - mu) * np.exp(-log_var / 2), np.exp(-log_var / 2)
    assert_equals_float64(jax.jit(d.normal_log_prob)(*arrays), stats.norm.logpdf(z) - log_var / 2, atol=2e-6)
    grad_x, grad_mu, grad_log_var = gradients(d.normal_log_prob, *arrays)
    assert_equals_float64(grad_x, -z * slope)
    assert_equals_float64(grad_mu, z * slope)
    assert_equals_float64(grad_log_var, (z**2 - 1) / 2, atol=1e-6)


def test_bernoulli_equals_float64_in_both_tails():
    logits = np.concatenate([[0], *(sign * np.logspace(-30, 30, 121) for sign in (-1, 1))])
    arrays, (x, ell) = grid([0, 1e-7, 0.3, 0.5, 1 - 1e-7, 1], logits)
    truth = -(x * np.logaddexp(0, -ell) + (1 - x) * np.logaddexp(0, ell))
    assert_equals_float64(jax.jit(d.bernoulli_log_prob)(*arrays), truth, atol=1e-37)
    slope = np.where(ell > 0, special.expit(-ell) - (1 - x), x - special.expit(ell))  # x - sigmoid(ell)
    grad_logits = gradients(d.bernoulli_log_prob, *arrays)[1]
    assert_equals_float64(grad_logits, slope, atol=1e-7)
    np.testing.assert_array_equal(grad_logits[:, 0][ell == 0], x[ell == 0].astype(np.float32) - 0.5)


def discretized_reference(values, levels):
    """float64, in three regimes that do not share their formulas with the code: quadrature for narrow bins,
    differences of log Phi, and erfcx for the ratio of far tails."""
    x, mu, log_scale = values
    delta, s = 1 / (levels - 1), np.exp(log_scale)
    c, h = np.abs(x - mu) / s, delta / s
    nodes, weights = np.polynomial.legendre.leggauss(20)
    integral = sum(w * np.exp(-c * h * (v + 1) - (h * v) ** 2 / 2) for v, w in zip(nodes, weights, strict=True))
    narrow = stats.norm.logpdf(c) + c * h + np.log(h) + np.log(integral)
    near, far = c - h, c + h
    mills = [np.where(t < 1e9, np.log(special.erfcx(t / 2**0.5)), -np.log(t * (np.pi / 2) ** 0.5)) for t in (near, far)]
    log_q, log_q_far = special.log_ndtr(-near), special.log_ndtr(-far)
    ratio = np.where(near > 5, mills[1] - mills[0] - 2 * c * h, log_q_far - log_q)
    tails = log_q + np.where(ratio < -1, np.log1p(-np.exp(ratio)), np.log(-np.expm1(ratio)))
    inner = np.where(2 * h * np.maximum(c, 1) < 2, narrow, tails)
    below, above = special.log_ndtr((x + delta - mu) / s), special.log_ndtr((mu - x + delta) / s)
    return np.where(x < delta - 1, below, np.where(x > 1 - delta, above, inner))


@pytest.mark.filterwarnings(DISCARDED)
@pytest.mark.parametrize("levels", [2, 3, 256])
def test_discretized_normal_equals_float64(levels):
    x = np.linspace(-1, 1, levels)[:: max(1, levels // 15)]
    mu = np.concatenate([np.linspace(-2, 2, 41), x[::3], *([-m, m] for m in (10.0, 1e3, 1e6, 1e15))])
    arrays, values = grid(x, mu, np.linspace(-30, 30, 97))
    truth = discretized_reference(values, levels)
    # A mean within rounding of the edge of a distant bin: what the inputs leave open is no error.
    slack = 1e-6 * (1 + np.abs(truth))
    for i, value in enumerate(values):
        nudged = [*values[:i], value + ULP * np.maximum(np.abs(value), i == 2), *values[i + 1 :]]
        slack += 2 * np.abs(discretized_reference(nudged, levels) - truth)

    def log_prob(x, mu, log_scale):
        return d.discretized_normal_log_prob(x, mu, log_scale, levels=levels)

    value = np.asarray(jax.jit(log_prob)(*arrays), np.float64)
    held = np.abs(truth) < np.finfo(np.float32).max
    assert np.all((np.abs(value - truth) < slack)[held])
    assert np.all(value[~held] == -np.inf)
    assert not any(np.isnan(gradient).any() for gradient in gradients(log_prob, *arrays))


@pytest.mark.filterwarnings(DISCARDED)
def test_discretized_normal_gradient():
    delta, mus, log_scales = 1 / 255, np.linspace(-1.5, 1.5, 31), np.linspace(-6, 8, 29)
    arrays, (x, mu, log_scale) = grid(np.linspace(-1, 1, 256)[::15], mus, log_scales)
    s, log_prob = np.exp(log_scale), discretized_reference((x, mu, log_scale), 256)
    a = np.where(x < delta - 1, -1e9, (x - delta - mu) / s)
    b = np.where(x > 1 - delta, 1e9, (x + delta - mu) / s)
    density_a, density_b = (np.exp(stats.norm.logpdf(edge) - log_prob) for edge in (a, b))
    _, grad_mu, grad_log_scale = gradients(d.discretized_normal_log_prob, *arrays)
    unit = np.abs(x - mu) / s + 1
    assert_equals_float64(grad_mu[:, 0] * s / unit, (density_a - density_b) / unit, atol=1e-5)
    assert_equals_float64(grad_log_scale[:, 0] / unit**2, (a * density_a - b * density_b) / unit**2, atol=1e-5)


@pytest.mark.parametrize("levels", [2, 5, 256])
def test_discretized_normal_sums_to_one(levels):
    mus, log_scales = [-3.0, -1.0, -0.3337, 0.0, 1 / 255, 0.9, 1.5], [-9.0, -5.0, -3.0, -1.0, 0.0, 3.0, 20.0]
    arrays, (_, _, log_scale) = grid(np.linspace(-1, 1, levels), mus, log_scales)
    log_prob = jax.jit(lambda *a: d.discretized_normal_log_prob(*a, levels=levels))(*arrays)
    total = np.exp(np.asarray(log_prob, np.float64)).reshape(levels, -1).sum(0)
    rounding_of_x = ULP * np.exp(-log_scale).reshape(levels, -1)[0]
    assert np.all(np.abs(total - 1) < 5e-6 + rounding_of_x)


def test_probabilities_of_all_levels_are_those_of_each():
    mu = jnp.array([[-3.0, -1.0, -0.33], [0.0, 0.9, 1.5]], jnp.float32)
    log_scale = jnp.array([[-5.0, -1.0, 0.0], [-3.0, 3.0, -9.0]], jnp.float32)
    found = d.discretized_normal_probabilities(mu, log_scale, levels=17)
    assert found.shape == (2, 3, 17)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)
    for n in range(17):
        x = jnp.full((6, 1), -1 + n / 8, jnp.float32)
        each = d.discretized_normal_log_prob(x, mu.reshape(6, 1), log_scale.reshape(6, 1), levels=17)
        np.testing.assert_allclose(found[..., n].ravel(), np.exp(each), atol=2e-7)


def test_discretized_normal_off_the_grid_and_with_infinite_means():
    x, mu = jnp.array([[1.0], [1 - 1e-6], [1 + 1e-6]]), jnp.full((3, 1), 4.0)
    log_prob = d.discretized_normal_log_prob(x, mu, jnp.zeros(()))  # the open bin holds nearly all of the mass
    np.testing.assert_allclose(log_prob, special.log_ndtr(3 + 1 / 255), rtol=1e-4)

    def infinite(mu):
        return d.discretized_normal_log_prob(jnp.array([[0.0], [-1.0], [1.0]]), mu, jnp.zeros(()), levels=3)

    for mu, truth in ((np.inf, [-np.inf, -np.inf, 0]), (-np.inf, [-np.inf, 0, -np.inf])):
        np.testing.assert_array_equal(infinite(jnp.full((3, 1), mu)), truth)
        assert not np.isnan(gradients(infinite, jnp.full((3, 1), mu))).any()


LOG_PROBS = [
    lambda x, a, b, mask=None: d.normal_log_prob(x, a, b, mask),
    lambda x, a, b, mask=None: d.bernoulli_log_prob(x, a, mask),
    lambda x, a, b, mask=None: d.discretized_normal_log_prob(x, a, b, levels=16, mask=mask),
]


@pytest.mark.parametrize("log_prob", LOG_PROBS, ids=["normal", "bernoulli", "discretized"])
def test_masked_dimensions_do_not_count(log_prob):
    a, b = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 3, 2)), jnp.float32)
    x, mask = jnp.where(a + b > 0, 1.0, 0.0), np.arange(24).reshape(4, 3, 2) % 3 > 0
    mask[2] = False
    holes = jnp.where(mask, x, jnp.nan)
    each = log_prob(*(v.reshape(24, 1) for v in (x, a, b))).reshape(4, 3, 2)
    values = log_prob(holes, a, b, jnp.asarray(mask))
    np.testing.assert_allclose(values, np.sum(each, (1, 2), where=mask), rtol=1e-6)
    assert values[2] == 0
    masked = gradients(lambda *v: log_prob(*v, jnp.asarray(mask)), holes, a, b)
    for gradient, full in zip(masked, gradients(log_prob, x, a, b), strict=True):
        np.testing.assert_allclose(gradient, np.where(mask, full, 0), rtol=1e-6)


# KL of Gaussians


def test_diagonal_kl_equals_float64():
    arrays, (mu_0, v_0, mu_1, v_1) = grid(SQUARES[::2], LOG_VARS, SQUARES[1::2], LOG_VARS[::2])
    z, slope = (mu_0 - mu_1) * np.exp(-v_1 / 2), np.exp(-v_1 / 2)
    kl = jax.jit(d.normal_kl)(*arrays)
    assert_equals_float64(kl, (exp_remainder(v_0 - v_1) + z**2) / 2, rtol=2e-6)
    assert np.all(kl >= 0)
    truth = z * slope, np.expm1(v_0 - v_1) / 2, -z * slope, -(np.expm1(v_0 - v_1) + z**2) / 2
    for gradient, expected in zip(gradients(d.normal_kl, *arrays), truth, strict=True):
        assert_equals_float64(gradient, expected, rtol=3e-6, atol=1e-7)
    arrays, (mu, log_var) = grid(SQUARES, [*LOG_VARS, *np.linspace(-1, 1, 101)])
    assert_equals_float64(jax.jit(d.standard_normal_kl)(*arrays), (mu**2 + exp_remainder(log_var)) / 2)
    for gradient, expected in zip(gradients(d.standard_normal_kl, *arrays), (mu, np.expm1(log_var) / 2), strict=True):
        assert_equals_float64(gradient, expected)


def gaussians(n, k):
    """Means [n, k] and covariances [n, k, k] of two families of Gaussians."""
    rng = np.random.default_rng(k)
    mu, root = rng.normal(size=(2, n, k)), np.eye(k) + 0.4 * rng.normal(size=(2, n, k, k))
    cov = root @ np.swapaxes(root, -1, -2)
    return [np.asarray(a, np.float32) for a in (mu[0], cov[0], mu[1], cov[1])]


@pytest.mark.parametrize("k", [1, 5])
def test_multivariate_kl_is_the_lectures_formula(k):
    def lecture(mu_0, cov_0, mu_1, cov_1):
        inverse, difference = np.linalg.inv(cov_1), mu_1 - mu_0
        log_det = np.linalg.slogdet(cov_1)[1] - np.linalg.slogdet(cov_0)[1]
        square = np.einsum("bi,bij,bj->b", difference, inverse, difference)
        return (np.trace(inverse @ cov_0, axis1=1, axis2=2) + square - k + log_det) / 2

    mu, cov, *_ = arguments = gaussians(8, k)
    standard = np.zeros_like(mu), np.broadcast_to(np.eye(k, dtype=np.float32), cov.shape)
    kl = jax.jit(d.multivariate_normal_kl)
    for case in (arguments, (mu, cov, *standard)):
        truth = lecture(*(np.asarray(a, np.float64) for a in case))
        np.testing.assert_allclose(kl(*map(jnp.asarray, case)), truth, rtol=1e-4)
    to_standard = np.trace(cov, axis1=1, axis2=2) + np.sum(mu**2, 1) - k - np.linalg.slogdet(cov)[1]
    np.testing.assert_allclose(truth, to_standard / 2, rtol=1e-4)  # the lecture's form for N(0, I)
    same = map(jnp.asarray, (mu, cov, mu, cov))
    np.testing.assert_allclose(kl(*same), 0, atol=1e-12)
    assert all(np.isfinite(g).all() for g in gradients(d.multivariate_normal_kl, *map(jnp.asarray, arguments)))


def test_kl_averages_over_its_first_argument():
    mu_0, cov_0, mu_1, cov_1 = (jnp.asarray(a) for a in gaussians(1, 3))
    rng = np.random.default_rng(0)
    z = rng.multivariate_normal(mu_0[0], cov_0[0], 50_000)
    normal: Any = stats.multivariate_normal  # whose stubs take a covariance for an int
    log_p, log_q = (normal.logpdf(z, mu[0], cov[0]) for mu, cov in ((mu_0, cov_0), (mu_1, cov_1)))
    assert_mean(log_p - log_q, d.multivariate_normal_kl(mu_0, cov_0, mu_1, cov_1))
    v_0, v_1 = (jnp.log(jnp.diagonal(cov, axis1=1, axis2=2)) for cov in (cov_0, cov_1))
    z = rng.normal(mu_0, np.exp(v_0 / 2), (50_000, 3))
    log_p, log_q = (stats.norm.logpdf(z, mu, np.exp(v / 2)).sum(1) for mu, v in ((mu_0, v_0), (mu_1, v_1)))
    kl = d.normal_kl(mu_0, v_0, mu_1, v_1)
    assert_mean(log_p - log_q, kl)
    diagonal_0, diagonal_1 = (jnp.exp(v)[:, :, None] * jnp.eye(3)[None] for v in (v_0, v_1))
    np.testing.assert_allclose(d.multivariate_normal_kl(mu_0, diagonal_0, mu_1, diagonal_1), kl, rtol=1e-5)


# Divergences of probability vectors

kl_divergence, js_divergence = jax.jit(d.kl_divergence), jax.jit(d.js_divergence)


def test_divergences_equal_float64():
    p, q = np.random.default_rng(0).dirichlet(np.full(7, 0.5), (2, 50, 4)).astype(np.float32)
    p64, q64 = p.astype(np.float64), q.astype(np.float64)
    rounding = np.abs(q64.sum(-1) - p64.sum(-1)).max()
    truth = special.rel_entr(p64, q64).sum(-1)
    assert_equals_float64(kl_divergence(p, q), truth, atol=3e-7 + rounding)
    m = (p64 + q64) / 2
    js = js_divergence(p, q)
    assert_equals_float64(js, (special.rel_entr(p64, m) + special.rel_entr(q64, m)).sum(-1) / 2)
    np.testing.assert_allclose(js, js_divergence(q, p), rtol=0, atol=1e-7)
    for change in (0.3, 1e-3, 1e-6):  # the last far below the rounding of a logarithm
        close = p * (1 + change * np.sign(p - q))
        truth = (p64 * exp_remainder(np.log1p((close.astype(np.float64) - p64) / p64))).sum(-1)
        assert_equals_float64(kl_divergence(p, close), truth)
        assert np.all(js_divergence(p, close) > 0)


def test_divergences_at_zero_probabilities():
    p, q = np.array([[0.5, 0.5, 0, 0], [0.25, 0.5, 0.25, 0]], np.float32)
    np.testing.assert_allclose(kl_divergence(p, q), 0.5 * math.log(2), rtol=1e-6)
    assert kl_divergence(q, p) == np.inf
    assert kl_divergence(p, p) == js_divergence(q, q) == 0
    disjoint = np.eye(4, dtype=np.float32)[[0, 3]]
    np.testing.assert_allclose(js_divergence(*disjoint), math.log(2), rtol=1e-6)
    tiny = np.array([[1, 1e-38, 1e-30, 0], [1e-30, 1e-38, 1, 2e-38]], np.float32)
    for pair in ((p, q), (q, p), disjoint, (p, p), tiny, tiny[::-1]):
        pair = [jnp.asarray(a) for a in pair]
        assert 0 <= js_divergence(*pair) <= math.log(2) + 1e-6
        for divergence in (kl_divergence, js_divergence):
            assert np.isfinite(gradients(divergence, *pair)).all()
    broken = np.array([np.nan, 0.5, 0.5, 0], np.float32)
    for divergence in (kl_divergence, js_divergence):
        assert np.isnan(divergence(broken, p)) and np.isnan(divergence(p[::-1], broken))


def test_divergence_gradients_on_the_simplex():
    a, b = np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)
    p, q = (special.softmax(u.astype(np.float64)) for u in (a, b))
    slopes = {
        kl_divergence: (np.log(p / q), -p / q),
        js_divergence: (np.log(2 * p / (p + q)) / 2, np.log(2 * q / (p + q)) / 2),
    }
    for divergence, (slope_p, slope_q) in slopes.items():
        through_softmax = gradients(lambda u, v, f=divergence: f(jax.nn.softmax(u), jax.nn.softmax(v)), a, b)
        expected = p * (slope_p - p @ slope_p), q * (slope_q - q @ slope_q)
        np.testing.assert_allclose(through_softmax, expected, atol=1e-6)


# Draws


def test_reparameterisation_moments_and_gradients(key):
    n, mu, log_var = 40_000, 0.7, -0.9
    mus, log_vars = jnp.full((n, 1), mu), jnp.full((n, 1), log_var)
    z = d.reparameterise(key, mus, log_vars)
    np.testing.assert_array_equal(z, d.affine(mus, log_vars, jax.random.normal(key, (n, 1))))
    np.testing.assert_allclose(z, d.reparameterise(key, mus, jnp.asarray(log_var)), rtol=1e-6)
    assert_mean(z, mu)
    assert_mean((z - mu) ** 2, np.exp(log_var))
    np.testing.assert_array_equal(gradients(lambda m: d.reparameterise(key, m, log_vars), mus)[0], 1)
    # The mean of the draws' gradients is the gradient of the mean, E z^2 = mu^2 + exp log_var.
    grad_mu, grad_log_var = gradients(lambda m, v: d.reparameterise(key, m, v) ** 2, mus, log_vars)
    assert_mean(grad_mu, 2 * mu)
    assert_mean(grad_log_var, np.exp(log_var))


def test_full_covariance_draws(key):
    mu, cov, *_ = (jnp.asarray(a) for a in gaussians(1, 3))
    root = jnp.linalg.cholesky(cov)
    z = d.reparameterise_full(key, jnp.broadcast_to(mu, (40_000, 3)), jnp.broadcast_to(root, (40_000, 3, 3)))
    centred = np.asarray(z - mu)
    assert_mean(centred, 0)
    assert_mean(centred[:, :, None] * centred[:, None, :], np.asarray(cov[0]))
    diagonal = jnp.exp(0.5 * z[:5])[:, :, None] * jnp.eye(3)[None]
    full = d.reparameterise_full(key, z[:5], diagonal)
    np.testing.assert_allclose(full, d.reparameterise(key, z[:5], z[:5]), rtol=1e-6)


# All of them

PER_EXAMPLE = [
    *LOG_PROBS,
    lambda x, a, b: d.standard_normal_kl(x, b),
    lambda x, a, b: d.normal_kl(x, b, a, a),
]


@pytest.mark.parametrize("function", PER_EXAMPLE, ids=["normal", "bernoulli", "discretized", "standard_kl", "kl"])
def test_one_value_per_example_of_any_rank(function):
    images = np.random.default_rng(0).uniform(size=(3, 5, 4, 4, 2)).astype(np.float32)
    function, eager = jax.jit(function), function
    values = function(*images)
    assert values.shape == (5,)
    np.testing.assert_allclose(eager(*map(jnp.asarray, images)), values, rtol=1e-5)
    np.testing.assert_allclose(function(*images.reshape(3, 5, -1)), values, rtol=1e-5)
    np.testing.assert_allclose(function(*images[:, :, 0, 0, 0]), function(*images[:, :, 0, 0, :1]), rtol=1e-6)
    shared = np.full_like(images[0], -0.7)  # a log-variance for all dimensions
    np.testing.assert_allclose(
        function(*images[:2], np.float32(-0.7)), function(*images[:2], shared), rtol=1e-5, atol=1e-6
    )
    images[0, 1, 2, 2, 1] = np.nan
    np.testing.assert_array_equal(np.isnan(function(*images)), np.arange(5) == 1)


def test_shapes_that_would_broadcast_and_single_levels_raise(key):
    f = runpy.run_path(str(d.__file__))  # without the checks that the import hook adds in tests
    x, column, k = jnp.zeros((4, 3)), jnp.zeros((4, 1)), jnp.zeros((4, 3, 3))
    for name, arguments, message in [
        ("normal_log_prob", (x, column, x), r"mu must have shape \(4, 3\), got \(4, 1\)"),
        ("normal_log_prob", (x, x, column), r"log_var must have shape \(4, 3\) or \(\), got \(4, 1\)"),
        ("normal_log_prob", (x, x, x, column > 0), "mask must have shape"),
        ("bernoulli_log_prob", (x, column), "logits must have shape"),
        ("discretized_normal_log_prob", (x, x, column), "log_scale must have shape"),
        ("discretized_normal_log_prob", (x, x, x, 1), "levels must be an integer of at least 2, got 1"),
        ("standard_normal_kl", (x, column), "log_var must have shape"),
        ("normal_kl", (x, x, x, column), "log_var_1 must have shape"),
        ("multivariate_normal_kl", (x, k, x[:1], k), "mu_1 must have shape"),
        ("multivariate_normal_kl", (x, k, x, k[:1]), r"cov_1 must have shape \(4, 3, 3\), got \(1, 3, 3\)"),
        ("kl_divergence", (x, column), "q must have shape"),
        ("js_divergence", (x, column), "q must have shape"),
        ("affine", (x, x, column), "eps must have shape"),
        ("reparameterise", (key, x, column), "log_var must have shape"),
        ("reparameterise_full", (key, x, k[:1]), "scale_tril must have shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            f[name](*arguments)


def test_categorical_equals_float64():
    """Within float32 for logits of any size."""
    sizes = np.float32([[1], [10], [100], [1e4], [0]])
    logits = sizes * np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    labels = np.array([0, 3, 1, 2, 2], np.int32)
    exact = special.log_softmax(logits.astype(np.float64), axis=1)[np.arange(5), labels]
    np.testing.assert_allclose(d.categorical_log_prob(jnp.asarray(labels), jnp.asarray(logits)), exact, rtol=1e-5)
