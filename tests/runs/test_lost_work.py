"""Nothing that a run has made is lost to a damaged small file, a kill, a signal, a full disk or a clock."""

import dataclasses
import errno
import json
import shutil
import signal
import time

import pytest

from jaxgen import cli, plot, runs, train, vae
from jaxgen.experiments import digits_vae
from jaxgen.optimizers import Adam
from jaxgen.runs import launch, place

TINY = digits_vae.Config(
    steps=6, batch_size=16, log_every=1, checkpoint_every=2, picture_every=2,
    model=vae.Config(latent_dim=2, hidden=(8,), optimizer=Adam(1e-2)),
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "finished"
    return path, runs.train(TINY, path, progress=False)


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished[0], tmp_path / "copy")
    return tmp_path / "copy"


def records(path):
    kept = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in record.items() if k != "steps_per_second"} for record in kept]


def same_run(path, finished, outcome):
    assert train.digest(outcome.state) == train.digest(finished[1].state)
    assert outcome.results == finished[1].results
    assert records(path) == records(finished[0])
    names = {p.name for p in (finished[0] / "pictures").iterdir()}
    assert {p.name for p in (path / "pictures").iterdir()} == names
    assert not list(path.rglob("*.partial"))


DAMAGES = {
    "empty metrics": ("metrics/metrics", lambda p: p.write_bytes(b"")),
    "a flipped byte in meta": (
        "meta/metadata",
        lambda p: p.write_text(p.read_text().replace('"count": 0', '"count": 1')),
    ),
    "another seed in meta": ("meta/metadata", lambda p: p.write_text(p.read_text().replace('"seed": 0', '"seed": 4'))),
    "no config in meta": ("meta/metadata", lambda p: p.write_text(p.read_text().replace('"config"', '"donfig"'))),
    "orbax's own": ("_CHECKPOINT_METADATA", lambda p: p.write_bytes(b"")),
}


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=() if c in ("empty metrics", "orbax's own") else pytest.mark.slow) for c in DAMAGES]
)
def test_a_damaged_small_file_falls_back(finished, copy, case):
    name, damage = DAMAGES[case]
    before = (copy / "checkpoints" / "6" / name).read_bytes()
    damage(copy / "checkpoints" / "6" / name)
    assert (copy / "checkpoints" / "6" / name).read_bytes() != before
    with pytest.warns(train.DamagedCheckpointWarning, match="checkpoint 6 in .* is damaged"):
        _, _, state = runs.load(copy)
    assert int(state.step) == 4
    with pytest.warns(train.DamagedCheckpointWarning, match="checkpoint 6 in .* is damaged"):
        outcome = runs.resume(copy, progress=False)
    same_run(copy, finished, outcome)
    assert (copy / "damaged" / "6" / name).exists()


def test_a_blank_line_costs_no_record(finished, copy):
    path = copy / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], "\n", *lines[1:]]))
    shutil.rmtree(copy / "checkpoints" / "6")
    same_run(copy, finished, runs.resume(copy, progress=False))


def test_a_cut_first_line_costs_itself_alone(finished, copy):
    path = copy / "metrics.jsonl"
    whole = path.read_text()
    path.write_text(whole[20:])
    shutil.rmtree(copy / "checkpoints" / "6")
    with pytest.warns(UserWarning, match=r"metrics.jsonl is damaged, .*line 1: not JSON"):
        runs.resume(copy, progress=False)
    assert records(copy) == records(finished[0])[1:]
    assert (copy / "metrics.jsonl.damaged").read_text() == whole[20:]


@pytest.mark.parametrize("step", [0, pytest.param(3, marks=pytest.mark.slow)])
def test_a_signal_leaves_no_record_of_its_own(finished, tmp_path, monkeypatch, step):
    """At step 0 too, which is a multiple of everything."""
    path, note, sent = tmp_path / "run", launch.digest, []

    def interrupt(state):
        if int(state.step) == step and not sent:  # a second signal ends the process
            sent.append(step)
            signal.raise_signal(signal.SIGTERM)
        return note(state)

    if step == 3:  # where nothing is saved or drawn: from the record
        append = runs.RunFolder.append
        monkeypatch.setattr(
            runs.RunFolder,
            "append",
            lambda self, record: append(self, record) or (record["step"] == 3 and signal.raise_signal(signal.SIGTERM)),
        )
    else:
        monkeypatch.setattr(launch, "digest", interrupt)
    outcome = runs.train(TINY, path, progress=False)
    assert outcome.history.interrupted == "SIGTERM" and outcome.results == {}
    monkeypatch.undo()
    same_run(path, finished, runs.resume(path, progress=False))


@pytest.mark.parametrize(
    "name",
    ["step_00000002.png", *(pytest.param(name, marks=pytest.mark.slow) for name in ("step_00000006.png", "final.png"))],
)
def test_a_kill_before_a_picture_leaves_none_out(finished, tmp_path, monkeypatch, name):
    path, save = tmp_path / "run", plot.save

    class Killed(BaseException):
        pass

    def killed(figure, place, *rest):
        if place.name == name:
            raise Killed
        return save(figure, place, *rest)

    monkeypatch.setattr(plot, "save", killed)
    with pytest.raises(Killed):
        runs.train(TINY, path, progress=False)
    assert not (path / "pictures" / name).exists()
    monkeypatch.undo()
    same_run(path, finished, runs.resume(path, progress=False))


def test_a_picture_lost_later_is_drawn_again(finished, copy):
    for name in ("final.png", "step_00000006.png"):
        (copy / "pictures" / name).unlink()
    same_run(copy, finished, runs.resume(copy, progress=False))


def test_a_finished_run_needs_no_space(finished, copy, monkeypatch):
    """Nothing is computed, drawn or written again."""
    usage = shutil.disk_usage(copy)._replace(free=0)
    monkeypatch.setattr(place.shutil, "disk_usage", lambda _: usage)

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    monkeypatch.setattr(digits_vae.Config, "build", without_report(digits_vae.Config.build))
    same_run(copy, finished, runs.resume(copy, progress=False))


def without_report(build):
    def fails(*_):
        pytest.fail("computed again")

    return lambda self: build(self)._replace(report=fails, picture=fails)


def test_an_unfinished_run_needs_space(copy, monkeypatch):
    shutil.rmtree(copy / "checkpoints" / "6")
    usage = shutil.disk_usage(copy)._replace(free=0)
    monkeypatch.setattr(place.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(OSError, match="0 MiB of space left, the run needs about"):
        runs.resume(copy, progress=False)


def test_a_run_finished_by_an_earlier_version_is_finished_again(finished, copy):
    manifest = json.loads((copy / "manifest.json").read_text())
    assert manifest.pop("finished") == 6
    (copy / "manifest.json").write_text(json.dumps({**manifest, "results": {}}))
    same_run(copy, finished, runs.resume(copy, progress=False))


WRITERS = {
    "checkpoint": (
        "orbax.checkpoint.AsyncCheckpointer.save",
        ValueError("RESOURCE_EXHAUSTED: [OS error 28: ENOSPC No space left on device]"),
    ),
    "background": (
        "orbax.checkpoint.AsyncCheckpointer.wait_until_finished",
        OSError(errno.ENOSPC, "No space left on device"),
    ),
    "manifest, pictures": ("os.fsync", OSError(errno.ENOSPC, "No space left on device")),
    "records": ("jaxgen.runs.RunFolder.append", OSError(errno.EDQUOT, "Disk quota exceeded")),
    "events": ("jaxgen.train.tensorboard.TensorBoard.write", OSError(errno.ENOSPC, "No space left on device")),
}


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=pytest.mark.slow if c in ("checkpoint", "background") else ()) for c in WRITERS]
)
def test_a_disk_that_fills_up_says_so_whatever_was_being_written(finished, tmp_path, monkeypatch, capsys, case):
    name, error = WRITERS[case]
    path = tmp_path / "run"
    note = launch.digest
    with monkeypatch.context() as patched:

        def full(*_, **__):
            raise error

        def fill(state):
            if int(state.step) == 4:
                patched.setattr(name, full)
            return note(state)

        patched.setattr(launch, "digest", fill)
        with pytest.raises(OSError, match=r"no space left for the run in .*; make some, then resume it") as caught:
            runs.train(TINY, path, progress=False)
        assert caught.value.errno == errno.ENOSPC
    assert "Traceback" not in capsys.readouterr().err
    same_run(path, finished, runs.resume(path, progress=False))


@pytest.mark.parametrize("jump", [3600, -6e8], ids=["an hour", "years back"])
def test_a_clock_that_is_set_changes_nothing(finished, tmp_path, monkeypatch, jump):
    clock, shift, append = time.time, [0.0], runs.RunFolder.append

    def set_clock(self, record):
        shift[0] = jump * (record["step"] % 2)
        append(self, record)

    monkeypatch.setattr(time, "time", lambda: clock() + shift[0])
    monkeypatch.setattr(time, "time_ns", lambda: int((clock() + shift[0]) * 1e9))
    monkeypatch.setattr(runs.RunFolder, "append", set_clock)
    same_run(tmp_path / "run", finished, runs.train(TINY, tmp_path / "run", progress=False))


def test_the_command_line_tells_these_folders_apart(tmp_path, capsys):
    (tmp_path / "file").touch()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").touch()
    (tmp_path / "lost" / "checkpoints").mkdir(parents=True)
    for name, message in {
        "file": "is a file",
        "other": "holds something else (thesis.tex)",
        "lost": "parts of a run (checkpoints) but no manifest.json",
    }.items():
        assert cli.main(["train", "digits_vae", "--run", str(tmp_path / name)]) == 2
        assert message in capsys.readouterr().err


def test_more_steps_finish_anew(copy):
    """What was finished at 6 steps is not at 8."""
    outcome = runs.train(dataclasses.replace(TINY, steps=8), copy, progress=False)
    assert int(outcome.state.step) == 8
    assert json.loads((copy / "manifest.json").read_text())["finished"] == 8
