"""Wrong data and wrong calls by the hundred, in a process without the tests' checks of types."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_wrong_data_and_wrong_calls_are_refused_by_name():
    command = [sys.executable, "-m", "pytest", "-q", str(Path(__file__).with_name("plain_calls.py"))]
    env = {**os.environ, "JAXGEN_TESTS_PLAIN": "1"}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:]
