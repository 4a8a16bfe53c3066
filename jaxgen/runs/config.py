"""Configs as JSON and back: frozen dataclasses by their qualified name inside jaxgen, nothing else.

    {"type": "jaxgen.vae.config.Config", "latent_dim": 8, "likelihood": {"type": "jaxgen.vae.likelihood.Bernoulli"}}

No registry and no code in the file: a name outside jaxgen, or one that is not a frozen dataclass, is refused.
"""

import dataclasses
import difflib
import importlib
from collections.abc import Collection
from typing import Any


def nearest(word: str, known: list[str]) -> str:
    """The end of an error message: the names that come nearest, or all of them."""
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(map(repr, close))}?" if close else f"there are {', '.join(sorted(known))}"


def to_json(value: Any) -> Any:
    """A config as JSON types.

    Args:
        value: A dataclass whose fields are JSON types, tuples, None or such dataclasses.

    Raises:
        TypeError: Anything else.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"type": f"{kind.__module__}.{kind.__qualname__}", **fields}
    if isinstance(value, list | tuple):
        return [to_json(item) for item in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"a config holds numbers, strings, tuples, None and dataclasses, got {value!r}")


def from_json(tree: Any) -> Any:
    """The config that `to_json` wrote.

    Raises:
        ValueError: A type that is not a frozen dataclass of jaxgen, or a field that it does not have.
    """
    if isinstance(tree, list):
        return tuple(from_json(item) for item in tree)
    if not isinstance(tree, dict):
        return tree
    kind = _config_type(tree.get("type"))
    known = [field.name for field in dataclasses.fields(kind)]
    for name in tree:
        if name != "type" and name not in known:
            raise ValueError(f"{tree['type']} has no field {name!r}; {nearest(name, known)}")
    return kind(**{name: from_json(value) for name, value in tree.items() if name != "type"})


def completed(tree: Any) -> Any:
    """A config's JSON with the fields that have come since it was written, at their defaults.

    A new field must by its default leave everything as it was; then older runs go on. What cannot be rebuilt (a
    config of a notebook, a field that is gone) stays as it is.
    """
    try:
        return to_json(from_json(tree))
    except ValueError:
        return tree


def difference(old: Any, new: Any, at: str = "") -> list[str]:
    """What differs between two JSON trees, one line per field, as in "model.latent_dim: 8 -> 16"."""
    if isinstance(old, dict) and isinstance(new, dict):
        lines = []
        for name in [*old, *(n for n in new if n not in old)]:
            lines += difference(old.get(name, "absent"), new.get(name, "absent"), f"{at}.{name}" if at else name)
        return lines
    return [] if old == new else [f"{at}: {old!r} -> {new!r}"]


def without(tree: Any, names: Collection[str]) -> Any:
    """A config's JSON without some of its fields, those of its parts untouched."""
    return {name: value for name, value in tree.items() if name not in names} if isinstance(tree, dict) else tree


def _config_type(name: Any) -> type:
    if not isinstance(name, str) or not name.startswith("jaxgen."):
        raise ValueError(f"a config's type must be a name inside jaxgen, got {name!r}")
    module, _, attribute = name.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError):
        raise ValueError(f"there is no config type {name!r}") from None
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
        raise ValueError(f"a config's type must be a dataclass, got {name!r}")
    return kind
