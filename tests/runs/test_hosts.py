"""Several processes that train one run: the numbers of one, an error of one is an error of all, and nothing hangs."""

import dataclasses
import json
import signal
import time

import jax
import numpy as np
import pytest
from together import HEARTBEAT, Together, assert_all_say, train

from jaxgen import runs
from jaxgen.experiments import digits_vae
from jaxgen.runs.place import lock
from jaxgen.train import Checkpoints


def config(**fields):
    model = dataclasses.replace(digits_vae.Config().model, latent_dim=2, hidden=(8,))
    return digits_vae.Config(batch_size=16, log_every=2, model=model, **fields)


def digests(run):
    return json.loads((run / "manifest.json").read_text())["digests"]


def assert_near(run, other):
    one, two = (runs.load_model(path).state for path in (run, other))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), one, two)


def alone(path, steps=4, **fields):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jaxgen.runs.opening.rehearsed", lambda *_: None)
        return runs.train(config(steps=steps, checkpoint_every=2, **fields), path, progress=False)


def test_two_processes_give_the_numbers_of_one_and_leave_a_run_like_any_other(tmp_path):
    run, other = tmp_path / "two", tmp_path / "one"
    codes, outputs = train(run).ended()
    assert codes == [0, 0], outputs
    assert "4 steps in" in outputs[0]
    assert "steps in" not in outputs[1]
    alone(other)
    assert_near(run, other)
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["config"]["devices"] == 2
    assert manifest["environment"]["device"]["processes"] == 2
    assert [record["step"] for record in runs.RunFolder(run).records()] == [2, 2, 4, 4]
    expected = json.loads((other / "manifest.json").read_text())["results"]["test"]["negative_elbo"]["value"]
    np.testing.assert_allclose(manifest["results"]["test"]["negative_elbo"]["value"], expected, rtol=1e-5)
    assert (run / "pictures" / "final.png").exists()
    # In one process afterwards.
    np.testing.assert_allclose(runs.evaluate(run)["negative_elbo"].value, expected, rtol=1e-5)
    assert runs.sample(run, 3)[0].shape == (3, 8, 8, 1)


@pytest.mark.slow
def test_bits_are_the_same_from_run_to_run_after_a_kill_too_and_on_four_they_are_near(tmp_path):
    whole, again, killed, four = (tmp_path / name for name in ("whole", "again", "killed", "four"))
    for run in (whole, again):
        codes, outputs = train(run, steps=400).ended()
        assert codes == [0, 0], outputs
    assert digests(again) == digests(whole)

    processes = train(killed, steps=400)
    processes.until(killed / "checkpoints" / "200")
    processes.processes[1].kill()
    begin = time.monotonic()
    codes, outputs = processes.ended()
    assert time.monotonic() - begin < HEARTBEAT + 10
    assert codes == [2, -signal.SIGKILL], outputs
    assert "another process of the run has ended or cannot be reached" in outputs[0]
    codes, outputs = Together("resume", str(killed)).ended()
    assert codes == [0, 0], outputs
    assert digests(killed) == digests(whole)

    codes, outputs = train(four, count=4).ended()
    assert codes == [0] * 4, outputs
    alone(tmp_path / "one")
    assert_near(four, tmp_path / "one")
    report = runs.verify(four, progress=False)
    assert report.passed or (set(report.near) == {2, 4} and max(report.near.values()) < 1e-5), str(report)
    # More steps in another number of processes, and then in one.
    codes, outputs = Together("resume", str(four), "--steps", "6", count=2).ended()
    assert codes == [0, 0], outputs
    assert [stage["config"]["devices"] for stage in json.loads((four / "manifest.json").read_text())["stages"]] == [
        4,
        2,
    ]
    with pytest.warns(UserWarning, match="it will not be the same to the bit|goes on from step 6"):
        outcome = runs.resume(four, steps=8, devices=1, progress=False)
    assert int(outcome.state.step) == 8


@pytest.mark.slow
def test_a_state_that_the_processes_share_is_saved_and_restored_by_all(tmp_path):
    run, other = tmp_path / "shared", tmp_path / "whole"
    for path, more in ((run, ["--shard-state"]), (other, [])):
        codes, outputs = train(path, *more, "--model.hidden", "64").ended()
        assert codes == [0, 0], outputs
    assert_near(run, other)
    codes, outputs = Together("resume", str(run), "--steps", "6").ended()
    assert codes == [0, 0], outputs
    # Two stages; and what was not learned in these is not taken for it.
    codes, outputs = Together("verify", str(run)).ended()
    assert codes == [0, 0], outputs
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["digests"]["4"] = "0" * 64
    (run / "manifest.json").write_text(json.dumps(manifest))
    codes, outputs = Together("verify", str(run)).ended()
    assert codes == [1, 1], outputs
    assert "NOT the same: parted at step 4" in outputs[0]
    assert "NOT the same" not in outputs[1]


@pytest.mark.slow
def test_a_run_is_verified_to_the_bit_by_as_many_processes_as_it_had(tmp_path):
    run = tmp_path / "run"
    codes, outputs = train(run).ended()
    assert codes == [0, 0], outputs
    codes, outputs = Together("verify", str(run)).ended()
    assert codes == [0, 0], outputs
    assert "verified: the state is the same to the bit at steps 0, 1, 2, 4" in outputs[0]
    assert "verified" not in outputs[1]
    report = runs.verify(run, progress=False)
    assert (report.passed or set(report.near) == {2, 4}) and "device.processes: 2 -> 'absent'" in str(report)


@pytest.mark.slow
def test_the_first_process_evaluates_and_draws_for_all(tmp_path):
    run, out = tmp_path / "run", tmp_path / "samples.npy"
    alone(run)
    for command, said in (
        (["evaluate", str(run)], "negative_elbo"),
        (["sample", str(run), "--num", "3", "--out", str(out)], "3 samples in"),
    ):
        codes, outputs = Together(*command).ended()
        assert codes == [0, 0], outputs
        assert said in outputs[0]
        assert said not in outputs[1]
    assert np.load(out).shape == (3, 8, 8, 1)
    codes, outputs = Together("sample", str(run), "--nun", "3").ended()
    assert codes == [2, 2]
    assert all("takes no --nun 3; did you mean --num?" in output for output in outputs)


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_a_signal_to_any_process_stops_all_at_one_step(tmp_path, number):
    processes = train(tmp_path / "run", "--checkpoint-every", "50", steps=20_000)
    processes.until(tmp_path / "run" / "checkpoints" / "50")
    processes.processes[number].send_signal(signal.SIGTERM)
    codes, outputs = processes.ended()
    assert codes == [143, 143], outputs
    assert "SIGTERM: saved at step" in outputs[0]
    with Checkpoints(tmp_path / "run" / "checkpoints", read_only=True) as checkpoints:
        assert f"saved at step {checkpoints.steps()[-1]};" in outputs[0]


@pytest.mark.slow
def test_what_is_wrong_is_said_by_every_process(tmp_path):
    busy = tmp_path / "busy"
    with lock(busy):
        assert_all_say(train(busy), f"another process is writing the run in {busy}")
    assert_all_say(train(tmp_path / "a", "--batch-size", "15"), "batch_size must be a multiple of devices=2, got 15")
    other = train(tmp_path / "b", each=lambda number: ("--seed", str(number)))
    assert_all_say(other, "must run the same code, config and data", "config.seed: 0 -> 1")
    x = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 1), np.uint8)
    for number in range(2):
        np.save(tmp_path / f"{number}.npy", x + np.uint8(number))
    data = train(tmp_path / "c", each=lambda number: ("--data", str(tmp_path / f"{number}.npy")))
    assert_all_say(data, "must run the same code, config and data", "data.")
    (tmp_path / "1.npy").unlink()
    assert_all_say(train(tmp_path / "d", each=lambda number: ("--data", str(tmp_path / f"{number}.npy"))), "1.npy")
    assert not any((tmp_path / name / "manifest.json").exists() for name in "abcd")
