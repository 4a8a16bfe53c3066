import jax
import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.neighbors import KernelDensity

from jaxgen import evaluate
from jaxgen.evaluate.parzen import CANDIDATES


def pixels(num, seed=0, shape=(4, 5)):
    return np.random.default_rng(seed).random((num, *shape), np.float32)


def by_definition(x, samples, sigma):
    x, samples = (a.reshape(len(a), -1).astype(np.float64) for a in (x, samples))
    squares = np.square(x[:, None] - samples[None]).sum(axis=-1)
    volume = x.shape[1] / 2 * np.log(2 * np.pi * sigma**2)
    return logsumexp(-squares / (2 * sigma**2), axis=1) - np.log(len(samples)) - volume


def test_one_sample_is_a_normal_density():
    """At the sample -d/2 log(2 pi sigma^2), at distance r less r^2 / (2 sigma^2)."""
    x = np.zeros((3, 784), np.float32)
    x[1, 0], x[2, 5] = 0.5, 2.0
    found = evaluate.parzen_log_prob(x, np.zeros((1, 784), np.float32), 0.2)
    highest = -392 * np.log(2 * np.pi * 0.04)
    np.testing.assert_allclose(found, highest - np.array([0, 0.25, 4]) / 0.08, rtol=1e-14)


@pytest.mark.parametrize("sigma", [0.01, 0.2, 1.0, 30.0])
def test_it_is_the_mixture_of_the_definition(sigma):
    x, samples = pixels(30), pixels(50, 1)
    found = evaluate.parzen_log_prob(x, samples, sigma)
    np.testing.assert_allclose(found, by_definition(x, samples, sigma), rtol=1e-12)


def test_scikit_learn_says_the_same():
    """Its density of images of 784 pixels. All samples in one leaf of its tree: the bounds by which it would leave out
    parts of a larger tree cancel in high dimensions, and its numbers are wrong by tens of nats in 64."""
    x, samples = (pixels(40, seed, (28, 28, 1)) for seed in (0, 1))
    for sigma in (0.1, 0.5):
        theirs = KernelDensity(bandwidth=sigma, leaf_size=40).fit(samples.reshape(40, -1))
        found = evaluate.parzen_log_prob(x, samples, sigma)
        np.testing.assert_allclose(found, theirs.score_samples(x.reshape(40, -1)), rtol=1e-6)


def test_many_samples_of_a_normal_make_a_wider_normal():
    """E over s ~ N(0, I) of N(x | s, sigma^2 I) = N(x | 0, (1 + sigma^2) I)."""
    rng = np.random.default_rng(0)
    x, samples, sigma = rng.normal(size=(20, 2)), rng.normal(size=(20_000, 2)), 0.5
    found = evaluate.parzen_log_prob(x, samples, sigma)
    variance = 1 + sigma**2
    expected = -np.square(x).sum(axis=1) / (2 * variance) - np.log(2 * np.pi * variance)
    # The mean square of a window over its squared mean says how far the mean of 20,000 may be off.
    twice = 0.5 * sigma**2 + 1
    log_second = -np.square(x).sum(axis=1) / (2 * twice) - np.log(2 * np.pi * twice) - np.log(4 * np.pi * sigma**2)
    error = np.sqrt(np.expm1(log_second - 2 * expected) / len(samples))
    assert (np.abs(found - expected) < 4 * error).all()
    assert error.max() < 0.1


@pytest.mark.parametrize("block_values", [1, 30, 500, 2**20])
def test_neither_blocks_nor_order_matter(block_values):
    x, samples = pixels(30), pixels(50, 1)
    # The closest sample last: the running maximum has to be renewed.
    samples = samples[np.argsort(-np.square(samples - x[:1]).sum(axis=(1, 2)))]
    expected = by_definition(x, samples, 0.2)
    for order in (slice(None), slice(None, None, -1)):
        found = evaluate.parzen_log_prob(x, samples[order], 0.2, block_values=block_values)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_nothing_is_lost_far_from_the_origin_or_from_the_samples():
    x, samples = pixels(10).astype(np.float64), pixels(20, 1).astype(np.float64)
    expected = by_definition(x, samples, 0.1)
    np.testing.assert_allclose(evaluate.parzen_log_prob(x + 1000, samples + 1000, 0.1), expected, rtol=1e-9)
    # Every window underflows by thousands of nats.
    far = evaluate.parzen_log_prob(x + 10, samples, 0.1)
    assert far.max() < -10_000
    np.testing.assert_allclose(far, by_definition(x + 10, samples, 0.1), rtol=1e-12)


def test_the_width_is_the_one_that_makes_held_out_images_most_likely():
    """One sample at 0: the mean of -d log sigma - r^2 / (2 sigma^2) is largest at sigma^2 = mean r^2 / d."""
    x = pixels(100)
    best = np.sqrt(np.square(x.astype(np.float64)).sum(axis=(1, 2)).mean() / 20)
    origin = np.zeros((1, 4, 5), np.float32)
    for factor in (0.9, 1.1):
        assert evaluate.choose_sigma(origin, x, [factor**3 * best, best, factor**-3 * best]) == best
    assert evaluate.choose_sigma(origin, x, [0.1, best * 0.99, 1.0]) == best * 0.99
    assert evaluate.choose_sigma(origin, x) == min(CANDIDATES, key=lambda s: abs(s - best))


def test_the_protocol():
    samples, x_valid, x_test, train = (pixels(n, seed) for seed, n in enumerate((60, 20, 30, 50)))
    found = evaluate.parzen(samples, x_valid, x_test, references={"training images": train})
    curve = [by_definition(x_valid, samples, sigma).mean() for sigma in CANDIDATES]
    np.testing.assert_allclose(found.validation, curve, rtol=1e-12)
    assert found.sigma == CANDIDATES[int(np.argmax(curve))] == evaluate.choose_sigma(samples, x_valid)
    expected = by_definition(x_test, samples, found.sigma)
    assert found.log_likelihood.value == pytest.approx(expected.mean(), rel=1e-12)
    assert found.log_likelihood.standard_error == pytest.approx(expected.std(ddof=1) / np.sqrt(30), rel=1e-9)
    assert found.log_likelihood.unit == "nats"
    assert found.num_samples == 60
    reference, alone = found.references["training images"], evaluate.parzen(train, x_valid, x_test)
    assert reference.log_likelihood == alone.log_likelihood
    assert reference.sigma == alone.sigma
    assert alone.references == {}


def test_the_published_candidates():
    assert len(CANDIDATES) == 10
    np.testing.assert_allclose(np.log10(CANDIDATES), np.arange(-9, 1) / 9, atol=1e-12)


def test_centroids_are_the_means_of_clusters(key):
    """Three clusters far apart: wherever three different ones begin, each centroid ends as the mean of its own."""
    rng = np.random.default_rng(0)
    cluster = rng.permutation(np.arange(600) % 3)
    x = (cluster[:, None, None] + 0.01 * rng.normal(size=(600, 4, 5))).astype(np.float32)
    means = np.stack([x[cluster == c].mean(axis=0) for c in range(3)])
    keys = jax.random.split(key, 8)
    found = [evaluate.kmeans_centroids(k, x, 3) for k in keys]
    assert found[0].shape == (3, 4, 5)
    assert found[0].dtype == np.float32
    errors = [np.abs(np.sort(c, axis=0) - means).max() for c in found]
    assert min(errors) < 0.005
    np.testing.assert_array_equal(evaluate.kmeans_centroids(keys[0], x, 3), found[0])
    assert any(not np.array_equal(found[0], other) for other in found[1:])
    np.testing.assert_allclose(evaluate.kmeans_centroids(key, x, 1)[0], x.mean(axis=0), atol=0.02)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": np.zeros((0, 4, 5), np.float32)}, "samples must hold at least one example"),
        ({"samples": np.zeros((3, 5, 4), np.float32)}, r"samples must have events of shape \(4, 5\), got \(5, 4\)"),
        ({"samples": np.ones((3, 4, 5), np.uint8)}, "samples must be in the unit of x, float32, got uint8"),
        ({"samples": 2 * pixels(3)}, r"samples must have pixels in \[0, 1\], got"),
        ({"x_test": pixels(3) - 1}, r"x_test must have pixels in \[0, 1\], got"),
        ({"references": {"centroids": np.full((3, 4, 5), np.nan)}}, r"centroids must have pixels in \[0, 1\], got nan"),
        ({"candidates": []}, "candidates must hold at least one width, got none"),
        ({"candidates": [0.1, 0.0]}, r"sigma must be a finite number above 0, got 0\.0"),
        ({"candidates": [0.1, float("nan")]}, "sigma must be a finite number above 0, got nan"),
    ],
)
def test_what_the_protocol_refuses(changes, message):
    arguments = {"samples": pixels(3), "x_valid": pixels(3, 1), "x_test": pixels(3, 2)}
    with pytest.raises(ValueError, match=message):
        evaluate.parzen(**{**arguments, **changes})


def test_bytes_and_clusters_that_cannot_be_are_refused(key):
    with pytest.raises(ValueError, match=r"x and samples must be floating, pixels in \[0, 1\], got uint8 and uint8"):
        evaluate.parzen_log_prob(np.ones((3, 4), np.uint8), np.ones((3, 4), np.uint8), 0.1)
    with pytest.raises(ValueError, match=r"k must be an integer in 1\.\.3, the number of examples, got 4"):
        evaluate.kmeans_centroids(key, pixels(3), 4)
