"""The map in docs/equations.md: every name exists, every equation is on it, with its source."""

import ast
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SECTION = (ROOT / "docs" / "equations.md").read_text().split("\n## ")[0]
PAGES = ("objective", "penalties", "prediction")
EQUATIONS = [ROOT / "jaxgen" / "distributions.py"]
EQUATIONS += [path for page in PAGES for path in sorted((ROOT / "jaxgen").glob(f"*/{page}.py"))]


def names_on_the_map():
    """Dotted names in the table's second column; a name without a dot is in the module of the name before it."""
    module = ""
    for row in re.findall(r"^\|[^|]+\|([^|]+)\|$", SECTION, flags=re.M):
        for name in re.findall(r"`([\w.]+)`", row):
            if "." in name:
                module = name.rpartition(".")[0]
            yield name if "." in name else f"{module}.{name}"


def public_functions(path):
    return [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef) and n.name[0] != "_"]


@pytest.mark.parametrize("name", sorted(set(names_on_the_map())))
def test_every_name_on_the_map_exists(name):
    module, _, attribute = name.rpartition(".")
    assert hasattr(importlib.import_module(f"jaxgen.{module}"), attribute)


@pytest.mark.parametrize("path", EQUATIONS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_equation_is_on_the_map_and_has_a_source(path):
    on_the_map = {name.rpartition(".")[2] for name in names_on_the_map()}
    for function in public_functions(path):
        assert function.name in on_the_map, f"{function.name} is missing in docs/equations.md"
        assert "Source:" in (ast.get_docstring(function) or ""), f"{function.name} names no source"
