"""The contract that every model of the library keeps, whatever its family.

A model learns an objective: pure functions of explicit keys and variables, which know no optimizer.

    init     (key, batch)                  -> variables
    loss     (variables, key, batch, step) -> (losses [B], what else is told)
    evaluate (key, variables, batch)       -> metrics, one value per example
    sample   (key, variables, num)         -> draws in data space

With an optimizer (`jaxgen.learning.model`) it becomes a model, whose `init` and `step` deal in states:

    init     (key, batch)        -> state
    step     (key, state, batch) -> (state, metrics)      one update, metrics are scalars

Everything but training takes `state.variables`, whatever the family. Training, checkpoints, devices, evaluation and the
command line know these functions and nothing else. Whatever a family offers beyond them (encode and decode, generate
and discriminate, denoise) stands in `parts`.

No key lives in a state: the key of step i is `fold_in(root, i)`. A checkpoint is therefore a state, a seed and
a config, and resuming needs nothing else. What belongs to example or sample k is drawn from `fold_in(key, k)`,
so that it does not depend on the batch it happens to be computed in.
"""

import dataclasses
import inspect
import math
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Annotated, Any, ClassVar, Generic, NamedTuple, Protocol, TypeAlias, TypeVar, runtime_checkable

import jax
import jax.core
import numpy as np
from flax.core import FrozenDict
from jaxtyping import Array, Float, Key

from jaxgen import number, require

PRNGKey: TypeAlias = Key[Array, ""]

Batch: TypeAlias = Mapping[str, Any]
"""Data of one step or one evaluation, leading axis B.

"x" [B, *event] in storage dtype; optional "label" [B] int32, "mask" [B, *event] bool (True = observed) and
"index" [B] int32: the position in the data set, -1 for the padding of the last evaluation batch. Further fields
[B, ...] have names of their own, for instance "low" or "caption"; `Spec.fields` describes them.
"""

RESERVED = ("x", "label", "mask", "index")
"""Names of a batch's fields whose meaning is the same for all data."""

Metrics: TypeAlias = Mapping[str, Array]

Variables: TypeAlias = Mapping[str, Any]
"""Everything that a model has learned and inference needs: {"params": ..., and further collections of its network}, or
those of a game's two networks by their names, {"generator": ..., "discriminator": ...}."""

_SHORT = reprlib.Repr()
_SHORT.maxother = 60


@runtime_checkable
class Scaling(Protocol):
    """How real values are carried to where a model computes, one by one; `jaxgen.data.scale` has those there are."""

    @property
    def bounded(self) -> bool:
        """Whether all data come to lie in [-1, 1], as grey levels do."""
        ...

    def forward(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """u = f(x): values in the data's own units, as a model sees them."""
        ...

    def inverse(self, u: Float[Array, "..."]) -> Float[Array, "..."]:
        """x with f(x) = u."""
        ...

    def log_derivative(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        """log |f'(x)| of each value: what a log-density of u lacks to be one of x."""
        ...


@dataclass(frozen=True)
class Statistics:
    """Numbers about real-valued data, in their own units and of observed values alone.

    Args:
        low: Smallest value of all splits.
        high: Largest value of all splits.
        mean: Mean of the training split.
        std: Standard deviation of the training split, over all values.
    """

    low: float
    high: float
    mean: float
    std: float


def field_name(name: Any) -> str:
    """`name`, if a further field of the data can have it.

    Raises:
        ValueError: No identifier, or one of the names in `RESERVED`.
    """
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"the name of a field must be an identifier, such as low, got {name!r}")
    if name in RESERVED:
        raise ValueError(f"the name of a further field must be none of {', '.join(RESERVED)}, got {name!r}")
    return name


@dataclass(frozen=True)
class Field:
    """Description of one field of the data beside x, for one example.

    Args:
        shape: Shape of one example's value, () for a single number; images are (height, width, channels).
        dtype: Storage dtype, "uint8", "int32", "float32" or "bool". It stays so on the device.
        num_values: Number of values that integers can have, 0 .. num_values - 1: classes, tokens, grey levels. It is
            256 for uint8 unless given and 2 for bool; None for real values.

    Raises:
        ValueError: A size below 1, another dtype, int32 without num_values, or a number that does not go with the
            dtype.
    """

    shape: tuple[int, ...]
    dtype: str
    num_values: int | None = None

    def __post_init__(self):
        object.__setattr__(self, "shape", require.sizes("shape", self.shape))
        require.one_of("dtype", self.dtype, ("uint8", "int32", "float32", "bool"))
        if self.dtype == "float32":
            if self.num_values is not None:
                raise ValueError(f"num_values must be None for float32, got {self.num_values!r}")
            return
        default = {"uint8": 256, "bool": 2}.get(self.dtype)
        low, high = (2, 2) if self.dtype == "bool" else (1, default or require.INT32_MAX)
        num = default if self.num_values is None else self.num_values
        object.__setattr__(self, "num_values", require.integer("num_values", num, low, high, f"for {self.dtype}"))

    def __str__(self) -> str:
        usual = {"uint8": 256, "bool": 2}.get(self.dtype)
        return f"{self.dtype}{list(self.shape)}" + ("" if self.num_values == usual else f" below {self.num_values}")


@dataclass(frozen=True, repr=False)
class Spec:
    """All that a model must know of the data.

    Args:
        event_shape: Shape of one example; images are (height, width, channels).
        dtype: Storage dtype, "uint8" or "float32". It stays so on the device; steps scale inside.
        levels: Number of grey levels of discrete data (uint8 values 0 .. levels - 1), None for real values.
        num_classes: Number of labels 0 .. num_classes - 1, None without labels.
        fields: Further fields of the data by name: what a model may be given beside x, label and mask.
        labels: The labels that occur in training, ascending; None where all of 0 .. num_classes - 1 do. No part of what
            makes two specs equal: the networks are the same.
        class_names: Names of the classes for tables and pictures; no part of that either.
        scale: How a model sees real values; None for as they are. Grey levels have a scale of their own.
        statistics: Range, mean and spread of real values; `jaxgen.data.Dataset` measures them. Two specs that differ in
            nothing else are equal.
        columns: Names of the values of an event of shape (d,), for tables and pictures; no part of that either.

    Raises:
        ValueError: A size below 1, another dtype, levels that the dtype cannot hold, a scale for grey levels, labels
            or names that do not go with num_classes, or a field whose name is reserved.
    """

    event_shape: tuple[int, ...]
    dtype: str = "float32"
    levels: int | None = None
    num_classes: int | None = None
    fields: Mapping[str, Field] = FrozenDict()
    labels: tuple[int, ...] | None = dataclasses.field(default=None, compare=False)
    class_names: tuple[str, ...] | None = dataclasses.field(default=None, compare=False)
    scale: Scaling | None = None
    statistics: Statistics | None = dataclasses.field(default=None, compare=False)
    columns: tuple[str, ...] | None = dataclasses.field(default=None, compare=False)

    def __post_init__(self):
        require.sizes("event_shape", self.event_shape)
        require.one_of("dtype", self.dtype, ("uint8", "float32"))
        if self.levels is not None:
            require.integer("levels", self.levels, 2, 256)
        if (self.dtype == "uint8") != (self.levels is not None):
            raise ValueError(f"levels goes with dtype uint8 and only with it, got {self.dtype}, levels={self.levels}")
        if self.num_classes is not None:
            require.size("num_classes", self.num_classes)
        if not isinstance(self.fields, Mapping):
            raise ValueError(f"fields must be a mapping of names to Field(...), got {self.fields!r}")
        for name, described in self.fields.items():
            if not isinstance(described, Field):
                raise ValueError(f"fields[{field_name(name)!r}] must be Field(...), got {described!r}")
        # By name, so that two specs of the same fields are written the same; immutable, so that a spec has a hash.
        ordered = {name: self.fields[name] for name in sorted(map(field_name, self.fields))}
        object.__setattr__(self, "fields", FrozenDict(ordered))
        if self.statistics is not None and not isinstance(self.statistics, Statistics):
            raise ValueError(f"statistics must be Statistics or None, got {self.statistics!r}")
        if self.scale is not None and self.levels is not None:
            raise ValueError(f"scale must be None for grey levels, which have one, got {self.scale}")
        num_classes = self.num_classes or 0
        if self.labels is not None:
            labels = tuple(require.integer(f"labels[{i}]", c, 0) for i, c in enumerate(self.labels))
            if not labels or list(labels) != sorted(set(labels)) or labels[-1] >= num_classes:
                raise ValueError(
                    f"labels must be ascending, at least one, and below num_classes={self.num_classes}, got {labels}"
                )
            object.__setattr__(self, "labels", None if len(labels) == num_classes else labels)
        if self.class_names is not None and len(self.class_names) != num_classes:
            raise ValueError(
                f"class_names must be one for each of num_classes={self.num_classes}, got {len(self.class_names)}"
            )
        if self.columns is not None and (len(self.columns),) != self.event_shape:
            raise ValueError(
                f"columns must be one name for each value of event_shape={self.event_shape}, got {len(self.columns)}"
            )

    def __repr__(self) -> str:
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        shown = {name: value for name, value in values.items() if value is not None and name != "fields"}
        if self.fields:
            shown["fields"] = {name: str(described) for name, described in self.fields.items()}
        return f"Spec({', '.join(f'{name}={_SHORT.repr(value)}' for name, value in shown.items())})"

    def field(self, name: str) -> Field:
        """The description of the label or of a further field.

        Raises:
            ValueError: The data have no such field.
        """
        if name == "label" and self.num_classes is not None:
            return Field((), "int32", self.num_classes)
        if name not in self.fields:
            known = (["label"] if self.num_classes is not None else []) + list(self.fields)
            raise ValueError(f"the data must have the field {name!r}, they have {', '.join(known) or 'x alone'}")
        return self.fields[name]

    def class_name(self, label: int) -> str:
        """The name of a class, its number where it has none."""
        return str(label) if self.class_names is None else self.class_names[label]

    @property
    def num_dimensions(self) -> int:
        """Dimensions of one example, channels included: the D of bits/dim."""
        return int(np.prod(self.event_shape, dtype=np.int64))


@jax.tree_util.register_pytree_with_keys_class
@dataclass(frozen=True, repr=False)
class TrainState:
    """The arrays that one optimizer trains, and nothing but arrays: no functions, no key.

    (A pytree may stand with anything in place of its leaves, such as shapes or shardings; its fields therefore
    carry no checked shapes.)

    Attributes:
        step: Number of calls of `step` so far, int32 [].
        params: Parameters, which the optimizer changes.
        opt_state: Memory of the optimizer.
        collections: Further collections of the network (running statistics, spectral norms); {} if there are none.
        ema: Moving average of {"params": params, **collections}; None where there is none.
    """

    step: Any
    params: Any
    opt_state: Any
    collections: Any = field(default_factory=dict)
    ema: Any = None

    @property
    def variables(self) -> Variables:
        """Everything that inference reads: the moving average where there is one."""
        return {"params": self.params, **self.collections} if self.ema is None else self.ema

    def replace(self, **changes: Any) -> "TrainState":
        """The same state with other values of some fields."""
        return replace(self, **changes)

    def tree_flatten_with_keys(self) -> tuple[Any, Any]:
        # The names of the leaves are part of checkpoints and digests, and older than those of the fields.
        own = {"step": self.step, "params": self.params, "opt_state": self.opt_state, "variables": self.collections}
        if self.ema is None:
            return keyed(own), False
        return keyed({f"train/{name}": value for name, value in own.items()} | averaged(self.ema)), True

    @classmethod
    def tree_unflatten(cls, has_ema: bool, children: Any) -> "TrainState":
        step, params, opt_state, collections, *average = children
        return cls(step, params, opt_state, collections, joined(*average) if has_ema else None)

    def __repr__(self) -> str:
        return state_text("TrainState", self.step, parameters=self.params)


def keyed(children: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """Children of a pytree with their names, as `tree_flatten_with_keys` returns them."""
    return [(jax.tree_util.GetAttrKey(name), child) for name, child in children.items()]


def averaged(ema: Any) -> dict[str, Any]:
    """The children of a state that hold its moving average, by the names of checkpoints."""
    return {"ema_params": ema["params"], "ema_variables": {k: v for k, v in ema.items() if k != "params"}}


def joined(params: Any, collections: Any) -> Any:
    """The variables of which `averaged` made two children."""
    # As a child may stand anything, when jax handles a tree's structure.
    return {"params": params, **(collections if isinstance(collections, Mapping) else {})}


def state_text(name: str, step: Any, **parameters: Any) -> str:
    """A state in one line: what it is, its step and the number of its parameters, whatever stands for the arrays."""
    at = int(step) if isinstance(step, int | np.ndarray | np.generic) or _is_known(step) else "..."
    counts = [
        f"{sum(math.prod(getattr(leaf, 'shape', ())) for leaf in jax.tree.leaves(tree)):,} {what.replace('_', ' ')}"
        for what, tree in parameters.items()
    ]
    return f"{name}(step {at}; {', '.join(counts)})"


def _is_known(x: Any) -> bool:
    return isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer) and x.ndim == 0 and not x.is_deleted()


class Aux(NamedTuple):
    """Further results of a loss.

    Attributes:
        metrics: Quantities to be followed, [B] or scalars; the step takes their means.
        collections: Further collections of the variables, where they have changed: running statistics, for instance.
    """

    metrics: Metrics = MappingProxyType({})
    collections: Mapping[str, Any] = MappingProxyType({})


@runtime_checkable
class Loss(Protocol):
    """Loss that training minimises, per example; its gradient is taken with respect to `variables["params"]`."""

    def __call__(self, variables: Variables, key: PRNGKey, batch: Batch, step: Any, /) -> tuple[Array, Aux]: ...


@runtime_checkable
class Evaluate(Protocol):
    """Metrics [B] of a batch; draws are keyed by batch["index"]."""

    def __call__(self, key: PRNGKey, variables: Variables, batch: Batch, /) -> Metrics: ...


@runtime_checkable
class Sample(Protocol):
    """Draws in data space, [num, *event]; images lie in [0, 1]. Draw k, counted from `first`, does not depend on num.

    Keyword arguments: first, label, condition, and those of the family. Arguments annotated by an `Option` are flags of
    `jaxgen sample`.
    """

    def __call__(self, key: PRNGKey, variables: Variables, num: int, /, *args: Any, **options: Any) -> Array: ...


P = TypeVar("P", covariant=True)
S = TypeVar("S")
R = TypeVar("R")


class Replaceable:
    """Frozen dataclasses of functions, of which another one is made by `replace`."""

    __no_type_check__: ClassVar[bool] = True  # a double in a test need not have every function

    def replace(self: R, **changes: Any) -> R:
        """The same functions, with others in some places."""
        return replace(self, **changes)  # pyright: ignore[reportArgumentType]

    _replace = replace  # as named tuples have it


@dataclass(frozen=True)
class Objective(Replaceable, Generic[P]):
    """An objective of learning, as pure functions that know no optimizer.

    For an objective of your own replace one of these functions: `objective.replace(loss=...)`.

    Attributes:
        init: (key, batch) -> variables: {"params": ..., and further collections of the network}.
        loss: (variables, key, batch, step) -> (losses [B], `Aux`).
        evaluate: (key, variables, batch) -> metrics, each [B].
        sample: (key, variables, num, *, first=0, condition=None, ...) -> [num, *event] in data space.
        parts: The family's own functions of variables.
    """

    init: Callable[[PRNGKey, Batch], Variables]
    loss: Loss
    evaluate: Evaluate
    sample: Sample
    parts: P


@dataclass(frozen=True)
class GenerativeModel(Replaceable, Generic[S, P]):
    """A model as pure functions, jitted by the factory that made it.

    Attributes:
        init: (key, batch) -> state.
        step: (key, state, batch) -> (state, metrics); metrics are scalars averaged over the batch.
        evaluate: (key, variables, batch) -> metrics, each [B]; draws are keyed by batch["index"].
        sample: (key, variables, num, *, first=0, label=None, condition=None, ...) -> [num, *event] in data space, see
            `Sample`.
        parts: The family's own functions of variables. Training never reads them.
        objective: Objective of `step`, for a training loop of the user's own: an `Objective`, or the two losses of a
            game.
    """

    init: Callable[[PRNGKey, Batch], S]
    step: Callable[[PRNGKey, S, Batch], tuple[S, Metrics]]
    evaluate: Evaluate
    sample: Sample
    parts: P
    objective: Any = None


@dataclass(frozen=True)
class Option:
    """An argument of a model's own `sample` that the command line offers: `Annotated[Any, Option(int | None, "...")]`.

    Attributes:
        kind: Type of the flag: a number, a string, or a union of frozen dataclasses.
        help: Description of the argument, a noun phrase.
    """

    kind: Any
    help: str


Label: TypeAlias = Annotated[Any, Option(int | None, "Label of all samples; None draws one for each.")]
"""The label that a model's `sample` takes: an integer for all samples, or one for each."""


def sample_arguments(model: GenerativeModel) -> dict[str, inspect.Parameter]:
    """The arguments of a model's `sample` besides key, variables, num and first, by name."""
    parameters = inspect.signature(model.sample).parameters.values()
    return {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "first"}


class Estimate(NamedTuple):
    """A number that was measured.

    Attributes:
        value: The number; a mean, if it is taken over examples.
        standard_error: Standard error of the mean, None where there is none.
        unit: Unit, such as "nats" or "bits/dim", with the measure where it matters.
    """

    value: float
    standard_error: float | None = None
    unit: str = ""

    @property
    def text(self) -> str:
        """The number with its error and without its unit, as tables have it: "86.42 ± 0.31"; see `jaxgen.number`."""
        return number.text(self.value, self.standard_error)
