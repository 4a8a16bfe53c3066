import math
from typing import Any

import jax
import numpy as np
import pytest
import scipy.linalg
from jax.sharding import NamedSharding, PartitionSpec

from jaxgen import evaluate
from jaxgen.train import parallel


def draws(num, dimensions=6, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(dimensions, dimensions))
    return rng.normal(size=(num, dimensions)) @ mix + shift


def normal(mean, covariance, count=10**6):
    return evaluate.Moments(count, np.asarray(mean, float), np.asarray(covariance, float) * (count - 1))


def test_moments_are_those_of_numpy():
    x = draws(50)
    found = evaluate.moments(x)
    np.testing.assert_allclose(found.mean, x.mean(axis=0), rtol=1e-13)
    np.testing.assert_allclose(found.covariance, np.cov(x.T), rtol=1e-12)
    assert found.count == 50 and found.scatter.dtype == np.float64


@pytest.mark.parametrize("sizes", [[1] * 100, [37, 63], [99, 1], [3, 90, 7]])
def test_any_batches_give_the_same_moments(sizes):
    x = draws(100, shift=1e4).astype(np.float32)
    whole = evaluate.moments(x)
    streamed = evaluate.moments(np.split(x, np.cumsum(sizes)[:-1]))
    assert streamed.count == 100
    np.testing.assert_allclose(streamed.mean, whole.mean, rtol=1e-9)
    np.testing.assert_allclose(streamed.scatter, whole.scatter, rtol=1e-9)
    # The sums of x and x x^T, in float32, have nothing left of it.
    naive = np.cov(x.T.astype(np.float64))
    np.testing.assert_allclose(whole.covariance, naive, rtol=1e-9)


@pytest.mark.parametrize("num_devices", [1, 2, 4])
def test_any_number_of_devices_gives_the_same_moments(num_devices):
    x = draws(48).astype(np.float32)
    mesh = parallel.mesh(num_devices)
    sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec(*mesh.axis_names)))
    found, whole = evaluate.moments(sharded), evaluate.moments(x)
    assert found.count == 48
    np.testing.assert_allclose(found.mean, whole.mean, rtol=1e-9)
    np.testing.assert_allclose(found.scatter, whole.scatter, rtol=1e-9)
    # As several processes would: each its own, then together.
    parts = [evaluate.moments(np.asarray(shard.data)) for shard in sharded.addressable_shards]
    together = parts[0]
    for part in parts[1:]:
        together = evaluate.merged(together, part)
    np.testing.assert_allclose(together.scatter, whole.scatter, rtol=1e-9)


def test_at_full_rank_it_is_the_definition():
    for seed in range(3):
        x, y = draws(200, seed=seed), draws(150, seed=seed + 9, shift=0.3)
        root: Any = scipy.linalg.sqrtm(np.cov(x.T) @ np.cov(y.T))
        definition = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(np.cov(x.T) + np.cov(y.T) - 2 * root.real)
        assert evaluate.frechet_distance(x, y) == pytest.approx(definition, rel=1e-8)
        assert evaluate.frechet_distance(y, x) == pytest.approx(definition, rel=1e-8)


@pytest.mark.parametrize("sizes", [(5, 9), (5, 200), (40, 40)])
def test_with_fewer_examples_than_features_it_is_the_nuclear_norm_of_the_factors(sizes):
    """The factors are the centred data themselves; the root of a covariance of that rank is nowhere needed."""
    scale = np.logspace(-3, 3, 60)
    x, y = (np.random.default_rng(n).normal(size=(size, 60)) * scale for n, size in enumerate(sizes))
    a, b = ((v - v.mean(0)) / math.sqrt(len(v) - 1) for v in (x, y))
    common = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    exact = np.square(x.mean(0) - y.mean(0)).sum() + np.square(a).sum() + np.square(b).sum() - 2 * common
    assert evaluate.frechet_distance(x, y) == pytest.approx(exact, rel=1e-6)


def test_between_unit_normals_one_apart_in_2048_dimensions_it_is_2048():
    zero, one = np.zeros(2048), np.ones(2048)
    assert evaluate.frechet_distance(normal(zero, np.eye(2048)), normal(one, np.eye(2048))) == 2048


@pytest.mark.slow
def test_so_it_is_by_the_singular_values():
    """Where the covariances are equal these are not needed, so they are a little different here."""
    zero, one = np.zeros(2048), np.ones(2048)
    found = evaluate.frechet_distance(normal(zero, np.eye(2048)), normal(one, (1 + 1e-9) * np.eye(2048)))
    assert found == pytest.approx(2048, rel=1e-10)


def test_normals_that_differ_in_width():
    """sum_i (s_i - r_i)^2 for diagonal covariances."""
    s, r = np.array([1.0, 2.0, 0.0]), np.array([3.0, 2.0, 4.0])
    assert evaluate.frechet_distance(
        normal(np.zeros(3), np.diag(s**2)), normal(np.zeros(3), np.diag(r**2))
    ) == pytest.approx(20, rel=1e-10)


@pytest.mark.parametrize("shape", [(100, 6), (5, 40)])
def test_the_same_examples_are_at_distance_zero_in_any_order_and_batches(shape):
    x = draws(*shape, shift=100)
    assert evaluate.frechet_distance(x, x) == 0
    assert evaluate.frechet_distance(x[::-1], x) == 0
    assert evaluate.frechet_distance(evaluate.moments(np.split(x, [2, 3])), x) == 0
    # And what is hardly another set is hardly apart, but never below zero.
    assert 0 <= evaluate.frechet_distance(x + 1e-9 * draws(*shape, seed=5), x) < 1e-6


def test_the_expected_bias_is_what_finite_sets_add():
    """Sets of one distribution: their distance is nothing but bias."""
    rng = np.random.default_rng(0)
    sets = rng.normal(size=(30, 2, 200, 4))
    distances = [evaluate.frechet_distance(x, y) for x, y in sets]
    biases = [evaluate.frechet_bias(jax.random.key(i), x, y) for i, (x, y) in enumerate(sets)]
    assert np.mean(biases) == pytest.approx(np.mean(distances), rel=0.2)
    with pytest.raises(ValueError, match="at least four examples, got 3 and 9"):
        evaluate.frechet_bias(jax.random.key(0), draws(3), draws(9))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((0, 6)), "x must hold at least two examples, got 0"),
        (draws(1), "x must hold at least two examples, got 1"),
        (np.ones((9, 6)), "x must not be constant, got 9 examples with the same features"),
        (np.full((9, 6), np.nan), "x must be finite, got NaN or infinity"),
        (draws(9, 5), "x must have as many features as reference, 6, got 5"),
        (normal(np.zeros(6), np.zeros((6, 6))), "x must not be constant"),
        (normal(np.zeros(6), np.eye(6), count=1), "x must hold at least two examples, got 1"),
        (normal(np.full(6, np.nan), np.eye(6)), "x must have finite moments"),
    ],
)
def test_what_has_no_distance_is_refused(x: Any, message):
    with pytest.raises(ValueError, match=message):
        evaluate.frechet_distance(x, draws(9))


def test_moments_refuse_what_has_none():
    for features, message in (
        ([], "at least one example"),
        (np.full((3, 2), np.inf), "finite"),
        ([draws(3), draws(3, 5)], "agree in number, got 6 and 5"),
        (np.zeros((3, 0)), "d of at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate.moments(features)
    with pytest.raises(ValueError, match="a covariance needs at least two examples, got 1"):
        _ = evaluate.moments(draws(1)).covariance
