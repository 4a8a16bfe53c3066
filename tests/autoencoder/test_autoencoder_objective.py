import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.autoencoder.objective import reconstruction_loss
from jaxgen.distributions import normal_log_prob


def test_it_is_the_sum_of_squares_over_the_event(key):
    x, x_hat = jax.random.normal(key, (2, 3, 4, 5, 2))
    exact = np.square(np.float64(x) - np.float64(x_hat)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(reconstruction_loss(x, x_hat), exact, rtol=1e-5)


def test_its_gradient_is_twice_the_residual(key):
    x, x_hat = jax.random.normal(key, (2, 3, 4))
    gradient = jax.grad(lambda x_hat: reconstruction_loss(x, x_hat).sum())(x_hat)
    np.testing.assert_allclose(gradient, 2 * (x_hat - x), rtol=1e-6)


def test_it_is_the_normal_log_likelihood_up_to_scale_and_constant(key):
    """With sigma = 1: -2 log N(x | x_hat, I) = ||x - x_hat||^2 + D log 2 pi."""
    x, x_hat = jax.random.normal(key, (2, 3, 4))
    log_prob = normal_log_prob(x, x_hat, jnp.zeros(()))
    np.testing.assert_allclose(reconstruction_loss(x, x_hat), -2 * log_prob - 4 * np.log(2 * np.pi), rtol=1e-5)


def test_finite_for_differences_up_to_1e15():
    x, x_hat = jnp.full((1, 1000), 1e15), jnp.zeros((1, 1000))
    value, gradient = jax.value_and_grad(lambda x_hat: reconstruction_loss(x, x_hat).sum())(x_hat)
    np.testing.assert_allclose(value, 1e33, rtol=1e-5)
    np.testing.assert_allclose(gradient, -2e15, rtol=1e-6)


def test_what_is_masked_may_be_nan_and_does_not_count():
    x = jnp.array([[1.0, jnp.nan, 3.0]])
    x_hat = jnp.array([[0.0, 7.0, 1.0]])
    mask = jnp.array([[True, False, True]])
    value, gradient = jax.value_and_grad(lambda x_hat: reconstruction_loss(x, x_hat, mask).sum())(x_hat)
    assert value == 1 + 4
    np.testing.assert_array_equal(gradient, [[-2, 0, -4]])
    assert jnp.isnan(reconstruction_loss(x, x_hat)).all()


def test_shapes_must_agree():
    x = jnp.zeros((2, 3))
    with jax.numpy_rank_promotion("allow"), pytest.raises(Exception, match="x_hat"):
        reconstruction_loss(x, jnp.zeros((2, 1)))
