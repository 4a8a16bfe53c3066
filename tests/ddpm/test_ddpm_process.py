"""The forward process, Bayes' rule for its reversal, and the four things that a network may predict."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ddpm import prediction, process, tables
from jaxgen.ddpm.prediction import X0, Eps, V, x_0_from_eps
from jaxgen.ddpm.schedule import cosine, from_betas, linear, respaced

SHORT = linear(20, 0.01, 0.4)
EVERY = jnp.arange(1, 21)


@functools.cache
def compiled(function):
    """One program in the place of one for every operation."""
    choices = [name for name in ("variance", "clip") if name in inspect.signature(function).parameters]
    return jax.jit(function, static_argnums=0, static_argnames=choices)


@pytest.fixture
def x(key):
    """x_0 and eps, one example for every t of `SHORT`."""
    return jax.random.normal(key, (2, 20, 3, 2))


def test_composing_transitions_gives_the_marginal(x):
    """Mean and variance of x_t from those of x_{t-1}: m -> sqrt(alpha) m, V -> alpha V + beta."""
    x_0, ab = np.asarray(x[0]), SHORT.alpha_bar[:-1, None, None].astype(np.float32)
    means, variances = (np.asarray(moment) for moment in compiled(process.marginal)(SHORT, x_0, EVERY))
    # Row t - 1 of what is carried through the transitions: the marginal's at t - 1.
    mean = np.concatenate([x_0[:1], np.sqrt(ab[1:]) * x_0[1:]])
    grown, added = compiled(process.transition)(SHORT, mean, EVERY)
    np.testing.assert_allclose(grown, means, rtol=1e-5)
    spread = np.sqrt(np.broadcast_to(1 - ab, x_0.shape))  # it is scaled as the mean is
    scaled, _ = compiled(process.transition)(SHORT, spread, EVERY)
    np.testing.assert_allclose(np.square(scaled) + added, variances, rtol=1e-5)


def test_diffuse_draws_from_the_marginal(x):
    x_0, eps = x
    mean, variance = compiled(process.marginal)(SHORT, x_0, EVERY)
    found = compiled(process.diffuse)(SHORT, x_0, EVERY, eps)
    np.testing.assert_allclose(found, mean + np.sqrt(variance) * eps, atol=1e-6)


def test_the_forward_chain_has_the_marginals_and_the_covariances(key):
    """x_0 = 1: E x_t = sqrt(alpha_bar_t), Cov(x_s, x_t) = sqrt(alpha_bar_t / alpha_bar_s) (1 - alpha_bar_s), s <= t."""
    schedule, num = linear(4, 0.1, 0.4), 40_000
    chain = np.asarray(jax.jit(functools.partial(process.forward_chain, key, schedule))(jnp.ones((num, 1))))[..., 0]
    assert chain.shape == (5, num) and (chain[0] == 1).all()
    ab = schedule.alpha_bar
    np.testing.assert_allclose(chain.mean(axis=1), np.sqrt(ab), atol=4 / np.sqrt(num))
    exact = [[np.sqrt(ab[max(s, t)] / ab[min(s, t)]) * (1 - ab[min(s, t)]) for t in range(5)] for s in range(5)]
    np.testing.assert_allclose(np.cov(chain), exact, atol=4 * np.sqrt(2 / num))


def test_the_forward_chain_of_an_example_is_its_own(key):
    x_0 = jnp.ones((6, 2))
    chain = jax.jit(functools.partial(process.forward_chain, key, SHORT))
    both, alone = chain(x_0), chain(x_0[4:5], index=jnp.array([4]))
    np.testing.assert_array_equal(both[:, 4:5], alone)


def bayes(schedule, t, x_0, x_t):
    """Mean and variance of q(x_{t-1} | x_t, x_0), from q(x_t | x_{t-1}) q(x_{t-1} | x_0): precisions add."""
    alpha, ab = schedule.alpha[t], schedule.alpha_bar[t - 1]
    precision = alpha / schedule.beta[t] + 1 / (1 - ab)
    return (np.sqrt(alpha) * x_t / schedule.beta[t] + np.sqrt(ab) * x_0 / (1 - ab)) / precision, 1 / precision


def test_posterior_is_bayes_rule(x):
    x_0, x_t = x
    mean, variance = compiled(process.posterior)(SHORT, x_0, x_t, EVERY)
    for t in range(2, 21):
        exact = bayes(SHORT, t, np.float64(x_0[t - 1]), np.float64(x_t[t - 1]))
        np.testing.assert_allclose(mean[t - 1], exact[0], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(variance[t - 1], exact[1], rtol=1e-6)
    # One step from the data, the step back is the data.
    np.testing.assert_allclose(mean[0], x_0[0], rtol=1e-6)
    assert (variance[0] == 0).all()


def test_the_printed_posterior_mean_is_wrong(x):
    """The lecture: sqrt(alpha_bar_{t-1} (1 - alpha_t)) on x_0, where sqrt(alpha_bar_{t-1}) (1 - alpha_t) is meant."""
    x_0, x_t = np.asarray(x, np.float64)
    for t in range(2, 21):
        before, noise = SHORT.alpha_bar[t - 1], 1 - SHORT.alpha_bar[t]
        of_x_t = np.sqrt(SHORT.alpha[t]) * (1 - before) / noise
        printed = np.sqrt(before * (1 - SHORT.alpha[t])) / noise
        meant = np.sqrt(before) * (1 - SHORT.alpha[t]) / noise
        exact = bayes(SHORT, t, x_0[t - 1], x_t[t - 1])[0]
        np.testing.assert_allclose(of_x_t * x_t[t - 1] + meant * x_0[t - 1], exact, rtol=1e-9)
        assert np.abs(of_x_t * x_t[t - 1] + printed * x_0[t - 1] - exact).max() > 0.01


def test_reverse_is_the_posterior_at_the_predicted_data(x):
    """And its mean is that of Ho et al., equation 11, in terms of eps."""
    x_t, eps_hat = x
    mean, variance = compiled(process.reverse)(SHORT, x_t, EVERY, eps_hat)
    t = np.arange(1, 21).reshape(20, 1, 1)
    beta, ab = SHORT.beta[t], SHORT.alpha_bar[t]
    exact = (np.float64(x_t) - beta / np.sqrt(1 - ab) * np.float64(eps_hat)) / np.sqrt(1 - beta)
    np.testing.assert_allclose(mean, exact, rtol=2e-5, atol=2e-6)
    _, of_posterior = compiled(process.posterior)(SHORT, x_t, x_t, EVERY)
    np.testing.assert_array_equal(variance[1:], of_posterior[1:])
    np.testing.assert_array_equal(variance[0, 0, 0], variance[1, 0, 0])  # at t = 1 that of t = 2
    _, variance = compiled(process.reverse)(SHORT, x_t, 3, eps_hat, variance=process.beta_variance)
    np.testing.assert_allclose(variance, SHORT.beta[3], rtol=1e-7)


def test_learned_variance_lies_between_in_log_space(x):
    x_t, eps_hat = x

    def variance(fraction):
        return compiled(process.reverse)(SHORT, x_t, EVERY, eps_hat, jnp.full(x_t.shape, fraction))[1]

    low = process.posterior_variance(SHORT)[1:].reshape(20, 1, 1)
    high = process.beta_variance(SHORT)[1:].reshape(20, 1, 1)
    np.testing.assert_allclose(variance(0.0), np.broadcast_to(low, x_t.shape), rtol=1e-6)
    np.testing.assert_allclose(variance(1.0), np.broadcast_to(high, x_t.shape), rtol=1e-6)
    np.testing.assert_allclose(variance(0.25), np.broadcast_to(high**0.25 * low**0.75, x_t.shape), rtol=1e-6)


def test_clipped_predictions_stay_in_range_and_agree(x):
    x_t, eps_hat = x
    x_0_hat, eps = compiled(process.clipped)(SHORT, x_t, EVERY, eps_hat, clip=0.5)
    free, same = compiled(process.clipped)(SHORT, x_t, EVERY, eps_hat)
    np.testing.assert_allclose(x_0_hat, jnp.clip(free, -0.5, 0.5), rtol=0, atol=1e-7)
    np.testing.assert_array_equal(same, eps_hat)
    np.testing.assert_allclose(compiled(process.diffuse)(SHORT, x_0_hat, EVERY, eps), x_t, atol=1e-6)
    inside = jnp.abs(free) <= 0.5
    assert inside.any() and not inside.all()
    np.testing.assert_allclose(jnp.where(inside, eps - eps_hat, 0), 0, atol=3e-6)
    mean, _ = compiled(process.reverse)(SHORT, x_t, EVERY, eps_hat, clip=0.5)
    np.testing.assert_allclose(mean, compiled(process.posterior)(SHORT, x_0_hat, x_t, EVERY)[0], atol=1e-7)


ROUND_TRIPS = {
    "eps, x_0": (prediction.x_0_from_eps, prediction.eps_from_x_0),
    "x_0, eps": (prediction.eps_from_x_0, prediction.x_0_from_eps),
    "eps, v": (prediction.v_from_eps, prediction.eps_from_v),
    "v, eps": (prediction.eps_from_v, prediction.v_from_eps),
    "x_0, v": (prediction.v_from_x_0, prediction.x_0_from_v),
    "v, x_0": (prediction.x_0_from_v, prediction.v_from_x_0),
    "eps, score": (
        lambda schedule, x_t, t, eps: prediction.score_from_eps(schedule, t, eps),
        lambda schedule, x_t, t, score: prediction.eps_from_score(schedule, t, score),
    ),
}


@pytest.mark.parametrize("schedule", [linear(), cosine()], ids=["linear", "cosine"])
def test_round_trips_lose_few_digits(schedule, key):
    """At most 8 ulp times max(alpha_bar^-1/2, (1 - alpha_bar)^-1/2), at every t."""
    value, x_t = jax.random.normal(key, (2, 1000, 20))
    t = jnp.arange(1, 1001)

    @jax.jit
    def trips(value):
        there = {name: there(schedule, x_t, t, value) for name, (there, _) in ROUND_TRIPS.items()}
        there = jax.lax.optimization_barrier(there)  # rounded to float32 before the way back
        return {name: back(schedule, x_t, t, there[name]) for name, (_, back) in ROUND_TRIPS.items()}

    ab = schedule.alpha_bar[1:]
    size = np.maximum(np.abs(value), np.abs(x_t)).max(axis=1)
    allowed = 8 * np.finfo(np.float32).eps * np.maximum(ab**-0.5, (1 - ab) ** -0.5) * size
    for name, again in trips(value).items():
        assert (np.abs(again - value).max(axis=1) <= allowed).all(), name


@pytest.mark.parametrize("prediction", [Eps(), X0(), V()])
def test_predictions_of_the_truth_give_the_noise(prediction, x):
    @jax.jit
    def through(x_0, eps):
        x_t = process.diffuse(SHORT, x_0, EVERY, eps)
        target = prediction.target(SHORT, x_0, EVERY, eps)
        wrong = prediction.eps(SHORT, x_t, EVERY, target + 1.0)
        return prediction.eps(SHORT, x_t, EVERY, target), x_0_from_eps(SHORT, x_t, EVERY, wrong)

    x_0, eps = x
    found, wrong = through(x_0, eps)
    np.testing.assert_allclose(found, eps, atol=1e-5)
    # An error of the output is one of x_0, in the ratio it says.
    ratio = prediction.error_ratio(SHORT)[1:].reshape(20, 1, 1)
    np.testing.assert_allclose(np.square(wrong - x_0) * ratio, 1, rtol=1e-3)


def test_conversions_agree_with_one_another(x):
    @jax.jit
    def conversions(x_0, eps):
        x_t = process.diffuse(SHORT, x_0, EVERY, eps)
        of_eps, of_x_0 = prediction.v_from_eps(SHORT, x_t, EVERY, eps), prediction.v_from_x_0(SHORT, x_t, EVERY, x_0)
        mean, variance = process.marginal(SHORT, x_0, EVERY)
        # The score of q(x_t | x_0), whose mean given x_t is that of q(x_t).
        score = prediction.score_from_eps(SHORT, EVERY, eps), (mean - x_t) / variance
        return (of_eps, of_x_0, V().target(SHORT, x_0, EVERY, eps)), score

    (of_eps, of_x_0, v), score = conversions(*x)
    np.testing.assert_allclose(of_eps, v, atol=2e-5)
    np.testing.assert_allclose(of_x_0, v, atol=2e-5)
    np.testing.assert_allclose(*score, atol=1e-3)


def test_per_example_and_shared_t_agree(x):
    x_0, eps = x
    for t in (np.int64(1), jnp.int32(20)):
        shared = process.diffuse(SHORT, x_0, t, eps)
        np.testing.assert_array_equal(shared, process.diffuse(SHORT, x_0, jnp.full(20, t), eps))
        np.testing.assert_allclose(compiled(process.diffuse)(SHORT, x_0, t, eps), shared, atol=1e-6)


def test_float64_data_have_float64_coefficients():
    marginal = compiled(process.marginal)
    with jax.enable_x64(True):
        mean, variance = marginal(linear(), np.ones((1, 2)), 1)
    np.testing.assert_allclose(variance, 1e-4, rtol=1e-11)
    np.testing.assert_allclose(mean, np.sqrt(1 - 1e-4), rtol=1e-15)
    _, variance = marginal(linear(), np.ones((1, 2), np.float32), 1)
    np.testing.assert_allclose(variance, 1e-4, rtol=1e-7)  # 2e-4 off, were 1 - alpha_bar taken in float32


def test_a_step_of_a_sub_sequence_is_many_steps_at_once(x):
    """q(x_s | x_t, x_0) for s < t: Bayes' rule on q(x_t | x_s), the product of the transitions in between."""
    x_0, x_t = x
    sub = respaced(SHORT, (20, 12, 5))
    mean, variance = compiled(process.posterior)(sub, x_0, x_t, 3)
    between = from_betas(1 - np.array([SHORT.alpha_bar[12], np.prod(SHORT.alpha[13:])]), monotone=False)
    exact = bayes(between, 2, np.float64(x_0), np.float64(x_t))
    np.testing.assert_allclose(mean, exact[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(variance, exact[1], rtol=1e-6)


@pytest.mark.parametrize("t", [0, 21, -1, jnp.array([1, 25] * 10), np.zeros(20, int)])
def test_t_out_of_range_is_an_error(t, x):
    uses = [
        lambda: process.transition(SHORT, x[0], t),
        lambda: process.marginal(SHORT, x[0], t),
        lambda: process.diffuse(SHORT, x[0], t, x[1]),
        lambda: process.posterior(SHORT, x[0], x[1], t),
        lambda: process.reverse(SHORT, x[0], t, x[1]),
        lambda: process.interpolated_variance(SHORT, x[0], t),
        lambda: prediction.eps_from_v(SHORT, x[0], t, x[1]),
        lambda: prediction.score_from_eps(SHORT, t, x[0]),
    ]
    for use in uses:
        with pytest.raises(ValueError, match=r"t must lie in 1\.\.20, got"):
            use()


def test_other_errors(x):
    with pytest.raises(ValueError, match="clip must be a finite number above 0, got 0"):
        process.clipped(SHORT, x[0], 1, x[1], 0.0)
    with pytest.raises(ValueError, match=r"t must be a scalar or of shape \(20,\)"):
        tables.coefficient(SHORT.beta, jnp.array([1]), x[0])


def test_the_variance_at_t_1_where_there_is_no_t_2():
    np.testing.assert_array_equal(process.posterior_variance(from_betas([0.3])), [0, 0.3])
