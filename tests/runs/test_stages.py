"""What may change in a run: how long it lasts, and what belongs to the machine at hand."""

import dataclasses
import json
import shutil
import warnings

import jax
import numpy as np
import pytest
from tiny import manifest

from jaxgen import cli, runs, train, vae
from jaxgen.experiments import digits_vae, mnist_dcgan
from jaxgen.optimizers import Adam, Cosine
from jaxgen.runs import stages

CONSTANT = digits_vae.Config(
    steps=4, batch_size=16, log_every=2, checkpoint_every=2,
    model=vae.Config(latent_dim=2, hidden=(8,), optimizer=Adam(1e-2)),
)  # fmt: skip
COSINE = dataclasses.replace(
    CONSTANT, model=dataclasses.replace(CONSTANT.model, optimizer=Adam(1e-2, schedule=Cosine()))
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Runs of four steps, by the kind of schedule, and one of eight with the constant rate."""
    folder = tmp_path_factory.mktemp("runs")
    runs.train(CONSTANT, folder / "constant", progress=False)
    runs.train(COSINE, folder / "cosine", progress=False)
    runs.train(dataclasses.replace(CONSTANT, steps=8), folder / "eight", progress=False)
    return folder


@pytest.fixture
def copied(trained, tmp_path):
    def copy(name):
        shutil.copytree(trained / name, tmp_path / name)
        return tmp_path / name

    return copy


def timeless(path):
    records = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in record.items() if k != "steps_per_second"} for record in records]


def test_more_steps_at_a_constant_rate_are_the_longer_run(copied, trained):
    path = copied("constant")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        outcome = runs.resume(path, steps=8, progress=False)
    assert int(outcome.state.step) == 8
    longer = manifest(trained / "eight")
    assert manifest(path)["digests"] == longer["digests"]
    assert manifest(path)["results"] == longer["results"]
    assert timeless(path) == timeless(trained / "eight")
    assert runs.verify(path, progress=False).passed


def test_more_steps_of_a_schedule_are_recorded_and_verified(copied):
    path = copied("cosine")
    before = manifest(path)
    message = r"goes on from step 4 .*steps: 4 -> 8.*: model.optimizer was set up for 4 steps and is for 8"
    with pytest.warns(UserWarning, match=message):
        runs.train(dataclasses.replace(COSINE, steps=8), path, progress=False)
    after = manifest(path)
    assert [(stage["first"], stage["config"]["steps"]) for stage in after["stages"]] == [(0, 4), (4, 8)]
    assert after["digests"].items() >= before["digests"].items() and "8" in after["digests"]
    report = runs.verify(path, progress=False)
    assert report.passed and report.equal == [0, 1, 2, 4, 6, 8]
    # Without its stages it would be another run: the first steps had a rate that fell faster.
    after.pop("stages")
    (path / "manifest.json").write_text(json.dumps(after))
    assert runs.verify(path, progress=False).parted == 2


def test_going_back_before_a_stage_is_another_history(copied):
    path = copied("cosine")
    with pytest.warns(UserWarning, match="goes on from step 4"):
        runs.resume(path, steps=6, progress=False)
    for step in (4, 6):
        shutil.rmtree(path / "checkpoints" / str(step))
    with pytest.warns(UserWarning, match=r"goes on from step 2 .*set up for 4 steps and is for 6"):
        runs.resume(path, progress=False)
    assert [stage["first"] for stage in manifest(path)["stages"]] == [0, 2]
    assert runs.verify(path, progress=False).passed


def test_fewer_steps_end_a_run_earlier_but_not_before_what_it_has_reached(copied, capsys):
    path = copied("cosine")
    before = manifest(path)
    with pytest.raises(ValueError, match=r"steps must be at least 4, which the run in .* has reached, got 3"):
        runs.resume(path, steps=3, progress=False)
    assert manifest(path) == before
    shutil.rmtree(path / "checkpoints" / "4")
    outcome = runs.resume(path, steps=2, progress=False)
    assert int(outcome.state.step) == 2 and outcome.results
    assert manifest(path)["config"]["steps"] == 2
    assert [stage["config"]["steps"] for stage in manifest(path)["stages"]] == [4]  # what made its two steps
    assert int(runs.resume(path, progress=False).state.step) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log_every", 1),
        *(pytest.param(*c, marks=pytest.mark.slow) for c in (("keep", 1), ("picture_every", 4))),
        ("checkpoint_every", 1),
    ],
)
def test_what_changes_no_bit_is_no_other_config(copied, trained, name, value):
    """Resumed from step 2, with the digests of the uninterrupted run."""
    path = copied("constant")
    shutil.rmtree(path / "checkpoints" / "4")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runs.train(dataclasses.replace(CONSTANT, **{name: value}), path, progress=False)
    assert manifest(path)["digests"].items() >= manifest(trained / "constant")["digests"].items()
    assert manifest(path)["config"][name] == value
    assert runs.load(path, best=True)[2] is not None
    assert runs.verify(path, progress=False).passed


def test_another_number_of_devices_warns_and_goes_on(copied, trained, monkeypatch):
    path = copied("constant")
    shutil.rmtree(path / "checkpoints" / "4")
    with pytest.warns(UserWarning, match=r"devices: 1 -> 2.*the last bits may differ"):
        runs.train(dataclasses.replace(CONSTANT, devices=2), path, progress=False)
    assert [stage["config"]["devices"] for stage in manifest(path)["stages"]] == [1, 2]
    assert runs.verify(path, progress=False).passed  # with one device, then with two
    # On a machine with one device it can be looked at, resumed and verified.
    monkeypatch.setattr(jax, "device_count", lambda: 1)
    assert runs.evaluate(path)
    assert runs.sample(path, 2)[0].shape[0] == 2
    with pytest.warns(UserWarning) as said:
        outcome = runs.resume(path, steps=6, progress=False)
    assert any("was trained on 2 devices and there are 1 here" in str(w.message) for w in said)
    assert int(outcome.state.step) == 6
    with pytest.warns(UserWarning, match="was trained on 2 devices"):
        report = runs.verify(path, progress=False)
    # Bits part where the devices do, the numbers do not.
    assert report.equal[:3] == [0, 1, 2] and report.wrong == []
    assert report.passed or (report.parted in (4, 6) and all(away < 1e-5 for away in report.near.values()))


@pytest.mark.slow
def test_a_run_whose_devices_share_the_state_goes_on_with_one(tmp_path):
    wide = dataclasses.replace(CONSTANT, model=dataclasses.replace(CONSTANT.model, hidden=(16,)))
    alone = runs.train(dataclasses.replace(wide, steps=6), tmp_path / "alone", progress=False)
    path = tmp_path / "shared"
    outcome = runs.train(dataclasses.replace(wide, devices=4, shard_state=True), path, progress=False)
    assert any(not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(outcome.state))
    assert runs.verify(path, progress=False).passed
    message = r"devices: 4 -> 1; shard_state: True -> .*or with the state divided otherwise, the last bits may differ"
    with pytest.warns(UserWarning, match=message):
        outcome = runs.resume(path, steps=6, devices=1, shard_state=False, progress=False)
    for a, b in zip(jax.tree.leaves(alone.state.params), jax.tree.leaves(outcome.state.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
    now = [
        (stage["first"], stage["config"]["devices"], stage["config"]["shard_state"])
        for stage in manifest(path)["stages"]
    ]
    assert now == [(0, 4, True), (4, 1, False)]


def test_a_run_of_before_states_were_shared_goes_on_as_one_stage(copied):
    path = copied("constant")
    old = manifest(path)
    del old["config"]["shard_state"]
    (path / "manifest.json").write_text(json.dumps(old))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runs.resume(path, progress=False)
        assert not manifest(path).get("stages")
        runs.resume(path, steps=6, progress=False)
    # Another length is a stage, as it always was; nothing is said of the state.
    assert [stage["config"]["steps"] for stage in stages.stages(manifest(path))] == [4, 6]


def test_devices_that_divide_the_batch():
    config = dataclasses.replace(CONSTANT, devices=16, batch_size=48)
    with pytest.warns(UserWarning, match=r"there are 4 here: 4 will be used"):
        assert stages.at_hand(config).devices == 4
    with pytest.warns(UserWarning, match=r"there are 4 here: 3 will be used"):
        assert stages.at_hand(dataclasses.replace(config, devices=9, batch_size=27)).devices == 3


def test_another_learning_rate_is_another_config(copied):
    path = copied("constant")
    other = dataclasses.replace(CONSTANT, model=dataclasses.replace(CONSTANT.model, optimizer=Adam(1e-3)))
    with pytest.raises(ValueError, match=r"another config \(model.optimizer.learning_rate: 0.01 -> 0.001\)"):
        runs.train(other, path, progress=False)
    with pytest.raises(ValueError, match="seed: 0 -> 3"):
        runs.resume(path, progress=False, seed=3)
    with pytest.raises(ValueError, match="no field 'stesp'; did you mean 'steps'"):
        runs.resume(path, progress=False, stesp=3)


def test_settings_of_the_report_alone_may_change():
    config = mnist_dcgan.Config()
    assert {"samples", "classifier_steps", "devices", "keep"} <= set(config.at_hand)
    assert not {"seed", "batch_size", "model"} & set(config.at_hand)


def test_moved_data_are_found_by_a_new_path(tmp_path, copied):
    np.save(tmp_path / "old.npy", np.random.default_rng(0).integers(0, 256, (120, 6, 5, 1), dtype=np.uint8))
    run = tmp_path / "run"
    runs.train(dataclasses.replace(CONSTANT, data=str(tmp_path / "old.npy")), run, progress=False)
    (tmp_path / "old.npy").rename(tmp_path / "new.npy")
    state = runs.resume(run, data=str(tmp_path / "new.npy"), progress=False).state
    assert runs.evaluate(run) and runs.verify(run, progress=False).passed
    assert train.digest(runs.load(run)[2]) == train.digest(state)


def test_from_the_command_line(copied, capsys):
    path = copied("constant")
    assert cli.main(["resume", str(path), "--steps", "6"]) == 0
    assert manifest(path)["config"]["steps"] == 6
    assert cli.main(["resume", str(path), "--steps", "3"]) == 2
    assert "steps must be at least 6" in capsys.readouterr().err
