"""The order of an epoch: a bijection for every n, and as good as a uniform draw among all orders."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgen.data.permutation import permute, round_keys, shuffled

epoch_keys = jax.jit(jax.vmap(round_keys, in_axes=(None, 0)))


def orders(key, n, num_epochs):
    """[num_epochs, n]: the orders of epochs 0 .. num_epochs - 1."""
    keys = epoch_keys(key, jnp.arange(num_epochs))
    positions = jnp.arange(n, dtype=jnp.uint32)
    return np.asarray(jax.vmap(permute, in_axes=(None, None, 0))(positions, n, keys)).astype(np.int64)


def uniform(cells, num_cells):
    """p-value of the chi-square test that `cells` are uniform draws from 0 .. num_cells - 1."""
    return stats.chisquare(np.bincount(cells, minlength=num_cells)).pvalue


@pytest.mark.parametrize("n", [1, 2, 3, 5, 32, 33, 64, 65, 1797, 60_000])
def test_every_epoch_is_a_bijection(key, n):
    for order in orders(key, n, 3):
        np.testing.assert_array_equal(np.sort(order), np.arange(n))


@pytest.mark.parametrize("n", [2, 3, 5])
def test_all_orders_of_few_examples_are_equally_frequent(key, n):
    code = orders(key, n, 60_000) @ n ** np.arange(n)
    known = np.sort([np.array(order) @ n ** np.arange(n) for order in itertools.permutations(range(n))])
    assert uniform(np.searchsorted(known, code), math.factorial(n)) > 1e-3


@pytest.mark.parametrize("n", [6, *(pytest.param(n, marks=pytest.mark.slow) for n in (12, 33, 65))])
def test_neighbours_in_the_order_are_independent(key, n):
    order = orders(key, n, 60_000)
    for position in (0, n // 2):
        here, there = order[:, position], order[:, position + 1]
        # There are n - 1 examples that may follow each one, counted from it onwards.
        assert uniform(here * (n - 1) + (there - here) % n - 1, n * (n - 1)) > 1e-3


@pytest.mark.parametrize("n", [5, pytest.param(33, marks=pytest.mark.slow)])
def test_consecutive_epochs_are_independent(key, n):
    order = orders(key, n, 60_000)
    for position in (0, n - 1):
        assert uniform(order[:-1, position] * n + order[1:, position], n * n) > 1e-3


def test_neighbours_of_many_examples_are_independent(key):
    n = 1797
    order = orders(key, n, 100)
    step = (np.diff(order, axis=1) % n).ravel() - 1
    assert uniform(step, n - 1) > 1e-3
    # A uniform order keeps one example in its place on average, with variance one.
    kept = (order == np.arange(n)).sum(axis=1)
    assert abs(kept.mean() - 1) < 4 * np.sqrt(1 / 100)


def test_seeds_and_epochs_differ():
    first, second = orders(jax.random.key(0), 1000, 2)
    other = orders(jax.random.key(1), 1000, 1)[0]
    for a, b in itertools.combinations((first, second, other, np.arange(1000)), 2):
        assert (a == b).mean() < 0.01


def test_one_position_alone_is_that_of_the_whole_order(key):
    keys = round_keys(key, 7)
    whole = permute(jnp.arange(100, dtype=jnp.uint32), 100, keys)
    assert permute(jnp.uint32(42), 100, keys) == whole[42]


def test_shuffled_does_not_depend_on_the_default_generator():
    expected = shuffled(50, seed=3)
    with jax.default_prng_impl("rbg"):
        np.testing.assert_array_equal(shuffled(50, seed=3), expected)
