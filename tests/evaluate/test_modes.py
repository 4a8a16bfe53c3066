import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data, evaluate
from jaxgen.core import Spec

SQUARE = np.array([[0, 0], [0, 10], [10, 0], [10, 10]], np.float32)


def test_a_case_by_hand():
    """Four modes of std 1. Three samples near the first, one near the second, two near none."""
    samples = np.array([[0, 0], [2.9, 0], [-1, -1], [0, 12], [5, 5], [10, 3.1]], np.float32)
    found = evaluate.mode_statistics(samples, SQUARE, 1.0)
    np.testing.assert_array_equal(found.counts, [3, 1, 0, 0])
    assert int(found.modes) == 2
    assert float(found.high_quality) == pytest.approx(4 / 6)
    assert float(found.reverse_kl) == pytest.approx(0.75 * np.log(3) + 0.25 * np.log(1), rel=1e-6)
    wider = evaluate.mode_statistics(samples, SQUARE, 1.0, within=3.2)
    np.testing.assert_array_equal(wider.counts, [3, 1, 1, 0])
    np.testing.assert_array_equal(evaluate.mode_statistics(samples, SQUARE, 1.6, within=2.0).counts, wider.counts)


def test_even_samples_have_no_divergence_and_collapse_has_log_m():
    for centres in (data.ring_centres(), data.grid_centres()):
        m = len(centres)
        even = evaluate.mode_statistics(np.repeat(centres, 7, axis=0), centres, 0.01)
        assert (int(even.modes), float(even.high_quality)) == (m, 1.0)
        assert float(even.reverse_kl) == pytest.approx(0, abs=1e-6)
        np.testing.assert_array_equal(even.counts, np.full(m, 7))
        collapsed = evaluate.mode_statistics(np.repeat(centres[3:4], 7, axis=0), centres, 0.01)
        assert int(collapsed.modes) == 1
        assert float(collapsed.reverse_kl) == pytest.approx(np.log(m), rel=1e-6)


def test_the_data_themselves(key):
    """All modes, 1 - exp(-9/2) of high quality (a chi-squared of two degrees of freedom below 9) and nearly the
    divergence of draws in equal shares: 2 n KL is chi-squared of m - 1 degrees of freedom."""
    for draw, centres, std in ((data.ring, data.ring_centres(), 0.01), (data.grid, data.grid_centres(), 0.05)):
        num, m = 20_000, len(centres)
        found = evaluate.mode_statistics(draw(key, num), centres, std)
        share = 1 - np.exp(-4.5)
        assert int(found.modes) == m
        assert abs(float(found.high_quality) - share) < 4 * np.sqrt(share * (1 - share) / num)
        twice = 2 * share * num * float(found.reverse_kl)
        assert abs(twice - (m - 1)) < 4 * np.sqrt(2 * (m - 1))


def test_any_number_of_dimensions(key):
    centres = 5 * np.eye(6, dtype=np.float32)
    samples = jnp.asarray(centres)[jnp.arange(600) % 6] + 0.1 * jax.random.normal(key, (600, 6))
    found = evaluate.mode_statistics(samples, centres, 0.1, within=7.0)
    np.testing.assert_array_equal(found.counts, np.full(6, 100))
    # A chi-squared of six degrees of freedom below 9, exp(-9/2) (1 + 9/2 + 81/8) being the rest.
    share = 1 - np.exp(-4.5) * (1 + 4.5 + 4.5**2 / 2)
    near = float(evaluate.mode_statistics(samples, centres, 0.1).high_quality)
    assert abs(near - share) < 4 * np.sqrt(share * (1 - share) / 600)


def test_several_generators_at_once_and_in_any_order(key):
    samples = jnp.stack([data.ring(k, 50, std=0.2) for k in jax.random.split(key, 3)])
    centres = data.ring_centres()

    def statistics(x):
        return evaluate.mode_statistics(x, centres, 0.1)

    together = jax.jit(jax.vmap(statistics))(samples)
    for i, one in enumerate(samples):
        for found in (statistics(one), statistics(one[::-1])):
            for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(together), strict=True):
                np.testing.assert_allclose(a, b[i], rtol=1e-6)
    assert len({int(n) for n in together.counts.sum(axis=1)}) > 1


def test_a_generator_that_diverged_has_no_modes():
    for value in (np.nan, np.inf, 1e30):
        found = evaluate.mode_statistics(np.full((5, 2), value, np.float32), SQUARE, 1.0)
        assert (int(found.modes), float(found.high_quality)) == (0, 0.0)
        assert np.isnan(float(found.reverse_kl))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": np.zeros((3, 3), np.float32)}, r"must be \[n, d\] and \[m, d\] .*, got \(3, 3\) and \(4, 2\)"),
        ({"samples": np.zeros((0, 2), np.float32)}, "and not empty"),
        ({"centres": np.zeros((0, 2), np.float32)}, "and not empty"),
        ({"std": 0.0}, r"std must be a finite number above 0, got 0\.0"),
        ({"within": -1.0}, r"within must be a finite number above 0, got -1\.0"),
    ],
)
def test_what_has_no_modes_is_refused(changes, message):
    arguments = {"samples": np.zeros((3, 2), np.float32), "centres": SQUARE, "std": 1.0}
    with pytest.raises(ValueError, match=message):
        evaluate.mode_statistics(**{**arguments, **changes})


def test_modes_that_are_classes():
    """Six samples of four modes, by hand; the floor is the mean of what draws from the reference come to."""
    found = evaluate.mode_counts(np.array([0, 0, 0, 1, 1, 3]), 4)
    assert found.modes == 3 and found.floor == pytest.approx(3 / 12)
    np.testing.assert_array_equal(found.counts, [3, 2, 0, 1])
    assert found.kl == pytest.approx(sum(p * np.log(4 * p) for p in (1 / 2, 1 / 3, 1 / 6)), rel=1e-5)
    shares = np.array([0.5, 0.3, 0.0, 0.2])
    of_data = evaluate.mode_counts(np.array([0, 0, 0, 1, 1, 3]), 4, shares)
    expected = 0.5 * np.log(0.5 / 0.5) + np.log(1 / 3 / 0.3) / 3 + np.log(1 / 6 / 0.2) / 6
    assert of_data.kl == pytest.approx(expected, rel=1e-4) and of_data.floor == pytest.approx(2 / 12)
    rng = np.random.default_rng(0)
    drawn = [evaluate.mode_counts(rng.integers(0, 50, 4000), 50) for _ in range(40)]
    error = np.sqrt(49 / 2) / 4000 / np.sqrt(40)
    assert abs(np.mean([each.kl for each in drawn]) - drawn[0].floor) < 4 * error
    with pytest.raises(ValueError, match=r"classes must lie in 0..3, got 0 to 4"):
        evaluate.mode_counts(np.array([0, 4]), 4)


def test_the_modes_of_stacked_images_are_read_channel_by_channel():
    """A classifier of bars of known weights: the class is the row that is bright."""

    class Rows(nn.Module):
        num_classes: int = 4

        def __call__(self, x):
            return x.mean(axis=(2, 3))

        def features(self, x):
            return self(x)

    judge = evaluate.TrainedClassifier(params={}, network=Rows(), spec=Spec((4, 3, 1), "uint8", levels=256))
    classes = np.array([[0, 1, 3], [2, 2, 2], [3, 0, 1]])
    x = np.zeros((3, 4, 3, 3), np.float32)
    for i, rows in enumerate(classes):
        for channel, row in enumerate(rows):
            x[i, row, :, channel] = 0.5
    np.testing.assert_array_equal(evaluate.stacked_classes(judge, x), classes @ [16, 4, 1])
    with pytest.raises(ValueError, match="x must be images"):
        evaluate.stacked_classes(judge, x[:, :2])
