"""Stable names of classes in manifests: what is exported where, not the file in which a class lives today.

    jaxgen.ddpm.networks.MLP   is called   jaxgen.ddpm.MLP
    my_package.my_module.Config            experiment:Config, in a run of this experiment

The name of a class is the shortest path at which one of its packages exports it, so that a file may be renamed, split
or moved within a package and every manifest still loads. Manifests that hold the path of a file load too: where there
is no such file any more, the package is asked for the name. `MOVED` holds what neither finds.

A manifest never causes an import of anything outside jaxgen: such a class is found only where the user has named the
run's experiment, in its module or in what that has imported.
"""

import dataclasses
import importlib
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

HOME = "experiment:"
"""Beginning of the names of classes that the module of a run's own experiment defines, whatever it is called."""

MOVED: Mapping[str, str] = {
    "jaxgen.experiments._gated.Gated": "jaxgen.experiments.Gated",
    "jaxgen.experiments._modulated.Modulated": "jaxgen.experiments.Modulated",
}
"""Today's public name of a class by an earlier one, where it has left the package that exported it or had no such name
yet."""


def home_of(kind: type) -> ModuleType | None:
    """The module of a config's class that is outside jaxgen; None for one of jaxgen's own."""
    return None if kind.__module__.partition(".")[0] == "jaxgen" else sys.modules.get(kind.__module__)


def name_of(kind: type, home: ModuleType | None = None) -> str:
    """The name of a class in a manifest.

    Args:
        kind: The class.
        home: Module of the run's experiment, if it is outside jaxgen.
    """
    module, name = kind.__module__, kind.__qualname__
    if home is not None and module == home.__name__:
        return HOME + name
    parts = module.split(".")
    for depth in range(2 if parts[0] == "jaxgen" else 1, len(parts)):  # the library's own names begin with a room
        package = ".".join(parts[:depth])
        if _attribute(sys.modules.get(package), name) is kind:
            return f"{package}.{name}"
    return f"{module}.{name}"


def class_of(name: Any, home: ModuleType | None = None) -> type:
    """The frozen dataclass that a manifest calls so.

    Args:
        name: Its name today, or an earlier one.
        home: Module of the run's experiment, if it is outside jaxgen and the user has named it.

    Raises:
        ValueError: There is none, or it is outside jaxgen and `home` is not given.
    """
    text = MOVED.get(name, name) if isinstance(name, str) else ""
    if text.startswith("jaxgen."):
        found = None if any(part.startswith("_") for part in text.split(".")) else _found(text)
    elif home is None or not text:
        raise ValueError(f"a config's type must be a name inside jaxgen, got {name!r}")
    else:
        inside = text.removeprefix(HOME)
        found = _attribute(home, inside) if text != inside else _found(text)
        if found is None:  # of a run of before, in which the experiment's module went by its own name
            found = _attribute(home, text.rpartition(".")[2])
    if found is None:
        raise ValueError(f"there is no config type {name!r}")
    if not isinstance(found, type) or not dataclasses.is_dataclass(found) or not _is_frozen(found):
        raise ValueError(f"a config's type must be a dataclass, a frozen one, got {name!r}")
    return found


def _found(name: str) -> Any:
    """The object at a path, in the nearest module; else the one that a package on the way exports by the last name."""
    *path, last = name.split(".")
    places = []
    for depth in range(1, len(path) + 1):
        place = _module(".".join(path[:depth]))
        if place is None:
            break
        places.append((place, ".".join([*path[depth:], last])))
    ways = [*reversed(places), *((place, last) for place, _ in places[1 if path[0] == "jaxgen" else 0 :])]
    return next((found for place, names in ways if (found := _attribute(place, names)) is not None), None)


def _module(name: str) -> ModuleType | None:
    if name.partition(".")[0] != "jaxgen":
        return sys.modules.get(name)
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _attribute(place: Any, names: str) -> Any:
    """The attribute of a module by its name, or by dotted names for a class within a class."""
    for name in names.split("."):
        if isinstance(place, ModuleType) and place.__name__.partition(".")[0] != "jaxgen":
            place = vars(place).get(name)  # a module's own `__getattr__` may import
        else:
            place = getattr(place, name, None)
    return place


def _is_frozen(kind: type) -> bool:
    return getattr(kind, "__dataclass_params__").frozen  # noqa: B009
