"""Checks of the arguments that all models take: batches, keys, numbers of samples and labels, in the same words.

Shapes and dtypes are known while a function is traced, so that these checks cost nothing when it runs.
"""

import reprlib
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import RESERVED, Batch, Spec, Variables

_SHORT = reprlib.Repr()


def checked_init(init: Callable[..., Any], check: Callable[[Any], None]) -> Callable[..., Any]:
    """A model's `init`, compiled, behind a look at the values of its first batch, which a traced function cannot have.

    Args:
        init: (key, batch) -> variables.
        check: Raises ValueError for a batch that the model cannot take.
    """
    initialise = jax.jit(init)

    def checked(key: Any, batch: Any) -> Any:
        require.typed_key("key", key)
        check(batch)
        return initialise(key, batch)

    return checked


def checked_variables(variables: Any, *names: str) -> Variables:
    """Variables of a model, if they are a mapping with these names.

    Args:
        variables: Argument of a function of the contract.
        names: Collections that must be there.

    Raises:
        ValueError: A state, bare parameters, or something else.
    """
    if not isinstance(variables, Mapping) or any(name not in variables for name in names):
        kind = type(variables).__name__
        got = f"a mapping with {', '.join(map(str, variables))}" if isinstance(variables, Mapping) else f"a {kind}"
        wanted = " and ".join(f'"{name}"' for name in names)
        raise ValueError(f"variables must be a mapping with {wanted}, such as state.variables, got {got}")
    return variables


def checked_batch(
    batch: Any, spec: Spec, *, needs: tuple[str, ...] = (), refuses: tuple[str, ...] = ()
) -> dict[str, Array]:
    """The fields of a batch that a model may read, if they are what the spec says.

    Shapes and dtypes are known while a step is traced, so that the check costs nothing when it runs.

    Args:
        batch: Batch as a function of the contract was given it.
        spec: Description of the data.
        needs: Fields that must be there besides "x": "label" for a conditional model, or further fields of the data.
        refuses: Fields that the model would leave out of account: "mask", for one that reads all of x.

    Returns:
        "x" in storage dtype, "index" (0 .. B - 1 where there is none), "mask" if there is one; a label and further
        fields only where they are needed, in storage dtype.

    Raises:
        ValueError: A field that is missing or refused, an empty batch, another shape or dtype; a need that the data
            cannot meet.
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
    for name in needs:
        if name not in RESERVED:
            field = spec.field(name)
            rules[name] = (np.dtype(field.dtype), field.dtype, (x.shape[0], *field.shape))
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


def checked_condition(condition: Any, num: int, names: Collection[str], spec: Spec) -> dict[str, Array]:
    """The conditions that are asked for, one value for each sample, in storage dtype; traced values are not checked.

    Args:
        condition: Values by the names of their fields: one for all samples, or [num, ...] with one for each; None for
            no condition at all.
        num: Number of samples.
        names: Names of the conditions that the model takes.
        spec: Description of the data.

    Returns:
        Arrays [num, ...] of those conditions that are given.

    Raises:
        ValueError: No mapping, a name that the model does not take, another shape or kind, a value out of range, or a
            label that does not occur in training.
    """
    if condition is None:
        return {}
    if not isinstance(condition, Mapping):
        raise ValueError(f"condition must be a mapping of names to values, got {type(condition).__name__}")
    found = {}
    for name, value in condition.items():
        if name not in names:
            raise ValueError(
                f"this model takes {'the conditions ' + ', '.join(names) if names else 'no condition'}, got {name!r}"
            )
        field = spec.field(name)
        if name == "label":
            found[name] = checked_label(value, num, field.num_values, spec.labels)
            continue
        traced = isinstance(value, jax.core.Tracer)
        values: Any = value if traced else np.asarray(value)
        if values.shape not in (field.shape, (num, *field.shape)):
            raise ValueError(
                f"condition[{name!r}] must have shape {field.shape}, or {(num, *field.shape)} with one for each "
                f"sample, got {values.shape}"
            )
        kind = {"bool": jnp.bool_, "float32": jnp.floating}.get(field.dtype, jnp.integer)
        if not jnp.issubdtype(values.dtype, kind):
            raise ValueError(f"condition[{name!r}] must be {field.dtype}, got {values.dtype}")
        top = field.num_values
        if not traced and top is not None and not (values.min() >= 0 and values.max() < top):
            raise ValueError(f"condition[{name!r}] must lie in 0..{top - 1}, got {_SHORT.repr(value)}")
        if not traced and top is None and not np.isfinite(values).all():
            raise ValueError(f"condition[{name!r}] must be finite, got {_SHORT.repr(value)}")
        found[name] = jnp.broadcast_to(jnp.asarray(values, field.dtype), (num, *field.shape))
    return found
