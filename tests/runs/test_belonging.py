"""What lies in a run's folder must be the run's, whoever looks at it."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from tiny import TINY

from jaxgen import cli, runs, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Runs that differ in the seed, and one on a file of pictures."""
    folder = tmp_path_factory.mktemp("runs")
    for seed in (0, 1):
        runs.train(dataclasses.replace(TINY, seed=seed), folder / f"seed{seed}", progress=False)
    x = np.random.default_rng(0).integers(0, 256, (120, 6, 5, 1), dtype=np.uint8)
    np.save(folder / "x.npy", x)
    runs.train(dataclasses.replace(TINY, data=str(folder / "x.npy")), folder / "pictures", progress=False)
    return folder


def copied(trained, name, tmp_path):
    shutil.copytree(trained / name, tmp_path / name)
    return tmp_path / name


def tamper(path, change):
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))


USES = {
    "resume": lambda path: runs.resume(path, progress=False),
    "sample": lambda path: runs.sample(path, 4),
    "evaluate": runs.evaluate,
    "load": runs.load,
    "load the best": lambda path: runs.load(path, best=True),
    "fidelity": lambda path: runs.fidelity(path, 8),
    "compare": lambda path: runs.compare([path], 8, out=path / "out", progress=False),
}
WITH_DATA = [name for name in USES if name != "sample"]
# The classifier that fidelity looks through is not what is tested here.
OF_CHECKPOINTS = [name for name in USES if name not in ("fidelity", "compare")]


@pytest.mark.parametrize("use", WITH_DATA)
def test_changed_data_are_refused(trained, tmp_path, use):
    """With one picture less the split is drawn anew: training images become test images."""
    path, x = copied(trained, "pictures", tmp_path), np.load(trained / "x.npy")
    np.save(tmp_path / "x.npy", x[1:])
    for change in (path / "manifest.json", *(path / "checkpoints").glob("*/meta/metadata")):
        tamper(change, lambda tree: tree["config"].update(data=str(tmp_path / "x.npy")))
    with pytest.raises(ValueError, match=r"the data have changed since the run in .* \(fingerprint differs\)"):
        USES[use](path)


@pytest.mark.parametrize("use", OF_CHECKPOINTS)
def test_checkpoints_of_another_run_are_refused(trained, tmp_path, use):
    path = copied(trained, "seed0", tmp_path)
    shutil.rmtree(path / "checkpoints")
    shutil.copytree(trained / "seed1" / "checkpoints", path / "checkpoints")
    with pytest.raises(ValueError, match=r"not that of its checkpoints \(seed: 1 -> 0\)"):
        USES[use](path)


@pytest.mark.parametrize("use", OF_CHECKPOINTS)
def test_a_checkpoint_with_another_digest_is_refused(trained, tmp_path, use):
    """It has the right shapes and config, but its bits are not those that the manifest knows."""
    path = copied(trained, "seed0", tmp_path)
    for meta in (path / "checkpoints").glob("*/meta/metadata"):
        tamper(meta, lambda tree: tree["config"].update(seed=1))
    other = copied(trained, "seed1", tmp_path)
    tamper(other / "manifest.json", lambda tree: tree["config"].update(seed=1))
    shutil.rmtree(other / "checkpoints")
    shutil.copytree(path / "checkpoints", other / "checkpoints")
    with pytest.raises(ValueError, match=r"checkpoint \d in .*seed1 is not of this run: its state has the digest"):
        USES[use](other)


def test_a_checkpoint_without_a_digest_in_the_manifest_is_used(trained, tmp_path):
    """As a signal leaves it."""
    path = copied(trained, "seed0", tmp_path)
    state = runs.load(path)[2]
    tamper(path / "manifest.json", lambda tree: tree["digests"].pop("4"))
    assert train.digest(runs.load(path)[2]) == train.digest(state)
    assert train.digest(runs.resume(path, progress=False).state) == train.digest(state)


def test_the_command_line_says_so_in_one_line(trained, tmp_path, capsys):
    path = copied(trained, "seed0", tmp_path)
    tamper(path / "manifest.json", lambda tree: tree["digests"].update({"4": "0" * 64}))
    for verb in ("sample", "evaluate", "resume"):
        assert cli.main([verb, str(path)]) == 2
        assert "is not of this run" in capsys.readouterr().err
