import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data, evaluate, train
from jaxgen.evaluate import classifier as module

DIGITS: Any = data.load("digits")
SMALL = evaluate.ImageClassifier(10, channels=(16, 32), num_features=32)


def trained(seed=0, label=DIGITS.train.label, **options: Any):
    options = {"levels": 17, "network": SMALL, "num_steps": 200, "batch_size": 64, "learning_rate": 5e-3, **options}
    return evaluate.train_classifier(jax.random.key(seed), DIGITS.train.x, label, 10, **options)


@functools.cache
def judge():
    return trained()


def test_it_learns_digits():
    found = judge().accuracy(DIGITS.test.x, DIGITS.test.label)
    assert found.value > 0.95
    assert found.unit == "accuracy"
    wrong = (judge().logits(DIGITS.test.x).argmax(axis=1) != DIGITS.test.label).sum()
    assert found.value == pytest.approx(1 - wrong / len(DIGITS.test))


def test_what_it_knows_it_has_from_the_labels():
    shuffled = np.random.default_rng(0).permutation(DIGITS.train.label)
    found = trained(label=shuffled).accuracy(DIGITS.test.x, DIGITS.test.label)
    assert found.value < 0.3


def test_the_same_key_gives_the_same_bits_in_any_chunks(monkeypatch):
    again = train.digest(trained())
    assert again == train.digest(judge())
    assert len({again, train.digest(trained(seed=1))}) == 2
    for steps_per_call in (7, 1000):
        monkeypatch.setattr(module, "_STEPS_PER_CALL", steps_per_call)
        assert train.digest(trained()) == again


def test_neither_batches_nor_neighbours_matter(monkeypatch):
    x = DIGITS.test.x[:25]
    whole = judge().logits(x)
    np.testing.assert_allclose(judge().logits(x[::-1])[::-1], whole, rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(module, "_BATCH_SIZE", 10)
    np.testing.assert_allclose(judge().logits(x), whole, rtol=1e-4, atol=1e-4)


def test_logits_are_linear_in_the_features_and_probabilities_their_softmax():
    x = DIGITS.test.x[:25]
    features, head = judge().features(x), judge().params["params"]["head"]
    assert features.shape == (25, 32)
    logits, by_hand = judge().logits(x), features @ np.asarray(head["kernel"]) + np.asarray(head["bias"])
    np.testing.assert_allclose(by_hand, logits, rtol=1e-4, atol=1e-4)
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(judge().probabilities(x), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(judge().predictions(x), expected.argmax(axis=1))


def test_images_in_storage_and_in_unit_space_are_the_same():
    x = DIGITS.test.x[:25]
    stored, unit = (judge().logits(images) for images in (x, data.to_unit(x, DIGITS.spec)))
    np.testing.assert_allclose(stored, unit, rtol=1e-5, atol=1e-5)


def test_it_is_a_tree_of_its_parameters():
    doubled = jax.tree.map(lambda leaf: 2 * leaf, judge())
    assert doubled.network is judge().network
    assert jax.tree.structure(doubled) == jax.tree.structure(judge())


def test_shares_of_classes():
    np.testing.assert_allclose(evaluate.class_histogram(np.array([0, 2, 2, 2]), 4), [0.25, 0, 0.75, 0])
    rows = np.array([[0.5, 0.5, 0], [0, 0.1, 0.9]], np.float32)
    np.testing.assert_allclose(evaluate.class_histogram(rows, 3), [0.25, 0.3, 0.45], rtol=1e-6)
    probabilities = judge().probabilities(DIGITS.test.x)
    hard = evaluate.class_histogram(judge().predictions(DIGITS.test.x), 10)
    soft = evaluate.class_histogram(probabilities, 10)
    assert soft.sum() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(hard, soft, atol=0.02)
    np.testing.assert_allclose(hard, np.bincount(DIGITS.test.label) / len(DIGITS.test), atol=0.05)


def test_kl_of_classes():
    one = np.eye(10, dtype=np.float32)[3]
    assert float(evaluate.class_kl(one)) == pytest.approx(np.log(10), rel=1e-6)
    assert float(evaluate.class_kl(np.full(10, 0.1, np.float32))) == 0
    half = np.repeat([0.2, 0.0], 5).astype(np.float32)
    assert float(evaluate.class_kl(half)) == pytest.approx(np.log(2), rel=1e-6)
    assert float(evaluate.class_kl(half, half)) == 0
    assert float(evaluate.class_kl(one, half)) == pytest.approx(np.log(5), rel=1e-6)
    assert float(evaluate.class_kl(one[::-1], half)) == np.inf


def test_the_floor_of_a_finite_number_of_images():
    """n draws in equal shares: mean (k - 1) / (2 n), standard deviation sqrt((k - 1) / 2) / n."""
    n, k, repeats = 2000, 10, 4000
    shares = np.random.default_rng(0).multinomial(n, np.full(k, 1 / k), repeats) / n
    found = np.asarray(jax.vmap(evaluate.class_kl)(jnp.asarray(shares, jnp.float32)))
    deviation = np.sqrt((k - 1) / 2) / n
    assert abs(found.mean() - (k - 1) / (2 * n)) < 4 * deviation / np.sqrt(repeats)
    assert found.std() == pytest.approx(deviation, rel=0.1)


X, LABEL = np.zeros((4, 8, 8, 1), np.uint8), np.arange(4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": None}, "levels goes with dtype uint8"),
        ({"levels": 17, "x": X + np.uint8(17)}, "levels"),
        ({"x": X + np.float32(1.5), "levels": None}, r"x must lie in \[0, 1\], got 1\.5 to 1\.5"),
        ({"label": LABEL + 7}, "num_classes"),
        ({"num_classes": 11}, r"network must have num_classes=11 logits, got 10"),
        ({"num_steps": 0}, "num_steps must be an integer of at least 1, got 0"),
        ({"batch_size": 5}, "batch_size must be at most the number of examples, 4, got 5"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes, message):
    arguments = {"x": X, "label": LABEL, "num_classes": 10, "levels": 256, "batch_size": 4, "num_steps": 1}
    arguments = {**arguments, "network": SMALL, **changes}
    with pytest.raises(ValueError, match=message):
        evaluate.train_classifier(jax.random.key(0), **arguments)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((0, 8, 8, 1), np.float32), r"x must be images \[n, 8, 8, 1\], got \(0, 8, 8, 1\)"),
        (np.zeros((2, 8, 8, 3), np.float32), r"x must be images \[n, 8, 8, 1\], got \(2, 8, 8, 3\)"),
        (np.full((2, 8, 8, 1), -1, np.float32), r"x must lie in \[0, 1\], got -1\.0 to -1\.0"),
        (np.full((2, 8, 8, 1), np.nan, np.float32), r"x must lie in \[0, 1\], got nan"),
        (np.full((2, 8, 8, 1), 17, np.uint8), r"x must lie in 0\.\.16, got 17"),
        (np.zeros((2, 8, 8, 1), np.float64), r"x must be uint8, or float32 in \[0, 1\], got float64"),
    ],
)
def test_what_it_was_not_trained_for_is_refused(x, message):
    with pytest.raises(ValueError, match=message):
        judge().logits(x)


def test_training_that_diverges_is_no_classifier(monkeypatch):
    def diverging(network, spec, optimizer, state, batches, end):
        return state.replace(params=jax.tree.map(lambda leaf: leaf / jnp.zeros_like(leaf), state.params))

    monkeypatch.setattr(module, "_trained", diverging)
    with pytest.raises(FloatingPointError, match="not finite after 200 steps"):
        trained()


def test_shares_that_cannot_be_are_refused():
    for classes, message in (
        (np.zeros(0, np.int32), "classes must hold at least one image, got none"),
        (np.array([0, 10]), r"classes must lie in 0\.\.9, got 0 to 10"),
        (np.array([-1, 0]), r"classes must lie in 0\.\.9, got -1 to 0"),
        (np.full((2, 9), 1 / 9, np.float32), "classes must have num_classes=10 columns, got 9"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate.class_histogram(classes, 10)
