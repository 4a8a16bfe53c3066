"""Data to noise and to other data by the probability flow, where both ends are known exactly."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.ddpm.encoding import encode, translate
from jaxgen.ddpm.oracle import GaussianData
from jaxgen.ddpm.sampler import ddim
from jaxgen.ddpm.schedule import linear

SCHEDULE = linear(200, 0.0005, 0.1)
ONE, OTHER = GaussianData(np.array([0.5, -0.2, 0.1]), 0.4), GaussianData(np.array([-0.5, 0.2, 0.3]), 0.8)
OF_ONE, OF_OTHER = (functools.partial(each.denoise, SCHEDULE) for each in (ONE, OTHER))
CHOICES = ("denoise", "schedule", "timesteps", "iterations")
ENCODE = jax.jit(encode, static_argnames=CHOICES)
TRANSLATE = jax.jit(translate, static_argnames=("source", "target", *CHOICES[1:], "clip"))


@pytest.fixture
def x(key):
    return jnp.asarray(ONE.mean + ONE.std * np.asarray(jax.random.normal(key, (64, 3))), jnp.float32)


def test_an_encoding_comes_near_the_exact_flow(x):
    exact = np.asarray(ONE.flow(SCHEDULE, x, 0, 200))
    found = ENCODE(OF_ONE, SCHEDULE, x)
    np.testing.assert_allclose(found, exact, atol=0.05)
    np.testing.assert_allclose(found.std(), 1, atol=0.2)  # a draw of N(0, I) for every draw of the data


@pytest.mark.parametrize("timesteps", [None, tuple(range(200, 0, -20)), (80, 40, 10)])
def test_iterations_invert_the_steps_of_ddim(x, timesteps, key):
    """The state that DDIM leads back to x, to rounding; after one iteration only about."""
    back = jax.jit(ddim, static_argnames=("denoise", "schedule", "timesteps"))
    errors = []
    for iterations in (1, 30):
        x_T = ENCODE(OF_ONE, SCHEDULE, x, timesteps=timesteps, iterations=iterations)
        found = back(key, OF_ONE, SCHEDULE, x_T, timesteps=timesteps)
        errors.append(float(np.abs(found - x).max()))
    assert errors[1] < 2e-5 < 1e-3 < errors[0]


def test_one_gaussian_becomes_another_by_the_optimal_map(x):
    """y = m_2 + s_2 / s_1 (x - m_1): the nearest of all maps between the two in squared distance."""
    exact = OTHER.mean + OTHER.std / ONE.std * (np.asarray(x) - ONE.mean)
    np.testing.assert_allclose(TRANSLATE(OF_ONE, OF_OTHER, SCHEDULE, x, iterations=3), exact, atol=0.06)
    np.testing.assert_allclose(TRANSLATE(OF_ONE, OF_ONE, SCHEDULE, x, iterations=3), x, atol=1e-4)


def test_less_noise_on_the_way_changes_less(x):
    moved = [
        float(np.abs(TRANSLATE(OF_ONE, OF_OTHER, SCHEDULE, x, timesteps=tuple(range(top, 0, -1))) - x).mean())
        for top in (20, 80, 200)
    ]
    assert moved[0] < moved[1] < moved[2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"iterations": 0}, "iterations must be an integer of at least 1, got 0"),
        ({"timesteps": (1, 2)}, "timesteps must fall strictly, got 2 after 1"),
        ({"timesteps": (201,)}, "each of timesteps must be an integer in 1..200, got 201"),
    ],
)
def test_what_cannot_be(x, options, message):
    with pytest.raises(ValueError, match=message):
        translate(OF_ONE, OF_OTHER, SCHEDULE, x, **options)
