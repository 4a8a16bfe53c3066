"""Benchmarks that are meant for other machines go through here on a small scale."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
def test_one_call_on_an_accelerator_in_short():
    """Every part gives lines of JSON, the last one whole; quality is left out, which trains a classifier too."""
    parts = ["speed_128_tf32", "repeat", "upsample", "attention"]
    command = [sys.executable, str(BENCHMARKS / "accelerator.py"), "--smoke", "--parts", *parts]
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS.parent), "XLA_FLAGS": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert not [line for line in lines if "error" in line]
    by_part = {line["part"]: line for line in lines}
    assert list(by_part) == ["environment", *parts]
    speed, repeat, upsample, attention = (by_part[part] for part in parts)
    assert speed["images_per_s"]["jaxgen, fit"]["rate"] > 0 and speed["flops_per_step"] > 1e6
    assert "peer" in speed or len(speed["images_per_s"]) == 2
    assert repeat["same_again"] and repeat["same_resumed"]
    assert {"lax", "by phases"} == set(upsample["calls_per_s"])
    assert attention["largest_relative_difference"] < 0.05


def test_a_part_that_fails_and_one_without_time_cost_no_other(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    accelerator = importlib.import_module("accelerator")

    def cut(smoke):
        yield {"rate": 1}
        raise RuntimeError("out of memory")

    monkeypatch.setitem(accelerator.PARTS, "upsample", cut)
    monkeypatch.setitem(accelerator.PARTS, "environment", lambda smoke: iter([{"device": "none"}]))
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr(sys, "argv", ["accelerator.py", "--smoke", "--parts", "upsample"])
    accelerator.main()
    monkeypatch.setattr(sys, "argv", ["accelerator.py", "--seconds", "20", "--parts", "quality"])
    accelerator.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["part"] for line in lines] == ["environment", "upsample", "upsample", "environment", "quality"]
    assert lines[1]["rate"] == 1 and lines[2]["error"] == "RuntimeError: out of memory"
    assert all("s are left" in line["skipped"] for line in lines[3:])
