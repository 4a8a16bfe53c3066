"""Bits-back coding takes as many bits as an exact chain says, and not a bit is lost."""

import numpy as np
import pytest
from chains import SPEC, VARIABLES, Memory, bits, chain, images

from jaxgen.codec import Codec, Stack, batch_sizes, initial_words, stack

pytest.importorskip("constriction")


@pytest.mark.parametrize("num_levels", [1, 3])
def test_an_exact_chain_takes_minus_log_p_of_the_data(num_levels, monkeypatch):
    monkeypatch.setattr(stack, "KEPT", 64)  # what is in memory does not matter
    x, below = images(500), Memory()
    codec, coder = Codec(chain(num_levels), VARIABLES, 50), Stack(below)
    for first in range(0, 500, 50):
        codec.push(coder, x[first : first + 50], first)
    size = 32 * (len(below.held) + len(coder.words()) - below.num_initial)
    assert size == pytest.approx(bits(x), rel=0.003)
    for first in range(450, -1, -50):
        np.testing.assert_array_equal(codec.pop(coder, 50, first), x[first : first + 50])
    np.testing.assert_array_equal(np.concatenate([below.held, coder.words()]), initial_words(0, below.num_initial))


def test_a_wrong_chain_takes_more():
    x, sizes = images(200), []
    for wrong in (0.0, 0.3):
        below = Memory()
        coder = Stack(below)
        Codec(chain(2, wrong), VARIABLES, 200).push(coder, x, 0)
        sizes.append(32 * (len(coder.words()) - below.num_initial))
    # The KLs of both levels: mu^2 / 2 sigma^2 nats, with sigma 0.24 and 0.8.
    more = (0.3**2 / (2 * 0.24**2) + 0.3**2 / (2 * 0.8**2)) / np.log(2)
    assert sizes[1] - sizes[0] == pytest.approx(more * x.size, rel=0.1)


@pytest.mark.parametrize(("num", "batch_size"), [(1, 64), (7, 2), (1000, 64), (13, 1)])
def test_batches_hold_all_images_and_begin_small(num, batch_size):
    sizes = batch_sizes(num, batch_size)
    assert sum(sizes) == num and max(sizes) <= batch_size and sizes[0] == 1
    assert all(size <= max(1, sum(sizes[:i]) // 4) for i, size in enumerate(sizes))


def test_shapes_are_those_of_the_data():
    assert images(3).shape == (3, *SPEC.event_shape)
