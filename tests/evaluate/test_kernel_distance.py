import itertools

import jax
import numpy as np
import pytest

from jaxgen import evaluate


def draws(num, seed, shift=0.0, dimensions=4):
    return np.random.default_rng(seed).normal(size=(num, dimensions)) + shift


def by_definition(x, y):
    def k(a, b):
        return (a @ b / len(a) + 1) ** 3

    def within(z):
        pairs = [k(z[i], z[j]) for i, j in itertools.permutations(range(len(z)), 2)]
        return sum(pairs) / len(pairs)

    between = [k(a, b) for a in x for b in y]
    return within(x) + within(y) - 2 * sum(between) / len(between)


def test_it_is_the_definition():
    x, y = draws(7, 0), draws(5, 1, shift=0.5)
    assert evaluate.squared_discrepancy(x, y) == pytest.approx(by_definition(x, y), rel=1e-12)


def test_the_mean_over_many_subsets_is_that_of_the_whole():
    """Both are unbiased; each pair of examples is in as many subsets as any other."""
    x, y = draws(8, 0), draws(8, 1, shift=0.5)
    found = evaluate.kernel_distance(jax.random.key(0), x, y, num_subsets=2000)
    whole = evaluate.squared_discrepancy(x, y)
    assert found.value == pytest.approx(whole, abs=0.1 * abs(whole))


def test_it_is_unbiased_and_its_standard_error_is_one():
    """Over many pairs of sets of one distribution: mean zero, and at most as spread as the standard errors say."""

    def drawn(shift):
        return [
            evaluate.kernel_distance(
                jax.random.key(s), draws(60, 2 * s), draws(60, 2 * s + 1, shift), num_subsets=30, subset_size=15
            )
            for s in range(40)
        ]

    found, apart = drawn(0.0), drawn(1.0)
    values = np.array([e.value for e in found])
    assert abs(values.mean()) < 3.5 * values.std() / np.sqrt(len(values))
    for sample in (found, apart):
        spread = np.std([e.value for e in sample])
        claimed = np.mean([e.standard_error for e in sample])  # pyright: ignore
        assert 0.8 * spread < claimed < 4 * spread


def test_the_subsets_belong_to_the_key():
    x, y = draws(50, 0), draws(50, 1)
    a, again, b = (evaluate.kernel_distance(jax.random.key(s), x, y) for s in (0, 0, 1))
    assert a == again != b


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (draws(3, 0), {}, "at least four examples, got 3 and 9"),
        (draws(9, 0), {"num_subsets": 1}, "num_subsets must be an integer of at least 2, got 1"),
        (draws(9, 0, dimensions=3), {}, "reference must have as many features as x, 3, got 4"),
        (np.full((9, 4), np.nan), {}, "x must be finite"),
        (np.ones((9, 4)), {}, "x must not be constant"),
    ],
)
def test_what_has_no_distance_is_refused(x, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate.kernel_distance(jax.random.key(0), x, draws(9, 1), **options)
