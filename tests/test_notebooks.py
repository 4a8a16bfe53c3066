"""The notebooks run from top to bottom: in a short form here, in full in `make test-all`."""

import json
from pathlib import Path

import jax
import matplotlib
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def cells(path):
    return [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]


def run(path):
    namespace = {"__name__": "__main__"}
    # A user's world, not the tests' strict one.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for cell in cells(path):
            exec("".join(cell["source"]), namespace)
            plt.close("all")


# Up to a minute each, most of it compilation.
@pytest.mark.slow
@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in NOTEBOOKS])
def test_in_short(path, monkeypatch):
    monkeypatch.setenv("JAXGEN_NOTEBOOK_STEPS", "20")
    run(path)


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_in_full(path, monkeypatch):
    monkeypatch.delenv("JAXGEN_NOTEBOOK_STEPS", raising=False)
    run(path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_with_outputs_and_without_errors(path):
    outputs = [output for cell in cells(path) for output in cell["outputs"]]
    assert all(cell["execution_count"] for cell in cells(path))
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert not [output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"]
