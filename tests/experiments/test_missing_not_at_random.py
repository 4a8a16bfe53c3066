"""Imputation where the mask knows what it hides: the protocol, its scores, and the published order of the methods."""

import dataclasses

import numpy as np
import pytest

from jaxgen import runs
from jaxgen.experiments import missing_not_at_random as experiment


def test_the_protocol_is_the_published_one():
    """The mean of what is seen misses the deleted values by 1.82, as Ipsen et al. 2021 have it."""
    x = experiment.Config().table()
    mask = experiment.kept(x)
    assert x.shape == (569, 30) and mask[:, 15:].all() and not mask[:, :15].all(axis=0).any()
    found = {name: experiment.error_of(filled, x, mask) for name, filled in experiment.others(x, mask).items()}
    assert round(found["mean of what is seen"].value, 2) == 1.82
    assert 0.9 < found["chained regressions"].value < 1.0
    dataset = experiment.Config().dataset()
    assert dataset.train.mask is not None and not dataset.train.x[~dataset.train.mask].any()


def test_scores():
    truth, mask = np.zeros((4, 2)), np.array([[True, False]] * 4)
    imputed = np.array([[9, 1], [9, -1], [9, 3], [9, 3]], np.float32)  # observed entries do not count
    found = experiment.error_of(imputed, truth, mask)
    assert found.value == pytest.approx(np.sqrt(5))
    assert found.standard_error == pytest.approx(np.std([1, 1, 9, 9]) / 2 / (2 * np.sqrt(5)))
    line = np.linspace(-1, 1, 101)[:, None, None] * np.ones((1, 4, 2))
    inside = experiment.covered(line, np.array([[0, 0.0], [0, 0.89], [0, 0.91], [0, -0.95]]), mask)
    assert inside.value == 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": "mnist"}, "data must be 'breast_cancer' or 'wine' or 'iris', got 'mnist'"),
        ({"num_samples": 75}, "num_samples must be a multiple of 50, got 75"),
        ({"imputations": 1}, "imputations must be an integer of at least 2, got 1"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(experiment.Config(), **changes)


@pytest.mark.slow
def test_in_short_the_masks_distribution_helps(tmp_path):
    found = {}
    for name, missing in (("with", experiment.Config().model.missing), ("without", None)):
        model = dataclasses.replace(experiment.Config().model, missing=missing)
        config = dataclasses.replace(
            experiment.Config(), steps=600, checkpoint_every=600, num_samples=500, imputations=5, model=model
        )
        found[name] = runs.train(config, tmp_path / name, progress=False).results["test"]["rmse"].value
    assert found["with"] < 1.0 < found["without"]
