"""Runs over several seeds: groups, mean and spread by hand, no ranking inside the spread. Nothing is trained."""

import importlib
from typing import Literal

import numpy as np
import pytest

from jaxgen import cli, evaluate, runs
from jaxgen.core import Estimate
from jaxgen.runs import RunFolder, seeds
from jaxgen.runs.folder import _write

compare = importlib.import_module("jaxgen.runs.compare")  # the package has a function of that name
CONDITIONS = evaluate.Conditions(40, "digits test", "digits valid", "f", "pixels", "1", 0)


def run(path, seed, modes=None, steps=10, experiment="ring_gan", **config):
    """A folder with no more than the manifest of a run."""
    path.mkdir()
    results = {} if modes is None else {"results": {"test": {"modes": {"value": modes, "unit": "of 8, n = 20"}}}}
    kind = {"type": f"jaxgen.experiments.{experiment}.Config", "seed": seed, "steps": steps, "devices": 1, **config}
    data = {"name": "ring", "fingerprint": "f", "spec": {"event_shape": [2]}}
    _write(path / "manifest.json", {"config": kind, "environment": {}, "data": data, "digests": {}, **results})
    return RunFolder(path)


def test_the_mean_and_the_spread_by_hand():
    found = seeds.spread([1.0, 2.0, 6.0])
    assert found.mean == 3 and found.num == 3
    assert found.deviation == pytest.approx(np.sqrt(7)) and found.standard_error == pytest.approx(np.sqrt(7 / 3))
    assert found.text == "3.0 ± 1.5 (sd 2.6)"
    assert seeds.spread([2.5]).deviation is None and seeds.spread([2.5]).text == "2.5"


def test_runs_that_differ_in_the_seed_alone_are_a_group(tmp_path):
    folders = {
        "b": run(tmp_path / "b", 3, devices=2),
        "a": run(tmp_path / "a", 1),
        "long": run(tmp_path / "long", 1, steps=20),
        "grid": run(tmp_path / "grid", 1, experiment="grid_gan"),
    }
    short, long, grid = seeds.groups(folders)
    assert short == ("ring_gan A", ("a", "b"), (1, 3), {"steps": "10"})
    assert long == ("ring_gan B", ("long",), (1,), {"steps": "20"})
    assert grid == ("grid_gan", ("grid",), (1,), {})
    assert short.heading == "ring_gan A, 2 seeds" and grid.heading == "grid_gan, 1 seed"


def test_what_has_no_spread_is_refused(tmp_path):
    folders = {"a": run(tmp_path / "a", 0), "b": run(tmp_path / "b", 1, steps=20)}
    with pytest.raises(ValueError, match="differ in nothing else, got a, b, of which the first has steps 10 and the"):
        seeds.groups(folders)
    with pytest.raises(ValueError, match="seeds must be each once in runs of ring_gan, got 0 of a and again"):
        seeds.groups({"a": folders["a"], "again": run(tmp_path / "again", 0)})


def scores(*values: float, better: Literal["higher", "lower"] = "higher"):
    floor = Estimate(0.9, 0.0)
    return [evaluate.Score(Estimate(value, 0.01), floor, better, None, CONDITIONS) for value in values]


def test_no_rank_inside_the_spread():
    near, spread, far = scores(0.5, 0.6), scores(0.6, 0.72), scores(0.80, 0.82)
    assert seeds.best({"near": near, "spread": spread}) is None  # 0.66 - 0.55 = 0.11 < sqrt(0.0707^2 + 0.0849^2)
    assert seeds.best({"spread": spread, "far": far}) == "far"  # 0.15 > 0.086
    assert seeds.best({"spread": spread, "single": scores(0.99)}) is None  # whose own spread nobody knows
    assert seeds.best({"spread": scores(0.6, 0.72, better="lower"), "far": scores(0.8, 0.82, better="lower")}) == (
        "spread"
    )


def test_a_table_of_groups():
    def found(recall):
        return evaluate.Fidelity({"recall": scores(recall)[0]}, None, None, ())

    results = {"a": found(0.60), "b": found(0.72), "c": found(0.80), "d": found(0.82)}
    of = [seeds.Group("one", ("a", "b"), (0, 1), {}), seeds.Group("other", ("c", "d"), (0, 1), {})]
    header, ((*_, one, other, real),) = compare.rows_of_seeds(results, of)
    assert header == ["", "better", "one, 2 seeds", "other, 2 seeds", "real images"]
    assert (one, other, real) == ("0.660 ± 0.060 (sd 0.085)", "0.810 ± 0.010 (sd 0.014) *", "0.9 ± 0")


def test_what_runs_reported_from_the_command_line(tmp_path, capsys):
    for i, modes in enumerate((7.0, 8.0, 6.0)):
        run(tmp_path / f"r{i}", i, modes)
    run(tmp_path / "other", 0, 2.0, experiment="grid_gan")
    run(tmp_path / "young", 4)
    paths = [str(tmp_path / name) for name in ("r0", "r1", "r2", "other", "young")]
    assert cli.main(["compare", *paths, "--seeds", "--out", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    for part in (
        "ring_gan, 4 seeds",
        "grid_gan, 1 seed",
        "7.00 ± 0.58 (sd 1), 3 of them",
        "young: has not reported yet",
    ):
        assert part in printed
    assert (tmp_path / "out" / "comparison.html").stat().st_size > 500
    assert not (tmp_path / "out" / "comparison.png").exists()
    assert cli.main(["compare", paths[0], paths[3], "--seeds", "--out", str(tmp_path / "out")]) == 2
    assert "seeds must be those of two or more runs" in capsys.readouterr().err


def test_a_bad_folder_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(FileNotFoundError, match="no run in"):
        runs.compare([tmp_path / "none"], seeds=True, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
