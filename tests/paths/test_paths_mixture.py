"""A mixture as the output of a network against the exact conditional means of the same mixture."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.paths import Cosine, Linear, Mixture, VarianceExploding, oracle
from jaxgen.paths.prediction import diffuse

X_T = jnp.linspace(-1.6, 1.6, 9)[:, None]


def outputs(prediction, weights, means, stds):
    """The network's outputs, the same for all examples, whose mixture has these weights, means and deviations."""
    places = np.linspace(-1, 1, prediction.components + 2)[1:-1]
    rows = [*(np.log(weights) + 0.7), *(np.array(means) - places), *np.log(np.array(stds) / prediction.std)]
    return jnp.asarray(np.array(rows, np.float32)).reshape(-1, 1, 1) * jnp.ones((1, len(X_T), 1))


@pytest.mark.parametrize("path", [Linear(), Cosine(), VarianceExploding()], ids=lambda path: type(path).__name__)
def test_the_ends_are_those_of_the_mixture_by_bayes_rule(path):
    weights, means, stds = np.array([0.3, 0.7]), [0.4, -0.8], [0.5, 0.1]
    exact = oracle.GaussianMixture(np.array(means)[:, None], np.array(stds), weights)
    prediction = Mixture(components=2, ends_of_range=False)
    t = jnp.full(len(X_T), 0.3)
    found, expected = prediction.ends(path, X_T, t, outputs(prediction, weights, means, stds)), exact.ends(path, X_T, t)
    np.testing.assert_allclose(found.x_0, expected.x_0, atol=2e-6)
    np.testing.assert_allclose(found.eps, expected.eps, atol=2e-6)
    np.testing.assert_allclose(diffuse(path, found.x_0, t, found.eps), X_T, atol=2e-6)


def test_black_and_white_are_values_of_their_own():
    """Two points and a normal distribution; where the noise is weak, a point is met exactly."""
    weights = np.array([0.5, 0.2, 0.3])
    exact = oracle.GaussianMixture(np.array([[-1.0], [1.0], [0.1]]), np.array([1e-5, 1e-5, 0.4]), weights)
    prediction = Mixture(components=1)
    assert prediction.num_outputs == 5
    rows = outputs(prediction, weights, [0.1], [0.4])
    t = jnp.full(len(X_T), 0.4)
    np.testing.assert_allclose(prediction.ends(Linear(), X_T, t, rows).x_0, exact.denoise(Linear(), X_T, t), atol=1e-5)
    t = jnp.full(len(X_T), 1e-3)
    near = diffuse(Linear(), -jnp.ones_like(X_T), t, jnp.linspace(-2, 2, len(X_T))[:, None])
    np.testing.assert_allclose(prediction.ends(Linear(), near, t, rows).x_0, -1, atol=1e-4)


def test_what_is_no_output_is_refused():
    prediction = Mixture(components=1)
    with pytest.raises(ValueError, match="output must hold 5 arrays, got 4"):
        prediction.ends(Linear(), X_T, jnp.full(len(X_T), 0.4), jnp.zeros((4, len(X_T), 1)))
    with pytest.raises(ValueError, match=r"prediction Mixture\(\) has no target"):
        prediction.target(Linear(), X_T, jnp.full(len(X_T), 0.4), X_T)
    with pytest.raises(ValueError, match="std must be a finite number above 0"):
        Mixture(std=0.0)
