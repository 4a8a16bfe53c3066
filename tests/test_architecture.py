"""The floors of the house: a file imports only from lower floors, families never from each other."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import jaxgen

ROOT = Path(__file__).parents[1] / "jaxgen"

FLOORS = {
    "atomic": 0,
    "core": 0,
    "digest": 0,
    "events": 0,
    "draws": 0,
    "inputs": 0,
    "latents": 0,
    "number": 0,
    "progress": 0,
    "rehearsal": 0,
    "require": 0,
    "spelling": 0,
    "distributions": 0,
    "learning": 1,
    "optimizers": 1,
    "nn": 1,
    "data": 1,
    "paths": 1,
    "autoencoder": 2,
    "vae": 2,
    "gan": 2,
    "ddpm": 2,
    "flow": 2,
    "codec": 3,
    "train": 3,
    "evaluate": 3,
    "plot": 3,
    "runs": 4,
    "experiments": 5,
    "cli": 6,
}

FAMILIES = ("autoencoder", "vae", "gan", "ddpm", "flow")


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> set[str]:
    """Rooms of jaxgen that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        found |= {name.split(".")[1] for name in names if name.startswith("jaxgen.")}
    return found & FLOORS.keys()


FILES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down(path):
    here = room(path)
    for other in imported_rooms(path) - {here}:
        same_ground = {here, other} <= {"core", "draws", "inputs", "events", "distributions", "number", "require"}
        assert FLOORS[other] < FLOORS[here] or same_ground, f"{path} (floor {FLOORS[here]}) imports {other}"


def test_every_room_has_a_floor():
    rooms = {room(path) for path in FILES}
    assert rooms <= FLOORS.keys(), f"new rooms need a floor: {rooms - FLOORS.keys()}"


@pytest.mark.parametrize("path", sorted(ROOT.glob("*/objective.py")), ids=lambda path: path.parent.name)
def test_objectives_are_functions_of_arrays(path):
    names = {
        node.module.split(".")[0]
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module
    }
    assert not names & {"flax", "optax"}


def test_blind_rooms_name_no_family():
    for blind in ("codec", "train", "evaluate", "plot", "runs", "cli"):
        for path in (ROOT / blind).rglob("*.py"):
            assert not imported_rooms(path) & set(FAMILIES), path


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout


def test_importing_brings_little_more_than_jax_itself():
    """Counted, not timed: what an import costs differs by half between two processes of one busy machine."""
    ours = "jaxgen; from jaxgen import autoencoder, data, ddpm, evaluate, gan, plot, train, vae"
    code = "import sys, jax, flax, optax; before = set(sys.modules); import {}; "
    code += "print(*sorted({{name.split('.')[0] for name in set(sys.modules) - before}} - sys.stdlib_module_names))"
    # The rest (orbax, tensorflow, grain, matplotlib, scikit-learn, tyro, Pillow) is imported where it is used.
    assert set(run(code.format(ours)).split()) <= {"jaxgen", "jaxtyping", "numpy", "rich", "jax", "flax", "optax"}


def test_rooms_are_attributes_that_are_imported_when_used():
    code = (
        "import sys, jaxgen as jg; assert 'jaxgen.vae' not in sys.modules; print(jg.vae.Config().latent_dim); dir(jg)"
    )
    assert run(code).strip() == "20"
    assert (ROOT / "py.typed").exists()


def test_every_room_is_an_attribute():
    """Families too: a new one is found here, not remembered."""
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"experiments", "cli"}
    assert rooms <= set(jaxgen.__all__)


@pytest.mark.slow
def test_importing_takes_little_longer_than_jax_itself():
    # Of the processor, not of the clock: other processes do not count.
    code = "import time; t = time.process_time(); {}; print(time.process_time() - t)"
    ours = "from jaxgen import data, evaluate, plot, train, vae"
    # Alternated, and the best of each: the first of them warms the file cache.
    times = [(float(run(code.format("import jax, flax, optax"))), float(run(code.format(ours)))) for _ in range(4)]
    base, with_jaxgen = (min(column) for column in zip(*times, strict=True))
    assert with_jaxgen < 1.5 * base, f"{with_jaxgen:.2f} s against {base:.2f} s"
