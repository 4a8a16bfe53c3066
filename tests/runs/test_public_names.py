"""Names of classes in manifests, and runs written by an earlier version, whose names were those of files."""

import json
import shutil
import sys
import tarfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import jaxgen
from jaxgen import autoencoder, cli, core, data, ddpm, experiments, gan, optimizers, runs, vae
from jaxgen.runs import belonging, names
from jaxgen.runs.config import completed, difference, from_json, to_json

OLD = Path(__file__).parent / "f8cdba7" / "runs.tar.xz"
RUNS = ("digits_vae", "digits_gan", "digits_ddpm")


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """The runs that commit f8cdba7 wrote; see the README beside them."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(OLD) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(params=RUNS)
def run(request, tmp_path):
    with tarfile.open(OLD) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / request.param


def manifest(path):
    return json.loads((path / "manifest.json").read_text())


def types_of(tree):
    if isinstance(tree, dict):
        return {tree.get("type"), *(t for value in tree.values() for t in types_of(value))} - {None}
    return {t for item in tree for t in types_of(item)} if isinstance(tree, list) else set()


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (ddpm.UNet, "jaxgen.nn.UNet"),
        (ddpm.Config, "jaxgen.ddpm.Config"),
        (vae.Bernoulli, "jaxgen.vae.Bernoulli"),
        (gan.Normal, "jaxgen.gan.Normal"),
        (autoencoder.Config, "jaxgen.autoencoder.Config"),
        (optimizers.Adam, "jaxgen.optimizers.Adam"),
        (data.Arcsinh, "jaxgen.data.Arcsinh"),
        (core.Spec, "jaxgen.core.Spec"),
        (experiments.find("digits_vae").Config, "jaxgen.experiments.digits_vae.Config"),
    ],
)
def test_a_class_is_called_by_where_it_is_exported(kind, name):
    assert names.name_of(kind) == name
    assert names.class_of(name) is kind
    assert names.class_of(f"{kind.__module__}.{kind.__qualname__}") is kind


def test_every_name_of_f8cdba7_is_known_and_has_one_of_today(old):
    written = {t for name in RUNS for t in types_of(manifest(old / name))}
    assert {"jaxgen.ddpm.networks.MLP", "jaxgen.gan.losses.ZeroCentred", "jaxgen.vae.config.Config"} <= written
    for name in written:
        today = names.name_of(names.class_of(name))
        assert names.class_of(today) is names.class_of(name)
        assert today.count(".") == 2 or today.startswith("jaxgen.experiments.")


def test_a_file_that_is_gone_was_in_a_package_that_is_not():
    assert names.class_of("jaxgen.ddpm.a_file_of_before.UNet") is ddpm.UNet
    assert names.class_of("jaxgen.ddpm.folder.file.UNet") is ddpm.UNet


def test_a_class_that_has_left_its_package(monkeypatch):
    monkeypatch.setattr(names, "MOVED", {"jaxgen.vae.losses.Adam": "jaxgen.optimizers.Adam"})
    assert names.class_of("jaxgen.vae.losses.Adam") is optimizers.Adam
    for old, new in names.MOVED.items():
        assert names.name_of(names.class_of(old)) == new


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("os.system", "must be a name inside jaxgen, got 'os.system'"),
        ("jaxgen_of_another.Config", "must be a name inside jaxgen"),
        (None, "must be a name inside jaxgen, got None"),
        ("", "must be a name inside jaxgen, got ''"),
        ("jaxgen.ddpm.Unet", "there is no config type 'jaxgen.ddpm.Unet'"),
        ("jaxgen.cli.__main__.Config", "there is no config type"),
        ("jaxgen.data.load", "must be a dataclass"),
        ("jaxgen.vae", "must be a dataclass"),
        (f"jaxgen.{'x.' * 2000}y", "there is no config type"),
    ],
)
def test_other_names_are_refused(name, message):
    with pytest.raises(ValueError, match=message):
        names.class_of(name)


def test_nothing_is_imported_because_a_manifest_names_it(tmp_path, monkeypatch):
    (tmp_path / "harm.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for home in (None, jaxgen):
        with pytest.raises(ValueError):
            names.class_of("harm.Config", home)
    assert "harm" not in sys.modules


@dataclass(frozen=True)
class Network:
    width: int = 4


def test_classes_of_an_experiment_outside():
    home = sys.modules[__name__]
    assert names.name_of(Network, home) == "experiment:Network"
    assert names.class_of("experiment:Network", home) is Network
    assert names.name_of(Network) == f"{__name__}.Network"
    assert names.class_of(f"{__name__}.Network", home) is Network
    assert names.class_of("the_same.under_another_name.Network", home) is Network  # as of a notebook
    for name in ("experiment:Network", f"{__name__}.Network"):
        with pytest.raises(ValueError, match="must be a name inside jaxgen"):
            names.class_of(name)
    for name in ("experiment:Networks", "experiment:np", "experiment:runs.config.from_json"):
        with pytest.raises(ValueError, match=r"config type|must be a dataclass"):
            names.class_of(name, home)


def test_old_and_new_names_of_a_class_are_equal():
    today = to_json(vae.Config(hidden=(8,)))
    before = json.loads(json.dumps(today).replace("jaxgen.vae.Config", "jaxgen.vae.config.Config"))
    assert before != today
    assert difference(completed(before), completed(today)) == []
    assert from_json(before) == from_json(today)
    # What cannot be rebuilt has at least the names of today.
    gone = {"type": "jaxgen.vae.config.Config", "gone": 1, "parts": [{"type": "jaxgen.vae.likelihood.Normal"}]}
    assert completed(gone) == {"type": "jaxgen.vae.Config", "gone": 1, "parts": [{"type": "jaxgen.vae.Normal"}]}


def test_an_old_run_goes_on(run):
    shutil.rmtree(run / "checkpoints" / "4")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*was started elsewhere")
        warnings.filterwarnings("ignore", message=".*is not the same to the bit as the first time")
        outcome = runs.resume(run, progress=False)
    assert int(outcome.state.step) == 4
    written = types_of(manifest(run)["config"])
    assert written == {names.name_of(names.class_of(name)) for name in written}
    experiment, config, state = runs.load(run)
    belonging.belongs(runs.RunFolder(run), config, fingerprint=experiment.dataset.fingerprint)
    assert int(state.step) == 4
    if run.name == "digits_vae":  # it is as any other from now on: a finished one stays as it is
        before = (run / "manifest.json").read_bytes()
        runs.resume(run, progress=False)
        assert (run / "manifest.json").read_bytes() == before


def test_an_old_run_is_used(run):
    x, _ = runs.sample(run, 3)
    assert np.isfinite(x).all() and len(x) == 3
    trained = runs.load_model(run)
    assert int(trained.state.step) == 4
    kept = manifest(run)["results"]["test"]
    for name, estimate in runs.evaluate(run).items():
        np.testing.assert_allclose(estimate.value, kept[name]["value"], rtol=1e-3, atol=1e-3)
    report = runs.verify(run, progress=False)
    assert not any("checkpoint" in line or "config" in line for line in report.wrong), report
    if run.name == "digits_vae":
        assert int(runs.load_model(run, best=True).state.step) in (2, 4)
        assert cli.main(["sample", str(run), "--num", "2"]) == 0
