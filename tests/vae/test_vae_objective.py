import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.distributions import affine, normal_log_prob, standard_normal_kl
from jaxgen.vae import objective


def test_negative_elbo_is_distortion_plus_rate(key):
    mu, log_var = jax.random.normal(key, (2, 4, 3))
    log_likelihood = jnp.array([-1.0, 2.0, 0.5, 0.0])
    rate = standard_normal_kl(mu, log_var)
    np.testing.assert_allclose(objective.negative_elbo(log_likelihood, mu, log_var), -log_likelihood + rate, rtol=1e-6)
    np.testing.assert_allclose(
        objective.negative_elbo(log_likelihood, mu, log_var, beta=4.0), -log_likelihood + 4 * rate, rtol=1e-6
    )


def test_the_gradient_needs_the_reparameterisation():
    """The lecture moves the gradient inside E_{z~Q}; then the reconstruction teaches mu nothing.

    For P(X|z) = N(z, 1): E_Q log P(X|z) has the gradient x - mu in mu.
    """
    x, mu, log_var = jnp.full((1, 1), 3.0), jnp.full((1, 1), 1.0), jnp.zeros((1, 1))
    eps = jax.random.normal(jax.random.key(0), (4000, 1, 1))

    def reconstruction(mu, held_fixed):
        def one(e):
            z = affine(jax.lax.stop_gradient(mu) if held_fixed else mu, log_var, e)
            return normal_log_prob(x, z, jnp.zeros(()))

        return jax.vmap(one)(eps).mean()

    np.testing.assert_allclose(jax.grad(reconstruction)(mu, False), x - mu, atol=4 / np.sqrt(4000))
    assert jax.grad(reconstruction)(mu, True) == 0


def test_estimates_of_one_draw_are_that_draw(key):
    log_likelihood = jax.random.normal(key, (1, 5))
    np.testing.assert_allclose(objective.monte_carlo_log_likelihood(log_likelihood), log_likelihood[0], rtol=1e-6)
    zero = jnp.zeros((1, 5))
    np.testing.assert_allclose(objective.importance_weighted_bound(log_likelihood, zero, zero), log_likelihood[0])


def test_estimates_are_finite_where_every_draw_is_hopeless():
    hopeless = jnp.full((10, 2), -1e6)
    np.testing.assert_allclose(objective.monte_carlo_log_likelihood(hopeless), -1e6)
    gradient = jax.grad(lambda x: objective.monte_carlo_log_likelihood(x).sum())(hopeless)
    assert jnp.isfinite(gradient).all()


def test_importance_weighted_bound_is_the_log_mean_weight():
    weights = np.array([[1.0, 2.0], [3.0, 2.0], [5.0, 2.0]], np.float32)
    zero = jnp.zeros((3, 2))
    bound = objective.importance_weighted_bound(jnp.log(jnp.asarray(weights)), zero, zero)
    np.testing.assert_allclose(bound, np.log([3.0, 2.0]), rtol=1e-6)


def test_active_units_are_those_that_vary():
    mu = np.random.default_rng(0).normal(size=(500, 3)).astype(np.float32) * np.array([1.0, 0.05, 0.2], np.float32)
    assert list(objective.active_units(jnp.asarray(mu))) == [True, False, True]
