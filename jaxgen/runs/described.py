"""A data set's `Spec` as JSON and back, so that a model can be built where its data are not."""

import dataclasses
from types import ModuleType
from typing import Any

import jax
import numpy as np

from jaxgen.core import Batch, GenerativeModel, Spec
from jaxgen.runs.config import from_json, to_json
from jaxgen.runs.settings import Settings


def describe(spec: Spec, home: ModuleType | None = None) -> dict[str, Any] | None:
    """A spec as JSON types; None if it holds what JSON cannot, such as a user's own functions.

    Args:
        spec: Description of the data.
        home: Module of the run's experiment, if it is outside jaxgen.
    """
    try:
        own = {name: to_json(value, home) for name, value in vars(spec).items() if name != "fields"}
        fields = {name: to_json(field) for name, field in spec.fields.items()}
        return {"type": "jaxgen.core.Spec", **own, "fields": fields}
    except TypeError:
        return None


def rebuild(tree: dict[str, Any], home: ModuleType | None = None) -> Spec:
    """The spec that `describe` wrote.

    Args:
        tree: JSON of a spec.
        home: Module of the run's experiment, if it is outside jaxgen.

    Raises:
        ValueError: Something else.
    """
    # Fields go by names of the data, not of a dataclass. Before there were any, "condition" stood for one thing given
    # beside x, which no model read.
    spec = from_json({name: value for name, value in tree.items() if name not in ("fields", "condition")}, home)
    if not isinstance(spec, Spec):
        raise ValueError(f"a spec's type must be 'jaxgen.core.Spec', got {tree.get('type')!r}")
    fields = {name: from_json(field) for name, field in tree.get("fields", {}).items()}
    return dataclasses.replace(spec, fields=fields)


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
    fields = {name: column(field.shape, np.dtype(field.dtype)) for name, field in spec.fields.items()}
    return {**batch, **fields}


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
