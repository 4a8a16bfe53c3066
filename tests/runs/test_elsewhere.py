"""A run works wherever it is used from, and is sampled from without its data."""

import dataclasses
import json
import shutil
from typing import Any

import jax
import numpy as np
import pytest
from given import GIVEN
from tiny import TINY, manifest

from jaxgen import cli, data, experiments, runs, train
from jaxgen.core import Field, Spec
from jaxgen.digest import flatten
from jaxgen.experiments import digits_vae, mnist_vae, toy_ddpm
from jaxgen.runs import described


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    """A folder with data and a run that was started there, by relative paths."""
    folder = tmp_path_factory.mktemp("here")
    np.save(folder / "x.npy", np.random.default_rng(0).integers(0, 256, (120, 6, 5, 1), dtype=np.uint8))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        runs.train(dataclasses.replace(TINY, data="x.npy"), "run", progress=False)
    return folder


@pytest.fixture
def here(started, tmp_path):
    """A copy of the run; its data stay where they are."""
    shutil.copytree(started / "run", tmp_path / "run")
    return tmp_path / "run"


def test_a_manifest_has_the_absolute_path_and_the_spec(started):
    found = manifest(started / "run")
    assert found["config"]["data"] == str(started / "x.npy")
    assert described.rebuild(found["data"]["spec"]) == data.load(started / "x.npy").spec


def test_every_use_from_another_folder(started, here, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert runs.evaluate("run")["negative_elbo"].value > 0
    assert runs.resume("run", progress=False).results
    assert runs.verify("run", progress=False).passed
    monkeypatch.chdir(started)
    # The same relative path is the same run, however it is written.
    for path in ("x.npy", "./x.npy", f"../{started.name}/x.npy"):
        assert runs.train(dataclasses.replace(TINY, data=path), here, progress=False).results


def test_sampling_needs_no_data(here, monkeypatch):
    expected, _ = runs.sample(here, 5, seed=3)
    monkeypatch.setattr(data, "load", lambda *_, **__: pytest.fail("the data were loaded"))
    x, picture = runs.sample(here, 5, seed=3)
    np.testing.assert_array_equal(x, expected)
    assert x.shape == (5, 6, 5, 1) and picture.stat().st_size > 1000
    best = runs.load_model(here, best=True)
    assert int(best.state.step) in (2, 4) and best.spec.levels == 256


def test_missing_data_are_missed_by_name(here, tmp_path, capsys):
    gone = tmp_path / "gone.npy"
    text = (here / "manifest.json").read_text()
    (here / "manifest.json").write_text(text.replace(manifest(here)["config"]["data"], str(gone)))
    assert cli.main(["sample", str(here), "--num", "2"]) == 0
    for use in (runs.evaluate, runs.resume, runs.verify, runs.load, runs.fidelity):
        with pytest.raises(FileNotFoundError, match=f"the data of the run in {here} are no longer at {gone}"):
            use(here)
    assert cli.main(["evaluate", str(here)]) == 2
    assert str(here) in capsys.readouterr().err


def older(path):
    """The run as it was before manifests had absolute paths and specs."""
    tree = manifest(path)
    tree["config"]["data"] = "x.npy"
    del tree["data"]["spec"], tree["best"]
    (path / "manifest.json").write_text(json.dumps(tree))
    for meta in (path / "checkpoints").glob("*/meta/metadata"):
        kept = json.loads(meta.read_text())
        kept["config"]["data"] = "x.npy"
        meta.write_text(json.dumps(kept))


def test_a_run_of_before_works_where_it_was_started(started, here, tmp_path, monkeypatch):
    older(here)
    with pytest.raises(FileNotFoundError, match=f"the run in {here} cannot be built: .*where it was started"):
        runs.sample(here, 2)
    monkeypatch.chdir(started)
    assert runs.sample(here, 2)[0].shape == (2, 6, 5, 1)
    state = runs.load(here, best=True)[2]
    runs.resume(here, progress=False)
    monkeypatch.chdir(tmp_path)  # resumed, it is as any other
    assert runs.sample(here, 2)[0].shape == (2, 6, 5, 1)
    assert train.digest(runs.load(here, best=True)[2]) == train.digest(state)


# Too large for a test, or of data with fields of their own (whose tests build them).
LARGE_OR_GIVEN = ("cifar10_ddpm", "missing_pixels_mnist", *GIVEN)


@pytest.mark.parametrize("name", [n for n in experiments.names() if n not in LARGE_OR_GIVEN])
def test_every_experiment_has_its_model_without_data(name):
    """Its state is the one that `build` has, in structure, dtypes and shapes."""
    config = experiments.find(name).Config()
    of_points = hasattr(config, "num") and not hasattr(config, "galaxies")
    spec = Spec((2,)) if of_points else Spec((28, 28, 1), "uint8", 256, 10)
    model = config.model_for(spec)
    state = jax.eval_shape(model.init, jax.random.key(0), described.stand_in(spec, config.batch_size))
    assert any(path.endswith("step") for path in flatten(state))


@pytest.mark.slow
def test_the_model_of_mnist_vae_differs_in_its_start_alone(monkeypatch, tmp_path):
    """Its decoder begins at the mean of all images, which samples do not need."""
    config = mnist_vae.Config(
        data="digits", steps=2, batch_size=16, checkpoint_every=2, importance_samples=0, model=TINY.model
    )
    digits = data.load("digits")
    monkeypatch.setattr(data, "load", lambda *_, **__: digits)
    runs.train(config, tmp_path / "run", progress=False)
    experiment, _, state = runs.load(tmp_path / "run")
    x, _ = runs.sample(tmp_path / "run", 3)
    np.testing.assert_array_equal(x, experiment.model.sample(jax.random.key(1), state.variables, 3))


def test_an_experiment_with_build_alone_goes_through_its_data(here, monkeypatch):
    experiment = runs.RunFolder(here).config.build()
    monkeypatch.setattr(digits_vae.Config, "build", lambda self: experiment)
    monkeypatch.setattr(digits_vae.Config, "model_for", lambda self, spec: None)
    assert runs.sample(here, 2)[0].shape == (2, 6, 5, 1)


def test_toys_show_their_points_beside_samples(tmp_path):
    config = toy_ddpm.Config(num=300, steps=2, batch_size=16)
    points = config.dataset().spec
    assert config.samples_figure(points, np.zeros((4, 2), np.float32), "title") is not None


def test_located(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "mnist").mkdir()
    for name, expected in {
        "photos": tmp_path / "photos",
        "photos/": tmp_path / "photos",
        "a.npz": tmp_path / "a.npz",
        tmp_path / "b.npy": tmp_path / "b.npy",
        "digits": "digits",
        "mnist": "mnist",  # a name comes before a path, as in `load`
        "tfds:photos": "tfds:photos",
        "emnist/letters": "emnist/letters",
    }.items():
        assert data.located(name) == str(expected)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"low": Field((4, 4, 1), "uint8"), "text": Field((7,), "int32", 300)},
        {"seen": Field((2,), "bool"), "type": Field((), "float32")},
    ],
)
def test_a_spec_as_json(fields):
    spec = Spec((4, 4, 1), "uint8", 256, 10, fields)
    tree = json.loads(json.dumps(described.describe(spec)))
    assert described.rebuild(tree) == spec
    batch = described.stand_in(spec, 7)
    assert batch["x"].shape == (7, 4, 4, 1)
    assert {name: (batch[name].shape, batch[name].dtype.name) for name in fields} == {
        name: ((7, *field.shape), field.dtype) for name, field in fields.items()
    }


def test_a_spec_from_before_there_were_further_fields():
    spec = Spec((4, 4, 1), "uint8", 256, 10)
    tree = described.describe(spec)
    assert tree is not None and tree.pop("fields") == {}
    for condition in (None, {"shape": [3], "dtype": "float32"}):
        assert described.rebuild({**tree, "condition": condition}) == spec


def test_a_spec_that_json_cannot_hold_is_not_described():
    scale: Any = data.Functions(lambda x: x, lambda u: u)
    assert described.describe(Spec((2,), scale=scale)) is None
    with pytest.raises(ValueError, match="a spec's type must be"):
        described.rebuild({"type": "jaxgen.optimizers.Constant"})
