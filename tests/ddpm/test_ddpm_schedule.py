"""Schedules: the lecture's symbols as float64 tables, and the errors that keep them what they are."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ddpm import schedule as schedules
from jaxgen.ddpm.schedule import Betas, Cosine, Linear, cosine, from_betas, linear, respaced, uniform_timesteps


@pytest.mark.parametrize("schedule", [linear(), linear(7, 0.1, 0.5), cosine(), cosine(20), from_betas([0.3])])
def test_tables_are_the_lectures_symbols(schedule):
    T = schedule.num_timesteps
    assert schedule.beta.shape == schedule.alpha.shape == schedule.alpha_bar.shape == (T + 1,)
    assert schedule.beta[0] == 0 and schedule.alpha_bar[0] == 1  # entry 0 is the data
    assert ((schedule.beta[1:] > 0) & (schedule.beta[1:] < 1)).all()
    assert (np.diff(schedule.beta) >= 0).all() and (np.diff(schedule.alpha_bar) < 0).all()
    for t in range(1, T + 1):
        assert schedule.alpha[t] == 1 - schedule.beta[t]
        assert math.isclose(schedule.alpha_bar[t], math.prod(1 - schedule.beta[1 : t + 1]), rel_tol=1e-12)
    for table in (schedule.beta, schedule.alpha, schedule.alpha_bar):
        assert table.dtype == np.float64 and not table.flags.writeable


def test_linear_is_that_of_ho_et_al():
    schedule = linear()
    np.testing.assert_allclose(schedule.beta[[1, 1000]], [1e-4, 0.02], rtol=1e-15)
    np.testing.assert_allclose(np.diff(schedule.beta[1:]), (0.02 - 1e-4) / 999, rtol=1e-9)
    # log alpha_bar_T = sum log(1 - beta_t) = -sum (beta + beta^2 / 2 + ...), the sums of an arithmetic series.
    first, second = 1000 * (1e-4 + 0.02) / 2, 1000 * ((1e-4**2 + 1e-4 * 0.02 + 0.02**2) / 3) / 2
    assert math.isclose(math.log(schedule.alpha_bar[-1]), -first - second, rel_tol=1e-3)


def test_float32_would_lose_what_float64_keeps():
    """Why the tables are float64: 1 - alpha_bar_1 in float32 is off by 2e-4."""
    exact = 1 - linear().alpha_bar[1]
    assert math.isclose(exact, 1e-4, rel_tol=1e-11)
    rounded = np.float32(1) - np.float32(linear().alpha_bar[1])
    assert abs(rounded / exact - 1) > 1e-4


def test_cosine_falls_along_a_squared_cosine():
    schedule = cosine(100, s=0.01)
    f = np.cos((np.arange(101) / 100 + 0.01) / 1.01 * np.pi / 2) ** 2
    np.testing.assert_allclose(schedule.alpha_bar[:-1], (f / f[0])[:-1], rtol=1e-9)
    assert schedule.beta[-1] == 0.999  # it would be 1, and alpha_bar_T zero
    assert all(cosine(T).alpha_bar[-1] < 2e-3 for T in (1, 10, 100, 1000))  # noise at the end, whatever T


def test_beta_may_fall_only_by_name():
    falling = [0.1, 0.3, 0.2]
    with pytest.raises(ValueError, match=r"monotone=False, got beta_2=0.3 and beta_3=0.2"):
        from_betas(falling)
    np.testing.assert_allclose(from_betas(falling, monotone=False).alpha_bar, [1, 0.9, 0.63, 0.504], rtol=1e-15)
    from_betas([0.1, 0.1])  # constant does not fall


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: from_betas([]), "at least one step"),
        (lambda: linear(0), "num_timesteps must be an integer of at least 1, got 0"),
        (lambda: cosine(0), "num_timesteps must be an integer of at least 1, got 0"),
        (lambda: cosine(10, s=-0.1), "s must be a finite number at least 0"),
        (lambda: from_betas([0.1, 1.0]), r"in \(0, 1\), got beta_2=1.0"),
        (lambda: from_betas([0.0, 0.1]), r"in \(0, 1\), got beta_1=0.0"),
        (lambda: from_betas([0.1, math.nan]), r"in \(0, 1\), got beta_2=nan"),
        (lambda: linear(10, 0.2, 0.1), "must not fall"),
        (lambda: from_betas([0.9] * 100), "alpha_bar_T at least"),
        (lambda: from_betas([1e-17, 0.1]), "large enough to change alpha_bar"),
        (lambda: Linear(beta_T=1.5), r"beta_T must be a finite number above 0 and below 1, got 1\.5"),
        (lambda: Cosine(num_timesteps=0), "at least 1"),
        (lambda: Betas(()), "at least one step"),
        (lambda: respaced(linear(10), ()), "at least one t"),
        (lambda: respaced(linear(10), (11, 5)), r"in 1..10, got 11"),
        (lambda: respaced(linear(10), (5, 0)), r"in 1..10, got 0"),
        (lambda: respaced(linear(10), (5, 8)), "fall strictly, got 8 after 5"),
        (lambda: respaced(linear(10), (8, 5, 5)), "fall strictly, got 5 after 5"),
        (lambda: respaced(linear(2), (2, 2, 1)), "at most T=2 many, got 3"),
        (lambda: uniform_timesteps(10, 11), r"num must be an integer in 1..10, the number of timesteps, got 11"),
        (lambda: uniform_timesteps(10, 0), r"num must be an integer in 1..10"),
    ],
)
def test_errors_name_the_rule_and_the_value(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_sub_sequence_keeps_its_levels():
    schedule = linear(50, 1e-3, 0.2)
    timesteps = (50, 31, 30, 12, 1)
    sub = respaced(schedule, timesteps)
    np.testing.assert_array_equal(sub.alpha_bar, schedule.alpha_bar[[0, 1, 12, 30, 31, 50]])
    np.testing.assert_allclose(np.cumprod(sub.alpha), sub.alpha_bar, rtol=1e-14)
    np.testing.assert_allclose(sub.beta, 1 - sub.alpha, rtol=1e-12)
    # What lies between two levels is the product of the steps left out.
    np.testing.assert_allclose(sub.alpha[3], np.prod(schedule.alpha[13:31]), rtol=1e-13)
    assert respaced(schedule, tuple(range(50, 0, -1))) == schedule


@pytest.mark.parametrize(("T", "num"), [(1000, 50), (1000, 999), (1000, 1000), (7, 3), (5, 1), (250, 249)])
def test_uniform_timesteps_are_a_sub_sequence_from_noise(T, num):
    timesteps = uniform_timesteps(T, num)
    schedules.check_timesteps(T, timesteps)
    assert timesteps[0] == T and len(timesteps) == num
    lengths = -np.diff([*timesteps, 0])
    assert lengths.max() - lengths.min() <= 1


def test_configs_are_schedules_in_waiting():
    assert Linear(20, 0.01, 0.2).schedule() == linear(20, 0.01, 0.2)
    assert Cosine(20).schedule() == cosine(20)
    assert Betas((0.3, 0.2), monotone=False).schedule() == from_betas([0.3, 0.2], monotone=False)


def test_equal_schedules_are_one_to_jit():
    """A schedule may be closed over or be static; one that is built again does not trace again."""
    traces = []

    @functools.partial(jax.jit, static_argnames="schedule")
    def scale(x, schedule):
        traces.append(schedule)
        return x * jnp.float32(schedule.alpha_bar[-1])

    x = jnp.ones(2)
    np.testing.assert_array_equal(scale(x, schedule=linear(10)), scale(x, schedule=linear(10)))
    scale(x, schedule=cosine(10))
    assert len(traces) == 2
    assert linear(10) != cosine(10) and linear(10) != "linear"


@pytest.mark.parametrize("choice", [Cosine, Linear], ids=["cosine", "linear"])
def test_ends_for_the_bound_are_reached_and_the_rest_is_stretched(choice):
    def ratios(schedule):
        return np.log(schedule.alpha_bar[1:]) - np.log(1 - schedule.alpha_bar[1:])

    own, found = choice(1000).schedule(), choice(1000, log_snr=(-10.0, 13.3)).schedule()
    assert found.num_timesteps == 1000
    np.testing.assert_allclose(ratios(found)[[0, -1]], [13.3, -10.0], rtol=1e-8)
    scale = np.diff(ratios(found)) / np.diff(ratios(own))
    np.testing.assert_allclose(scale, scale[0], rtol=1e-5)
    assert choice(1000) == choice(1000, log_snr=None)


def test_ends_that_are_none_are_refused():
    with pytest.raises(ValueError, match=r"high must be a finite number above 3.*, got 1"):
        Cosine(1000, log_snr=(3.0, 1.0))
    with pytest.raises(ValueError, match="two steps or more, got 1"):
        Cosine(1, log_snr=(-10.0, 13.3))
