import jax
import jax.numpy as jnp
import numpy as np

from jaxgen.gan.monitor import diversity


def test_the_same_distribution_is_as_diverse_as_itself(key):
    x, y = jax.random.normal(key, (2, 256, 6))
    np.testing.assert_allclose(diversity(x, x), 1.0, rtol=1e-5)
    np.testing.assert_allclose(diversity(x, y), 1.0, atol=0.1)


def test_it_is_the_ratio_of_nearest_distances(key):
    """By loops, off the origin, where products of coordinates cancel."""
    x, y = np.asarray(jax.random.normal(key, (2, 7, 2, 2)), np.float64) + 5

    def nearest(points):
        flat = points.reshape(7, -1)
        return np.mean([min(np.linalg.norm(a - b) for j, b in enumerate(flat) if j != i) for i, a in enumerate(flat)])

    found = diversity(jnp.asarray(x, jnp.float32), jnp.asarray(y, jnp.float32))
    np.testing.assert_allclose(found, nearest(x) / nearest(y), rtol=1e-4)


def test_collapse_shows_even_where_the_spread_stays(key):
    """A generator with two points as far apart as the data are wide."""
    x = jax.random.normal(key, (64, 3))
    two = jnp.where(jnp.arange(64)[:, None] % 2 == 0, 1.5, -1.5) * jnp.ones((1, 3))
    assert diversity(two, x) < 1e-2
    assert two.std() > x.std()


def test_one_example_has_no_neighbour():
    assert diversity(jnp.zeros((1, 2)), jnp.ones((1, 2))) == 1
