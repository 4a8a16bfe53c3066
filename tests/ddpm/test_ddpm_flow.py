"""The probability flow's log-density against the closed form of Gaussian data."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ddpm import flow_log_prob, schedule
from jaxgen.ddpm.oracle import GaussianData, GaussianMixtureData

DATA = GaussianData(np.array([0.5, -0.3, 0.1]), 0.4)


def exact(table, x_1):
    """What the flow's change of variables gives to x_1: N(0, I) at its image, times the slope of the map."""
    x_T = DATA.flow(table, x_1, 1, table.num_timesteps)
    variance = DATA.variances(table)
    slope = 0.5 * math.log(variance[-1] / variance[1])
    return -0.5 * (jnp.square(x_T) + math.log(2 * math.pi)).sum(axis=1) + x_1.shape[1] * slope


def test_it_is_the_closed_form_of_gaussian_data_and_of_second_order(key):
    x_1 = DATA.sample(key, 16)
    errors = []
    for num_timesteps in (100, 200):
        table = schedule.cosine(num_timesteps)
        found = jax.jit(lambda x, table=table: flow_log_prob(key, functools.partial(DATA.denoise, table), table, x))(
            x_1
        )
        # On an isotropic Gaussian the estimate of the divergence has no noise at all.
        errors.append(np.abs(found - exact(table, x_1)).max())
    assert errors[1] < 0.02
    assert errors[1] < 0.4 * errors[0]


def test_it_comes_to_the_density_of_the_data(key):
    table = schedule.linear(300, 1e-5, 0.06)
    x_1 = DATA.sample(key, 16)
    found = flow_log_prob(key, functools.partial(DATA.denoise, table), table, x_1)
    np.testing.assert_allclose(found, DATA.log_prob(table, x_1, 1), atol=0.03)


def test_the_estimate_is_unbiased_and_belongs_to_its_example(key):
    table = schedule.cosine(60)
    means = np.array([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]])
    mixture = GaussianMixtureData(means, np.array([0.3, 0.5, 0.4]), np.array([0.3, 0.3, 0.4]))
    denoise = functools.partial(mixture.denoise, table)
    x_1 = jnp.tile(jnp.array([[0.4, 0.2]]), (400, 1))
    log_prob = jax.jit(lambda key, x, index: flow_log_prob(key, denoise, table, x, index=index))
    draws = np.asarray(log_prob(key, x_1, jnp.arange(400)), np.float64)
    truth = float(mixture.log_prob(table, x_1[:1], 1)[0])
    # Four standard errors for v, and what Heun's steps are off by.
    assert abs(draws.mean() - truth) < 4 * draws.std() / math.sqrt(400) + 0.02
    np.testing.assert_allclose(log_prob(key, x_1[:2], jnp.array([5, 7])), draws[[5, 7]], rtol=1e-4)


def test_levels_that_are_none_are_refused(key):
    with pytest.raises(ValueError, match="timesteps must fall strictly"):
        flow_log_prob(key, lambda x, t: x, schedule.cosine(5), jnp.zeros((1, 2)), timesteps=(3, 4))
