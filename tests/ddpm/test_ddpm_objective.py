"""The bound in its three terms, where the data are Gaussian and everything is known, and the losses made of it."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ddpm import objective, prediction, process, weighting
from jaxgen.ddpm.oracle import GaussianData
from jaxgen.ddpm.prediction import X0, Eps, V
from jaxgen.ddpm.schedule import from_betas, linear

T = 8
SCHEDULE = linear(T, 0.02, 0.5)
STANDARD = GaussianData(np.zeros(1))
SHIFTED = GaussianData(np.array([0.7]), 0.4)


def expected_negative_bound(schedule, oracle, variance, x_0):
    """The mean of the bound over eps for each x_0 [n, 1]: every term is a quadratic in eps, so that three nodes do."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    weights = weights / weights.sum()
    steps, n = schedule.num_timesteps, len(x_0)
    grid = np.meshgrid(np.arange(1, steps + 1), nodes, np.asarray(x_0)[:, 0], indexing="ij")
    t, eps, x = (g.ravel()[:, None].astype(np.float32) for g in grid)

    @jax.jit
    def costs(t, eps, x, x_0):
        x_t = process.diffuse(schedule, x, t, eps)
        mean, spread = process.reverse(schedule, x_t, t, oracle.denoise(schedule, x_t, t), variance=variance)
        of_steps = objective.step_cost(schedule, x, x_t, t, mean, spread, None)
        return of_steps, objective.prior_cost(schedule, x_0)

    of_steps, prior = (np.asarray(cost, np.float64) for cost in costs(t[:, 0].astype(np.int32), eps, x, x_0))
    return np.einsum("tkn,k->n", of_steps.reshape(steps, 3, n), weights) + prior


def test_for_standard_normal_data_the_bound_is_the_entropy():
    """Variance beta_t at t = 1 .. T, decoder N(sqrt(alpha_1) x_1, beta_1): the model's chain is that of the data."""
    schedule = linear()
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    x_0 = np.float32(nodes[:, None])
    bound = expected_negative_bound(schedule, STANDARD, process.beta_variance, x_0)
    np.testing.assert_allclose(bound, 0.5 * (nodes**2 + math.log(2 * math.pi)), rtol=2e-4)  # -log p(x_0)
    assert math.isclose(bound @ weights / weights.sum(), STANDARD.entropy(), rel_tol=1e-4)


def test_for_gaussian_data_the_exact_reversal_misses_the_entropy_by_the_prior_alone():
    nodes, weights = np.polynomial.hermite_e.hermegauss(3)
    x_0 = np.float32(0.7 + 0.4 * nodes[:, None])
    bound = expected_negative_bound(SCHEDULE, SHIFTED, SHIFTED.reverse_variance, x_0) @ weights / weights.sum()
    gap = SHIFTED.prior_gap(SCHEDULE)
    assert gap > 0.01 and math.isclose(bound, SHIFTED.entropy() + gap, rel_tol=1e-5)
    # Another variance is worse, and the bound stays a bound.
    worse = expected_negative_bound(SCHEDULE, SHIFTED, process.beta_variance, x_0) @ weights / weights.sum()
    assert worse > bound + 0.01


NUM = 8192
CHOICES = ("denoise", "schedule", "levels", "variance")
BOUND = jax.jit(objective.variational_bound, static_argnames=(*CHOICES, "num_draws"))
PATH = jax.jit(objective.path_negative_bound, static_argnames=CHOICES)
ON_REALS = {"levels": None, "variance": process.beta_variance}


class HalfRight:
    """Some denoiser, nothing like the exact one."""

    def denoise(self, schedule, x_t, t):
        return 0.5 * STANDARD.denoise(schedule, x_t, t) + 0.1


half_right = functools.partial(HalfRight().denoise, SCHEDULE)


def test_on_every_path_of_the_exact_reversal_the_bound_is_log_p(key):
    x_0 = jax.random.normal(key, (NUM, 1))
    denoise = functools.partial(STANDARD.denoise, SCHEDULE)
    found = PATH(key, denoise, SCHEDULE, x_0, **ON_REALS)
    exact = 0.5 * (np.asarray(x_0)[:, 0] ** 2 + math.log(2 * math.pi))
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-4)


def test_all_t_drawn_t_and_the_path_have_one_mean(key):
    """Of the same x_0 many times, each with noise of its own; means within four standard errors."""
    x_0, index = jnp.full((NUM, 1), 0.4), jnp.arange(NUM)
    exact = float(expected_negative_bound(SCHEDULE, HalfRight(), process.beta_variance, x_0[:3])[0])
    full = BOUND(key, half_right, SCHEDULE, x_0, index=index, **ON_REALS)
    drawn = BOUND(key, half_right, SCHEDULE, x_0, num_draws=2, **ON_REALS)
    path = PATH(key, half_right, SCHEDULE, x_0, **ON_REALS)
    total = np.asarray(full.negative_bound)
    for bound in (total, drawn.negative_bound, path):
        values = np.asarray(bound, np.float64)
        assert abs(values.mean() - exact) < 4 * values.std() / math.sqrt(NUM)
    assert exact > 0.1 + 0.5 * (0.4**2 + math.log(2 * math.pi))  # a poor model: the bound is not tight

    # Drawing t changes the denoising cost alone.
    np.testing.assert_array_equal(full.prior, drawn.prior)
    np.testing.assert_allclose(full.reconstruction, drawn.reconstruction, atol=1e-6)
    assert drawn.per_t is None and full.per_t is not None and full.per_t.shape == (T, NUM)
    per_t = np.asarray(full.per_t)
    np.testing.assert_array_equal(per_t[0], full.reconstruction)
    np.testing.assert_allclose(per_t[1:].sum(axis=0), full.denoising, rtol=1e-5)
    np.testing.assert_allclose(total, np.asarray(full.prior) + per_t.sum(axis=0), atol=1e-5)

    # Whatever else is in the batch, and where.
    order = np.random.default_rng(0).permutation(NUM)
    shuffled = BOUND(key, half_right, SCHEDULE, x_0, index=jnp.asarray(order, jnp.int32), **ON_REALS)
    np.testing.assert_allclose(total[order], shuffled.negative_bound, atol=1e-5)


@pytest.fixture
def chain(key):
    """x_0, eps, eps_hat and t = 2 .. T."""
    x_0, eps, eps_hat = np.asarray(jax.random.normal(key, (3, T - 1, 3)))
    return x_0, eps, eps_hat, np.arange(2, T + 1, dtype=np.int32)


@pytest.mark.parametrize("variance", [process.posterior_variance, process.beta_variance])
def test_the_denoising_cost_is_a_squared_error_of_the_noise(chain, variance):
    """Ho et al., equation 12, plus what the variances differ by."""
    _, eps, eps_hat, _ = chain

    @jax.jit
    def costs(x_0, eps, eps_hat, t):
        x_t = process.diffuse(SCHEDULE, x_0, t, eps)
        mean, spread = process.reverse(SCHEDULE, x_t, t, eps_hat, variance=variance)
        return (
            objective.denoising_cost(SCHEDULE, x_0, x_t, t, mean, spread),
            objective.step_cost(SCHEDULE, x_0, x_t, t, mean, spread, None),
        )

    beta, alpha, ab = SCHEDULE.beta[2:], SCHEDULE.alpha[2:], SCHEDULE.alpha_bar[2:]
    sigma, tilde = variance(SCHEDULE)[2:], process.posterior_variance(SCHEDULE)[2:]
    weight = beta**2 / (2 * sigma * alpha * (1 - ab))
    constant = 1.5 * (tilde / sigma - 1 - np.log(tilde / sigma))
    exact = weight * np.square(eps - eps_hat).sum(axis=1) + constant
    for cost in costs(*chain):
        np.testing.assert_allclose(cost, exact, rtol=1e-4)


def test_what_the_network_predicts_does_not_matter_to_the_bound(key):
    """A network that says v, asked for eps, and a learned variance that comes to beta: the bound of eps with beta."""
    x_0 = jax.random.normal(key, (NUM, 1))

    def learned(x_t, t):
        v = prediction.v_from_eps(SCHEDULE, x_t, t, half_right(x_t, t))
        return V().eps(SCHEDULE, x_t, t, v), jnp.ones_like(x_t)

    found = BOUND(key, learned, SCHEDULE, x_0, levels=None)
    plain = BOUND(key, half_right, SCHEDULE, x_0, index=jnp.arange(NUM), **ON_REALS)
    np.testing.assert_allclose(found.negative_bound, plain.negative_bound, rtol=1e-4, atol=1e-4)


def test_prior_cost_is_the_divergence_of_the_last_level():
    x_0 = np.array([[0.3, -1.0], [0.0, 2.0]], np.float32)
    ab = SCHEDULE.alpha_bar[-1]
    exact = 0.5 * (ab * np.square(x_0).sum(axis=1) - 2 * ab - 2 * math.log(1 - ab))
    cost = jax.jit(objective.prior_cost, static_argnums=0)
    np.testing.assert_allclose(cost(SCHEDULE, x_0), exact, rtol=1e-5)
    assert (np.asarray(cost(linear(), x_0)) < 1e-3 * exact).all()  # where x_T is noise, nothing is left


def test_the_probabilities_of_all_grey_levels_sum_to_one():
    x_0 = np.linspace(-1, 1, 256, dtype=np.float32)[:, None]
    mean, variance = np.full_like(x_0, 0.3), np.full_like(x_0, 1e-2)
    reconstruction = jax.jit(objective.reconstruction_cost, static_argnums=3)
    cost, density = (np.asarray(reconstruction(x_0, mean, variance, levels)) for levels in (256, None))
    assert math.isclose(np.exp(-np.asarray(cost, np.float64)).sum(), 1, rel_tol=1e-5)
    # Of real values it is a density: near the mean a bin's probability is about the density times its width.
    near = np.abs(x_0[:, 0] - 0.3) < 0.2
    np.testing.assert_allclose(cost[near], density[near] - math.log(2 / 255), atol=0.01)


def test_one_step_has_a_prior_and_a_reconstruction_alone(key):
    one = from_betas([0.9])
    x_0 = jax.random.normal(key, (NUM, 1))
    bound = BOUND(key, functools.partial(STANDARD.denoise, one), one, x_0, **ON_REALS)
    assert (bound.denoising == 0).all() and bound.per_t is not None and bound.per_t.shape == (1, NUM)
    # E -log N(x_0; sqrt(0.1) x_1, 0.9) over x_1 = sqrt(0.1) x_0 + sqrt(0.9) eps, the residual's mean being 0.9 x_0.
    square = (0.9 * x_0[:, 0]) ** 2 + 0.1 * 0.9
    exact = 0.5 * (math.log(2 * math.pi * 0.9) + square / 0.9)
    error = np.asarray(bound.reconstruction - exact, np.float64)
    assert abs(error.mean()) < 4 * error.std() / math.sqrt(NUM)


def test_simple_loss_is_the_squared_distance(chain):
    _, eps, eps_hat, _ = chain
    loss = jax.jit(jax.vmap(jax.value_and_grad(lambda hat, eps: objective.simple_loss(eps[None], hat[None])[0])))
    value, gradient = loss(eps_hat, eps)
    np.testing.assert_allclose(value, np.square(eps - eps_hat).sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(gradient, 2 * (eps_hat - eps), rtol=1e-6)


def test_the_hybrid_loss_teaches_the_mean_by_the_simple_loss_and_the_variance_by_the_bound(key):
    @jax.jit
    def everything(x_0, eps, eps_hat, fraction, t):
        x_t = process.diffuse(SCHEDULE, x_0, t, eps)

        def loss(eps_hat, fraction):
            simple = objective.simple_loss(eps, eps_hat)
            losses = objective.hybrid_loss(simple, SCHEDULE, x_0, x_t, t, eps_hat, fraction, levels=None, weight=0.01)
            return losses.sum(), losses

        gradients, losses = jax.grad(loss, argnums=(0, 1), has_aux=True)(eps_hat, fraction)
        mean, sigma = process.reverse(SCHEDULE, x_t, t, eps_hat, fraction)
        cost = objective.step_cost(SCHEDULE, x_0, x_t, t, mean, sigma, None)
        return losses, gradients, cost, process.posterior(SCHEDULE, x_0, x_t, t), (mean, sigma)

    x_0, eps, eps_hat = 0.5 * np.asarray(jax.random.normal(key, (3, T, 3)))
    fraction, t = np.linspace(0, 1, 3 * T, dtype=np.float32).reshape(T, 3), np.arange(1, T + 1, dtype=np.int32)
    found = jax.tree.map(np.asarray, everything(x_0, eps, eps_hat, fraction, t))
    losses, (of_mean, of_fraction), cost, (mu_t, tilde), (mean, sigma) = found
    np.testing.assert_allclose(losses, np.square(eps - eps_hat).sum(axis=1) + 0.01 * T * cost, rtol=1e-5)
    np.testing.assert_allclose(of_mean, 2 * (eps_hat - eps), rtol=1e-5, atol=1e-6)
    # d KL / d log sigma^2 = 1/2 (1 - (beta_tilde + (mu_t - mu)^2) / sigma^2); at t = 1 the target is x_0 itself.
    slope = 0.5 * (1 - (tilde + np.square(mu_t - mean)) / sigma)
    span = np.log(SCHEDULE.beta[1:] / process.posterior_variance(SCHEDULE)[1:])[:, None]
    np.testing.assert_allclose(of_fraction, 0.01 * T * slope * span, rtol=1e-3, atol=1e-5)


def test_weights_of_the_loss():
    """min(SNR, gamma) on the squared error of x_0, whatever is predicted (Hang et al. 2023, section 3.4)."""
    schedule, t = linear(), jnp.array([1, 200, 500, 1000])
    ab = schedule.alpha_bar[np.asarray(t)]
    snr = ab / (1 - ab)
    assert (snr[:1] > 5).all() and (snr[2:] < 5).all()
    weight, least = weighting.MinSNR(5.0), np.minimum(snr, 5)
    np.testing.assert_allclose(weight(schedule, t, X0()), least, rtol=1e-5)
    np.testing.assert_allclose(weight(schedule, t, Eps()), least / snr, rtol=1e-5)
    np.testing.assert_allclose(weight(schedule, t, V()), least / (snr + 1), rtol=1e-5)
    np.testing.assert_array_equal(weighting.Uniform()(schedule, t, V()), 1)


def test_stratified_t_is_uniform_and_spread(key):
    keys = jax.random.split(key, 4000)
    num, steps = 25, 10
    drawn = jax.jit(jax.vmap(functools.partial(weighting.stratified_t, num=num, num_timesteps=steps)))
    t = np.asarray(drawn(keys))
    assert t.min() == 1 and t.max() == steps
    for position in range(num):  # each by itself is uniform
        counts = np.bincount(t[:, position] - 1, minlength=steps)
        assert (np.abs(counts - 400) < 5 * math.sqrt(400)).all()
    counts = np.stack([np.bincount(row - 1, minlength=steps) for row in t])
    assert counts.min() == 2 and counts.max() == 3  # and together they are spread


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda x: objective.reconstruction_cost(3 * x, x, x, 256), r"x_0 must lie in \[-1, 1\] for 256 levels, got"),
        (lambda x: objective.reconstruction_cost(0.999 * x, x, x, 256), "must be one of 256 levels"),
        (lambda x: bound_of(3 * x, levels=256), r"x_0 must lie in \[-1, 1\] for 256 levels, got -3.0\.\.3.0"),
        (lambda x: bound_of(x, num_draws=T), r"num_draws must lie in 1\.\.7, the number of t = 2 .. T, got 8"),
        (lambda x: bound_of(x, num_draws=0), r"num_draws must lie in 1\.\.7"),
        (
            lambda x: objective.path_negative_bound(jax.random.key(0), half_right, SCHEDULE, 3 * x, levels=256),
            r"x_0 must lie in \[-1, 1\]",
        ),
        (lambda x: objective.step_cost(SCHEDULE, x, x, jnp.zeros(2, int), x, x, None), r"t must lie in 1\.\.8, got 0"),
        (lambda x: objective.denoising_cost(SCHEDULE, x, x, 9, x, x), r"t must lie in 1\.\.8, got 9"),
        (lambda x: weighting.stratified_t(jax.random.key(0), 0, 10), "num must be an integer of at least 1, got 0"),
        (lambda x: weighting.stratified_t(jax.random.key(0), 2**22, 1000), r"must be below 2\^31"),
        (lambda x: weighting.MinSNR(0.0), "gamma must be a finite number above 0, got 0"),
    ],
)
def test_errors(use, message):
    with pytest.raises(ValueError, match=message):
        use(jnp.array([[-1.0, 1.0], [1.0, -1.0]]))


def bound_of(x_0, levels=None, num_draws=None):
    return objective.variational_bound(jax.random.key(0), half_right, SCHEDULE, x_0, levels=levels, num_draws=num_draws)


def test_nan_in_gives_nan_out(key):
    x_0 = jnp.zeros((NUM, 1)).at[3].set(jnp.nan)
    bound = BOUND(key, half_right, SCHEDULE, x_0, index=jnp.arange(NUM), **ON_REALS).negative_bound
    assert np.isnan(bound[3]) and np.isfinite(bound).sum() == NUM - 1
    jax.eval_shape(lambda: objective.reconstruction_cost(x_0, x_0, x_0, 3))  # nor is it an error
