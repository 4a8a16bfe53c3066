"""Experiments outside jaxgen: a file or a module of the user's own with a `Config`.

    jaxgen train my_project/my_experiment.py --run r        or  jaxgen train my_package.my_module --run r
    jaxgen resume r --experiment my_project/my_experiment.py

A manifest holds the name of the file or module and the SHA-256 of its text beside the config. The name is there to be
read: code is imported when the user names it, never because a manifest does. A file with another text is refused where
the run would go on or be verified, unless the user accepts it, and warned of where the run is looked at. The text of
other files that it imports is not compared: whether the bits are the same is what `verify` says.
"""

import dataclasses
import inspect
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from jaxgen.runs import loading
from jaxgen.runs.names import home_of
from jaxgen.runs.settings import Settings

Source: TypeAlias = str | Path | type[Settings]
"""An experiment outside jaxgen: its file, the name of its module, or its Config."""


def load(source: Source) -> type[Settings]:
    """The Config of an experiment outside jaxgen, whose code is run.

    Args:
        source: Path of a file that ends in .py, name of a module, or the Config itself.

    Raises:
        FileNotFoundError: There is no such file or module.
        ValueError: Its code raises an error, or it has no Config that is a frozen dataclass of `Settings`, with a
            default for every field.
    """
    if isinstance(source, type):
        return _checked(source, f"{source.__module__}.{source.__qualname__}")
    module = loading.module_of(str(source))
    if not hasattr(module, "Config"):
        raise ValueError(f"{source} must define Config, a frozen dataclass of jaxgen.runs.Settings; it has no Config")
    return _checked(module.Config, str(source))


def is_meant(name: str) -> bool:
    """Whether a word names an experiment outside jaxgen, a file or a module, rather than one of jaxgen's own."""
    return loading.is_file(name) or "." in name or loading.is_module(name)


def describe(kind: type[Settings]) -> str:
    """First line of the docstring of an experiment's module; where it has none, of its Config.

    Args:
        kind: The Config.
    """
    texts = (inspect.getdoc(place) for place in (sys.modules[kind.__module__], kind))
    return next((text.partition("\n")[0] for text in texts if text), "An experiment of your own.")


def entry_of(kind: type[Settings]) -> dict[str, Any] | None:
    """The entry of a manifest about the experiment of a config; None for one of jaxgen's own.

    Args:
        kind: The class of the config.

    Returns:
        "name", the path of a file or the name of a module, and "sha256" of its text, None in a notebook.
    """
    module = home_of(kind)
    return None if module is None else dict(zip(("name", "sha256"), loading.origin(module), strict=True))


def differ(entry: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Whether two entries of manifests are of different text; not, where one of them does not say."""
    before, now = (each.get("sha256") if isinstance(each, Mapping) else None for each in (entry, other))
    return isinstance(before, str) and now is not None and before != now


def chosen(sources: Sequence[Source], entry: Mapping[str, Any] | None) -> Source | None:
    """The one of several experiments that a run is of: by its text, else by its name; None where none of them is.

    Args:
        sources: The experiments that the user has named.
        entry: Entry of the run's manifest; None for a run of an experiment of jaxgen's own.
    """
    if entry is None:
        return None
    entries = [(source, entry_of(load(source)) or {}) for source in sources]
    for what in (lambda e: e.get("sha256"), lambda e: e.get("name"), lambda e: Path(str(e.get("name"))).name):
        for source, other in entries:
            if what(entry) is not None and what(other) == what(entry):
                return source
    return None


def _checked(config: Any, name: str) -> type[Settings]:
    rule = "Config must be a frozen dataclass of jaxgen.runs.Settings"
    if not isinstance(config, type) or not issubclass(config, Settings):
        raise ValueError(f"{name}: {rule}, got {config!r}")
    if "__dataclass_params__" not in vars(config):
        raise ValueError(f"{name}: {rule}, got a class without @dataclass(frozen=True) before it")
    if missing := getattr(config, "__abstractmethods__", None):
        raise ValueError(f"{name}: Config must have {' and '.join(sorted(missing))}(), got none")
    fields = dataclasses.fields(config)
    bare = [f.name for f in fields if f.default is f.default_factory is dataclasses.MISSING]
    if bare:
        raise ValueError(f"{name}: every field of Config must have a default, got {', '.join(bare)} without")
    return config
