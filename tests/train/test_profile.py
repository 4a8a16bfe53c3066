"""A trace of some steps: where it lies, what it holds, and that it changes nothing."""

import gzip
import json

import jax
import pytest
from toy import Feed, counter

from jaxgen import cli, runs, train
from jaxgen.train.profile import profiled
from jaxgen.train.window import Window

NONE = Window(0, {}, {}, -1)


@pytest.mark.parametrize(
    ("first", "last", "traced"), [(0, 1000, (21, 30)), (100, 1000, (121, 130)), (0, 15, (6, 15)), (0, 4, (2, 4))]
)
def test_the_steps_that_are_traced(tmp_path, first, last, traced):
    with profiled(tmp_path, first, last) as trace:
        assert trace.steps == traced
    assert not list(tmp_path.iterdir())  # nothing was trained


@pytest.mark.parametrize("stop_at", [None, 24])
def test_the_trace_ends_with_training_at_the_latest(tmp_path, stop_at):
    def stop(step, state, window):
        raise train.Stop("enough")

    early = [train.Hook(stop, steps=() if stop_at is None else (stop_at,), at_end=False)]
    with profiled(tmp_path, 0, 40) as trace:
        hooks = [trace.before, *early, trace.after]
        train.fit(counter(), Feed(), jax.random.key(0), 40, hooks=hooks, progress=False)
    (folder,) = (tmp_path / "plugins" / "profile").iterdir()
    assert list(folder.glob("*.xplane.pb"))
    with profiled(tmp_path / "again", 0, 40) as trace:  # another trace may be begun
        trace.after.call(0, None, NONE)
    assert list((tmp_path / "again").rglob("*.xplane.pb"))


def test_an_error_ends_the_trace(tmp_path):
    with pytest.raises(train.NonFiniteError), profiled(tmp_path, 0, 40) as trace:
        hooks = [trace.before, trace.after]
        train.fit(counter(fail_at=25), Feed(), jax.random.key(0), 40, hooks=hooks, progress=False)
    jax.profiler.start_trace(tmp_path)
    another = pytest.raises(ValueError, match="profile must be off while another trace is written")
    with profiled(tmp_path, 0, 40) as trace, another:
        trace.after.call(0, None, NONE)
    jax.profiler.stop_trace()


@pytest.mark.slow
def test_from_the_command_line(tmp_path, capsys):
    arguments = ["train", "digits_vae", "--steps", "4", "--batch-size", "16", "--model.hidden", "8"]
    path = tmp_path / "traced"
    assert cli.main([*arguments, "--run", str(path), "--profile"]) == 0
    printed = capsys.readouterr().out
    assert f"trace in {path / 'profile'}: tensorboard --logdir {path / 'profile'}" in printed
    (file,) = path.rglob("perfetto_trace.json.gz")
    with gzip.open(file) as stream:
        assert json.load(stream)["traceEvents"]
    report = runs.verify(path, progress=False)  # trains again without a trace
    assert report.passed and any("profile" in line for line in report.unseen)
    capsys.readouterr()
    assert cli.main([*arguments, "--run", str(path), "--profile"]) == 2  # it is finished
    assert "steps must be an integer of at least 6, two more than have been made" in capsys.readouterr().err
