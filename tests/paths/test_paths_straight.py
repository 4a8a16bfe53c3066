"""The straightness of ways whose velocity is known."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen.paths import straightness


def test_straight_ways_have_none_and_a_quarter_of_a_circle_its_own():
    t = np.linspace(1, 0, 401)
    ends = np.array([[1.0, 2.0], [-1.0, 0.5]])
    straight = (1 - t)[:, None, None] * ends
    assert float(straightness(jnp.asarray(straight, jnp.float32), t)) < 1e-6
    turn = math.pi / 2 * t
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=-1)[:, None]
    # Speed pi / 2 all the way, and a chord of length sqrt 2.
    found = straightness(jnp.asarray(circle, jnp.float32), t)
    np.testing.assert_allclose(found, (math.pi / 2) ** 2 - 2, rtol=1e-3)
    # Gone at an uneven pace, a straight way costs the variance of its speed: that of 2 t is 1/3.
    uneven = np.square(1 - t)[:, None, None] * np.array([[1.0]])
    np.testing.assert_allclose(straightness(jnp.asarray(uneven, jnp.float32), t), 1 / 3, rtol=1e-3)
    with pytest.raises(ValueError, match="times must be one for each of the 401 states, got 3"):
        straightness(jnp.asarray(circle, jnp.float32), (1.0, 0.5, 0.0))
