import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.gan.latent import Normal, Uniform, interpolated, inverted


def test_the_arc_keeps_the_length_and_the_pace(key):
    """Between orthogonal z of one length: z(s) = cos(s pi/2) z_0 + sin(s pi/2) z_1."""
    z_from, z_to = jnp.array([[3.0, 0.0, 0.0]]), jnp.array([[0.0, 3.0, 0.0]])
    path = np.asarray(interpolated(Normal(), z_from, z_to, 7))[:, 0]
    angle = np.linspace(0, np.pi / 2, 7)
    np.testing.assert_allclose(path, 3 * np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1), atol=1e-5)


@pytest.mark.parametrize("prior", [Normal(), Uniform()])
def test_paths_begin_and_end_where_they_should(prior, key):
    z_from, z_to = jax.vmap(lambda k: prior(k, (4, 5)))(jax.random.split(key))
    path = interpolated(prior, z_from, z_to, 3)
    np.testing.assert_allclose(path[0], z_from, atol=1e-5)
    np.testing.assert_allclose(path[-1], z_to, atol=1e-5)


@pytest.mark.parametrize("other", [1.0, -1.0, 2.0])
def test_where_the_arc_is_not_defined_the_chord_is(other):
    """The same point, the opposite one, the same direction: no NaN, in gradients neither."""
    z = jnp.array([[1.0, 2.0]])
    path = interpolated(Normal(), z, other * z, 3)
    np.testing.assert_allclose(path[1], (1 + other) / 2 * z, atol=1e-3)
    gradient = jax.grad(lambda a: interpolated(Normal(), a, other * z, 3).sum())(z)
    assert jnp.isfinite(gradient).all()


def test_draws_have_the_moments_of_their_prior(key):
    for prior, variance in ((Normal(), 1.0), (Uniform(), 1 / 3)):
        z = np.asarray(prior(key, (100_000,)), np.float64)
        assert abs(z.mean()) < 4 * np.sqrt(variance / len(z))
        np.testing.assert_allclose(z.var(), variance, rtol=0.02)
    assert np.abs(np.asarray(Uniform()(key, (1000,)))).max() <= 1


def test_inversion_of_a_linear_generator_is_least_squares(key):
    weights = jax.random.normal(key, (3, 6))
    z_true = jnp.array([[0.3, -0.2, 0.5], [0.9, 0.1, -0.7]])
    # Off the range of the generator: the residual is what least squares leaves.
    x = z_true @ weights + 0.1 * jax.random.normal(jax.random.key(1), (2, 6))
    starts = jax.random.normal(jax.random.key(2), (2, 2, 3))
    z, error = inverted(lambda z: z @ weights, Normal(), x, starts, 400)
    exact, residual, *_ = np.linalg.lstsq(np.asarray(weights).T, np.asarray(x).T, rcond=None)
    np.testing.assert_allclose(z, exact.T, atol=2e-3)
    np.testing.assert_allclose(error, residual, rtol=1e-3)


def test_inversion_stays_where_the_prior_has_mass_and_keeps_the_best_start():
    """G(z) = (z^2 - 1/4)^2: minima at -1/2 and 1/2, both the best; for G(z) = z the cube ends at 1."""
    starts = jnp.array([[[-0.9]], [[0.0]]])
    _, error = inverted(lambda z: (z**2 - 0.25) ** 2, Normal(), jnp.zeros((1, 1)), starts, 300)
    assert error[0] < 1e-4  # the start at 0, a maximum, stays there with error 1/256
    z, error = inverted(lambda z: z, Uniform(), jnp.full((1, 1), 3.0), starts, 300)
    np.testing.assert_allclose((z[0, 0], error[0]), (1.0, 4.0), rtol=1e-5)
