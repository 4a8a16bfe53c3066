from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.distributions import affine, normal_log_prob, standard_normal_kl
from jaxgen.vae import objective
from jaxgen.vae.oracle import LinearGaussian


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


def test_the_path_gradient_has_the_mean_of_the_other_but_not_its_noise():
    """P(X|z) = N(W z, sigma^2 I) with orthogonal columns: the posterior is a diagonal Gaussian, which Q may be."""
    weights = jnp.array([[1.0, 1.0], [1.0, -1.0], [0.5, 0.0], [0.0, 0.5]])
    model = LinearGaussian(weights=weights, bias=jnp.zeros(4), sigma=jnp.float32(0.8))
    x = model.sample(jax.random.key(3), 1)
    mean, covariance = model.posterior(x)
    exact = mean, jnp.log(jnp.diag(covariance))[None]
    other = mean + 0.5, exact[1] - 0.7
    eps = jax.random.normal(jax.random.key(4), (20_000, 1, 2))

    def gradients(q, by_path):
        def bound(q, e):
            z = affine(q[0], q[1], e)
            log_likelihood = normal_log_prob(x, z @ weights.T, 2 * jnp.log(model.sigma))
            first = (log_likelihood, z) if by_path else (log_likelihood,)
            negative_bound: Any = objective.path_negative_elbo if by_path else objective.negative_elbo
            return negative_bound(*first, *q)[0]

        values = jax.vmap(bound, in_axes=(None, 0))(q, eps)
        return values, np.concatenate(jax.vmap(jax.grad(bound), in_axes=(None, 0))(q, eps), axis=-1)[:, 0]

    # At the posterior every draw gives log P(X), and no draw moves Q; the closed form's gradient is zero on average.
    values, of_path = gradients(exact, True)
    np.testing.assert_allclose(values, -model.log_prob(x)[0], rtol=1e-5)
    np.testing.assert_allclose(of_path, 0, atol=1e-4)
    _, of_closed_form = gradients(exact, False)
    assert (of_closed_form.std(axis=0) > 0.1).all()
    # Elsewhere both gradients have the same mean, and both bounds.
    (values_path, of_path), (values_kl, of_closed_form) = gradients(other, True), gradients(other, False)
    for a, b in ((of_path, of_closed_form), (np.asarray(values_path), np.asarray(values_kl))):
        error = np.sqrt((a.var(axis=0) + b.var(axis=0)) / len(a))
        assert (np.abs(a.mean(axis=0) - b.mean(axis=0)) < 4 * error).all()
