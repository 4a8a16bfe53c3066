"""The equation of average velocities, at the closed form for Gaussian data."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.flow.mean_flow import adaptive_loss, guided_velocity, mean_flow, shortcut_target
from jaxgen.paths import Cosine, Linear, oracle

DATA = oracle.gaussian(np.array([0.5, -0.3, 1.0]), 0.4)
R = jnp.array([0.1, 0.0, 0.6, 0.2])
T = jnp.array([0.9, 0.5, 0.7, 0.2])
unchecked = inspect.unwrap(mean_flow)  # without the tests' checks of types


def exact(path):
    return lambda x, r, t: DATA.average_velocity(path, x, t, r)


@pytest.mark.parametrize("path", [Linear(), Cosine()], ids=["linear", "cosine"])
def test_the_exact_average_velocity_is_its_own_target(path, key):
    x = jax.random.normal(key, (4, 3))
    velocity = DATA.velocity(path, x, T)
    average, target = jax.jit(lambda x, v: mean_flow(exact(path), v, x, R, T))(x, velocity)
    np.testing.assert_allclose(target, average, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(average[3], velocity[3], rtol=1e-4)  # r = t
    np.testing.assert_allclose(shortcut_target(exact(path), x, R, T), average, rtol=1e-4, atol=1e-5)


def test_at_equal_times_the_target_is_the_velocity_and_no_gradient_goes_through_it(key):
    x, velocity = jax.random.normal(key, (2, 4, 3))

    def average(x, r, t):
        return jnp.sin(x) * (1 + t - r)[:, None]

    found, target = mean_flow(average, velocity, x, T, T)
    np.testing.assert_array_equal(target, velocity)
    np.testing.assert_allclose(found, jnp.sin(x), rtol=1e-6)
    _, target = mean_flow(average, velocity, x, R, T)
    gap = (T - R)[:, None]
    np.testing.assert_allclose(
        target, velocity - gap * (jnp.cos(x) * (1 + gap) * velocity + jnp.sin(x)), rtol=1e-5, atol=1e-6
    )

    def loss(w):
        average, target = mean_flow(lambda x, r, t: w * x, velocity, x, R, T)
        return jnp.square(average - target).sum(), target

    (_, target), slope = jax.value_and_grad(loss, has_aux=True)(0.5)
    np.testing.assert_allclose(slope, 2 * ((0.5 * x - target) * x).sum(), rtol=1e-5)
    assert float(jax.grad(lambda w: shortcut_target(lambda x, r, t: w * x, x, R, T).sum())(0.5)) == 0


def test_the_guided_velocity(key):
    v, c, u = jax.random.normal(key, (3, 4, 3))
    np.testing.assert_array_equal(guided_velocity(v, c, u, 1.0), v)
    np.testing.assert_allclose(guided_velocity(v, c, u, 2.0), 2 * v - u, rtol=1e-5, atol=1e-6)
    # Where the network is right, v = c on average: guidance of weight w / (1 - kappa).
    fixed = guided_velocity(c, (u + 2.0 * (c - u)), u, 1.0, 0.5)
    np.testing.assert_allclose(fixed, u + 2.0 * (c - u), rtol=1e-5, atol=1e-5)


def test_the_adaptive_loss():
    error = jnp.array([0.0, 1.0, 100.0])
    np.testing.assert_allclose(adaptive_loss(error, tiny=1e-2), error / (error + 1e-2), rtol=1e-6)
    np.testing.assert_allclose(jax.grad(lambda e: adaptive_loss(e).sum())(error), 1 / (error + 1e-3), rtol=1e-5)
    np.testing.assert_array_equal(adaptive_loss(error, 0.0), error)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: unchecked(lambda x, r, t: x, x[:1], x, T, T), "velocity and x_t must have equal shapes"),
        (lambda x: unchecked(lambda x, r, t: x, x, x, T[:1], T[:1]), "t must have shape"),
        (lambda x: mean_flow(lambda x, r, t: x[:, :1], x, x, R, T), "x_t and average must have equal shapes"),
        (lambda x: guided_velocity(x, x, x, 1.0, 1.0), "kappa must be"),
        (lambda x: adaptive_loss(x[:, 0], -1.0), "power must be"),
        (lambda x: adaptive_loss(x[:, 0], 1.0, 0.0), "tiny must be"),
    ],
)
def test_what_is_no_average_velocity_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(jnp.zeros((4, 3)))
