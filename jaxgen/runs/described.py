"""A data set's `Spec` as JSON and back, so that a model can be built where its data are not."""

from typing import Any

import jax
import numpy as np

from jaxgen.core import Batch, GenerativeModel, Spec
from jaxgen.runs.config import from_json, to_json
from jaxgen.runs.settings import Settings


def describe(spec: Spec) -> dict[str, Any] | None:
    """A spec as JSON types; None if it holds what JSON cannot, such as a user's own functions.

    Args:
        spec: Description of the data.
    """
    try:
        fields = {name: to_json(value) for name, value in vars(spec).items() if name != "condition"}
        return {"type": "jaxgen.core.Spec", **fields, "condition": _tree_to_json(spec.condition)}
    except TypeError:
        return None


def rebuild(tree: dict[str, Any]) -> Spec:
    """The spec that `describe` wrote.

    Raises:
        ValueError: Something else.
    """
    condition = tree.get("condition")
    spec = from_json({name: value for name, value in tree.items() if name != "condition"})
    if not isinstance(spec, Spec):
        raise ValueError(f"a spec's type must be 'jaxgen.core.Spec', got {tree.get('type')!r}")
    return Spec(**{**vars(spec), "condition": _tree_from_json(condition)})


def stand_in(spec: Spec, batch_size: int) -> Batch:
    """A batch without values, for `jax.eval_shape`.

    Args:
        spec: Description of the data.
        batch_size: Examples in the batch.
    """

    def column(shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((batch_size, *shape), dtype)

    batch: dict[str, Any] = {"x": column(spec.event_shape, np.dtype(spec.dtype)), "index": column((), np.int32)}
    if spec.num_classes is not None:
        batch["label"] = column((), np.int32)
    if spec.condition is not None:
        batch["condition"] = jax.tree.map(lambda leaf: column(leaf.shape, leaf.dtype), spec.condition)
    return batch


def state_of(model: GenerativeModel, spec: Spec, config: Settings) -> Any:
    """Structure, shapes and dtypes of a model's state, which no data are needed for.

    Args:
        model: The model.
        spec: Description of the data.
        config: Config of the run.
    """
    unit = config.batch_unit
    batch = stand_in(spec, unit * max(config.batch_size // unit, 1))
    return jax.eval_shape(model.init, jax.random.key(config.seed), batch)


def _tree_to_json(tree: Any) -> Any:
    if isinstance(tree, jax.ShapeDtypeStruct):
        return {"shape": list(tree.shape), "dtype": np.dtype(tree.dtype).name}
    if isinstance(tree, dict) and all(isinstance(name, str) for name in tree):
        return {"fields": {name: _tree_to_json(value) for name, value in tree.items()}}
    if type(tree) in (list, tuple):
        return {type(tree).__name__: [_tree_to_json(value) for value in tree]}
    if tree is None:
        return None
    raise TypeError(f"a condition is a tree of dictionaries, lists, tuples and arrays, got {tree!r}")


def _tree_from_json(tree: Any) -> Any:
    match tree:
        case None:
            return None
        case {"shape": shape, "dtype": dtype}:
            return jax.ShapeDtypeStruct(tuple(shape), np.dtype(dtype))
        case {"fields": fields}:
            return {name: _tree_from_json(value) for name, value in fields.items()}
        case {"list": values}:
            return [_tree_from_json(value) for value in values]
        case {"tuple": values}:
            return tuple(_tree_from_json(value) for value in values)
    raise ValueError(f"a condition must be described by shape and dtype, fields, list or tuple, got {tree!r}")
