"""Generated radio galaxies beside real ones in the training of a classifier."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxgen import ddpm, runs
from jaxgen.experiments import radio_augmentation

TINY = radio_augmentation.Config(
    sampler=ddpm.DPMSolver(2),
    model=dataclasses.replace(
        radio_augmentation.Config.model,
        network=ddpm.MLP((8,), time_features=4),
        schedule=ddpm.Cosine(4),
        num_draws=2,
    ),
    classifier_steps=2,
    classifier_batch=8,
    steps=2,
    batch_size=8,
)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    x = np.random.default_rng(0).integers(0, 256, (72, 16, 16, 1), np.uint8)
    path = tmp_path_factory.mktemp("radio") / "first.npz"
    np.savez(path, x=x, label=np.arange(72) // 6 % 4, fold=np.arange(72) % 6)
    return str(path)


def test_all_classes_are_equally_frequent_with_the_generated_images(file):
    config = dataclasses.replace(TINY, data=file, generated=2)
    dataset = config.dataset()
    model = config.model_for(dataset.spec)
    variables = model.init(jax.random.key(0), dataset.train.batches(0, 8)(0)).variables
    x, label = config.drawn(jax.random.key(1), model, variables, dataset)
    together = np.bincount(np.concatenate([label, np.asarray(dataset.train.label)]))
    np.testing.assert_array_equal(together, np.full(4, 36))
    assert x.min() >= -1 and x.max() <= 1 and x.dtype == np.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, r"data must be a file of FIRST with x, label and fold \(data.radio_galaxies\), got None"),
        ({"data": "digits"}, "data must be a file of FIRST with x, label and fold, got digits"),
    ],
)
def test_other_data_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(TINY, **change).dataset()


def test_a_model_that_is_not_told_the_class_is_refused():
    with pytest.raises(ValueError, match=r"model.conditional must be True, for images are drawn by class, got False"):
        dataclasses.replace(TINY, model=dataclasses.replace(TINY.model, conditional=False))


def test_folds_are_averaged_in_percent():
    found = radio_augmentation.averaged([{"fcn/real": 0.5}, {"fcn/real": 0.6}])
    assert found["fcn/real"].value == pytest.approx(55)
    assert found["fcn/real"].standard_error == pytest.approx(np.sqrt(50))


@pytest.mark.slow
def test_from_training_to_the_comparison(tmp_path, file):
    found = runs.train(dataclasses.replace(TINY, data=file), tmp_path, progress=False).results["test"]
    for name in ("fcn/real", "fcn/augmented", "cnn/real", "cnn/augmented"):
        assert 0 <= found[name].value <= 1 and found[name].standard_error is not None
    assert (tmp_path / "pictures" / "by_class.png").exists()
