"""Benchmarks that are meant for other machines go through here on a small scale."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.slow
def test_one_call_on_an_accelerator_in_short():
    """Every part gives a line of JSON; quality is left out, which trains a classifier too."""
    parts = ["speed_128_tf32", "repeat", "upsample"]
    command = [sys.executable, str(BENCHMARKS / "accelerator.py"), "--smoke", "--parts", *parts]
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS.parent), "XLA_FLAGS": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["part"] for line in lines] == ["environment", *parts]
    assert not [line for line in lines if "error" in line]
    speed, repeat, upsample = lines[1:]
    assert speed["images_per_s"]["jaxgen, fit"]["rate"] > 0 and speed["flops_per_step"] > 1e6
    assert repeat["same_again"] and repeat["same_resumed"]
    assert all({"lax", "by phases"} == set(rates) for rates in upsample["calls_per_s"].values())
