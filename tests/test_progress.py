"""Progress is seen: in a terminal of any width, in a log file now and then, while nothing counts steps too."""

# Wrong arguments are given on purpose.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false, reportOptionalSubscript=false

import io
import re

import jax
import numpy as np
import pytest
from rich.console import Console

from jaxgen import data, evaluate, progress
from jaxgen.core import GenerativeModel
from jaxgen.train.progress import Bar, status

GAN = {
    "step": 12_000,
    "d_fake": 0.412345,
    "d_real": 0.612345,
    "discriminator_grad_norm": 1.2345,
    "discriminator_loss": 1.3456,
    "diversity": 0.98765,
    "generator_grad_norm": 0.56789,
    "generator_loss": 0.8765,
    "penalty": 0.012345,
    "value": -1.3456,
    "steps_per_second": 123.4,
}


def shown(width, record=GAN, last=100_000):
    """What a terminal of this width has on its last line, the codes of colours left out."""
    console = Console(force_terminal=True, width=width, file=io.StringIO(), color_system=None, legacy_windows=False)
    with Bar(0, last, enabled=True, compile_seconds=1.0, console=console) as bar:
        bar.advance(record["step"])
        bar.record(record)
        bar._progress.refresh()
    text = console.file.getvalue().split("compiled in 1.0 s")[1]
    lines = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]|\r", "\n", text).split("\n")
    return [line.rstrip() for line in lines if line.strip()]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160, 300])
def test_bar_step_rate_and_time_left_come_first_on_one_line(width):
    lines = shown(width)
    assert all(len(line) <= width for line in lines), lines
    line = next(line for line in lines[::-1] if "12000" in line)
    assert width < 60 or line[0] == "━"
    assert "12000/100000" in line
    assert "123 steps/s  0:11:53" in line
    if width >= 60:
        assert ("d_fake 0.4123" in line) == (width >= 80)
    assert "…" not in line
    for metric in ("discriminator_loss", "diversity", "value"):  # whole ones or none
        assert (metric in line) == (f"{metric} {GAN[metric]:.4g}" in line)
    assert ("value -1.346" in line) == (width == 300)
    assert line.endswith("...") == (60 <= width < 300)


def test_what_does_not_fit_goes_by_its_weight():
    text = [status(70, 800, 0.123, ["loss 1", "rate 2"], width) for width in (3, 10, 25, 29, 34, 41, 50)]
    whole = "70/800  0.12 steps/s  1:38:54"
    assert text == [
        "70/",
        "70/800",
        "70/800  0.12 steps/s",
        whole,
        f"{whole} ...",
        f"{whole}  loss 1 ...",
        f"{whole}  loss 1  rate 2",
    ]
    assert status(0, 10, 0.0, [], 80) == "0/10  - steps/s  -:--:--"


def test_the_rate_is_known_before_the_first_record():
    console = Console(force_terminal=True, width=80, file=io.StringIO(), color_system=None)
    with Bar(0, 1000, enabled=True, compile_seconds=1.0, console=console) as bar:
        bar.advance(10)
        bar._progress.refresh()
    assert re.search(r"10/1000  [0-9.e+]+ steps/s  0:", console.file.getvalue())


def test_loops_say_how_far_they_are_to_whoever_listens():
    said = []
    assert list(progress.counted([1, 2], "items")) == [1, 2]  # nobody does
    with progress.listening(said.append):
        for _ in progress.counted(range(0, 5, 2), "samples", 5, 2):
            list(progress.counted("ab", "letters"))
            list(progress.counted("a", "a single one"))
    assert said[:4] == ["samples 0/5", "samples 0/5, letters 0/2", "samples 0/5, letters 1/2", "samples 0/5"]
    assert said[-2:] == ["samples 4/5", ""]
    assert not any("single" in text for text in said)


def test_a_loop_that_is_left_early_is_no_longer_shown():
    said = []
    with progress.listening(said.append), pytest.raises(ZeroDivisionError):
        for _ in progress.counted(range(3), "items"):
            raise ZeroDivisionError
    assert said == ["items 0/3", ""]


def test_what_takes_minutes_counts():
    said = []
    digits = data.load("digits")
    model = GenerativeModel(
        init=None,
        step=None,
        evaluate=lambda key, state, batch: {"nats": np.zeros(len(batch["index"]), np.float32)},
        sample=lambda key, state, num, first=0: np.zeros((num, 2), np.float32),
        parts=None,
    )
    with progress.listening(said.append):
        evaluate.samples(model, jax.random.key(0), None, 25, chunk=10)
        evaluate.per_example(model, jax.random.key(0), None, digits.test, batch_size=200)
        features = evaluate.Features(lambda x: x.reshape(len(x), -1), "pixels", "none")
        features(np.zeros((1200, 2, 2, 1), np.float32))
        evaluate.train_classifier(
            jax.random.key(0),
            digits.train.x[:32],
            digits.train.label[:32],
            10,
            levels=17,
            network=evaluate.ImageClassifier(10, channels=(8,), num_features=8),
            num_steps=150,
            batch_size=4,
        )
    assert "samples 20/25" in said
    assert f"examples 200/{len(digits.test)}" in said
    assert "features of images 1000/1200" in said
    assert "steps of the classifier 100/150" in said


def test_in_a_log_file_a_line_now_and_then(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with progress.activity("report"):
        for _ in progress.counted(range(1000), "samples"):
            now[0] += 0.2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "report ..." and 4 <= len(lines) <= 8
    assert lines[1].startswith("report: samples 1")


def test_hooks_of_a_run_count_in_its_bar():
    console = Console(force_terminal=True, width=80, file=io.StringIO(), color_system=None)
    with Bar(0, 10, enabled=True, compile_seconds=1.0, console=console) as bar:
        for _ in progress.counted(range(2), "samples"):
            bar._progress.refresh()
    assert "samples 1/2" in console.file.getvalue()


def test_nothing_is_shown_where_nothing_is_asked_for(capsys):
    with progress.activity("quiet", enabled=False):
        list(progress.counted(range(3), "items"))
    with Bar(0, 10, enabled=False, compile_seconds=1.0) as bar:
        bar.record(GAN)
    assert capsys.readouterr().err == ""
