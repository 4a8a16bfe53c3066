"""Log-probabilities, divergences and draws against float64 references, closed forms and Monte Carlo."""

import math
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from jaxgen import distributions
from jaxgen.distributions import (
    affine,
    bernoulli_log_prob,
    discretized_normal_log_prob,
    js_divergence,
    kl_divergence,
    multivariate_normal_kl,
    normal_kl,
    normal_log_prob,
    reparameterise,
    reparameterise_full,
    standard_normal_kl,
)

ULP = 6e-8  # half a step of float32: what the inputs and one operation are uncertain by
SQUARES = np.array([0, 1e-6, 0.3, -1, 2.5, -40, 1e4, -1e9, 1e15])
LOG_VARS = np.array([-30, -12, -3, -0.4, -1e-3, 0, 1e-5, 0.01, 0.3, 0.49, 0.51, 2, 11, 30])


def grid(*axes):
    """Every combination of the values, as float32 [n, 1] columns and as the float64 values of those columns."""
    columns = [a.reshape(-1, 1).astype(np.float32) for a in np.meshgrid(*axes, indexing="ij")]
    return [jnp.asarray(c) for c in columns], [c[:, 0].astype(np.float64) for c in columns]


def assert_float64_equal(value, reference, rtol=1e-6, atol=0.0):
    assert value.dtype == jnp.float32
    held = np.where(np.abs(reference) > np.finfo(np.float32).max, np.copysign(np.inf, reference), reference)
    np.testing.assert_allclose(np.asarray(value, np.float64), held, rtol=rtol, atol=atol)


def gradients(function, *arguments):
    return jax.jit(jax.grad(lambda *a: function(*a).sum(), range(len(arguments))))(*arguments)


def exp_remainder(d):
    """exp(d) - 1 - d in float64."""
    return np.where(np.abs(d) < 0.1, sum(d**n / math.factorial(n) for n in range(2, 20)), np.expm1(d) - d)


def within_four_standard_errors(draws, truth):
    error = np.std(draws, axis=0, ddof=1) / np.sqrt(len(draws))
    assert np.all(np.abs(np.mean(draws, axis=0) - truth) < 4 * error)


# Log-probabilities


def test_normal_equals_float64():
    arrays, (x, mu, log_var) = grid(SQUARES, SQUARES[::2], LOG_VARS)
    z = (x - mu) * np.exp(-log_var / 2)
    reference = stats.norm.logpdf(z) - log_var / 2
    assert_float64_equal(jax.jit(normal_log_prob)(*arrays), reference, atol=2e-6)
    grad_x, grad_mu, grad_log_var = gradients(normal_log_prob, *arrays)
    assert_float64_equal(grad_x[:, 0], -z * np.exp(-log_var / 2))
    assert_float64_equal(grad_mu[:, 0], z * np.exp(-log_var / 2))
    assert_float64_equal(grad_log_var[:, 0], (z**2 - 1) / 2, atol=1e-6)


def test_bernoulli_equals_float64_in_both_tails():
    logits = np.concatenate([[0], *(s * np.logspace(-30, 30, 121) for s in (-1, 1))])
    (x, l), (x64, l64) = grid([0, 1e-7, 0.3, 0.5, 1 - 1e-7, 1], logits)
    reference = -(x64 * np.logaddexp(0, -l64) + (1 - x64) * np.logaddexp(0, l64))
    assert_float64_equal(jax.jit(bernoulli_log_prob)(x, l), reference, atol=1e-37)
    assert_float64_equal(bernoulli_log_prob(jnp.ones((1, 1)), jnp.full((1, 1), 50.0)), [-np.exp(-50.0)])
    slope = np.where(l64 > 0, special.expit(-l64) - (1 - x64), x64 - special.expit(l64))
    assert_float64_equal(gradients(bernoulli_log_prob, x, l)[1][:, 0], slope, atol=1e-7)
    np.testing.assert_array_equal(
        gradients(bernoulli_log_prob, jnp.array([[0.0, 0.25, 1.0]]), jnp.zeros((1, 3)))[1],
        [[-0.5, -0.25, 0.5]],
    )


def discretized_reference(x, mu, log_scale, levels):
    delta, s = 1 / (levels - 1), np.exp(log_scale)
    c, h = np.abs(x - mu) / s, delta / s
    near, far = c - h, c + h
    mills = [
        np.where(t < 1e9, np.log(special.erfcx(t / 2**0.5) * (np.pi / 2) ** 0.5), -np.log(t))
        for t in (near, far)
    ]
    ratio = np.where(
        near > 5, mills[1] - mills[0] - 2 * c * h, special.log_ndtr(-far) - special.log_ndtr(-near)
    )
    tails = special.log_ndtr(-near) + np.where(ratio < -1, np.log1p(-np.exp(ratio)), np.log(-np.expm1(ratio)))
    nodes, weights = np.polynomial.legendre.leggauss(20)
    integral = sum(
        w * np.exp(-c * h * (v + 1) - (h * v) ** 2 / 2) for v, w in zip(nodes, weights, strict=True)
    )
    narrow = stats.norm.logpdf(c) + c * h + np.log(h) + np.log(integral)
    inner = np.where(2 * h * np.maximum(c, 1) < 2, narrow, tails)
    low, high = special.log_ndtr((x + delta - mu) / s), special.log_ndtr((mu - x + delta) / s)
    return np.where(x < delta - 1, low, np.where(x > 1 - delta, high, inner))


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # branches that the reference discards
@pytest.mark.parametrize("levels", [2, 3, 16, 256])
def test_discretized_normal_equals_float64(levels):
    x = np.linspace(-1, 1, levels)[:: max(1, levels // 15)]
    mu = np.concatenate([np.linspace(-2, 2, 41), x[::3], *([-m, m] for m in (10.0, 1e3, 1e6, 1e15))])
    arrays, values = grid(x, mu, np.linspace(-30, 30, 97))
    reference = discretized_reference(*values, levels)
    # Where the mean is within rounding of a far bin's edge, nothing is determined by float32 inputs.
    nudged = [
        discretized_reference(
            *(v + (i == k) * ULP * np.maximum(np.abs(v), k == 2) for k, v in enumerate(values)), levels
        )
        for i in range(3)
    ]
    got = np.asarray(discretized_normal_log_prob(*arrays, levels=levels), np.float64)
    held = np.abs(reference) < np.finfo(np.float32).max
    slack = 1e-6 * (1 + np.abs(reference)) + 2 * sum(np.abs(n - reference) for n in nudged)
    assert np.all((np.abs(got - reference) < slack)[held])
    assert np.all(got[~held] == -np.inf)
    for gradient in gradients(lambda *a: discretized_normal_log_prob(*a, levels=levels), *arrays):
        assert not np.isnan(gradient).any()


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
def test_discretized_normal_gradient():
    levels, delta = 256, 1 / 255
    arrays, (x, mu, log_scale) = grid(
        np.linspace(-1, 1, levels)[::15], np.linspace(-1.5, 1.5, 31), np.linspace(-6, 8, 29)
    )
    s, log_prob = np.exp(log_scale), discretized_reference(x, mu, log_scale, levels)
    a = np.where(x < delta - 1, -1e9, (x - delta - mu) / s)
    b = np.where(x > 1 - delta, 1e9, (x + delta - mu) / s)
    density_a, density_b = (np.exp(stats.norm.logpdf(edge) - log_prob) for edge in (a, b))
    _, grad_mu, grad_log_scale = gradients(discretized_normal_log_prob, *arrays)
    c = np.abs(x - mu) / s + 1
    np.testing.assert_allclose(grad_mu[:, 0] * s / c, (density_a - density_b) / c, atol=1e-5)
    np.testing.assert_allclose(grad_log_scale[:, 0] / c**2, (a * density_a - b * density_b) / c**2, atol=1e-5)


@pytest.mark.parametrize("levels", [2, 5, 256])
def test_discretized_normal_sums_to_one(levels):
    levels_x = jnp.linspace(-1, 1, levels)[:, None]
    for mu in (-3.0, -1.0, -0.3337, 0.0, 1 / 255, 0.9, 1.5):
        for log_scale in (-12.0, -5.0, -3.0, -1.0, 0.0, 3.0, 20.0):
            log_prob = discretized_normal_log_prob(
                levels_x, jnp.full_like(levels_x, mu), jnp.asarray(log_scale), levels=levels
            )
            np.testing.assert_allclose(np.exp(np.asarray(log_prob, np.float64)).sum(), 1, rtol=5e-6)


def test_discretized_normal_bins_despite_rounding_and_infinite_means():
    mu, log_scale = jnp.full((1, 1), 4.0), jnp.zeros(())
    for x in (1.0, 1.0 - 1e-6, 1.0 + 1e-6):  # the open end bin: nearly all of the mass, not a slice of it
        np.testing.assert_allclose(
            discretized_normal_log_prob(jnp.full((1, 1), x), mu, log_scale), special.log_ndtr(3.0), rtol=2e-2
        )
    x = jnp.array([[0.0], [-1.0], [1.0]])
    for mean, truth in ((np.inf, [-np.inf, -np.inf, 0]), (-np.inf, [-np.inf, 0, -np.inf])):
        mu = jnp.full((3, 1), mean)
        np.testing.assert_array_equal(discretized_normal_log_prob(x, mu, log_scale, levels=3), truth)
        assert not np.isnan(
            gradients(lambda m: discretized_normal_log_prob(x, m, log_scale, levels=3), mu)
        ).any()


LOG_PROBS = [
    lambda x, a, b, mask=None: normal_log_prob(x, a, b, mask),
    lambda x, a, b, mask=None: bernoulli_log_prob(x, a, mask),
    lambda x, a, b, mask=None: discretized_normal_log_prob(x, a, b, levels=16, mask=mask),
]


@pytest.mark.parametrize("log_prob", LOG_PROBS)
def test_masked_dimensions_do_not_count(log_prob, key):
    x = jnp.where(jax.random.bernoulli(key, shape=(4, 3, 2)), 1.0, 0.0)
    a, b = jax.random.normal(key, (2, 4, 3, 2))
    mask = jnp.arange(24).reshape(4, 3, 2) % 3 > 0
    mask = mask.at[2].set(False)
    holes = jnp.where(mask, x, jnp.nan)
    each = jax.vmap(jax.vmap(lambda *v: log_prob(*(u[:, None] for u in v))))(x, a, b)
    np.testing.assert_allclose(log_prob(holes, a, b, mask), jnp.sum(each, (1, 2), where=mask), rtol=1e-6)
    np.testing.assert_array_equal(log_prob(holes, a, b, mask)[2], 0)
    for got, full in zip(
        gradients(lambda *v: log_prob(*v, mask), holes, a, b), gradients(log_prob, x, a, b), strict=True
    ):
        np.testing.assert_allclose(got, jnp.where(mask, full, 0), rtol=1e-6)


# KL of Gaussians


def test_normal_kl_equals_float64_and_its_gradients_are_finite():
    arrays, (m_0, v_0, m_1, v_1) = grid(SQUARES[::2], LOG_VARS, SQUARES[1::2], LOG_VARS[::2])
    reference = (exp_remainder(v_0 - v_1) + ((m_0 - m_1) * np.exp(-v_1 / 2)) ** 2) / 2
    kl = jax.jit(normal_kl)(*arrays)
    assert_float64_equal(kl, reference, rtol=2e-6)
    assert np.all(kl >= 0)
    assert all(np.isfinite(g).all() for g in gradients(normal_kl, *arrays))
    arrays, (mu, log_var) = grid([0, *SQUARES], [*LOG_VARS, *np.linspace(-1, 1, 101)])
    assert_float64_equal(standard_normal_kl(*arrays), (mu**2 + exp_remainder(log_var)) / 2)
    grad_mu, grad_log_var = gradients(standard_normal_kl, *arrays)
    assert_float64_equal(grad_mu[:, 0], mu)
    assert_float64_equal(grad_log_var[:, 0], np.expm1(log_var) / 2)


def gaussians(key, k=3):
    """Means [1, k] and covariances [1, k, k] of two Gaussians."""
    mu, root = (
        jax.random.normal(key, (2, 1, k)),
        0.4 * jax.random.normal(key, (2, 1, k, k)) + jnp.eye(k)[None, None],
    )
    cov = root @ jnp.swapaxes(root, -1, -2)
    return mu[0], cov[0], mu[1], cov[1]


def test_kl_averages_over_its_first_argument(key):
    mu_0, cov_0, mu_1, cov_1 = gaussians(key)
    p, q = stats.multivariate_normal(mu_0[0], cov_0[0]), stats.multivariate_normal(mu_1[0], cov_1[0])
    z = p.rvs(50_000, random_state=0)
    within_four_standard_errors(p.logpdf(z) - q.logpdf(z), multivariate_normal_kl(mu_0, cov_0, mu_1, cov_1))
    v_0, v_1 = (jnp.log(jnp.diagonal(c, axis1=1, axis2=2)) for c in (cov_0, cov_1))
    z = np.asarray(mu_0 + jnp.exp(v_0 / 2) * jax.random.normal(key, (50_000, 3)), np.float64)
    log_p, log_q = (stats.norm.logpdf(z, m, np.exp(v / 2)).sum(1) for m, v in ((mu_0, v_0), (mu_1, v_1)))
    within_four_standard_errors(log_p - log_q, normal_kl(mu_0, v_0, mu_1, v_1))
    diagonal = [jax.vmap(jnp.diag)(jnp.exp(v)) for v in (v_0, v_1)]
    np.testing.assert_allclose(
        multivariate_normal_kl(mu_0, diagonal[0], mu_1, diagonal[1]),
        normal_kl(mu_0, v_0, mu_1, v_1),
        rtol=1e-5,
    )


def test_multivariate_kl_is_the_lectures_formula(key):
    for k in (1, 2, 6):
        m_0, s_0, m_1, s_1 = (np.asarray(a[0], np.float64) for a in gaussians(key, k))
        inverse, d = np.linalg.inv(s_1), m_1 - m_0
        log_det = np.linalg.slogdet(s_1)[1] - np.linalg.slogdet(s_0)[1]
        kl = (np.trace(inverse @ s_0) + d @ inverse @ d - k + log_det) / 2
        np.testing.assert_allclose(multivariate_normal_kl(*gaussians(key, k)), [kl], rtol=1e-4)
        # and its form for N(0, I): 1/2 (tr S + mu^T mu - k - log det S)
        to_standard = (np.trace(s_0) + m_0 @ m_0 - k - np.linalg.slogdet(s_0)[1]) / 2
        mu_0, cov_0, _, _ = gaussians(key, k)
        kl = multivariate_normal_kl(mu_0, cov_0, jnp.zeros((1, k)), jnp.eye(k)[None])
        np.testing.assert_allclose(kl, [to_standard], rtol=1e-5)
        np.testing.assert_allclose(multivariate_normal_kl(mu_0, cov_0, mu_0, cov_0), 0, atol=1e-12)
        assert all(np.isfinite(g).all() for g in gradients(multivariate_normal_kl, *gaussians(key, k)))


# Divergences of probability vectors


def probabilities(key, shape):
    p = np.asarray(jax.random.dirichlet(key, jnp.full(shape[-1], 0.5), shape[:-1]), np.float64)
    return jnp.asarray(p / p.sum(-1, keepdims=True), jnp.float32)


def test_divergences_equal_float64(key):
    p, q = probabilities(key, (2, 50, 4, 7))
    p64, q64 = np.asarray(p, np.float64), np.asarray(q, np.float64)
    m64 = (p64 + q64) / 2
    assert_float64_equal(kl_divergence(p, q), special.rel_entr(p64, q64).sum(-1), rtol=2e-6, atol=3e-7)
    js = (special.rel_entr(p64, m64) + special.rel_entr(q64, m64)).sum(-1) / 2
    assert_float64_equal(js_divergence(p, q), js, rtol=2e-6)
    np.testing.assert_array_equal(js_divergence(p, q), js_divergence(q, p))
    for change in (1e-1, 1e-3, 1e-5):  # far below the rounding of the logarithms
        near = p * (1 + change * jnp.where(jnp.arange(7) % 2 == 0, 1.0, -1.0)[None, None])
        near64 = np.asarray(near, np.float64)
        reference = (p64 * exp_remainder(np.log1p((near64 - p64) / p64))).sum(-1)
        assert_float64_equal(kl_divergence(p, near), reference, rtol=3e-6)
        assert np.all(js_divergence(p, near) >= 0)


def test_divergences_at_zero_probabilities():
    p, q = jnp.array([0.5, 0.5, 0.0, 0.0]), jnp.array([0.25, 0.5, 0.25, 0.0])
    np.testing.assert_allclose(kl_divergence(p, q), 0.5 * math.log(2), rtol=1e-6)
    assert kl_divergence(q, p) == jnp.inf
    disjoint = jnp.eye(4)[0], jnp.eye(4)[3]
    np.testing.assert_allclose(js_divergence(*disjoint), math.log(2), rtol=1e-7)
    assert kl_divergence(p, p) == js_divergence(q, q) == 0
    tiny = jnp.array([1.0, 1e-38, 1e-30, 0.0]), jnp.array([1e-30, 1e-38, 1.0, 2e-38])
    for pair in ((p, q), (q, p), disjoint, (p, p), tiny, tiny[::-1]):
        assert 0 <= js_divergence(*pair) <= math.log(2) + 1e-7
        for divergence in (kl_divergence, js_divergence):
            assert np.isfinite(gradients(divergence, *pair)).all()


def test_divergence_gradients_on_the_simplex(key):
    a, b = jax.random.normal(key, (2, 6))

    def through_softmax(divergence):
        return gradients(lambda u, v: divergence(jax.nn.softmax(u), jax.nn.softmax(v)), a, b)

    p, q = (np.asarray(special.softmax(np.asarray(u, np.float64))) for u in (a, b))
    tangent = lambda r, slope: r * (slope - r @ slope)
    truth = {
        kl_divergence: (tangent(p, np.log(p / q)), tangent(q, -p / q)),
        js_divergence: (tangent(p, np.log(2 * p / (p + q)) / 2), tangent(q, np.log(2 * q / (p + q)) / 2)),
    }
    for divergence, expected in truth.items():
        np.testing.assert_allclose(through_softmax(divergence), expected, atol=1e-6)


# Draws


def test_reparameterisation_moments_and_gradients(key):
    n, mu, log_var = 40_000, 0.7, -0.9
    mus, log_vars = jnp.full((n, 1), mu), jnp.full((n, 1), log_var)
    z = reparameterise(key, mus, log_vars)
    np.testing.assert_array_equal(z, affine(mus, log_vars, jax.random.normal(key, (n, 1))))
    np.testing.assert_array_equal(z, reparameterise(key, mus, jnp.asarray(log_var)))
    within_four_standard_errors(np.asarray(z), mu)
    within_four_standard_errors((np.asarray(z) - mu) ** 2, np.exp(log_var))
    grad_mu, _ = gradients(lambda m, v: reparameterise(key, m, v), mus, log_vars)
    np.testing.assert_array_equal(grad_mu, 1)
    # The mean of the draws' gradients is the gradient of the mean: E z^2 = mu^2 + exp log_var.
    square_mu, square_log_var = gradients(lambda m, v: reparameterise(key, m, v) ** 2, mus, log_vars)
    within_four_standard_errors(np.asarray(square_mu), 2 * mu)
    within_four_standard_errors(np.asarray(square_log_var), np.exp(log_var))


def test_full_covariance_draws(key):
    mu, cov, _, _ = gaussians(key)
    root = jnp.broadcast_to(jnp.linalg.cholesky(cov), (40_000, 3, 3))
    z = reparameterise_full(key, jnp.broadcast_to(mu, (40_000, 3)), root)
    centred = np.asarray(z - mu, np.float64)
    within_four_standard_errors(centred, 0)
    within_four_standard_errors(centred[:, :, None] * centred[:, None, :], np.asarray(cov[0]))
    diagonal = jax.vmap(jnp.diag)(jnp.exp(0.5 * z[:5]))
    np.testing.assert_allclose(
        reparameterise_full(key, z[:5], diagonal), reparameterise(key, z[:5], z[:5]), rtol=1e-6
    )


# All of them


PER_EXAMPLE = [
    *LOG_PROBS,
    lambda x, a, b: standard_normal_kl(x, b),
    lambda x, a, b: normal_kl(x, b, a, a),
]


@pytest.mark.parametrize("function", PER_EXAMPLE)
def test_one_value_per_example_of_any_rank_and_nan_stays(function, key):
    images = jax.random.uniform(key, (3, 5, 4, 4, 2))
    values = jax.jit(function)(*images)
    assert values.shape == (5,)
    np.testing.assert_allclose(function(*images.reshape(3, 5, -1)), values, rtol=1e-5)
    np.testing.assert_allclose(function(*images[:, 2:3]), values[2:3], rtol=1e-5)
    np.testing.assert_allclose(function(*images[..., 0, 0, 0]), function(*images[..., 0, 0, :1]), rtol=1e-6)
    broken = images.at[0, 1, 2, 2, 1].set(jnp.nan)
    np.testing.assert_array_equal(np.isnan(function(*broken)), np.arange(5) == 1)
    flat = images[..., 0, 0, :].at[2].set(-0.7)  # a log-variance for all
    np.testing.assert_allclose(function(flat[0], flat[1], jnp.asarray(-0.7)), function(*flat), rtol=1e-6)


def test_wrong_arguments_are_named():
    plain = runpy.run_path(str(distributions.__file__))  # without the annotations' own checks
    x, column, k = jnp.zeros((4, 3)), jnp.zeros((4, 1)), jnp.zeros((4, 3, 3))
    for call, message in [
        (lambda: plain["normal_log_prob"](x, column, x), r"mu must have shape \(4, 3\), got \(4, 1\)"),
        (
            lambda: plain["normal_log_prob"](x, x, column),
            r"log_var must have shape \(4, 3\) or \(\), got \(4, 1\)",
        ),
        (lambda: plain["normal_log_prob"](x, x, x, column > 0), "mask must"),
        (lambda: plain["bernoulli_log_prob"](x, column), "logits must"),
        (lambda: plain["discretized_normal_log_prob"](x, x, column), "log_scale must"),
        (lambda: plain["discretized_normal_log_prob"](x, x, x, levels=1), "levels must be at least 2, got 1"),
        (lambda: plain["standard_normal_kl"](x, column), "log_var must"),
        (lambda: plain["normal_kl"](x, x, x, column), "log_var_1 must"),
        (lambda: plain["multivariate_normal_kl"](x, k, x[:1], k), "mu_1 must"),
        (lambda: plain["multivariate_normal_kl"](x, k, x, k[:1]), r"cov_1 must have shape \(4, 3, 3\)"),
        (lambda: plain["kl_divergence"](x, column), "q must"),
        (lambda: plain["js_divergence"](x, column), "q must"),
        (lambda: plain["affine"](x, x, column), "eps must"),
        (lambda: plain["reparameterise"](jax.random.key(0), x, column), "log_var must"),
        (lambda: plain["reparameterise_full"](jax.random.key(0), x, k[:1]), "scale_tril must"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
