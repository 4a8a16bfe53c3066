"""Densities with known D* and V, and discriminators held against them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats
from sklearn.neighbors import KernelDensity

from jaxgen import data
from jaxgen.gan import objective, oracle

LOG_4 = np.log(4)


def normal(mean, std=1.0):
    """The log-density of N(mean, std^2) on the line."""
    return oracle.Mixture.equal(np.array([[mean]], np.float32), std).log_prob


LINE = oracle.box_quadrature((-12.0,), (18.0,), 301)

optimal_value = jax.jit(oracle.optimal_value_by_quadrature, static_argnums=(0, 1), static_argnames="block")
discrete_value = jax.jit(objective.optimal_value)
value_gap = jax.jit(oracle.value_gap, static_argnums=(0, 1, 2), static_argnames="block")


# Densities


def test_a_mixture_is_the_sum_of_its_gaussians(key):
    mixture = oracle.Mixture(
        weights=jnp.array([0.2, 0.5, 0.3, 0.0]),
        means=jnp.array([[0.0, 1.0], [3.0, -1.0], [0.5, 0.5], [9.0, 9.0]]),
        stds=jnp.array([0.5, 1.0, 0.1, 1.0]),
    )
    weights, means, stds = (np.asarray(a, np.float64) for a in (mixture.weights, mixture.means, mixture.stds))
    x = np.asarray(mixture.sample(key, 4000))
    parts = zip(weights, means, stds, strict=True)
    exact = sum(w * stats.norm.pdf(x, mu, s).prod(axis=1) for w, mu, s in parts)
    np.testing.assert_allclose(jax.jit(mixture.log_prob)(x), np.log(exact), rtol=1e-4, atol=1e-5)
    # Its draws are from it: mean and variance per axis, w s^2 + w (mu - mean)^2.
    mean = weights @ means
    variance = weights @ (stds**2)[:, None] + weights @ (means - mean) ** 2
    assert (np.abs(x.mean(axis=0) - mean) < 4 * np.sqrt(variance / 4000)).all()
    np.testing.assert_allclose(x.var(axis=0), variance, rtol=0.1)
    np.testing.assert_allclose(mixture.sample(key, 3), x[:3], rtol=1e-6)  # draw k, however many


@pytest.mark.parametrize(
    ("draw", "density", "modes", "std"),
    [(data.ring, oracle.Mixture.ring(), 8, 0.01), (data.grid, oracle.Mixture.grid(), 25, 0.05)],
)
def test_toys_have_the_density_that_they_were_drawn_from(draw, density, modes, std, key):
    """Modes do not overlap: -E log p = log modes + log 2 pi e std^2, where log p has variance 1."""
    log_prob = np.asarray(jax.jit(density.log_prob)(draw(key, 2000)), np.float64)
    entropy = np.log(modes) + np.log(2 * np.pi * np.e * std**2)
    assert abs(log_prob.mean() + entropy) < 4 / np.sqrt(2000)
    np.testing.assert_allclose(log_prob.std(), 1, rtol=0.1)


def test_a_kernel_density_is_scikit_learns(key):
    """With all samples in one leaf of its tree: with more leaves it is off by 119 nats in the tails here."""
    samples, x = np.asarray(3 * jax.random.normal(key, (2, 500, 2)))
    for bandwidth in (0.1, 1.0):
        windows = KernelDensity(bandwidth=bandwidth, leaf_size=500).fit(samples.astype(np.float64))
        exact = windows.score_samples(x.astype(np.float64))
        found = oracle.kernel_density(jnp.asarray(samples), jnp.asarray(x), bandwidth=bandwidth)
        np.testing.assert_allclose(found, exact, rtol=1e-6)
    # Blocks, the last one filled up, change nothing.
    blocks = oracle.kernel_density(jnp.asarray(samples), jnp.asarray(x), bandwidth=1.0, block=77)
    np.testing.assert_allclose(blocks, found, rtol=1e-6)


def test_kernel_densities_are_those_of_the_samples_widened(key):
    """The mean over draws of N(m, s^2) is N(m, s^2 + h^2)."""
    x = jnp.linspace(-3, 5, 9)[:, None]
    samples = oracle.Mixture.equal(np.array([[1.0]], np.float32), 0.8).sample(key, 4000)
    windows = np.exp(stats.norm.logpdf(np.asarray(x), np.asarray(samples).T, 0.6))
    found = np.exp(np.asarray(oracle.kernel_density(samples, x, bandwidth=0.6)))
    widened = stats.norm.pdf(np.asarray(x)[:, 0], 1)
    assert (np.abs(found - widened) < 4 * windows.std(axis=1) / np.sqrt(4000)).all()


# The value of the game


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.5, 1.0), (1.0, 0.5), (4.0, 1.0), (6.0, 2.0)])
def test_the_optimal_value_on_the_line_is_twice_the_divergence_less_log_4(mean, std):
    def jensen_shannon(x):
        p, q = stats.norm.pdf(x), stats.norm.pdf(x, mean, std)
        m = (p + q) / 2
        return (p * np.log(p / m) + q * np.log(q / m)) / 2

    js, _ = integrate.quad(jensen_shannon, -12, 18, limit=200, points=[0, mean])
    np.testing.assert_allclose(optimal_value(normal(0.0), normal(mean, std), LINE), 2 * js - LOG_4, atol=2e-6)


def test_it_is_lowest_where_the_densities_are_equal_and_0_where_they_are_apart():
    np.testing.assert_allclose(optimal_value(normal(0.0), normal(0.0), LINE), -LOG_4, rtol=1e-6)
    np.testing.assert_allclose(optimal_value(normal(-6.0, 0.3), normal(12.0, 0.3), LINE), 0, atol=1e-12)


def test_the_quadrature_is_exact_for_linear_functions():
    """1 + x + 2 y over [0, 2] x [0, 3]: its value at the centre, 5, times the area."""
    for num in (2, 5):
        points, weights = (np.asarray(a) for a in oracle.box_quadrature((0.0, 0.0), (2.0, 3.0), num))
        np.testing.assert_allclose(weights @ (1 + points @ [1, 2]), 30, rtol=1e-6)


def test_the_quadrature_is_as_accurate_as_it_says():
    with jax.enable_x64(True):

        def line(num):
            return oracle.box_quadrature((-12.0,), (20.0,), num)

        def log_normal(mean):
            return oracle.Mixture.equal(mean.reshape(1, 1), 1.0).log_prob

        def values(num):
            def value(mean):
                return oracle.optimal_value_by_quadrature(log_normal(0 * mean), log_normal(mean), line(num))

            return np.asarray(jax.jit(jax.vmap(value))(jnp.array([1.0, 4.0, 6.0, 8.0])))

        assert line(33).points.dtype == np.float64
        # The mass of N(mean, 1), spacing 1: 1 + 2 exp(-2 pi^2) cos(2 pi mean).
        mass = stats.norm.pdf(np.asarray(line(33).points)[:, 0], 0.3) @ np.asarray(line(33).weights)
        np.testing.assert_allclose(mass - 1, 2 * np.exp(-2 * np.pi**2) * np.cos(0.6 * np.pi), rtol=1e-4)
        error = np.abs(values(65) - values(513))  # spacing 1/2 and 1/16
    assert (error < 4e-6).all()


def test_modes_that_are_left_out_count_as_probabilities_do():
    """A generator on k of the ring's 8 modes: the value of 1/8 everywhere against 1/k on k."""
    ring = oracle.Mixture.ring(std=0.05)
    plane = oracle.box_quadrature((-1.4, -1.4), (1.4, 1.4), 161)
    for k in (1, 8):
        dropped = oracle.Mixture.equal(ring.means[:k], 0.05)
        each = np.full(8, 1 / 8, np.float32), np.where(np.arange(8) < k, 1 / k, 0).astype(np.float32)
        found = optimal_value(ring.log_prob, dropped.log_prob, plane, block=4096)
        np.testing.assert_allclose(found, discrete_value(*each), atol=1e-5)


def test_boxes_have_their_value_in_closed_form(key):
    def box(low, high):
        return oracle.Box(np.array(low, np.float32), np.array(high, np.float32))

    value = jax.jit(oracle.box_optimal_value)
    # One against the same, shifted by s: -(1 - s) log 4, and 0 however far it is beyond 1.
    unit = box([0.0], [1.0])
    for shift in (0.0, 0.25, 1.0, 7.0):
        np.testing.assert_allclose(value(unit, box([shift], [1 + shift])), -max(0, 1 - shift) * LOG_4, rtol=1e-6)
    # In the plane: what happens is one of three things, in the first box only, in both, in the second only.
    wide, other = box([0.0, 0.0], [4.0, 1.0]), box([3.0, 0.5], [5.0, 2.0])
    cells = np.array([[3.5 / 4, 0.5 / 4, 0.0], [0.0, 0.5 / 3, 2.5 / 3]], np.float32)
    np.testing.assert_allclose(value(wide, other), discrete_value(*cells), rtol=1e-6)
    # The density is 1 / volume, where the draws are.
    x = np.asarray(wide.sample(key, 2000))
    log_prob = jax.jit(wide.log_prob)
    np.testing.assert_allclose(log_prob(x), -np.log(4), rtol=1e-6)
    assert (np.abs(x.mean(axis=0) - np.array([2, 0.5])) < 4 * np.array([4, 1]) / np.sqrt(12 * 2000)).all()
    np.testing.assert_array_equal(log_prob(jnp.array([[4.0, 0.5], [-0.1, 0.5], [1.0, 1.2]])), -np.inf)
    # And quadrature comes to the same, to first order: the walls are within one spacing.
    plane = oracle.box_quadrature((-1.0, -1.0), (6.0, 3.0), 201)
    found = optimal_value(wide.log_prob, other.log_prob, plane)
    np.testing.assert_allclose(found, value(wide, other), atol=0.05)


# Discriminators held against it


def test_the_gap_is_the_value_that_is_missing():
    """V(D*) - V(D), and V(D) from expectations by Gauss-Hermite, for a discriminator that is wrong everywhere."""

    def discriminate(x):
        return 0.5 - 0.3 * x[:, 0] + jnp.sin(x[:, 0])

    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    real, fake = (0.5 - 0.3 * x + np.sin(x) for x in (nodes, 2 + 0.5 * nodes))
    value = -(weights @ (np.logaddexp(0, -real) + np.logaddexp(0, fake))) / weights.sum()
    p_data, p_model = normal(0.0), normal(2.0, 0.5)
    missing = float(optimal_value(p_data, p_model, LINE)) - value
    np.testing.assert_allclose(value_gap(discriminate, p_data, p_model, LINE), missing, rtol=1e-5)
    # D = 1/2 reaches -log 4, whatever the densities: what is missing is 2 JSD.
    ignorant = value_gap(lambda x: jnp.zeros(x.shape[0]), p_data, p_model, LINE)
    np.testing.assert_allclose(ignorant, optimal_value(p_data, p_model, LINE) + LOG_4, rtol=1e-5)


def test_no_discriminator_has_a_negative_gap_and_the_optimal_one_has_none():
    x, weights = (np.asarray(a, np.float64) for a in LINE)
    for mean, std in ((0.0, 1.0), (3.0, 0.1)):
        densities = normal(0.0), normal(mean, std)
        best = oracle.optimal_logits(*densities)

        def gap(shift, scale, best=best, densities=densities):
            p_data, p_model = densities
            return oracle.value_gap(lambda x: scale * best(x) + shift, p_data, p_model, LINE)

        shifts, scales = np.random.default_rng(0).normal(size=(2, 50)).astype(np.float32)
        shifts[:2], scales[:2] = [0, 0.05], 1
        none, small, *others = np.asarray(jax.jit(jax.vmap(gap))(shifts, scales))
        assert abs(none) <= (0 if jax.default_backend() == "cpu" else 1e-7) and min(others) > 0
        # Close to the optimum the gap is that of a parabola: E D* (1 - D*) shift^2 / 2 over p_d + p_g.
        p_data, p_model = stats.norm.pdf(x[:, 0]), stats.norm.pdf(x[:, 0], mean, std)
        curvature = weights @ (p_data * p_model / (p_data + p_model))
        np.testing.assert_allclose(small, curvature * 0.05**2 / 2, rtol=0.02)


def test_certainty_is_right_or_costs_infinitely_much():
    p_data, p_model = oracle.Box(jnp.zeros(1), jnp.ones(1)), oracle.Box(jnp.full(1, 2.0), jnp.full(1, 3.0))
    densities = p_data.log_prob, p_model.log_prob
    right = jax.jit(oracle.optimal_logits(*densities))
    np.testing.assert_array_equal(right(jnp.array([[0.5], [2.5], [1.5]])), [np.inf, -np.inf, 0])
    assert value_gap(right, *densities, LINE) == 0
    assert value_gap(lambda x: -right(x), *densities, LINE) == np.inf


def test_the_optimal_discriminator_leaves_a_distant_generator_without_feedback():
    """Lecture, "Min-Max Optimization": an overtrained D gives no local feedback; here d/dz of each loss at z = m.

    p_d = N(0, 1), p_g = N(m, 1): logit -m x + m^2 / 2, slopes m D* and m (1 - D*) with D* = sigmoid(-m^2 / 2).
    """
    for m in (1.0, 8.0):
        logits = oracle.optimal_logits(normal(0.0), normal(m))

        def losses(x, logits=logits):
            of_x = logits(x[None])
            return objective.minimax_generator_loss(of_x)[0], objective.non_saturating_generator_loss(of_x)[0]

        minimax, other = jax.jit(jax.jacrev(losses))(jnp.array([m]))
        d = 1 / (1 + np.exp(m**2 / 2))
        np.testing.assert_allclose(minimax, [m * d], rtol=1e-4)
        np.testing.assert_allclose(other, [m * (1 - d)], rtol=1e-4)
    assert m * d < 1e-12


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: oracle.Mixture.equal(np.zeros((1, 2), np.float32), 0.0),
            "std must be a finite number above 0, got 0.0",
        ),
        (lambda: oracle.kernel_density(jnp.zeros((2, 1)), jnp.zeros((2, 1)), bandwidth=-1.0), "bandwidth must be"),
        (lambda: oracle.kernel_density(jnp.zeros((2, 1)), jnp.zeros((2, 1)), bandwidth=1.0, block=0), "block must be"),
        (lambda: oracle.box_quadrature((0.0,), (0.0,), 9), r"low must be below high .* got \(0.0,\) and \(0.0,\)"),
        (lambda: oracle.box_quadrature((0.0,), (1.0, 2.0), 9), "low must be below high in every dimension"),
        (lambda: oracle.box_quadrature((0.0,), (1.0,), 1), "num must be an integer of at least 2, got 1"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
