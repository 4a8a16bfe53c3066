"""The contract that every model of the library keeps, whatever its family.

A generative model is a handful of pure functions of explicit keys and states:

    init     (key, batch)        -> state
    step     (key, state, batch) -> (state, metrics)      one update, metrics are scalars
    evaluate (key, state, batch) -> metrics               one value per example
    sample   (key, state, num)   -> draws in data space

Training, checkpoints, devices, evaluation and the command line know these four and nothing else. Whatever a
family offers beyond them (encode and decode, generate and discriminate, denoise) stands in `parts`.

No key lives in a state: the key of step i is `fold_in(root, i)`. A checkpoint is therefore a state, a seed and
a config, and resuming needs nothing else. What belongs to example or sample k is drawn from `fold_in(key, k)`,
so that it does not depend on the batch it happens to be computed in.
"""

import functools
import inspect
import math
import reprlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import flax.struct
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from jaxgen import number, require

PRNGKey: TypeAlias = Key[Array, ""]

Batch: TypeAlias = Mapping[str, Any]
"""What a step or an evaluation sees of the data, leading axis B.

"x" [B, *event] in storage dtype; optional "label" [B] int32, "mask" [B, *event] bool (True = observed),
"condition" (a pytree of [B, ...]) and "index" [B] int32: the position in the data set, -1 for the padding of
the last evaluation batch.
"""

Metrics: TypeAlias = Mapping[str, Array]

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


@dataclass(frozen=True, repr=False)
class Spec:
    """All that a model must know of the data.

    Args:
        event_shape: Shape of one example; images are (height, width, channels).
        dtype: Storage dtype, "uint8" or "float32". It stays so on the device; steps scale inside.
        levels: Number of grey levels of discrete data (uint8 values 0 .. levels - 1), None for real values.
        num_classes: Number of labels 0 .. num_classes - 1, None without labels.
        condition: A pytree of `jax.ShapeDtypeStruct` for what is given beside x, None if nothing is.
        labels: The labels that occur in training, ascending; None where all of 0 .. num_classes - 1 do. No part of what
            makes two specs equal: the networks are the same.
        class_names: Names of the classes for tables and pictures; no part of that either.
        scale: How a model sees real values; None for as they are. Grey levels have a scale of their own.
        statistics: Range, mean and spread of real values; `jaxgen.data.Dataset` measures them. Two specs that differ in
            nothing else are equal.

    Raises:
        ValueError: A size below 1, another dtype, levels that the dtype cannot hold, a scale for grey levels, or labels
            or names that do not go with num_classes.
    """

    event_shape: tuple[int, ...]
    dtype: str = "float32"
    levels: int | None = None
    num_classes: int | None = None
    condition: Any = None
    labels: tuple[int, ...] | None = field(default=None, compare=False)
    class_names: tuple[str, ...] | None = field(default=None, compare=False)
    scale: Scaling | None = None
    statistics: Statistics | None = field(default=None, compare=False)

    def __post_init__(self):
        require.sizes("event_shape", self.event_shape)
        require.one_of("dtype", self.dtype, ("uint8", "float32"))
        if self.levels is not None:
            require.integer("levels", self.levels, 2, 256)
        if (self.dtype == "uint8") != (self.levels is not None):
            raise ValueError(f"levels goes with dtype uint8 and only with it, got {self.dtype}, levels={self.levels}")
        if self.num_classes is not None:
            require.size("num_classes", self.num_classes)
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

    def __repr__(self) -> str:
        shown = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}
        if self.condition is not None:
            shown["condition"] = jax.tree.map(lambda given: f"{given.dtype}{list(given.shape)}", self.condition)
        return f"Spec({', '.join(f'{name}={_SHORT.repr(value)}' for name, value in shown.items())})"

    def class_name(self, label: int) -> str:
        """The name of a class, its number where it has none."""
        return str(label) if self.class_names is None else self.class_names[label]

    @property
    def num_dimensions(self) -> int:
        """Dimensions of one example, channels included: the D of bits/dim."""
        return int(np.prod(self.event_shape, dtype=np.int64))


@flax.struct.dataclass
class TrainState:
    """The arrays that one optimizer trains, and nothing but arrays: no functions, no key.

    (A pytree may stand with anything in place of its leaves, such as shapes or shardings; its fields therefore
    carry no checked shapes.)

    Attributes:
        step: Number of calls of `step` so far, int32 [].
        params: What the optimizer changes.
        opt_state: The optimizer's own memory.
        variables: Further collections of the network (running statistics, spectral norms); {} if none.
    """

    step: Any
    params: Any
    opt_state: Any
    variables: Any

    def __repr__(self) -> str:
        return state_text("TrainState", self.step, parameters=self.params)


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


class GenerativeModel(NamedTuple):
    """A model as pure functions, jitted by the factory that made it.

    Attributes:
        init: (key, batch) -> state.
        step: (key, state, batch) -> (state, metrics); metrics are scalars averaged over the batch.
        evaluate: (key, state, batch) -> metrics, each [B]; draws are keyed by batch["index"].
        sample: (key, state, num, *, first=0, label=None, condition=None, ...) -> [num, *event] in data space,
            images in [0, 1]; draw k, counted from `first`, does not depend on num. Arguments annotated by an `Option`
            are flags of `jaxgen sample`.
        parts: The family's own functions. Training never reads them.
    """

    init: Callable[..., Any]
    step: Callable[..., tuple[Any, Metrics]]
    evaluate: Callable[..., Metrics]
    sample: Callable[..., Array]
    parts: Any


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
    """The arguments of a model's `sample` besides key, state, num and first, by name."""
    parameters = inspect.signature(model.sample).parameters.values()
    return {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY and p.name != "first"}


class Estimate(NamedTuple):
    """A number that was measured.

    Attributes:
        value: The number; the mean, where it is one over examples.
        standard_error: Of that mean, None where there is none to give.
        unit: As in "nats" or "bits/dim", with the measure where it matters.
    """

    value: float
    standard_error: float | None = None
    unit: str = ""

    @property
    def text(self) -> str:
        """The number with its error and without its unit, as tables have it: "86.42 ± 0.31"; see `jaxgen.number`."""
        return number.text(self.value, self.standard_error)


def example_keys(key: PRNGKey, index: Int[Array, " b"]) -> Key[Array, " b"]:
    """One key per example: `fold_in(key, k)` for each k in `index`."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, index)


def example_normals(key: PRNGKey, index: Int[Array, " b"], shape: tuple[int, ...]) -> Float[Array, "b ..."]:
    """Standard normal draws that belong to their example: the same whatever batch the example is in.

    Args:
        key: Root of all draws.
        index: Number k of each example.
        shape: Shape of one draw.

    Returns:
        Draws [b, *shape], that of example k from `fold_in(key, k)`.
    """
    return jax.vmap(lambda k: jax.random.normal(k, shape, jnp.float32))(example_keys(key, index))


def example_uniforms(key: PRNGKey, index: Int[Array, " b"], shape: tuple[int, ...]) -> Float[Array, "b ..."]:
    """Draws from [0, 1), as `example_normals` has them from the normal distribution."""
    return jax.vmap(lambda k: jax.random.uniform(k, shape, jnp.float32))(example_keys(key, index))


def example_labels(
    key: PRNGKey, index: Int[Array, " b"], num_classes: int, labels: tuple[int, ...] | None = None
) -> Int[Array, " b"]:
    """A class for each example, all equally likely, as `example_normals` has its draws.

    Args:
        key: Root of all draws.
        index: Number k of each example.
        num_classes: Number of classes.
        labels: The classes to draw from, as `Spec.labels` has them; None for all.
    """
    num = num_classes if labels is None else len(labels)
    drawn = jax.vmap(lambda k: jax.random.randint(k, (), 0, jnp.int32(num), jnp.int32))(example_keys(key, index))
    return drawn if labels is None else jnp.asarray(labels, jnp.int32)[drawn]


def checked_batch(
    batch: Any, spec: Spec, *, needs: tuple[str, ...] = (), refuses: tuple[str, ...] = ()
) -> dict[str, Array]:
    """The fields of a batch that a model may read, if they are what the spec says.

    Shapes and dtypes are known while a step is traced, so that the check costs nothing when it runs.

    Args:
        batch: Batch as a function of the contract was given it.
        spec: Description of the data.
        needs: Fields that must be there besides "x": "label" for a conditional model, say.
        refuses: Fields that the model would leave out of account: "mask", for one that reads all of x.

    Returns:
        "x" in storage dtype, "index" (0 .. B - 1 where there is none), and of "label" and "mask" what there is; a
        label only where it is needed.

    Raises:
        ValueError: A field that is missing or refused, an empty batch, another shape or dtype.
    """
    if not isinstance(batch, Mapping):
        raise ValueError(f'batch must be a mapping with "x", got {type(batch).__name__}')
    given = {name: value for name, value in batch.items() if value is not None}
    for name in ("x", *needs):
        if name not in given:
            raise ValueError(f'batch must hold "{name}", got {", ".join(map(str, given)) or "no field"}')
    for name in refuses:
        if name in given:
            raise ValueError(
                f'batch must hold no "{name}", got one: this model reads all of x, so that what lies behind it would '
                "count; take a model that uses it (a VAE or an autoencoder), or fill in what is missing"
            )
    x = given["x"]
    if not hasattr(x, "shape") or not hasattr(x, "dtype"):
        raise ValueError(f"x must be an array, got {type(x).__name__}")
    if x.dtype != spec.dtype:
        raise ValueError(f"x must be in storage dtype {spec.dtype}, got {x.dtype}")
    if x.ndim != 1 + len(spec.event_shape) or x.shape[1:] != spec.event_shape or x.shape[0] < 1:
        raise ValueError(f"x must have shape [B, {', '.join(map(str, spec.event_shape))}], B >= 1, got {x.shape}")
    given.setdefault("index", jnp.arange(x.shape[0], dtype=jnp.int32))
    rules = {"index": (jnp.integer, "integers", x.shape[:1]), "mask": (jnp.bool_, "bool", x.shape)}
    if "label" in needs:
        rules["label"] = rules["index"]
    for name, (kind, rule, shape) in rules.items():
        if name in given and not jnp.issubdtype(dtype := getattr(given[name], "dtype", type(given[name])), kind):
            raise ValueError(f"{name} must be {rule} of shape {shape}, got {dtype}")
        if name in given and given[name].shape != shape:
            raise ValueError(f"{name} must be {rule} of shape {shape}, got shape {given[name].shape}")
    return {name: jnp.asarray(given[name]) for name in ("x", *rules) if name in given}


def num_observed(batch: Batch) -> dict[str, Float[Array, " b"]]:
    """{"observed": how many dimensions of each example count, by its mask}; {} for a batch without, where all do."""
    mask = batch.get("mask")
    if mask is None:
        return {}
    return {"observed": jnp.asarray(mask).sum(axis=tuple(range(1, mask.ndim)), dtype=jnp.float32)}


def checked_draws(key: Any, num: Any, first: Any) -> Any:
    """`first`, if samples first .. first + num - 1 of a key can be drawn; a traced `first` is not checked.

    Raises:
        ValueError: No typed key, no number of at least 1, or samples beyond what int32 counts.
    """
    require.typed_key("key", key)
    require.size("num", num)
    if isinstance(first, jax.core.Tracer):
        return first
    return require.integer("first", first, 0, require.INT32_MAX + 1 - num, f"2^31 - num with num={num}")


def checked_label(
    label: Any, num: int, num_classes: int | None, labels: tuple[int, ...] | None = None
) -> Int[Array, " num"] | None:
    """The label of every sample, if one is asked for; the values of a traced one are not checked.

    Args:
        label: An integer for all samples, one for each, or None.
        num: Number of samples.
        num_classes: Number of classes, None where the model knows no labels.
        labels: The labels that occur in training, as `Spec.labels` has them; None for all.

    Raises:
        ValueError: A label for a model without, one that is no integer or out of range, one that no training example
            had, or another number of them.
    """
    if label is None:
        return None
    if num_classes is None:
        raise ValueError(f"this model is unconditional: label must be None, got {label!r}")
    traced = isinstance(label, jax.core.Tracer)
    values: Any = label if traced else np.asarray(label)
    if values.shape not in ((), (num,)) or not jnp.issubdtype(values.dtype, jnp.integer):
        raise ValueError(f"label must be an integer or {num} of them, got {values.dtype} of shape {values.shape}")
    if not traced and values.size and not (values.min() >= 0 and values.max() < num_classes):
        raise ValueError(f"label must lie in 0..{num_classes - 1}, got {label!r}")
    if not traced and labels is not None and (unknown := np.setdiff1d(values, labels)).size:
        raise ValueError(
            f"label must be one that occurs in training, {_SHORT.repr(labels)}, got {unknown[0]}: the model has "
            "seen no example of it"
        )
    return jnp.broadcast_to(jnp.asarray(label, jnp.int32), (num,))


def known_labels(
    function: Callable[..., Any], num_classes: int | None, labels: tuple[int, ...] | None
) -> Callable[..., Any]:
    """The same function, which refuses labels that the model was not trained on.

    Within a compiled function a label is traced, and one that is out of range would be that of another class.

    Args:
        function: A function with an argument "label", None for no label.
        num_classes: Number of classes, None where the model knows no labels.
        labels: The labels that occur in training, as `Spec.labels` has them; None for all.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        label = signature.bind(*args, **kwargs).arguments.get("label")
        if label is not None and not isinstance(label, jax.core.Tracer):
            checked_label(label, np.size(label), num_classes, labels)
        return function(*args, **kwargs)

    return checked


def coarse_uniforms(key: PRNGKey, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Uniform draws from the 65,536 numbers (i + 1/2) / 65,536, for half the random bits of `jax.random.uniform`.

    What is compared with a probability p is then right to within 2^-17, and random bits are a good part of a small
    network's training step.

    Returns:
        Draws in (0, 1), float32 of the given shape; neither end is met.
    """
    num = math.prod(shape)
    words = jax.random.bits(key, ((num + 1) // 2,), jnp.uint32)
    halves = jax.lax.bitcast_convert_type(words, jnp.uint16).reshape(-1)[:num]
    return (halves.reshape(shape).astype(jnp.float32) + 0.5) * jnp.float32(2**-16)
