from typing import Any

import numpy as np
import pytest

from jaxgen import evaluate
from jaxgen.evaluate.neighbours import distance_blocks


def draws(num, dimensions=5, seed=0):
    return np.random.default_rng(seed).normal(size=(num, dimensions))


def by_definition(x, reference, k=1):
    """All differences; a stable sort leaves equal distances in the order of the references."""
    x, reference = (a.reshape(len(a), -1).astype(np.float64) for a in (x, reference))
    distances = np.sqrt(np.square(x[:, None] - reference[None]).sum(axis=-1))
    indices = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return indices, np.take_along_axis(distances, indices, axis=1)


def agrees(x, reference, k=1, **options):
    found = evaluate.nearest(x, reference, k, **options)
    indices, distances = by_definition(x, reference, k)
    np.testing.assert_array_equal(found.indices, indices)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-14)


@pytest.mark.parametrize("k", [1, 3, 40])
@pytest.mark.parametrize("block_values", [1, 7, 60, 2**20])
def test_neighbours_are_those_of_the_definition_whatever_the_blocks(k, block_values):
    agrees(draws(23), draws(40, seed=1), k, block_values=block_values)


def test_images_and_single_numbers():
    rng = np.random.default_rng(0)
    agrees(rng.integers(0, 256, (9, 3, 4, 2), np.uint8), rng.integers(0, 256, (11, 3, 4, 2), np.uint8), 2)
    agrees(draws(9).astype(np.float32)[:, 0], draws(11).astype(np.float32)[:, 1])


def test_of_equal_distances_the_lowest_index_is_taken():
    """Points of a small grid, each there many times over: most distances are shared."""
    rng = np.random.default_rng(0)
    for block_values in (50, 2**20):
        agrees(rng.integers(0, 3, (20, 2)) * 0.1, rng.integers(0, 3, (60, 2)) * 0.1, 5, block_values=block_values)


def test_a_copy_is_at_distance_zero():
    reference = draws(50, 784) + 1000
    found = evaluate.nearest(reference[::-1], reference)
    np.testing.assert_array_equal(found.indices[:, 0], np.arange(50)[::-1])
    np.testing.assert_array_equal(found.distances, 0)


@pytest.mark.parametrize("block_values", [100, 2**20])
def test_neighbours_are_found_where_the_matrix_product_loses_them(block_values):
    """Two clusters, 2e6 apart and 1e-4 wide: the three terms are 1e12 times what is left of them."""
    side = np.where(np.arange(60) % 2, 1e6, -1e6)[:, None]
    points = side + 1e-4 * draws(60)
    x, reference = points[:20], points[20:]
    lost = np.concatenate([block.squares for block in distance_blocks(x, reference)]).argmin(axis=1)
    assert (lost != by_definition(x, reference)[0][:, 0]).mean() > 0.5
    agrees(x, reference, 3, block_values=block_values)


def test_the_uncertainty_covers_the_error_of_the_matrix_product():
    for scale, dimensions in ((1.0, 784), (1e6, 5)):
        x, reference = (scale * np.sign(draws(30, 1, s)) + draws(30, dimensions, s + 2) for s in (0, 1))
        exact = np.square(x[:, None] - reference[None]).sum(axis=-1)
        (block,) = distance_blocks(x, reference)
        error = np.abs(block.squares - exact).max(axis=1)
        assert (error <= block.uncertainty / 2).all()
        assert (block.uncertainty < 1e-9 * exact.max()).all()


def test_memorisation_is_told_by_the_distances():
    train, held_out = draws(200), draws(60, seed=1)
    copied = evaluate.memorisation(train[:20] + 1e-3 * draws(20, seed=2), train, held_out)
    honest = evaluate.memorisation(draws(60, seed=3), train, held_out)
    assert copied.samples.median < 0.01 * copied.held_out.median
    assert copied.samples.smallest == pytest.approx(1e-3 * np.linalg.norm(draws(20, seed=2), axis=1).min(), rel=1e-9)
    difference = honest.samples.mean.value - honest.held_out.mean.value
    errors: Any = [summary.mean.standard_error for summary in (honest.samples, honest.held_out)]
    assert abs(difference) < 4 * np.hypot(*errors)
    _, distances = by_definition(held_out, train)
    assert honest.held_out.median == pytest.approx(np.median(distances), rel=1e-14)
    assert honest.held_out.mean.value == pytest.approx(distances.mean(), rel=1e-14)
    assert honest.samples.mean.unit == "distance"


def test_training_examples_are_compared_with_the_others():
    train = draws(30)
    found = evaluate.memorisation(train[:1], train, draws(100, seed=1)).train
    _, distances = by_definition(train, train, 2)
    assert found.mean.value == pytest.approx(distances[:, 1].mean(), rel=1e-14)
    assert found.smallest > 0
    # An example that is there twice has its copy for a neighbour.
    twice = np.concatenate([train, train[:3]])
    assert evaluate.memorisation(train[:1], twice, draws(100, seed=1)).train.smallest == 0


@pytest.mark.parametrize(
    ("x", "reference", "options", "message"),
    [
        (draws(3), draws(3), {"k": 0}, r"k must be an integer in 1\.\.3, the number of references, got 0"),
        (draws(3), draws(3), {"k": 4}, "k must be an integer in"),
        (draws(0), draws(3), {}, "x must hold at least one example"),
        (draws(3), draws(0), {}, "reference must hold at least one example"),
        (draws(3), draws(3, 4), {}, r"reference must have events of shape \(5,\), got \(4,\)"),
        (draws(3), np.zeros((3, 5), np.uint8), {}, "reference must be in the unit of x, float64, got uint8"),
        (draws(3), np.full((3, 5), np.inf), {}, "reference must be finite, got NaN or infinity"),
        (draws(3), draws(3), {"block_values": 0}, "block_values must be an integer of at least 1, got 0"),
    ],
)
def test_what_has_no_neighbours_is_refused(x, reference, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate.nearest(x, reference, **options)


def test_a_single_training_example_is_refused():
    with pytest.raises(ValueError, match="train must hold at least two examples, got 1"):
        evaluate.memorisation(draws(3), draws(1), draws(3))
