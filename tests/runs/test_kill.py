"""A run that is killed at any moment can be resumed, and comes to the same bits."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from processes import xla_flags

pytest.importorskip("tyro", reason="the command line needs tyro")

# Many checkpoints in a short run, so that a good part of the moments falls into their writing.
FLAGS = "--steps 400 --batch-size 16 --log-every 3 --checkpoint-every 10 --keep 2 --model.latent-dim 2 --model.hidden 8"


def start(run):
    # No compilation cache: every process compiles for itself, as a user's would, and none can damage the cache.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment |= {"XLA_FLAGS": xla_flags(), "JAX_PLATFORMS": "cpu"}
    arguments = [sys.executable, "-m", "jaxgen.cli", "train", "digits_vae", "--run", str(run), *FLAGS.split()]
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def finish(run):
    process = start(run)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return json.loads((run / "manifest.json").read_text())["digests"]["400"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    run = tmp_path_factory.mktemp("kill") / "run"
    begin = time.perf_counter()
    digest = finish(run)
    return digest, time.perf_counter() - begin


def kill_and_finish(tmp_path, uninterrupted, seed, moments):
    digest, seconds = uninterrupted
    rng = random.Random(seed)
    run, kills = tmp_path / "run0", 0
    while kills < moments:
        process = start(run)
        # From the imports on: the first half of the moments falls before or into the first steps.
        time.sleep(rng.uniform(0.2, 1.0) * seconds)
        alive = process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += alive
        if not alive:
            assert finish(run) == digest
            run = tmp_path / f"run{kills}"
    assert finish(run) == digest
    assert not list((run / "checkpoints").glob("*tmp*"))


def signal_after(run, step, number):
    """Starts or resumes `run`, and once it has a checkpoint of `step` or later sends it signal `number`."""
    process = start(run)
    deadline = time.perf_counter() + 60
    while time.perf_counter() < deadline and process.poll() is None:
        if any(path.name.isdigit() and int(path.name) >= step for path in (run / "checkpoints").glob("*")):
            break
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate(timeout=60)
    return process.returncode


@pytest.mark.slow
def test_killed_then_interrupted_then_finished(tmp_path, uninterrupted):
    digest, _ = uninterrupted
    run = tmp_path / "run"
    # 0: it was quicker than the signal, which no machine should make a failure.
    assert signal_after(run, 20, signal.SIGKILL) in (-signal.SIGKILL, 0)
    returned = signal_after(run, 120, signal.SIGINT)
    assert returned in (130, 0)
    assert returned == 0 or not (run / "pictures" / "final.png").exists()
    assert finish(run) == digest
    assert not list((run / "checkpoints").glob("*tmp*"))


@pytest.mark.slow
def test_killed_at_twenty_moments(tmp_path, uninterrupted):
    kill_and_finish(tmp_path, uninterrupted, seed=1, moments=20)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_leaves(tmp_path, uninterrupted, number, code):
    digest, _ = uninterrupted
    run = tmp_path / "run"
    returned = signal_after(run, 20, number)
    if returned != 0:
        assert returned == code
        assert not (run / "pictures" / "final.png").exists()
    assert finish(run) == digest
