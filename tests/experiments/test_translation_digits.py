"""Unpaired translation of digits: two sets framed alike, one network for both, the way there and back."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxgen import data, ddpm, runs
from jaxgen.experiments import translation_digits

MODEL = dataclasses.replace(
    translation_digits.Config.model, network=ddpm.MLP((8,), time_features=4), schedule=ddpm.Cosine(8), num_draws=2
)
SMALL = translation_digits.Config(
    data="digits", size=8, translated=30, levels=4, classifier_steps=2, model=MODEL, steps=2, batch_size=8
)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """The digits, and a second set of fewer: the same ones mirrored."""
    digits = data.load("digits")
    path = tmp_path_factory.mktemp("sets") / "mirrored.npz"
    parts = {"train": digits.train.rows(np.arange(100)), "test": digits.test.rows(np.arange(40))}
    columns = {}
    for name, split in parts.items():
        columns |= {f"{name}_x": split.x[:, :, ::-1] * np.uint8(15), f"{name}_label": split.label}
    np.savez(path, **columns)
    return dataclasses.replace(SMALL, other=str(path))


@pytest.fixture(scope="module")
def learned(config):
    both = config.digits()
    dataset = config.dataset(both)
    model = config.model_for(dataset.spec)
    variables = model.init(jax.random.key(0), dataset.train.batches(seed=0, batch_size=8)(0)).variables
    # The last layer begins at zero: moved, so that the two sets differ.
    moved = jax.tree.map(lambda p: p + 0.05, variables)
    return both, dataset, model, moved


def test_both_sets_are_learned_as_often(learned):
    both, dataset, *_ = learned
    assert list(both) == ["digits", "mirrored"] and dataset.spec.class_names == ("digits", "mirrored")
    assert np.bincount(dataset.train.label).tolist() == [len(both["digits"].train)] * 2
    assert np.bincount(dataset.test.label).tolist() == [40, 40]
    for each in both.values():
        assert each.train.x.shape[1:] == (8, 8, 1) and each.train.x.dtype == np.uint8 and each.train.x.max() >= 240
    np.testing.assert_array_equal(dataset.train.x[-100:], np.resize(both["mirrored"].train.x, (1297, 8, 8, 1))[-100:])


def test_translation_is_a_function_and_leads_home_where_both_are_the_same(config, learned):
    both, dataset, model, variables = learned
    translated = dataclasses.replace(config, levels=8, iterations=8).translator(model, dataset.spec)
    x = both["digits"].test.x[:7]
    y = translated(variables, x, 0, 1)
    assert y.shape == (7, 8, 8, 1) and y.min() >= 0 and y.max() <= 1
    np.testing.assert_array_equal(y, translated(variables, x, 0, 1))
    np.testing.assert_allclose(translated(variables, x[3:5], 0, 1), y[3:5], atol=1e-5)
    home = translated(variables, x, 0, 0)
    np.testing.assert_allclose(home, x / np.float32(255), atol=0.02)
    assert np.abs(home - y).max() > 0.002


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_that_cannot_be(config, learned, share):
    both, dataset, model, variables = learned
    with pytest.raises(ValueError, match=rf"share must be a finite number .*, got {share}"):
        config.translator(model, dataset.spec)(variables, both["digits"].test.x[:2], 0, 1, share)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"levels": 9}, "levels must be an integer in 1..8, the model's levels of noise, got 9"),
        ({"size": 4}, "size must be an integer of at least 8, got 4"),
        ({"model": dataclasses.replace(MODEL, conditional=False)}, "model.conditional must be True, .* got False"),
    ],
)
def test_settings_that_cannot_be(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(SMALL, **fields)


def test_data_that_are_no_digits(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.ones((40, 8, 8, 3), np.uint8), label=np.arange(40) % 2)
    with pytest.raises(ValueError, match=r"other must be grey images \[h, w, 1\] with labels, got"):
        dataclasses.replace(SMALL, other=str(tmp_path / "x.npz")).digits()


@pytest.mark.slow
def test_from_training_to_both_classifiers(tmp_path, config):
    found = runs.train(config, tmp_path, progress=False).results["test"]
    for way in ("digits_to_mirrored", "mirrored_to_digits"):
        for name in ("as_it_is", "up_to_0.5", "translated"):
            assert {f"{way}/{name}/accuracy", f"{way}/{name}/taken_for_target"} <= found.keys()
    assert {"real/digits/accuracy", "real/mirrored/accuracy"} <= found.keys()
    assert (tmp_path / "pictures" / "final.png").exists()
