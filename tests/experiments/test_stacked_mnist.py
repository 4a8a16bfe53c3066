"""Stacked digits: one data set for all seeds, counts of known images, and the whole way in small."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from jaxgen import evaluate, gan, runs
from jaxgen.core import Spec
from jaxgen.experiments import stacked_mnist

SMALL = stacked_mnist.Config(
    data="digits",
    stacks=200,
    samples=100,
    classifier_steps=200,
    model=dataclasses.replace(
        stacked_mnist.Config.model, network=gan.DCGAN(features=8, spectral=False, num_groups=None)
    ),
    steps=2,
    batch_size=8,
)


def test_the_data_are_the_same_for_every_seed_and_the_test_digits_are_held_out():
    digits = SMALL.digits()
    dataset = SMALL.dataset(digits)
    assert dataset.name == "stacked_digits" and dataset.spec == Spec((8, 8, 3), "uint8", levels=17)
    assert (len(dataset.train), len(dataset.test)) == (200, 100)
    assert dataclasses.replace(SMALL, seed=7).dataset(digits).fingerprint == dataset.fingerprint
    for split, single in ((dataset.train, digits.train), (dataset.test, digits.test)):
        known = {image.tobytes() for image in single.x[..., 0]}
        assert all(x[..., c].tobytes() in known for x in split.x for c in range(3))


def test_data_without_labels_are_refused(tmp_path):
    place = str(tmp_path / "x.npy")
    np.save(place, np.zeros((20, 8, 8, 1), np.uint8))
    with pytest.raises(ValueError, match=r"data must be grey images \[h, w, 1\] with labels, got"):
        dataclasses.replace(SMALL, data=place).digits()


def test_numbers_are_checked():
    wrong: Any = [{name: 0} for name in ("stacks", "samples", "classifier_steps")]
    for fields in wrong:
        with pytest.raises(ValueError, match=f"{next(iter(fields))} must be an integer of at least 1, got 0"):
            stacked_mnist.Config(**fields)


@pytest.mark.slow
def test_in_small_from_training_to_the_counts(tmp_path, monkeypatch):
    """Real stacks cover the modes that draws of them cover; a generator of two steps is far from it."""
    monkeypatch.setenv("JAXGEN_CACHE_DIR", str(tmp_path / "cache"))
    found = runs.train(SMALL, tmp_path / "run", progress=False).results["test"]
    digits = SMALL.digits()
    judge = evaluate.trained_judge(digits, num_steps=200)
    real = evaluate.mode_counts(evaluate.stacked_classes(judge, SMALL.dataset(digits).test.x), 1000)
    assert found["real/modes"].value == real.modes > 80
    assert found["real/kl"].value == pytest.approx(real.kl) and found["classifier"].value > 0.9
    assert found["modes"].value < found["real/modes"].value and found["kl"].value > found["real/kl"].value
    assert {path.name for path in (tmp_path / "run" / "pictures").iterdir()} >= {"final.png", "modes.png"}
