from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data, evaluate
from jaxgen.data import Split


def blobs(num, seed, spread=1.0) -> Any:
    """Three classes around three corners of a triangle, and a fourth coordinate that tells nothing."""
    rng = np.random.default_rng(seed)
    label = (np.arange(num) % 3).astype(np.int32)
    x = np.concatenate([4 * np.eye(3)[label] + spread * rng.normal(size=(num, 3)), np.ones((num, 1))], axis=1)
    return Split(x.astype(np.float32), label)


def affine(params, x):
    return x @ params["weights"] + params["bias"][None]


def start(key, width=8):
    return {"weights": jax.random.normal(key, (4, width)) / 2, "bias": jnp.zeros(width)}


def blind(key):
    """An encoder whose features are all the same: worth nothing until it is trained, and then still nothing."""
    return jax.tree.map(jnp.zeros_like, start(key))


def test_the_probe_finds_what_is_linear_whatever_its_scale():
    train, test = blobs(300, 0, spread=0.3), blobs(90, 1, spread=0.3)
    for scale in (1e-3, 1e4):
        found = evaluate.linear_probe(scale * train.x, train.label, scale * test.x, test.label)
        assert found.value == 1.0
        assert found.standard_error == 0.0
    assert found.unit == "accuracy"


def test_the_probe_reaches_the_bayes_rate_and_says_its_error():
    """Two classes N(-1, 1) and N(1, 1): the best classifier is right with probability Phi(1) = 0.8413."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 20_000)
    x = (2 * label - 1 + rng.normal(size=20_000)).astype(np.float32)[:, None]
    found = evaluate.linear_probe(x[:10_000], label[:10_000], x[10_000:], label[10_000:])
    error = np.sqrt(0.8413 * 0.1587 / 10_000)
    assert found.standard_error == pytest.approx(error, rel=0.02)
    assert abs(found.value - 0.8413) < 4 * error


def test_the_probe_is_deterministic_and_sees_nothing_in_noise():
    rng = np.random.default_rng(0)
    x, label = rng.normal(size=(2000, 5)).astype(np.float32), rng.integers(0, 2, 2000)
    first, again = (evaluate.linear_probe(x[:1000], label[:1000], x[1000:], label[1000:]) for _ in range(2))
    assert first == again
    assert abs(first.value - 0.5) < 4 * np.sqrt(0.25 / 1000)


def test_the_penalty_is_chosen_by_what_is_held_out():
    """As many features as examples, all alike: only a strong penalty keeps the weights alike too."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 1500)
    x = 0.07 * (2 * label - 1)[:, None] + rng.normal(size=(1500, 500))
    arguments = (x[:500], label[:500], x[500:], label[500:])
    weak, strong, chosen = (
        evaluate.linear_probe(*arguments, strengths=s).value for s in ((1e-4,), (1.0,), (1e-4, 1.0))
    )
    assert weak < strong == chosen


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strengths": ()}, r"strengths must hold at least one number above 0, got none"),
        ({"strengths": (1.0, 0.0)}, "strengths must be a finite number above 0, got 0.0"),
        ({"labels_train": np.zeros(10, np.int32)}, r"labels_train must hold at least two classes, got \[0\]"),
    ],
)
def test_a_probe_that_cannot_be_is_refused(changes, message):
    x, label = np.zeros((10, 2), np.float32), np.arange(10, dtype=np.int32) % 2
    arguments = {"features_train": x, "labels_train": label, "features_test": x, "labels_test": label}
    with pytest.raises(ValueError, match=message):
        evaluate.linear_probe(**{**arguments, **changes})


def test_fine_tuning_trains_the_whole_classifier(key):
    train, test = blobs(30, 0), blobs(300, 1)
    params = start(key)
    classifier = evaluate.fine_tune(affine, params, train.x, train.label, 3, num_steps=200, learning_rate=1e-2)
    assert classifier.correct(affine, train.x, train.label).mean() == 1.0
    assert classifier.correct(affine, test.x, test.label).mean() > 0.9
    for old, new in zip(jax.tree.leaves(params), jax.tree.leaves(classifier.params), strict=True):
        assert not np.allclose(old, new)


def test_without_a_step_every_class_is_as_likely(key):
    train = blobs(30, 0)
    classifier = evaluate.fine_tune(affine, start(key), train.x, train.label, 3, num_steps=0)
    np.testing.assert_array_equal(classifier.logits(affine, train.x), 0)


def test_the_scale_of_the_encoder_does_not_matter_to_the_head(key):
    """Features standardised at the start: a frozen encoder of any scale leads to the same logits."""
    train = blobs(30, 0)
    logits = []
    for scale in (1.0, 100.0):

        def frozen(params, x, scale=scale):
            return scale * jax.lax.stop_gradient(affine(params, x))

        classifier = evaluate.fine_tune(frozen, start(key), train.x, train.label, 3, num_steps=50)
        logits.append(classifier.logits(frozen, train.x))
    np.testing.assert_allclose(*logits, rtol=1e-3, atol=1e-3)


def test_features_that_are_constant_stay_finite(key):
    train = blobs(30, 0)
    classifier = evaluate.fine_tune(affine, blind(key), train.x, train.label, 3, num_steps=5)
    assert np.isfinite(classifier.logits(affine, train.x)).all()


def test_a_balanced_choice_is_balanced_and_belongs_to_the_key(key):
    label = np.random.default_rng(0).integers(0, 4, 200)
    rows = evaluate.balanced_choice(key, label, 5)
    np.testing.assert_array_equal(label[rows], np.repeat(np.arange(4), 5))
    assert len(set(rows.tolist())) == 20
    np.testing.assert_array_equal(rows, evaluate.balanced_choice(key, label, 5))
    assert not np.array_equal(rows, evaluate.balanced_choice(jax.random.key(1), label, 5))
    smallest = int(np.bincount(label).min())
    assert len(evaluate.balanced_choice(key, label, smallest)) == 4 * smallest
    with pytest.raises(ValueError, match=rf"per_class must be an integer in 1\.\.{smallest}, .*, got {smallest + 1}"):
        evaluate.balanced_choice(key, label, smallest + 1)


def test_every_example_of_a_class_is_as_likely():
    """400 draws of 1 in 4: each example 100 times, within four standard deviations of the binomial."""
    label = np.zeros(4, np.int32)
    drawn = np.concatenate([evaluate.balanced_choice(jax.random.key(k), label, 1) for k in range(400)])
    assert np.abs(np.bincount(drawn, minlength=4) - 100).max() < 4 * np.sqrt(400 * 0.25 * 0.75)


def test_draws_are_repeatable_and_paired(key):
    train, test = blobs(90, 0, spread=2.0), blobs(1100, 1, spread=2.0)
    options = {"per_class": 2, "num_draws": 3, "num_steps": 30}
    known = {"weights": jnp.eye(4)[:, :3], "bias": jnp.zeros(3)}
    first, again = (
        evaluate.few_label_accuracy(key, affine, lambda _: known, train, test, 3, **options) for _ in range(2)
    )
    np.testing.assert_array_equal(first, again)
    assert len(set(first.tolist())) == 3  # other labels, other accuracies
    # By hand: the same labels lead to the same classifier, and every test example counts once.
    (key_draw, _), *_ = jax.random.split(key, (3, 2))
    rows = evaluate.balanced_choice(key_draw, train.label, 2)
    classifier = evaluate.fine_tune(affine, known, train.x[rows], train.label[rows], 3, num_steps=30)
    assert first[0] == np.float32(np.asarray(classifier.correct(affine, test.x, test.label)).mean())


def test_knowledge_in_the_parameters_is_worth_something():
    """Digits whose pixels were mixed with strong noise in other dimensions: an encoder that knows which are the
    digits' needs few labels, one that starts fresh cannot tell."""
    digits = data.load("digits")
    rng = np.random.default_rng(0)

    def noisy(split) -> Any:
        pixels = split.x.reshape(len(split), 64) / 16
        return Split(np.concatenate([pixels, rng.normal(size=(len(split), 192))], 1).astype(np.float32), split.label)

    train, test = noisy(digits.train), noisy(digits.test)
    knowing = {"weights": jnp.eye(256)[:, :64], "bias": jnp.zeros(64)}

    def fresh(key):
        return {"weights": jax.random.normal(key, (256, 64)) / 16, "bias": jnp.zeros(64)}

    key, options = jax.random.key(0), {"per_class": 10, "num_draws": 3, "num_steps": 100}
    known = evaluate.few_label_accuracy(key, affine, lambda _: knowing, train, test, 10, **options)
    scratch = evaluate.few_label_accuracy(key, affine, fresh, train, test, 10, **options)
    gain = evaluate.estimate(known - scratch, "accuracy")
    assert gain.value > 0.05
    assert gain.standard_error is not None and gain.value > 4 * gain.standard_error


def test_no_draw_is_refused(key):
    with pytest.raises(ValueError, match="num_draws must be an integer of at least 1, got 0"):
        evaluate.few_label_accuracy(key, affine, start, blobs(30, 0), blobs(30, 1), 3, num_draws=0)
