"""Blocks of positions become channels and positions again."""

import jax.numpy as jnp
import numpy as np

from jaxgen.nn import channels_to_phases, phases_to_channels


def test_blocks_become_channels_and_positions_again():
    x = np.arange(2 * 4 * 6 * 3, dtype=np.float32).reshape(2, 4, 6, 3)
    folded = phases_to_channels(jnp.asarray(x), (2, 2), 1)
    assert folded.shape == (2, 2, 3, 12)
    np.testing.assert_array_equal(folded[1, 1, 2], x[1, 2:, 4:].reshape(-1))
    np.testing.assert_array_equal(channels_to_phases(folded, (2, 2)), x)


def test_turned_the_phases_come_in_the_opposite_order():
    x = jnp.arange(6.0).reshape(6, 1)
    np.testing.assert_array_equal(phases_to_channels(x, (3,), 0), [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(phases_to_channels(x, (3,), 0, turned=True), [[2, 1, 0], [5, 4, 3]])
