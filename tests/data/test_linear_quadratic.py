"""Trajectories of the linear-quadratic problem: samples and posterior against the costs that define them."""

import jax
import numpy as np
import pytest

from jaxgen.data import LinearQuadratic, Problem

TINY = LinearQuadratic(steps=3, dt=0.5, noise=0.3, miss=0.4)
START, GOAL, LOG_COST = np.array([0.5, -1.0, 0.2, 0.1]), np.array([1.0, 0.5]), np.array([0.7])


def cost(flat):
    """-log p up to a constant, as the module's docstring has it: noise, effort and the miss."""
    moves, pushes = TINY.dynamics
    rows, before, total = flat.reshape(3, 6), START, 0.0
    for row in rows:
        state, action = row[:4], row[4:]
        noise = state - moves @ before - pushes @ action
        total += 0.5 * noise @ noise / 0.3**2 + 0.5 * np.exp(LOG_COST[0]) * action @ action
        before = state
    miss = before[:2] - GOAL
    return total + 0.5 * miss @ miss / 0.4**2


def test_the_posterior_is_that_of_the_costs():
    """A quadratic's second differences are its precision, and it is smallest at the mean."""
    found = TINY.posterior(START, GOAL, LOG_COST)
    eye = np.eye(18)
    at = [cost(found.mean + a) for a in eye]
    precision = np.array(
        [[cost(found.mean + a + b) - at[i] - at[j] + cost(found.mean) for j, b in enumerate(eye)]
         for i, a in enumerate(eye)]
    )  # fmt: skip
    np.testing.assert_allclose(np.linalg.inv(precision), found.covariance, rtol=1e-6, atol=1e-9)
    slope = [cost(found.mean + a) - cost(found.mean - a) for a in eye]
    np.testing.assert_allclose(slope, 0, atol=1e-9)


def test_samples_have_mean_and_covariance_of_the_posterior(key):
    num = 20_000
    one = Problem(*(part.astype(np.float32) for part in (START[None], GOAL[None], LOG_COST)))
    x = TINY.sample(key, Problem(*(np.broadcast_to(part, (num, *part.shape)) for part in one)))
    assert x.shape == (num, 3, 6) and x.dtype == np.float32
    exact = TINY.posterior(START, GOAL, LOG_COST)
    centred = np.asarray(x, np.float64).reshape(num, -1) - exact.mean
    white = np.linalg.solve(np.linalg.cholesky(exact.covariance), centred.T)
    np.testing.assert_array_less(np.abs(white.mean(axis=1)), 5 / np.sqrt(num))
    error = np.where(np.eye(18, dtype=bool), np.sqrt(2 / num), np.sqrt(1 / num))
    np.testing.assert_array_less(np.abs(white @ white.T / num - np.eye(18)), 5 * error)


def test_problems_and_their_trajectories_belong_to_their_number(key):
    problems = TINY.problems(key, 4)
    assert [np.asarray(column).shape for column in problems] == [(4, 1, 4), (4, 1, 2), (4, 1)]
    few = TINY.problems(key, 2)
    np.testing.assert_array_equal(problems.goal[:2], few.goal)
    np.testing.assert_allclose(TINY.sample(key, problems)[:2], TINY.sample(key, few), rtol=1e-5, atol=1e-6)


def test_a_larger_cost_means_less_effort():
    def effort(log_cost):
        mean = TINY.posterior(START, GOAL, np.array([log_cost])).mean.reshape(3, 6)
        return np.square(mean[:, 4:]).sum()

    assert effort(2.0) < effort(0.0) < effort(-2.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LinearQuadratic(steps=0), "steps must be an integer of at least 1, got 0"),
        (lambda: LinearQuadratic(noise=0.0), "noise must be a finite number above 0, got 0.0"),
        (lambda: TINY.posterior(START[:2], GOAL, LOG_COST), "start must be 4 finite numbers"),
        (lambda: TINY.posterior(START, GOAL * np.nan, LOG_COST), "goal must be 2 finite numbers"),
        (lambda: TINY.problems(jax.random.key(0), 0), "num must be an integer of at least 1, got 0"),
    ],
)
def test_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
