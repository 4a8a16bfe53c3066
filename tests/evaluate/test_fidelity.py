from typing import Any

import jax
import numpy as np
import pytest

from jaxgen import data, evaluate

DIGITS: Any = data.load("digits")


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    return evaluate.train_classifier(
        jax.random.key(0), DIGITS.train.x, DIGITS.train.label, 10, levels=17, num_steps=150, batch_size=64,
        network=evaluate.ImageClassifier(10, channels=(8, 16), num_features=16), learning_rate=5e-3,
    )  # fmt: skip


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def reference(judge, cache, **options) -> Any:
    return evaluate.reference(DIGITS, evaluate.classifier_features(judge), judge=judge, cache=cache, **options)


@pytest.fixture(scope="module")
def real(judge, cache):
    return reference(judge, cache, num=120)


def fidelity(*args, **options) -> Any:
    with pytest.warns(evaluate.FewSamplesWarning):
        return evaluate.fidelity(*args, **options)


def train_images(num):
    return np.asarray(data.to_unit(DIGITS.train.x[:num], DIGITS.spec))


def test_references_and_the_floors_images_are_disjoint_and_as_many(judge, cache):
    found = reference(judge, cache)
    assert found.real.name == "digits test"
    assert found.floor.name == "digits valid + train[100]"
    assert len(found.real.images) == len(found.floor.images) == len(found.floor.label) == 300
    np.testing.assert_array_equal(found.floor.images[:200], data.to_unit(DIGITS.valid.x, DIGITS.spec))
    distances = evaluate.nearest(found.floor.images, found.real.images).distances
    assert (distances > 0).all()
    other = reference(judge, cache, split="train", num=20)
    assert (other.real.name, other.floor.name) == ("digits train[20]", "digits test[20]")
    np.testing.assert_array_equal(other.held_out, other.floor.images)
    assert evaluate.largest_num(DIGITS, "train") == 500


def test_what_was_computed_of_the_data_is_kept_under_their_fingerprint(judge, cache, real):
    def never(x):
        raise AssertionError("computed again")

    known = evaluate.classifier_features(judge)
    again = evaluate.reference(
        DIGITS, evaluate.Features(never, known.name, known.digest), judge=judge, num=120, cache=cache
    )
    np.testing.assert_array_equal(again.real.features, real.real.features)
    np.testing.assert_array_equal(again.real.moments.scatter, evaluate.moments(real.real.features).scatter)
    others: Any = ({"num": 121}, {"split": "train", "num": 120})
    for changed in others:
        with pytest.raises(AssertionError, match="computed again"):
            evaluate.reference(DIGITS, evaluate.Features(never, known.name, known.digest), cache=cache, **changed)


@pytest.fixture(scope="module")
def found(real):
    """Of real images: what is the floor of them is their value, whatever the metric."""
    with pytest.warns(evaluate.FewSamplesWarning, match="120 samples are fewer than 10,000: .* too large"):
        return evaluate.fidelity(real.floor.images, real)


def test_real_images_score_the_floor(real, found):
    for name, score in found.scores.items():
        if name != "nearest_train":
            assert score.value == score.floor, name
    assert list(found.scores) == [
        "frechet_distance", "kernel_distance", "precision", "recall", "density", "coverage", "class_kl",
        "nearest_train",
    ]  # fmt: skip
    assert found.histogram.sum() == pytest.approx(1)
    assert evaluate.nearest(real.held_out, train_images(1297)).distances.mean() == pytest.approx(
        found.scores["nearest_train"].floor.value, rel=1e-6
    )


def test_every_score_carries_what_it_is_to_be_read_with(judge, real, found):
    for score in found.scores.values():
        assert score.conditions == evaluate.Conditions(
            num=120,
            reference="digits test[120]",
            floor_of="digits valid[120]",
            fingerprint=DIGITS.fingerprint,
            features="classifier",
            digest=evaluate.classifier_features(judge).digest,
            seed=0,
        )
    assert "MiB" in found.notes[-1]


def test_worse_samples_score_worse(real, found):
    turned = real.floor.images[:, ::-1]
    one_class = np.asarray(data.to_unit(DIGITS.train.x[DIGITS.train.label == 3][:120], DIGITS.spec))
    spoilt = fidelity(turned, real).scores
    for name in ("frechet_distance", "kernel_distance", "precision", "coverage"):
        assert evaluate.ranking({"turned": spoilt[name], "real": found.scores[name]})[0] == "real", name
    few = fidelity(one_class, real)
    for name in ("frechet_distance", "recall", "coverage", "class_kl"):
        assert evaluate.ranking({"few": few.scores[name], "real": found.scores[name]})[0] == "real", name
    assert few.histogram.argmax() == 3
    # These are copies of training images, and it shows.
    assert few.scores["nearest_train"].value.value == 0 < few.scores["nearest_train"].floor.value


def test_labelled_samples_are_judged_by_what_they_teach(judge, cache):
    real = reference(judge, cache, num=200)
    options: dict[str, Any] = {"levels": None, "num_steps": 150, "network": judge.network, "batch_size": 64}
    x, label = train_images(200), DIGITS.train.label[:200]
    scores = [
        evaluate.classification_accuracy_score(
            jax.random.key(0), x, some, real.real.images, real.real.label, 10, **options
        ).value
        for some in (label, (label + 1) % 10)
    ]
    assert scores[0] > 0.8 and scores[1] < 0.1
    with pytest.raises(ValueError, match="only samples of a model that takes labels have this score"):
        evaluate.classification_accuracy_score(jax.random.key(0), x, None, real.real.images, real.real.label, 10)


def test_without_labels_the_pixels_can_be_looked_at(tmp_path):
    x = np.random.default_rng(0).uniform(size=(90, 4, 4, 1)).astype(np.float32)
    shapes = data.from_arrays(x)
    real = evaluate.reference(shapes, evaluate.pixel_features(shapes.spec), cache=tmp_path)
    found = fidelity(real.floor.images, real)
    assert "class_kl" not in found.scores and found.histogram is None
    assert found.scores["frechet_distance"].conditions.features == "pixels"
    with pytest.raises(ValueError, match=r"label must be None: .* has no labels"):
        evaluate.fidelity(real.floor.images, real, label=np.zeros(len(real.floor.images), int))


def test_what_cannot_be_compared_is_refused(judge, cache, real):
    x = train_images(120)
    for images, message in (
        (x[:100], "samples must be as many as the references, 120, got 100"),
        (x * 255, r"samples must lie in \[0, 1\]"),
        (np.concatenate([x, x], axis=-1), r"references must have height, width and channels of samples, \(8, 8, 2\)"),
        (np.repeat(x[:1], 120, axis=0), "must not be constant, got 120 examples with the same features"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate.fidelity(images, real)
    for options, message in (
        ({"num": 301}, r"num must lie in 4\.\.300, so that there are as many .* got 301"),
        ({"num": 3}, "num must lie in"),
        ({"split": "none"}, "split must be one of train, valid, test, got 'none'"),
    ):
        with pytest.raises(ValueError, match=message):
            reference(judge, cache, **options)
