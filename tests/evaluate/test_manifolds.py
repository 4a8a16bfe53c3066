import numpy as np
import pytest

from jaxgen import evaluate


def draws(num, seed, dimensions=3):
    return np.random.default_rng(seed).normal(size=(num, dimensions))


def distances(x, y):
    return np.sqrt(np.square(x[:, None].astype(float) - y[None].astype(float)).sum(axis=-1))


def radii(x, k):
    """Of each example the distance to its k-th nearest other."""
    between = distances(x, x)
    return np.array([np.sort(np.delete(row, i))[k - 1] for i, row in enumerate(between)])


def by_definition(x, reference, k):
    precision = (distances(x, reference) <= radii(reference, k)[None]).any(axis=1).mean()
    recall = (distances(reference, x) <= radii(x, k)[None]).any(axis=1).mean()
    inside = distances(x, reference) <= radii(reference, k)[None]
    return precision, recall, inside.sum() / (k * len(x)), inside.any(axis=0).mean()


def found(x, reference, k, **options):
    return (
        *evaluate.precision_recall(x, reference, k, **options),
        *evaluate.density_coverage(x, reference, k, **options),
    )


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("block_values", [40, 2**20])
def test_they_are_the_definitions_whatever_the_blocks(k, block_values):
    x, reference = draws(40, 0) * 0.7 + 0.4, draws(30, 1)
    np.testing.assert_allclose(found(x, reference, k, block_values=block_values), by_definition(x, reference, k))


def test_points_on_the_boundary_are_inside():
    """A set beside itself, and points of a small grid: most distances are those of a boundary, to the bit."""
    x = draws(30, 0, 50).astype(np.float32) + 100
    np.testing.assert_array_equal(found(x, x, 3), by_definition(x, x, 3))
    assert evaluate.density_coverage(x, x, 3).density == pytest.approx((3 + 1) / 3)  # each with its ball's centre
    rng = np.random.default_rng(0)
    x, reference = (rng.integers(0, 4, (40, 2)) * 0.1 for _ in range(2))
    np.testing.assert_array_equal(found(x, reference, 5), by_definition(x, reference, 5))


def test_what_each_of_them_sees():
    reference = draws(400, 0)
    narrow, wide, elsewhere = 0.3 * draws(400, 1), 4 * draws(400, 2), draws(400, 3) + 50
    assert evaluate.precision_recall(narrow, reference).precision > 0.98
    assert evaluate.precision_recall(narrow, reference).recall < 0.3
    assert evaluate.precision_recall(wide, reference).precision < 0.3
    assert evaluate.precision_recall(elsewhere, reference) == (0, 0)
    assert evaluate.density_coverage(elsewhere, reference) == (0, 0)
    assert (
        evaluate.density_coverage(narrow, reference).coverage
        < 0.5
        < evaluate.density_coverage(narrow, reference).density
    )
    same = evaluate.density_coverage(draws(400, 4), reference)
    assert same.density == pytest.approx(1, abs=0.1)
    assert same.coverage == pytest.approx(1 - 2**-5, abs=0.03)


def test_the_memory_that_is_said_to_be_taken():
    assert evaluate.neighbour_memory(10_000, 10_000, 128) < 70 * 2**20
    assert evaluate.neighbour_memory(10_000, 10_000, 2048) > 2 * 10_000 * 2048 * 4


@pytest.mark.parametrize(
    ("x", "k", "message"),
    [
        (draws(9, 0), 9, r"k must be an integer in 1\.\.8, below the number of examples of reference, got 9"),
        (draws(9, 0), 0, "k must be an integer in"),
        (draws(1, 0), 1, "x must hold at least two examples"),
        (np.ones((9, 3)), 1, "x must not be constant"),
        (draws(9, 0, 2), 1, "reference must have as many features as x, 2, got 3"),
        (np.full((9, 3), np.inf), 1, "x must be finite"),
    ],
)
def test_what_has_no_region_is_refused(x, k, message):
    for metric in (evaluate.precision_recall, evaluate.density_coverage):
        with pytest.raises(ValueError, match=message):
            metric(x, draws(9, 1), k)
