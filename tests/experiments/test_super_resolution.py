"""Super-resolution on the photographs that scikit-learn carries: what is given, what is refused, whole pictures."""

import dataclasses

import jax
import numpy as np
import pytest
from PIL import Image

from jaxgen import ddpm, runs
from jaxgen.experiments import _mean, _restoration, _super_resolution, super_resolution, super_resolution_mean

NETWORK = ddpm.MLP((8,), time_features=4)
MODEL = dataclasses.replace(_super_resolution.Config.model, network=NETWORK, schedule=ddpm.Cosine(4), num_draws=2)
SMALL = {"patches": 40, "size": 16, "overlap": 4, "samples": 2, "factor": (2, 3), "batch_size": 8, "steps": 2}
TINY = super_resolution.Config(model=MODEL, sampler=ddpm.DPMSolver(2), **SMALL)
MEAN = super_resolution_mean.Config(model=MODEL, **SMALL)


@pytest.fixture(scope="module")
def dataset():
    return TINY.dataset()


@pytest.fixture(scope="module")
def sampled(dataset):
    """A model, its variables, and two functions that restore whole pictures."""
    model = TINY.model_for(dataset.spec)
    variables = model.init(jax.random.key(0), dataset.train.batches(seed=0, batch_size=8)(0)).variables
    return model, variables, TINY.restore_for(model, dataset.spec)


def test_what_is_given_and_what_is_modelled(dataset):
    assert dataset.spec.event_shape == (16, 16, 1) and dataset.spec.dtype == "float32"
    assert {name: (field.shape, field.dtype) for name, field in dataset.spec.fields.items()} == {
        "low": ((16, 16, 1), "uint8"),
        "factor": ((), "int32"),
    }
    assert set(dataset.train.fields["factor"].tolist()) == {2, 3}
    assert dataset.spec.scale.mean == 0 and dataset.spec.scale.std == pytest.approx(dataset.train.x.std(), rel=1e-5)


def test_no_pixel_is_learned_from_and_tested_on():
    pictures = {"a": np.arange(40 * 40).reshape(40, 40)}
    train, valid, test = _super_resolution._parted(pictures, whole=False)
    parts = [np.concatenate([y.ravel() for y in some.values()]) for some in (train, valid, test)]
    assert sum(map(len, parts)) == len(np.unique(np.concatenate(parts))) == 1600
    many = {str(i): np.zeros((1, 1)) for i in range(45)}
    train, valid, test = _super_resolution._parted(many, whole=False)
    assert len(train) + len(valid) + len(test) == 45 and valid and test and not set(valid) & set(test)
    assert _super_resolution._parted(many, whole=True)[2] == {}


def test_a_whole_picture_is_restored_the_same_in_any_company(sampled):
    """Sample k of a picture larger than the patches depends neither on the number of samples nor on the call."""
    _, variables, restore = sampled
    base = np.random.default_rng(0).integers(0, 256, (28, 16), np.uint8)
    key = jax.random.key(1)
    two = np.asarray(restore(key, variables, base, 2, 0, 2))
    assert two.shape == (2, 28, 16) and np.isfinite(two).all() and (two[0] != two[1]).any()
    np.testing.assert_allclose(restore(key, variables, base, 2, 1, 1)[0], two[1], rtol=1e-4, atol=1e-4)


def test_a_picture_of_any_size(sampled):
    """Sizes that are no multiple of the factor or of a tile, and smaller than one."""
    _, variables, restore = sampled
    y = np.random.default_rng(0).integers(16, 236, (13, 29), np.uint8)
    original, base, x = _restoration.restored(restore, jax.random.key(0), variables, y, 3, 16, 4, 1)
    assert original.shape == base.shape == x.shape[1:] == (12, 27) and x.min() >= 0 and x.max() <= 255
    np.testing.assert_array_equal(original, y[:12, :27])


def test_a_small_picture_of_the_users_own(sampled, dataset):
    model, variables, _ = sampled
    low = np.random.default_rng(0).integers(16, 236, (5, 9), np.uint8)
    arguments = (jax.random.key(0), model, dataset.spec, variables)
    x = TINY.enlarge(*arguments, low, 3, num=2)
    assert x.shape == (2, 15, 27)
    np.testing.assert_allclose(TINY.enlarge(*arguments, low, 3)[0], x[0], atol=1e-3)
    with pytest.raises(ValueError, match=r"factor must be .*, got 4"):
        TINY.enlarge(*arguments, low, 4)
    with pytest.raises(ValueError, match=r"low must be a uint8 array \[l, m\], got float64"):
        TINY.enlarge(*arguments, low / 255, 3)


def test_the_regression_learns_the_mean(dataset):
    """Its loss is the squared error, and under one condition all its samples are the same."""
    model = MEAN.model_for(dataset.spec)
    batch = dataset.train.batches(seed=0, batch_size=8)(0)
    state = model.init(jax.random.key(0), batch)
    _, metrics = model.step(jax.random.key(1), state, batch)
    # The last layer starts at zero, so that the first estimate is 0: the loss is the mean square of the data.
    assert metrics["loss"] == pytest.approx(np.square(batch["x"] / dataset.spec.scale.std).mean(), rel=1e-4)
    given = {"low": dataset.test.fields["low"][0], "factor": 2}
    x = model.sample(jax.random.key(0), state.variables, 2, condition=given)
    np.testing.assert_array_equal(x[0], x[1])
    found = model.evaluate(jax.random.key(0), state.variables, batch)["squared_error"]
    np.testing.assert_allclose(found, np.square(batch["x"]).mean(axis=(1, 2, 3)), rtol=1e-4)


@pytest.mark.parametrize("kind", ["model", "mean"])
def test_conditions_are_refused_by_name(sampled, dataset, kind):
    model, variables = sampled[0], sampled[1]
    if kind == "mean":
        model = _mean.model(MODEL.lasting(2), dataset.spec)
    low, key = dataset.test.fields["low"][0], jax.random.key(0)
    for condition, message in (
        ({"factor": 2}, 'condition must hold "low", got factor'),
        ({"low": low[:8], "factor": 2}, r"condition\['low'\]"),
        ({"low": low.astype(bool), "factor": 2}, r"condition\['low'\] must be uint8, got bool"),
        ({"low": low, "factor": 7}, r"condition\['factor'\]"),
        ({"low": low, "factor": 2, "lwo": low}, "'lwo'"),
    ):
        with pytest.raises(ValueError, match=message):
            model.sample(key, variables, 2, condition=condition)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"factor": ()}, "factor must hold 1 or more integers of at least 2, got"),
        ({"factor": (1,)}, "factor must hold 1 or more integers of at least 2, got"),
        ({"size": 18}, "size must be a multiple of 4, .* got 18"),
        ({"size": 16, "overlap": 16}, "overlap must be an integer in 0..15, below size, got 16"),
        ({"samples": 0}, "samples must be"),
    ],
)
def test_settings_that_cannot_be(fields, message):
    with pytest.raises(ValueError, match=message):
        super_resolution.Config(**fields)


def test_folders_of_the_users_own(tmp_path):
    rng = np.random.default_rng(0)
    for folder in ("mine", "a/test", "b/test"):
        (tmp_path / folder).mkdir(parents=True)
        Image.fromarray(rng.integers(0, 256, (40, 80), np.uint8)).save(tmp_path / folder / "1.png")
    config = dataclasses.replace(TINY, data=str(tmp_path / "mine"), test=(str(tmp_path / "a/test"),))
    assert len(config.dataset().train) == 40
    assert list(config.pictures()[0]) == ["test"] and config.pictures()[0]["test"]["1.png"].shape == (40, 80)
    both = dataclasses.replace(config, test=(str(tmp_path / "a/test"), str(tmp_path / "b/test")))
    with pytest.raises(ValueError, match="test must hold folders of different names, got test, test"):
        both.dataset()
    with pytest.raises(FileNotFoundError, match="data must be a folder of pictures"):
        dataclasses.replace(TINY, data=str(tmp_path / "none")).dataset()


def test_folders_are_kept_by_their_whole_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    config = dataclasses.replace(TINY, data="a", test=("a",)).located()
    assert (config.data, config.test) == (str(tmp_path / "a"), (str(tmp_path / "a"),))


@pytest.mark.slow
@pytest.mark.parametrize("config", [TINY, MEAN], ids=["samples", "mean"])
def test_from_training_to_the_last_picture(tmp_path, config):
    outcome = runs.train(dataclasses.replace(config, factor=(3,)), tmp_path, progress=False)
    found = outcome.results["test"]
    name = "regression" if config is MEAN else "sample"
    assert {f"held_out/x3/{name}/{measure}" for measure in _restoration.UNITS} <= found.keys()
    assert found["held_out/x3/bicubic/psnr"].unit == "dB"
    assert (tmp_path / "pictures" / "restored.png").exists()
    assert (tmp_path / "pictures" / "perception_distortion.png").exists() == (config is TINY)
