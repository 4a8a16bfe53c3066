import dataclasses
import errno
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import warnings

import jax
import numpy as np
import pytest
from processes import xla_flags

from jaxgen import cli, runs, train, vae
from jaxgen.experiments import digits_vae
from jaxgen.optimizers import Adam
from jaxgen.runs import folder as run_folder
from jaxgen.runs import launch, place

SMALL = digits_vae.Config(
    steps=30,
    batch_size=16,
    log_every=5,
    checkpoint_every=10,
    model=vae.Config(latent_dim=2, hidden=(8,), optimizer=Adam(1e-2)),
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that went through; tests that change it take a copy."""
    path = tmp_path_factory.mktemp("runs") / "finished"
    return path, runs.train(SMALL, path, progress=False)


@pytest.fixture
def copy(finished, tmp_path):
    path = tmp_path / "copy"
    shutil.copytree(finished[0], path)
    return path


def test_a_film_shows_the_same_draws_over_the_run(tmp_path, monkeypatch):
    """Also of a run that was interrupted, whose frames after the last checkpoint are made again."""
    config = dataclasses.replace(SMALL, picture_every=10)
    shown = []

    def build(self):
        experiment = VAE_BUILD(self)
        return experiment._replace(
            film=lambda frames, title: (
                shown.append(frames) or experiment.samples(np.concatenate(list(frames.values())), title)
            ),
            film_samples=4,
        )

    VAE_BUILD = digits_vae.Config.build
    monkeypatch.setattr(digits_vae.Config, "build", build)
    runs.train(config, tmp_path / "run", progress=False)
    (frames,) = shown
    assert list(frames) == ["step 0", "step 10", "step 20", "step 30"]
    assert all(x.shape == (4, 8, 8, 1) for x in frames.values())
    assert not np.allclose(frames["step 0"], frames["step 30"])
    experiment, _, state = runs.load(tmp_path / "run")
    key = jax.random.fold_in(jax.random.key(config.seed), launch.PICTURE)
    np.testing.assert_array_equal(frames["step 30"], experiment.model.sample(key, state.variables, 4))
    assert (tmp_path / "run" / "pictures" / "film.png").stat().st_size > 1000
    folder = run_folder.RunFolder(tmp_path / "run")
    folder.rewind(10)
    assert list(folder.frames()) == ["step 0", "step 10"]


def final_digest(path):
    return json.loads((path / "manifest.json").read_text())["digests"][str(SMALL.steps)]


def test_a_run_leaves_what_it_promises(finished):
    path, outcome = finished
    manifest = json.loads((path / "manifest.json").read_text())
    assert [int(step) for step in manifest["digests"]] == [0, 1, 2, 4, 8, 10, 16, 20, 30]
    assert manifest["digests"]["30"] == train.digest(outcome.state)
    assert len(manifest["data"]["fingerprint"]) == 64
    assert manifest["environment"]["versions"]["jax"]
    assert set(manifest["results"]) == {"valid", "test"}
    assert (path / "pictures" / "final.png").stat().st_size > 1000
    assert (path / "pictures" / "curves.png").stat().st_size > 1000
    steps = [json.loads(line)["step"] for line in (path / "metrics.jsonl").read_text().splitlines()]
    assert steps == [5, 10, 10, 15, 20, 20, 25, 30, 30]  # records, and evaluations with the checkpoints
    assert not list(path.rglob("*.partial"))
    assert (path / "tensorboard").exists() == (importlib.util.find_spec("tensorboardX") is not None)


def test_resuming_a_finished_run_changes_nothing(copy):
    before = (copy / "metrics.jsonl").read_text()
    outcome = runs.resume(copy, progress=False)
    assert train.digest(outcome.state) == final_digest(copy)
    assert (copy / "metrics.jsonl").read_text() == before


def test_resuming_from_each_checkpoint_gives_the_same_run(finished, copy):
    def timeless(path):
        records = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
        return [{k: v for k, v in record.items() if k != "steps_per_second"} for record in records]

    for step in (20, 10):
        shutil.rmtree(copy / "checkpoints" / "30")
        if step == 10:
            shutil.rmtree(copy / "checkpoints" / "20")
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # note_digest warns where the bits differ from the first time
            outcome = runs.resume(copy, progress=False)
        assert train.digest(outcome.state) == final_digest(finished[0])
        assert timeless(copy) == timeless(finished[0])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # orbax's event loop, on a bad file
def test_a_truncated_checkpoint_falls_back(finished, copy):
    largest = max((copy / "checkpoints" / "30" / "state").rglob("*"), key=lambda p: p.stat().st_size * p.is_file())
    largest.write_bytes(b"")
    with pytest.warns(train.DamagedCheckpointWarning, match="checkpoint 30"):
        outcome = runs.resume(copy, progress=False)
    assert train.digest(outcome.state) == final_digest(finished[0])
    assert (copy / "damaged" / "30").exists()


def test_all_checkpoints_damaged_starts_over(finished, copy):
    for meta in (copy / "checkpoints").glob("*/meta/metadata"):
        meta.write_text("{")
    with pytest.warns(train.DamagedCheckpointWarning), pytest.warns(UserWarning, match="starting over"):
        outcome = runs.resume(copy, progress=False)
    assert train.digest(outcome.state) == final_digest(finished[0])


def test_verify_passes_on_its_own_run(finished):
    report = runs.verify(finished[0], progress=False)
    assert report.passed
    assert report.equal == [0, 1, 2, 4, 8, 10, 16, 20, 30]
    assert report.differences == []


def tamper(path, change):
    manifest = json.loads((path / "manifest.json").read_text())
    change(manifest)
    (path / "manifest.json").write_text(json.dumps(manifest))


def test_verify_names_the_step_of_a_tampered_digest(copy):
    tamper(copy, lambda m: m["digests"].update({"16": "0" * 64}))
    report = runs.verify(copy, progress=False)
    assert (report.parted, report.equal[-1]) == (16, 10)
    assert "parted at step 16 (equal until step 10)" in str(report)


def test_verify_names_the_step_of_a_tampered_config(copy):
    tamper(copy, lambda m: m["config"]["model"]["optimizer"].update(learning_rate=0.5))
    report = runs.verify(copy, progress=False)
    assert (report.parted, report.equal) == (1, [0])


def test_verify_says_what_differs_elsewhere(copy):
    tamper(copy, lambda m: m["environment"]["versions"].update(jax="0.0.1"))
    report = runs.verify(copy, progress=False)
    assert report.passed
    assert any(line.startswith("versions.jax: '0.0.1' -> ") for line in report.differences)


def test_verify_and_resume_notice_changed_data(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (200, 6, 5, 1), dtype=np.uint8)
    np.savez(tmp_path / "x.npz", x=x)
    config = dataclasses.replace(SMALL, data=str(tmp_path / "x.npz"), steps=12)
    runs.train(config, tmp_path / "run", progress=False)
    assert runs.verify(tmp_path / "run", progress=False).passed
    np.savez(tmp_path / "x.npz", x=255 - x)
    report = runs.verify(tmp_path / "run", progress=False)
    assert report.parted == 0  # the decoder's bias starts at the data's mean
    assert report.differences[0].startswith("data: fingerprint")
    with pytest.raises(ValueError, match="the data have changed"):
        runs.resume(tmp_path / "run", progress=False)


def test_a_changed_config_is_refused_and_named(copy):
    with pytest.raises(ValueError, match=r"another config \(model.latent_dim: 2 -> 3\)"):
        runs.train(
            dataclasses.replace(SMALL, model=dataclasses.replace(SMALL.model, latent_dim=3)), copy, progress=False
        )
    tamper(copy, lambda m: m["config"].update(seed=5))
    with pytest.raises(ValueError, match=r"not that of its checkpoints \(seed: 0 -> 5\)"):
        runs.resume(copy, progress=False)
    tamper(copy, lambda m: m["config"].update(seed=0) or m["config"]["model"].update(latent_dim=3))
    with pytest.raises(ValueError, match="is of another model"):
        runs.resume(copy, progress=False)


def test_a_run_older_than_a_field_goes_on(copy):
    """As if beta had been added to the config since: its default is what the run had."""
    tamper(copy, lambda m: m["config"]["model"].pop("beta"))
    for path in (copy / "checkpoints").glob("*/meta/metadata"):
        meta = json.loads(path.read_text())
        meta["config"]["model"].pop("beta")
        path.write_text(json.dumps(meta))
    outcome = runs.resume(copy, progress=False)
    assert train.digest(outcome.state) == final_digest(copy)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a run's manifest: it lacks config, environment, data, digests"),
        ('{"config": 1}', "it lacks environment, data, digests"),
    ],
)
def test_a_damaged_manifest(copy, text, message):
    (copy / "manifest.json").write_text(text)
    for use in (runs.resume, runs.verify, runs.sample, runs.evaluate):
        with pytest.raises(ValueError, match=message):
            use(copy)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(type="os.system"), "type must be a name inside jaxgen, got 'os.system'"),
        (lambda c: c.update(type="jaxgen.runs.launch.Nothing"), "no config type 'jaxgen.runs.launch.Nothing'"),
        (lambda c: c.update(type="jaxgen.runs.launch.train"), "must be a dataclass"),
        (lambda c: c.update(sedd=1), "has no field 'sedd'; did you mean 'seed'"),
        (lambda c: c.update(steps=-3), "steps must be an integer of at least 1, got -3"),
        (lambda c: c.update(steps="many"), "steps"),
    ],
)
def test_a_config_that_cannot_be(copy, change, message):
    tamper(copy, lambda m: change(m["config"]))
    with pytest.raises(ValueError, match=message):
        runs.resume(copy, progress=False)


def test_another_process_is_writing(copy):
    with place.lock(copy):
        for use in (runs.resume, lambda p, **k: runs.train(SMALL, p, **k)):
            with pytest.raises(BlockingIOError, match="another process is writing the run in"):
                use(copy, progress=False)
    runs.resume(copy, progress=False)


def test_an_unwritable_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PermissionError, match="cannot be written"):
        runs.train(SMALL, tmp_path / "file" / "run", progress=False)


def test_a_full_disk(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(place.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="MiB of space left, the run needs about"):
        runs.train(SMALL, tmp_path / "run", progress=False)
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_disk_that_fills_up_on_the_way(finished, tmp_path, monkeypatch):
    def full(self, record):
        if record["step"] >= 25:
            raise OSError(errno.ENOSPC, "No space left on device")
        append(self, record)

    append = runs.RunFolder.append
    monkeypatch.setattr(runs.RunFolder, "append", full)
    with pytest.raises(OSError, match=r"no space left for the run in .*; make some, then resume it"):
        runs.train(SMALL, tmp_path / "run", progress=False)
    monkeypatch.undo()
    outcome = runs.resume(tmp_path / "run", progress=False)
    assert train.digest(outcome.state) == final_digest(finished[0])


def test_a_folder_with_something_else(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(FileExistsError, match="holds something else"):
        runs.train(SMALL, tmp_path, progress=False)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_no_run(tmp_path):
    for use in (runs.resume, runs.verify, runs.sample, runs.evaluate, runs.load):
        with pytest.raises(FileNotFoundError, match="no run in"):
            use(tmp_path / "nothing")


def test_a_loss_that_explodes_names_the_last_checkpoint(tmp_path):
    wild = dataclasses.replace(
        SMALL, steps=2000, model=dataclasses.replace(SMALL.model, likelihood=vae.Normal(), optimizer=Adam(1e6))
    )
    with pytest.raises(train.NonFiniteError, match=r"at step \d+; (the last good checkpoint|there is no checkpoint)"):
        runs.train(wild, tmp_path / "run", progress=False)


def test_samples_and_evaluation_come_from_the_checkpoint(finished):
    path, outcome = finished
    x, picture = runs.sample(path, 9, seed=4)
    again, _ = runs.sample(path, 3, seed=4, first=3)
    assert picture.stat().st_size > 1000
    np.testing.assert_allclose(x[3:6], again, atol=1e-5)
    assert runs.evaluate(path, split="test") == outcome.results["test"]
    assert runs.evaluate(path, split="valid", best=True)
    with pytest.raises(ValueError, match="split must be one of train"):
        runs.evaluate(path, split="tets")
    with pytest.raises(ValueError, match="num must be an integer of at least 1, got 0"):
        runs.sample(path, 0)


COMMAND = [sys.executable, "-m", "jaxgen.cli"]
SMALL_FLAGS = "--steps 30 --batch-size 16 --log-every 5 --checkpoint-every 10 --model.latent-dim 2 --model.hidden 8"


def command(*arguments, **options):
    environment = {**os.environ, "XLA_FLAGS": xla_flags(), "JAX_PLATFORMS": "cpu", "COLUMNS": "200"}
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, env=environment, check=False, **options
    )


needs_tyro = pytest.mark.skipif(importlib.util.find_spec("tyro") is None, reason="the command line needs tyro")


@needs_tyro
def test_the_command_line_end_to_end(tmp_path):
    run = tmp_path / "run"
    done = command("train", "digits_vae", "--run", run, *SMALL_FLAGS.split())
    assert done.returncode == 0, done.stderr
    assert "negative_elbo" in done.stdout and "final.png" in done.stdout
    for verb, expected in (("resume", "final.png"), ("verify", "verified: the state is the same to the bit")):
        done = command(verb, run)
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout


@needs_tyro
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "digit_vae"], "there is no experiment 'digit_vae'; did you mean 'digits_vae'"),
        (["train", "digits_vae", "--sed", "3"], "--seed"),
        (["train", "digits_vae", "--steps", "-3"], "steps must be an integer of at least 1, got -3"),
        (["train", "digits_vae", "--batch-size", "5000"], "batch_size"),
        (["trian"], "there is no command 'trian'; did you mean 'train'"),
        (["resume", "nowhere"], "no run in nowhere"),
    ],
)
def test_the_command_line_refuses_with_a_reason(tmp_path, arguments, message):
    done = command(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("manifest.json"))


@pytest.mark.parametrize(
    ("verb", "function", "message"),
    [("train", "train", "; the same command goes on from what is saved"), ("list", "list_experiments", "")],
)
def test_an_interruption_outside_the_loop_is_no_traceback(monkeypatch, capsys, verb, function, message):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, function, interrupted)
    assert cli.main([verb]) == 130
    assert capsys.readouterr().err == f"jaxgen: interrupted{message}\n"
