"""What verification says, and what it says of what is not the run's."""

import dataclasses
import importlib
import json
import shutil
import signal

import jax
import numpy as np
import pytest
from tiny import TINY

from jaxgen import cli, runs
from jaxgen.core import Estimate
from jaxgen.runs import inspection
from jaxgen.train import Checkpoints


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two runs that differ in the seed."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        runs.train(dataclasses.replace(TINY, seed=seed), folder / f"seed{seed}", progress=False)
    return folder


@pytest.fixture
def copy(trained, tmp_path):
    shutil.copytree(trained / "seed0", tmp_path / "copy")
    return tmp_path / "copy"


def tamper(path, change):
    tree = json.loads((path / "manifest.json").read_text())
    change(tree)
    (path / "manifest.json").write_text(json.dumps(tree))


def test_it_says_what_it_did_not_look_at(copy):
    report = runs.verify(copy, progress=False)
    assert report.passed and report.wrong == []
    assert any("pictures" in line for line in report.unseen)
    assert "not looked at: pictures" in str(report)
    # What only the long report at the end measures is not measured again.
    tamper(copy, lambda m: m["results"]["test"].update(nll={"value": 1.0}))
    report = runs.verify(copy, progress=False)
    assert report.passed
    assert "results on the test split that the report at the end measures: nll" in report.unseen


@pytest.mark.parametrize("caught", ["SIGINT", "SIGTERM"])
def test_an_interruption_is_no_verification(copy, monkeypatch, capsys, caught):
    module = importlib.import_module("jaxgen.runs.verify")
    digest, seen = module.digest, []

    def interrupted(state):
        seen.append(int(state.step))
        if seen[-1] == 2:
            signal.raise_signal(signal.Signals[caught])
        return digest(state)

    monkeypatch.setattr(module, "digest", interrupted)
    assert cli.main(["verify", str(copy)]) == 128 + signal.Signals[caught]
    printed = capsys.readouterr().out
    assert f"not verified: interrupted by {caught} (equal until step 2)" in printed
    assert "verified: the state" not in printed
    assert "steps after 2" in printed and "the results, which are of another state" in printed


def test_checkpoints_of_another_run(copy, trained, capsys):
    shutil.rmtree(copy / "checkpoints")
    shutil.copytree(trained / "seed1" / "checkpoints", copy / "checkpoints")
    report = runs.verify(copy, progress=False)
    assert not report.passed and report.equal == [0, 1, 2, 4]
    assert len(report.wrong) == 2 and "not that of its checkpoints (seed: 1 -> 0)" in report.wrong[0]
    assert cli.main(["verify", str(copy)]) == 1
    assert "not all that lies in the folder is the run's" in capsys.readouterr().out


def test_a_damaged_checkpoint(copy):
    largest = max((copy / "checkpoints" / "2" / "state").rglob("*"), key=lambda p: p.stat().st_size * p.is_file())
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.write_bytes(bytes(content))
    assert runs.verify(copy, progress=False).wrong == ["checkpoint 2 is damaged"]


def with_another_state(path, step):
    """Replace a checkpoint by one of the same config with other parameters."""
    experiment, _, state = runs.load(path)
    other = state.replace(params=jax.tree.map(lambda leaf: leaf + np.float32(1), state.params))
    with Checkpoints(path / "checkpoints", best=experiment.best) as checkpoints:
        meta = checkpoints.meta(step)
        shutil.rmtree(path / "checkpoints" / str(step))
        checkpoints.save(step, other, {"config": meta["config"], "window": meta["window"]})


def test_a_checkpoint_later_than_the_last_digest(copy):
    """As a signal leaves it: its state is compared with what training again comes to."""
    tamper(copy, lambda m: m["digests"].pop("4"))
    report = runs.verify(copy, progress=False)
    assert report.passed and report.equal == [0, 1, 2, 4]
    with_another_state(copy, 4)
    report = runs.verify(copy, progress=False)
    assert (report.parted, report.equal) == (4, [0, 1, 2])


def test_a_checkpoint_with_another_state_than_the_manifest_says(copy):
    with_another_state(copy, 4)
    report = runs.verify(copy, progress=False)
    assert report.parted is None and "checkpoint 4 in" in report.wrong[0] and "is not of this run" in report.wrong[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r[0].update(loss=r[0]["loss"] + 1e-6) if "loss" in r[0] else r[0].update(rate=0.0), "step 2."),
        (lambda r: r.pop(0), "metrics.jsonl, step 2: the record is missing"),
        (lambda r: r.insert(0, {"step": 1, "loss": 1.0}), "step 1: a record that training again did not make"),
        (lambda r: r.insert(0, r[0]), "step 2: a record that training again did not make"),
        (lambda r: r[1].update({name: 0.0 for name in r[1] if name.startswith("valid/")}), "step 2.valid/"),
    ],
)
def test_records_that_are_not_the_run_s(copy, change, message):
    path = copy / "metrics.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    change(records)
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    report = runs.verify(copy, progress=False)
    assert not report.passed and report.parted is None
    assert any(message in line for line in report.wrong)


def test_timing_is_left_out(copy):
    path = copy / "metrics.jsonl"
    records = [json.loads(line) for line in path.read_text().splitlines()]
    for record in records:
        record |= {"steps_per_second": 1.0} if "steps_per_second" in record else {}
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    assert runs.verify(copy, progress=False).passed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m["results"]["test"]["rate"].update(value=1.0), "results, test/rate, value: "),
        (lambda m: m["results"]["valid"]["rate"].update(standard_error=None), "results, valid/rate, standard_error"),
        (lambda m: m["results"].update(tets={}), "results: the data have no split 'tets'"),
        (lambda m: m["results"].update(test=3), "results, test: they must be estimates by name, got 3"),
        (lambda m: m["results"]["test"].update(rate=3), "results, test/rate: it must be an estimate, got 3"),
    ],
)
def test_results_that_are_not_the_run_s(copy, change, message):
    tamper(copy, change)
    report = runs.verify(copy, progress=False)
    assert not report.passed and any(message in line for line in report.wrong)


def test_estimates_are_equal_up_to_what_compiling_anew_may_change():
    again = Estimate(1.0, 0.5)
    assert inspection._other_estimate("it", {"value": 1 + 1e-9, "standard_error": 0.5}, again) == []
    assert len(inspection._other_estimate("it", {"value": 1.001, "standard_error": 0.4}, again)) == 2
    assert inspection._other_estimate("it", {"value": 1, "standard_error": None}, Estimate(1.0)) == []


def test_a_run_of_no_steps_yet(copy):
    """Killed after its first digest."""
    tamper(copy, lambda m: m.update(digests={"0": m["digests"]["0"]}, results={}))
    shutil.rmtree(copy / "checkpoints")
    report = runs.verify(copy, progress=False)
    assert report.passed and report.equal == [0]
    assert any("records of 2 steps after step 0" in line for line in report.unseen)
    tamper(copy, lambda m: m.update(digests={"1st": ""}))
    with pytest.raises(ValueError, match="digests must be by step"):
        runs.verify(copy, progress=False)


def test_fewer_devices_than_the_run_had(copy, monkeypatch):
    """The bits part, so that what was learned is compared by its distance, to the end of the run."""
    tamper(copy, lambda m: m["config"].update(devices=8))
    tamper(copy, lambda m: m["digests"].update(dict.fromkeys(("1", "2", "4"), "0" * 64)))
    monkeypatch.setattr(inspection, "belongs", lambda *_, **__: None)
    with pytest.warns(UserWarning, match="was trained on 8 devices and there are 4 here"):
        report = runs.verify(copy, progress=False)
    assert (report.parted, report.equal, list(report.near)) == (1, [0], [2, 4])
    assert all(away < 1e-5 for away in report.near.values())
    assert not report.passed and report.code == 1
    assert "not verified to the bit, which takes the devices that the run had: parted at step 1" in str(report)


def test_right_after_training_in_the_same_process(tmp_path):
    """Nothing is said of a model that is compiled again, although the first one is still there."""
    outcome = runs.train(TINY, tmp_path / "run", progress=False)
    experiment = runs.load(tmp_path / "run")[0]
    assert runs.verify(tmp_path / "run", progress=False).passed and outcome.results and experiment
