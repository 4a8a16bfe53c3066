"""Configs as JSON and back: frozen dataclasses by their public name, nothing else.

    {"type": "jaxgen.vae.Config", "latent_dim": 8, "likelihood": {"type": "jaxgen.vae.Bernoulli"}}

No registry and no code in the file: what is not a frozen dataclass is refused, and so is a name outside jaxgen unless
the user has named the experiment that it comes from (`home`, see `jaxgen.runs.names`).
"""

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from types import ModuleType
from typing import Any

from flax.core import FrozenDict

from jaxgen.runs.names import class_of, name_of
from jaxgen.spelling import nearest


def to_json(value: Any, home: ModuleType | None = None, place: str = "config") -> Any:
    """A config as JSON types.

    Args:
        value: A dataclass whose fields are JSON types, tuples, mappings of names, None or such dataclasses.
        home: Module of the run's experiment, if it is outside jaxgen.
        place: Where the value stands, for the error.

    Raises:
        TypeError: Anything else.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_json(getattr(value, f.name), home, f"{place}.{f.name}") for f in dataclasses.fields(value)}
        return {"type": name_of(type(value), home), **fields}
    if isinstance(value, Mapping):
        return {"mapping": {name: to_json(item, home, f"{place}[{name!r}]") for name, item in value.items()}}
    if isinstance(value, list | tuple):
        return [to_json(item, home, place) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{place} must be made of numbers, strings, tuples, None and dataclasses, got {value!r}")


def from_json(tree: Any, home: ModuleType | None = None) -> Any:
    """The config that `to_json` wrote.

    Args:
        tree: JSON of a config.
        home: Module of the run's experiment, if it is outside jaxgen.

    Raises:
        ValueError: A type that is not a frozen dataclass of jaxgen or of the experiment, or a field that it does not
            have.
    """
    if isinstance(tree, list):
        return tuple(from_json(item, home) for item in tree)
    if not isinstance(tree, dict):
        return tree
    if tree.keys() == {"mapping"} and isinstance(tree["mapping"], dict):
        return FrozenDict({name: from_json(item, home) for name, item in tree["mapping"].items()})
    kind = class_of(tree.get("type"), home)
    known = [field.name for field in dataclasses.fields(kind)]
    for name in tree:
        if name != "type" and name not in known:
            raise ValueError(f"{tree['type']} has no field {name!r}; {nearest(name, known)}")
    return kind(**{name: from_json(value, home) for name, value in tree.items() if name != "type"})


def completed(tree: Any, home: ModuleType | None = None) -> Any:
    """A config's JSON as it would be written today: types by today's names, fields that have come since at defaults.

    A new field must by its default leave everything as it was; then older runs go on. What cannot be rebuilt (a
    config of a notebook, a field that is gone) stays as it is, but for the names that are known.

    Args:
        tree: JSON of a config.
        home: Module of the run's experiment, if it is outside jaxgen.
    """
    try:
        return to_json(from_json(tree, home), home)
    except ValueError:
        return _renamed(tree, home)


def difference(old: Any, new: Any, at: str = "") -> list[str]:
    """Differences between two JSON trees, one line per field, as in "model.latent_dim: 8 -> 16"."""
    if isinstance(old, dict) and isinstance(new, dict):
        lines = []
        for name in [*old, *(n for n in new if n not in old)]:
            lines += difference(old.get(name, "absent"), new.get(name, "absent"), f"{at}.{name}" if at else name)
        return lines
    return [] if old == new else [f"{at}: {old!r} -> {new!r}"]


def without(tree: Any, names: Collection[str]) -> Any:
    """A config's JSON without some of its fields, those of its parts untouched."""
    return {name: value for name, value in tree.items() if name not in names} if isinstance(tree, dict) else tree


def _renamed(tree: Any, home: ModuleType | None) -> Any:
    if isinstance(tree, list):
        return [_renamed(item, home) for item in tree]
    if not isinstance(tree, dict):
        return tree
    tree = {name: _renamed(value, home) for name, value in tree.items()}
    try:
        return {**tree, "type": name_of(class_of(tree.get("type"), home), home)}
    except ValueError:
        return tree


def flat(tree: Any, at: str = "") -> Iterator[tuple[str, str]]:
    """Settings by the dotted names that they have as flags; a choice's own name is its type."""
    if not isinstance(tree, dict):
        yield at, str(tree)
        return
    if "type" in tree:
        yield at, str(tree["type"])
    for name, value in tree.get("mapping", tree).items():
        if name != "type":
            yield from flat(value, f"{at}.{name}" if at else name)
