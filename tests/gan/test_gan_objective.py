"""The equations of the game: against float64 formulas, analytic slopes, and the lecture's argument step by step."""

import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from jaxgen.distributions import js_divergence, kl_divergence
from jaxgen.draws import example_uniforms
from jaxgen.gan import objective as o
from jaxgen.gan import penalties

LOGITS = np.array([0, *(sign * size for size in (1, 20, 100, 1e30) for sign in (1, -1))])
LOG_4 = np.log(4)


def gradients(function, *arguments):
    return jax.jit(jax.grad(lambda *a: function(*a).sum(), range(len(arguments))))(*arguments)


def log_sigmoid(logits):
    return -np.logaddexp(0, -logits)


def assert_equals_float64(found, truth, dtype, rtol):
    """To the dtype's digits; beyond its range infinite, and 0 where subnormal."""
    assert found.dtype == dtype
    limits = np.finfo(dtype)
    held = np.where(np.abs(truth) > limits.max, np.copysign(np.inf, truth), truth)
    np.testing.assert_allclose(np.asarray(found, np.float64), held, rtol=rtol, atol=float(limits.tiny))


# Each loss: its float64 formula, and its slopes in the logits.
PAIRED = {
    o.value: (lambda r, f: log_sigmoid(r) + log_sigmoid(-f), lambda r, f: (expit(-r), -expit(f))),
    o.discriminator_loss: (lambda r, f: -log_sigmoid(r) - log_sigmoid(-f), lambda r, f: (-expit(-r), expit(f))),
    o.least_squares_discriminator_loss: (lambda r, f: ((r - 1) ** 2 + f**2) / 2, lambda r, f: (r - 1, f)),
    o.hinge_discriminator_loss: (
        lambda r, f: np.maximum(0, 1 - r) + np.maximum(0, 1 + f),
        lambda r, f: (-1.0 * (r < 1), 1.0 * (f > -1)),
    ),
    o.wasserstein_discriminator_loss: (lambda r, f: f - r, lambda r, f: (np.full_like(r, -1), np.ones_like(f))),
    o.relativistic_discriminator_loss: (
        lambda r, f: -log_sigmoid(r - f),
        lambda r, f: (-expit(f - r), expit(f - r)),
    ),
    o.relativistic_generator_loss: (lambda r, f: -log_sigmoid(f - r), lambda r, f: (expit(r - f), -expit(r - f))),
}
OF_SAMPLES = {
    o.minimax_generator_loss: (lambda f: log_sigmoid(-f), lambda f: (-expit(f),)),
    o.non_saturating_generator_loss: (lambda f: -log_sigmoid(f), lambda f: (-expit(-f),)),
    o.least_squares_generator_loss: (lambda f: (f - 1) ** 2 / 2, lambda f: (f - 1,)),
    o.hinge_generator_loss: (lambda f: -f, lambda f: (np.full_like(f, -1),)),
    o.wasserstein_generator_loss: (lambda f: -f, lambda f: (np.full_like(f, -1),)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_losses_and_slopes_equal_float64_at_any_logit(dtype):
    pairs = [axis.ravel() for axis in np.meshgrid(LOGITS, LOGITS)]
    with jax.enable_x64(dtype == "float64"):
        for table, logits in ((PAIRED, pairs), (OF_SAMPLES, [LOGITS])):
            held = [np.asarray(ell, dtype) for ell in logits]
            exact = [np.asarray(ell, np.float64) for ell in held]
            rtol = 1e-6 if dtype == "float32" else 1e-13
            everything = jax.jit(lambda *ell, t=table: [(f(*ell), *gradients(f, *ell)) for f in t])
            found = everything(*(jnp.asarray(ell) for ell in held))
            for numbers, (formula, slopes) in zip(found, table.values(), strict=True):
                for number, truth in zip(numbers, (formula(*exact), *slopes(*exact)), strict=True):
                    assert_equals_float64(number, truth, np.dtype(dtype), rtol)


def test_what_is_ruled_out_costs_infinitely_much():
    real, fake = jnp.array([-jnp.inf, jnp.inf, jnp.inf]), jnp.array([-jnp.inf, -jnp.inf, jnp.inf])
    np.testing.assert_array_equal(o.value(real, fake), [-np.inf, 0, -np.inf])
    assert all(np.isfinite(g).all() for g in gradients(o.discriminator_loss, real, fake))


def test_shapes_that_would_broadcast_are_refused():
    f = runpy.run_path(str(o.__file__))  # without the checks that the import hook adds in tests
    pairs = [loss.__name__ for loss in PAIRED] + ["optimal_discriminator", "optimal_logits", "optimal_value"]
    for name in pairs:
        with pytest.raises(ValueError, match=r"must have equal shapes, got \(3,.*\) and \(3,.*\)"):
            f[name](jnp.zeros(3), jnp.zeros((3, 1)))
    with pytest.raises(ValueError, match="p_data and p_model and d must have equal shapes"):
        f["value_density"](jnp.zeros(3), jnp.zeros(3), jnp.zeros((3, 1)))
    with pytest.raises(ValueError, match="x_real and x_fake must have equal shapes"):
        penalty = runpy.run_path(str(penalties.__file__))["gradient_penalty"]
        penalty(jax.random.key(0), lambda x: x[:, 0], jnp.zeros((3, 2)), jnp.zeros((1, 2)))


# The generator's two losses


def test_the_minimax_slope_vanishes_where_a_sample_is_rejected_and_the_other_does_not():
    rejected_fooled = jnp.array([-15.0, 15.0])
    minimax = gradients(o.minimax_generator_loss, rejected_fooled)[0]
    other = gradients(o.non_saturating_generator_loss, rejected_fooled)[0]
    assert -1e-6 < minimax[0] < 0 and minimax[1] < -0.999
    assert other[0] < -0.999 and -1e-6 < other[1] < 0


def test_both_generator_losses_rest_where_the_densities_are_equal():
    """p_d = N(0, 1), G(z) = m + z, D = D* held fixed, logit -m x + m^2 / 2: slopes m E[D] and m E[1 - D] in m."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(40)
    z, w = jnp.asarray(nodes, jnp.float32), jnp.asarray(weights / weights.sum(), jnp.float32)
    m = jnp.array([-6.0, -1.0, 0.0, 0.5, 3.0, 6.0])

    def slopes(loss):
        def expected(shift, held):
            return w @ loss(-held * (shift + z) + held**2 / 2)

        return jax.jit(jax.vmap(jax.grad(expected)))(m, m)

    d = expit(-np.asarray(m)[:, None] * nodes - np.square(np.asarray(m))[:, None] / 2) @ (weights / weights.sum())
    minimax, other = slopes(o.minimax_generator_loss), slopes(o.non_saturating_generator_loss)
    np.testing.assert_allclose(minimax, m * d, rtol=1e-4)
    np.testing.assert_allclose(other, m * (1 - d), rtol=1e-4)
    assert minimax[2] == other[2] == 0
    assert (np.sign(minimax) == np.sign(m)).all() and (np.sign(other) == np.sign(m)).all()  # descent leads to m = 0
    # Against a D that is trained to its optimum the minimax loss says least to the generator that is worst.
    assert minimax[5] < 0.02 < 0.1 < minimax[3] and other[5] > 5.9


# The optimal discriminator


def test_optimal_discriminator_is_bayes_rule_and_its_logits_agree():
    discriminator, logits = jax.jit(o.optimal_discriminator), jax.jit(o.optimal_logits)
    p_data = np.array([0.3, 1e-30, 0.0, 2.0, 0.0, 1e37, np.nan, 1.0], np.float32)
    p_model = np.array([0.1, 1e-30, 1.0, 0.0, 0.0, 1e37, 0.0, np.nan], np.float32)
    truth = [0.75, 0.5, 0, 1, 0.5, 0.5, np.nan, np.nan]
    np.testing.assert_allclose(discriminator(p_data, p_model), truth, rtol=1e-6)
    # Densities that cannot be held, but for their logarithms.
    log_p_data = np.array([np.log(0.3), -1e4, -np.inf, -3e5, -np.inf, 1.0, np.nan, 0.0], np.float32)
    log_p_model = np.array([np.log(0.1), -9e3, 0.0, -4e5, -np.inf, -np.inf, 0.0, np.nan], np.float32)
    truth = [np.log(3), -1e3, -np.inf, 1e5, 0, np.inf, np.nan, np.nan]
    np.testing.assert_allclose(logits(log_p_data, log_p_model), truth, rtol=1e-6)
    # Slopes: p_g / (p_d + p_g)^2, and 1, but 0 where neither has mass.
    slopes = gradients(o.optimal_discriminator, *(jnp.asarray(p[:5]) for p in (p_data, p_model)))
    np.testing.assert_allclose(slopes[0], [0.1 / 0.16, 0.25e30, 1, 0, 0], rtol=1e-5)
    np.testing.assert_allclose(slopes[1], [-0.3 / 0.16, -0.25e30, 0, -0.5, 0], rtol=1e-5)
    slopes = gradients(o.optimal_logits, *(jnp.asarray(p[:6]) for p in (log_p_data, log_p_model)))
    np.testing.assert_array_equal(slopes, [[1, 1, 1, 1, 0, 1], [-1, -1, -1, -1, 0, -1]])


@pytest.fixture(scope="module")
def vectors():
    """Probability vectors p_d, p_g [30] and a D that is not optimal, as float64."""
    rng = np.random.default_rng(0)
    return *rng.dirichlet(np.full(30, 0.5), 2), rng.uniform(0.01, 0.99, 30)


def test_no_discriminator_beats_the_optimal_one(vectors):
    p_data, p_model, _ = vectors
    noise = np.random.default_rng(1).normal(size=(200, 30)) * np.logspace(-3, 1, 200)[:, None]
    others = expit(np.log(p_data / p_model) + noise)
    with jax.enable_x64(True):
        p_data, p_model = jnp.asarray(p_data), jnp.asarray(p_model)
        values = jax.jit(jax.vmap(lambda d: o.value_density(p_data, p_model, d).sum()))
        reached = float(values(jax.jit(o.optimal_discriminator)(p_data, p_model)[None])[0])
        np.testing.assert_allclose(reached, jax.jit(o.optimal_value)(p_data, p_model), rtol=1e-13)
        assert (np.asarray(values(jnp.asarray(others))) < reached).all()


def test_the_value_is_concave_in_the_discriminator(vectors):
    """Lecture: f'' = -p_d / D^2 - p_g / (1 - D)^2 < 0, and f' = p_d / D - p_g / (1 - D)."""
    p_data, p_model, d = vectors
    with jax.enable_x64(True):
        arrays = [jnp.asarray(a) for a in vectors]
        slope = np.asarray(jax.jit(jax.vmap(jax.grad(o.value_density, 2)))(*arrays))
        curvature = np.asarray(jax.jit(jax.vmap(jax.grad(jax.grad(o.value_density, 2), 2)))(*arrays))
    np.testing.assert_allclose(slope, p_data / d - p_model / (1 - d), rtol=1e-10)
    np.testing.assert_allclose(curvature, -p_data / d**2 - p_model / (1 - d) ** 2, rtol=1e-10)
    assert (curvature < 0).all()


def test_value_density_at_certainty():
    p_data, p_model, d = (
        jnp.array(a) for a in ([0.0, 0.5, 0.0, 0.5, 0.0], [0.5, 0.0, 0.5, 0.0, 0.0], [0.0, 1, 1, 0, 0])
    )
    np.testing.assert_array_equal(jax.jit(o.value_density)(p_data, p_model, d), [0, 0, -np.inf, -np.inf, 0])
    assert not any(np.isnan(g).any() for g in gradients(o.value_density, p_data, p_model, d))


def test_gradient_ascent_on_the_value_finds_the_optimal_discriminator():
    """One logit per symbol, on real and fake data with known counts."""
    real, fake = np.array([1, 2, 5, 12, 40]), np.array([30, 12, 5, 9, 4])
    at_real, at_fake = (jnp.asarray(np.repeat(np.arange(5), n)) for n in (real, fake))

    @jax.jit
    def ascend(logits):
        gradient = jax.grad(lambda ell: o.value(ell[at_real], ell[at_fake]).mean())
        return jax.lax.fori_loop(0, 1500, lambda _, ell: ell + 5 * gradient(ell), logits)

    d = jax.nn.sigmoid(ascend(jnp.zeros(5)))
    np.testing.assert_allclose(d, real / (real + fake), rtol=1e-4)


# What is left for the generator


def test_the_optimal_value_is_twice_the_jensen_shannon_divergence_less_log_4():
    p, q = np.random.default_rng(2).dirichlet(np.full(6, 0.4), (2, 40)).astype(np.float32)
    p[:5, 0] = q[:3, 1] = 0
    p, q = (v / v.sum(axis=-1, keepdims=True) for v in (p, q))
    p[5], q[5] = [1, 0, 0, 0, 0, 0], [0, 0, 0.5, 0, 0.5, 0]
    optimal_value = jax.jit(o.optimal_value)
    found = optimal_value(p, q)
    np.testing.assert_allclose(found, 2 * np.asarray(jax.jit(js_divergence)(p, q)) - LOG_4, atol=1e-6)
    np.testing.assert_array_equal(found, optimal_value(q, p))
    np.testing.assert_allclose(optimal_value(p, p), -LOG_4, rtol=1e-6)
    assert found[5] == 0  # what has nothing in common
    # Weights turn densities into probabilities: twice as fine a grid, half the weight.
    halves = optimal_value(np.repeat(p, 2, axis=-1), np.repeat(q, 2, axis=-1), np.full(12, 0.5, np.float32))
    np.testing.assert_allclose(halves, found, rtol=1e-5, atol=1e-7)


def test_its_minimum_is_reached_at_the_data_and_nowhere_near_it(vectors):
    """V(D*, G) + log 4 = 1/4 sum (p_g - p_d)^2 / p_d for a small change: strictly positive, second order."""
    p = vectors[0]
    change = np.random.default_rng(3).normal(size=(50, 30)) * p
    change = 1e-3 * (change - p * change.sum(axis=1, keepdims=True))
    with jax.enable_x64(True):
        everywhere = jnp.broadcast_to(jnp.asarray(p), (50, 30))
        above = np.asarray(jax.jit(o.optimal_value)(everywhere, jnp.asarray(p + change))) + LOG_4
    np.testing.assert_allclose(above, (change**2 / p).sum(axis=1) / 4, rtol=0.01)


def test_slopes_of_the_optimal_value_are_those_of_the_value_at_the_optimum():
    """log D*, log(1 - D*), curvature p_g / p_d / (p_d + p_g), at p_d = p_g and far beyond what p_d / p_g can hold."""
    p, q = (a.ravel() for a in np.meshgrid([1e-36, 1e-20, 0.1, 0.100001, 3, 1e8], [1e-36, 1e-9, 0.1, 5, 1e8]))
    p32, q32 = (jnp.asarray(a, jnp.float32) for a in (p, q))
    p, q = np.asarray(p32, np.float64), np.asarray(q32, np.float64)
    log_d, log_not_d = -np.log1p(q / p), -np.log1p(p / q)
    each = jax.jit(jax.vmap(lambda a, b: o.optimal_value(a[None], b[None])))
    # The atol is the smallest density: what it adds is lost beside 1e8, as their ratio cannot be held.
    np.testing.assert_allclose(each(p32, q32), p * log_d + q * log_not_d, rtol=2e-6, atol=1.1e-36)
    slope_p, slope_q = gradients(each, p32, q32)
    for found, truth in ((slope_p, log_d), (slope_q, log_not_d)):
        assert_equals_float64(found, truth, np.float32, 2e-6)
    held = np.minimum(p, q) > 1e-18  # whose product does not underflow
    curvature = gradients(lambda a: gradients(each, a, q32)[0], p32)[0]
    np.testing.assert_allclose(curvature[held], (q / p / (p + q))[held], rtol=1e-6)
    # Of a probability of exactly 0 the slope is taken as 0.
    found = gradients(o.optimal_value, jnp.array([0.0, 0.5, 0.5, 0.0]), jnp.array([0.5, 0.0, 0.5, 0.0]))
    np.testing.assert_allclose(found, [[0, 0, -np.log(2), 0], [0, 0, -np.log(2), 0]], rtol=1e-6)
    assert np.isnan(each(jnp.full(30, jnp.nan), q32)).all() and np.isnan(each(p32, jnp.full(30, jnp.nan))).all()


# The lecture's slips


def test_the_printed_loss_is_off_by_4_log_2(vectors):
    """Printed: E log 2 p_d / p_m + E log 2 p_g / p_m = 2 log 2 + KL + KL. Correct: p_d / (2 p_m) ..., -2 log 2."""
    p_data, p_model, _ = vectors
    p_m = (p_data + p_model) / 2
    with jax.enable_x64(True):
        d, g, m = (jnp.asarray(p) for p in (p_data, p_model, p_m))
        value, js = float(o.optimal_value(d, g)), float(js_divergence(d, g))
        divergences = float(kl_divergence(d, m) + kl_divergence(g, m))
    printed = p_data @ np.log(2 * p_data / p_m) + p_model @ np.log(2 * p_model / p_m)
    correct = p_data @ np.log(p_data / (2 * p_m)) + p_model @ np.log(p_model / (2 * p_m))
    np.testing.assert_allclose([correct, -2 * np.log(2) + divergences, 2 * js - LOG_4], value, rtol=1e-9)
    np.testing.assert_allclose(printed, 2 * np.log(2) + divergences, rtol=1e-9)  # consistent with itself,
    np.testing.assert_allclose(printed - value, 4 * np.log(2), rtol=1e-12)  # but not with V, which is never positive
    assert printed > 0 >= value


def test_the_optimal_generator_minimises():
    """From the same p_g, descent on V(D*, G) ends at the data; ascent, as printed, at what the data never are."""
    p_data = jnp.array([0.5, 0.3, 0.2, 0.0])

    @jax.jit
    def moved(sign):
        gradient = jax.grad(lambda a: o.optimal_value(p_data, jax.nn.softmax(a)))
        start = jnp.array([0.1, -0.2, 0.3, 0.0])
        return jax.nn.softmax(jax.lax.fori_loop(0, 3000, lambda _, a: a + sign * 5 * gradient(a), start))

    minimised, maximised = moved(-1.0), moved(1.0)
    np.testing.assert_allclose(minimised, p_data, atol=2e-3)
    optimal_value = jax.jit(o.optimal_value)
    np.testing.assert_allclose(optimal_value(p_data, minimised), -LOG_4, atol=2e-3)
    np.testing.assert_allclose(maximised, [0, 0, 0, 1], atol=2e-3)
    np.testing.assert_allclose(optimal_value(p_data, maximised), 0, atol=2e-2)


# Beyond the lecture


def test_relativistic_and_other_losses_meet_where_they_should(key):
    real, fake = 3 * jax.random.normal(key, (2, 50))
    loss = o.relativistic_discriminator_loss
    np.testing.assert_allclose(loss(real + 7, fake + 7), loss(real, fake), rtol=1e-5)
    # Against a logit of 0 it is the classifier's: data against chance, chance against samples.
    zero = jnp.zeros(50)
    np.testing.assert_allclose(loss(real, zero) + loss(zero, fake), o.discriminator_loss(real, fake), rtol=1e-5)
    np.testing.assert_array_equal(o.relativistic_generator_loss(zero, fake), o.non_saturating_generator_loss(fake))
    # Where D has it quite wrong it is Wasserstein's, where it sees nearly no difference half of that.
    wrong, close = 30 + jnp.abs(fake), 1e-3 * fake
    wasserstein = o.wasserstein_discriminator_loss
    np.testing.assert_allclose(loss(-wrong, wrong), wasserstein(-wrong, wrong), rtol=1e-6)
    np.testing.assert_allclose(loss(zero, close) - np.log(2), wasserstein(zero, close) / 2, atol=1e-5)


def test_the_relativistic_optimum_is_the_optimal_discriminator_up_to_a_constant(vectors):
    """The mean over pairs is convex in the logits, so that where its gradient is 0 it is least."""
    p_data, p_model, _ = vectors
    with jax.enable_x64(True):
        pairs = jnp.asarray((p_data[:, None] * p_model[None, :]).ravel())

        def expected(logits):
            return pairs @ o.relativistic_discriminator_loss(jnp.repeat(logits, 30), jnp.tile(logits, 30))

        optimal = o.optimal_logits(jnp.log(jnp.asarray(p_data)), jnp.log(jnp.asarray(p_model)))
        gradient = jax.jit(jax.grad(expected))
        np.testing.assert_allclose(gradient(optimal + 3), 0, atol=1e-12)
        assert np.abs(np.asarray(gradient(2 * optimal))).max() > 1e-2


def test_the_least_squares_optimum_is_the_optimal_discriminator(vectors):
    """With targets 0 and 1 the logit itself becomes p_d / (p_d + p_g): Mao et al. 2017, eq. 5."""
    p_data, p_model = (jnp.asarray(p, jnp.float32) for p in vectors[:2])
    d = o.optimal_discriminator(p_data, p_model)
    slope_real, slope_fake = gradients(o.least_squares_discriminator_loss, d, d)
    np.testing.assert_allclose(p_data * slope_real + p_model * slope_fake, 0, atol=1e-7)


def test_penalties_of_a_linear_discriminator_are_known_with_their_gradients(key):
    """l(x) = w x + 1: (||w|| - 1)^2 with gradient 2 (||w|| - 1) w / ||w||, ||w||^2 / 2 with gradient w."""
    x_real, x_fake = jax.random.normal(key, (2, 4, 2, 3))
    w = jnp.arange(1.0, 7.0).reshape(2, 3) / 3
    norm = float(jnp.linalg.norm(w))

    @jax.jit
    def found_and_slopes(w):
        def each(w):
            def discriminate(x):
                return jnp.einsum("bij,ij->b", x, w) + 1

            found = [
                f(key, discriminate, x_real, x_fake)
                for f in (penalties.gradient_penalty, penalties.r1_penalty, penalties.r2_penalty)
            ]
            return jnp.stack(found)

        return each(w), jax.jacrev(lambda w: each(w).mean(axis=1))(w)

    found, of_parameters = found_and_slopes(w)
    known = np.array([(norm - 1) ** 2, norm**2 / 2, norm**2 / 2])
    np.testing.assert_allclose(found, np.broadcast_to(known[:, None], (3, 4)), rtol=1e-5)
    np.testing.assert_allclose(of_parameters, np.stack([2 * (norm - 1) / norm * w, w, w]), rtol=1e-5)
    # Where D is flat: the norm has no slope there, and gets 0.
    found, of_parameters = found_and_slopes(0 * w)
    np.testing.assert_array_equal(found, np.broadcast_to([[1], [0], [0]], (3, 4)))
    np.testing.assert_array_equal(of_parameters, 0)


def test_penalties_of_a_quadratic_discriminator_are_known_with_their_gradients(key):
    """l(x) = x A x / 2, slope s = (A + A^T) x / 2: ||s||^2 / 2 has the gradient (s x^T + x s^T) / 2 in A."""
    x_real, x_fake = jax.random.normal(key, (2, 5, 3))
    a = jax.random.normal(jax.random.key(1), (3, 3))
    u = example_uniforms(key, jnp.arange(5), (1,))
    where = {
        penalties.gradient_penalty: u * x_real + (1 - u) * x_fake,
        penalties.r1_penalty: x_real,
        penalties.r2_penalty: x_fake,
    }
    for penalty, points in where.items():

        def penalised(a, f=penalty):
            return f(key, lambda y: 0.5 * jnp.einsum("bi,ij,bj->b", y, a, y), x_real, x_fake)

        x, matrix = np.asarray(points, np.float64), np.asarray(a, np.float64)
        slope = x @ (matrix + matrix.T) / 2
        norm = np.linalg.norm(slope, axis=1)
        outer = slope[:, :, None] * x[:, None, :]
        known, chain = norm**2 / 2, np.ones_like(norm)
        if penalty is penalties.gradient_penalty:  # d(n - 1)^2 = 2 (n - 1) / n d(n^2 / 2)
            known, chain = (norm - 1) ** 2, 2 * (norm - 1) / norm
        gradients = chain[:, None, None] * (outer + outer.swapaxes(1, 2)) / 2
        found, found_gradients = jax.jit(lambda a, f=penalised: (f(a), jax.jacrev(f)(a)))(a)
        np.testing.assert_allclose(found, known, rtol=2e-5)
        np.testing.assert_allclose(found_gradients, gradients, rtol=1e-4, atol=1e-5)


def test_the_gradient_penalty_is_taken_anywhere_between_data_and_samples(key):
    """l(x) = x^2 / 2 with data at 1 and samples at 0: its slope is u."""

    @jax.jit
    def penalised(real):
        return penalties.gradient_penalty(key, lambda x: x[:, 0] * x[:, 0] / 2, real, jnp.zeros_like(real))

    many = np.asarray(penalised(jnp.ones((2000, 1))))
    assert stats.kstest(1 - np.sqrt(many), "uniform").pvalue > 0.01
    np.testing.assert_allclose(penalised(jnp.ones((3, 1))), many[:3], rtol=1e-6)  # pair k, whatever the batch
