"""Fourier features of the input against float64."""

from inspect import unwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.nn.fourier import fourier_features


def test_features_are_sines_and_cosines_to_the_last_digit():
    grid = np.linspace(-1, 1, 256).astype(np.float32).reshape(2, 8, 8, 2)
    found = jax.jit(lambda x: fourier_features(x, 7, 8))(grid)
    assert found.shape == (2, 8, 8, 8) and found.dtype == jnp.float32
    x = grid.astype(np.float64)
    expected = [f(2**n * np.pi * x) for n in (7, 8) for f in (np.sin, np.cos)]
    np.testing.assert_allclose(found, np.concatenate(expected, axis=-1), atol=3e-7)
    # Neighbouring levels, here the two channels, are half a period apart: sine or cosine tells them.
    apart = np.abs(np.asarray(found)[..., 0:4:2] - np.asarray(found)[..., 1:4:2])
    assert apart.max(axis=-1).min() > 1.4


def test_it_has_the_derivative_of_a_sine():
    x = jnp.array([[0.3, -0.7]])
    _, slope = jax.jvp(lambda x: fourier_features(x, 2, 2), (x,), (jnp.ones_like(x),))
    np.testing.assert_allclose(slope[:, :2], 4 * np.pi * np.cos(4 * np.pi * np.asarray(x)), rtol=1e-5)


@pytest.mark.parametrize(
    ("first", "last", "message"),
    [
        (8, 7, r"last must be an integer in 8\.\.32, got 7"),
        (-1, 7, r"first must be an integer in 0\.\.32, got -1"),
        (1.0, 7, "first must be an integer"),
    ],
)
def test_frequencies_that_are_none_are_refused(first, last, message):
    with pytest.raises(ValueError, match=message):
        unwrap(fourier_features)(jnp.zeros((1, 1)), first, last)
