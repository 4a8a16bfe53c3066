import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data, evaluate
from jaxgen.core import Estimate, GenerativeModel
from jaxgen.evaluate import representation

SMALL = evaluate.ImageClassifier(10, channels=(8,), num_features=16)
DIGITS: Any = data.load("digits")
SHAPES: Any = data.from_arrays(np.zeros((20, 4, 4, 1), np.float32))
X = np.asarray(data.to_unit(DIGITS.test.x, DIGITS.spec))


def means(digest="1"):
    return evaluate.Features(lambda x: x.mean(axis=(2, 3)), "means of rows", digest)


def test_any_function_of_images_is_features(monkeypatch):
    sizes = []

    def extract(x):
        sizes.append(len(x))
        return x.mean(axis=(2, 3))

    features = evaluate.Features(extract, "means of rows", "1")
    np.testing.assert_array_equal(features(X), X.mean(axis=(2, 3)))
    monkeypatch.setattr(representation, "_BATCH_SIZE", 90)
    np.testing.assert_array_equal(features(X), X.mean(axis=(2, 3)))
    assert sizes == [300, 90, 90, 90, 90]  # of one size, so that a jitted function is traced once
    assert features(X).dtype == np.float32


@pytest.mark.parametrize(
    ("extract", "message"),
    [
        (lambda x: x, r"means must give features \[300, d\], got shape \(300, 8, 8, 1\)"),
        (lambda x: x.mean(axis=(1, 2, 3), keepdims=True)[:1, 0, 0], "must give features"),
        (lambda x: np.full((len(x), 2), np.nan), "means must give finite features"),
    ],
)
def test_what_are_no_features_is_refused(extract, message):
    with pytest.raises(ValueError, match=message):
        evaluate.Features(extract, "means", "1")(X)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (DIGITS.test.x, r"images must be floating in \[0, 1\] .*to_unit.* got uint8"),
        (X * 255, r"images must lie in \[0, 1\], got 0.0 to 255.0; they look like grey levels 0..255"),
        (X * 2 - 1, r"images must lie in \[0, 1\], got -1.0 to 1.0$"),
        (np.where(X == 0, np.nan, X), "images must lie in"),
        (X[:0], r"images must be images \[n, height, width, channels\], at least one"),
        (X[..., 0], "images must be images"),
    ],
)
def test_what_are_no_images_is_refused(images, message):
    with pytest.raises(ValueError, match=message):
        means()(images)


def test_features_have_a_name_and_a_digest():
    with pytest.raises(ValueError, match="features need a name and a digest, got name='x', digest=''"):
        evaluate.Features(lambda x: x, "x", "")
    a, b = evaluate.pixel_features(DIGITS.spec), evaluate.pixel_features(SHAPES.spec)
    assert a.digest != b.digest and a.name == b.name == "pixels"
    np.testing.assert_array_equal(a(X), X.reshape(300, 64))


def test_the_librarys_own_classifier_is_trained_once_and_then_kept(tmp_path, monkeypatch):
    judge = evaluate.trained_judge(DIGITS, num_steps=20, network=SMALL, cache=tmp_path)
    features = evaluate.classifier_features(judge)
    assert features(X[:5]).shape == (5, 16)
    np.testing.assert_allclose(features(X[:5]), judge.features(X[:5]), rtol=1e-6)

    calls = []
    monkeypatch.setattr(
        representation, "train_classifier", lambda *a, **k: calls.append(1) or evaluate.train_classifier(*a, **k)
    )
    again = evaluate.classifier_features(evaluate.trained_judge(DIGITS, num_steps=20, network=SMALL, cache=tmp_path))
    assert not calls and again.digest == features.digest and len(features.digest) == 64
    np.testing.assert_array_equal(again(X[:5]), features(X[:5]))
    other = evaluate.trained_judge(DIGITS, num_steps=20, network=SMALL, seed=1, cache=tmp_path)
    assert calls == [1] and evaluate.classifier_features(other).digest != features.digest
    assert len(list((tmp_path / "fidelity").iterdir())) == 2


def test_data_without_labels_have_no_classifier(tmp_path):
    with pytest.raises(ValueError, match=r"a classifier needs images with labels, .* give features of your own"):
        evaluate.trained_judge(SHAPES, cache=tmp_path)


def conditions(**changes: Any):
    known = {"reference": "digits test", "floor_of": "digits valid", "fingerprint": "f", "features": "means"}
    return evaluate.Conditions(**{"num": 300, **known, "digest": "1", "seed": 0, **changes})


def score(value, better: Any = "lower", floor=1.0, **changes: Any):
    return evaluate.Score(
        evaluate.estimate(np.array([float(value)])),
        evaluate.estimate(np.array([float(floor)])),
        better,
        None,
        conditions(**changes),
    )


def test_models_are_ranked_by_what_compares():
    assert evaluate.ranking({"a": score(3.0), "b": score(2.0), "c": score(4.0)}) == ["b", "a", "c"]
    assert evaluate.ranking({"a": score(3.0, "higher"), "b": score(2.0, "higher")}) == ["a", "b"]
    assert evaluate.ranking({"a": score(0.2, "near"), "b": score(1.5, "near")}) == ["b", "a"]
    assert evaluate.ranking({"a": score(np.nan), "b": score(2.0)}) == ["b", "a"]


def measured(value, error, better: Any = "lower", floor=1.0, floor_error=0.0):
    return evaluate.Score(Estimate(value, error), Estimate(floor, floor_error), better, None, conditions())


def test_a_model_leads_by_more_than_the_errors():
    assert evaluate.leader({"a": measured(0.50, 0.03), "b": measured(0.55, 0.03)}) == "a"  # 0.05 > 0.042
    assert evaluate.leader({"a": measured(0.50, 0.03), "b": measured(0.54, 0.03)}) is None
    third = {"a": measured(0.5, 0.01), "b": measured(0.9, 0.01), "c": measured(0.505, 0.01)}
    assert evaluate.leader(third) is None  # ahead of one of the two others
    assert evaluate.leader({"a": measured(0.5, None), "b": measured(0.5, None)}) is None
    assert evaluate.leader({"a": measured(0.5, None), "b": measured(0.501, None)}) == "a"
    assert evaluate.leader({"a": measured(0.9, 0.1, "higher"), "b": measured(0.7, 0.1, "higher")}) == "a"
    assert evaluate.leader({"a": measured(np.nan, None), "b": measured(2.0, 0.5)}) == "b"
    assert evaluate.leader({"a": measured(np.nan, None), "b": measured(np.nan, None)}) is None
    assert evaluate.leader({"a": measured(2.0, 0.5)}) is None  # alone
    # 0.2 below and 0.4 above the floor: which is nearer depends on where the floor is.
    near = {"a": measured(0.8, 0.01, "near", floor_error=0.0), "b": measured(1.4, 0.01, "near", floor_error=0.0)}
    assert evaluate.leader(near) == "a"
    near = {"a": measured(0.8, 0.01, "near", floor_error=0.15), "b": measured(1.4, 0.01, "near", floor_error=0.15)}
    assert evaluate.leader(near) is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"digest": "2"}, "a and b do not compare: digest '1' against '2'"),
        ({"features": "pixels"}, "a and b do not compare: features 'means' against 'pixels'"),
        ({"num": 100}, "num 300 against 100"),
        ({"reference": "digits train"}, "reference 'digits test' against 'digits train'"),
        ({"fingerprint": "g"}, "fingerprint"),
        ({"seed": 1}, "seed"),
        ({"better": "higher"}, "a and b are scores of different kinds"),
    ],
)
def test_what_does_not_compare_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        evaluate.ranking({"a": score(1.0), "b": score(2.0, **changes)})
    with pytest.raises(ValueError, match="at least one score"):
        evaluate.ranking({})


def numbered(key, state, num, *, first=0, label=None, condition=None):
    """Sample k is k, or its label; the number of samples of each call is noted."""
    state.append(num)
    return np.arange(first, first + num, dtype=float) if label is None else np.asarray(label, float)


def unconditional(key, state, num, *, first=0, label=None):
    if label is not None:
        raise ValueError("label must be None")
    return np.arange(num)


def model(sample):
    def unused(*_: Any) -> Any:
        raise AssertionError

    return GenerativeModel(unused, unused, unused, sample, None)


def test_samples_of_any_model_come_in_chunks_of_one_size():
    calls: list[int] = []
    key = jax.random.key(0)
    np.testing.assert_array_equal(evaluate.samples(model(numbered), key, calls, 10, chunk=4), np.arange(10))
    assert calls == [4, 4, 4]
    label = np.arange(10) * 7 % 10
    np.testing.assert_array_equal(evaluate.samples(model(numbered), key, calls, 10, label=label, chunk=4), label)
    assert len(evaluate.samples(model(numbered), key, calls, 3)) == 3
    assert evaluate.takes_labels(model(lambda *_, label: jnp.zeros(1)), ())
    assert not evaluate.takes_labels(model(unconditional), ())
    refused: Any = (({"num": 0}, "num must be an integer"), ({"num": 3, "label": label}, "label must hold num=3"))
    for options, message in refused:
        with pytest.raises(ValueError, match=message):
            evaluate.samples(model(numbered), key, calls, **options)


def test_conditions_say_all_that_a_number_must_be_read_with():
    described = str(dataclasses.replace(conditions(), digest="0123456789abcdef"))
    for part in ("300", "digits test", "digits valid", "means", "0123456789ab", "seed 0"):
        assert part in described
