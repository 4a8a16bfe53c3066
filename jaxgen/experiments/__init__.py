"""Experiments: one short file each, where a model meets its data.

A file holds a `Config` (a frozen dataclass, a kind of `jaxgen.runs.Settings`) with a `build` method, and its
docstring's first line is what `jaxgen list` shows. A new file is a new experiment; nothing has to be registered. Such a
file may lie anywhere else as well (`jaxgen.runs.outside`): `_template.py` is one to begin with.
"""

import ast
import importlib
import keyword
import pkgutil
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from jaxgen.spelling import nearest

if TYPE_CHECKING:
    from jaxgen.experiments._gated import Gated as Gated
    from jaxgen.experiments._modulated import Modulated as Modulated


def __getattr__(name: str) -> Any:
    """Networks that several experiments share; manifests call their configs by these names."""
    if name in ("Gated", "Modulated"):
        return getattr(importlib.import_module(f"{__name__}._{name.lower()}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


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


def write_template(name: str) -> Path:
    """Write a commented experiment that trains at once into NAME.py, in the current folder.

    Args:
        name: Name of the experiment.

    Returns:
        The file.

    Raises:
        ValueError: A name that is no identifier of Python, or that Python or jaxgen has for a module.
        FileExistsError: The file is there already.
    """
    if not name.isidentifier() or keyword.iskeyword(name) or name in sys.stdlib_module_names or name == "jaxgen":
        raise ValueError(f"name must be an identifier that is no word or module of Python's, as my_vae, got {name!r}")
    file = Path(f"{name}.py")
    text = (Path(__path__[0]) / "_template.py").read_text(encoding="utf-8")
    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(text)
    except FileExistsError:
        raise FileExistsError(f"{file} is there already; give another name") from None
    return file
