"""Experiments: one short file each, where a model meets its data.

A file holds a `Config` (a frozen dataclass, a kind of `jaxgen.runs.Settings`) with a `build` method, and its
docstring's first line is what `jaxgen list` shows. A new file is a new experiment; nothing has to be registered.
"""

import ast
import importlib
import pkgutil
from pathlib import Path
from types import ModuleType

from jaxgen.spelling import nearest


def names() -> list[str]:
    """The experiments there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def describe(name: str) -> str:
    """First line of an experiment's docstring, read without importing it."""
    text = (Path(__path__[0]) / f"{name}.py").read_text()
    return (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]


def find(name: str) -> ModuleType:
    """The module of an experiment.

    Raises:
        ValueError: There is no such experiment; the message has the nearest names.
    """
    if name not in names():
        raise ValueError(f"there is no experiment {name!r}; {nearest(name, names())}")
    return importlib.import_module(f"{__name__}.{name}")
