"""The compiled program of the training loop, kept for the next call, and a warning where it cannot be kept."""

import contextlib
import dataclasses
import functools
import types
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax.core import FrozenDict
from jax.sharding import Mesh
from jaxtyping import Array

from jaxgen.train import parallel
from jaxgen.train.window import Window


class CompiledAgainWarning(UserWarning):
    """A training loop is compiled again, because its function does the same as an earlier one but is a new object."""


@functools.lru_cache(maxsize=32)
def program(
    step_fn: Callable[..., Any], over: Mesh | None, shard_state: bool = False
) -> Callable[..., tuple[Any, Window]]:
    """The program that makes `num` steps, one per step function and mesh, so that a second `fit` compiles nothing.

    Args:
        step_fn: Step of a model.
        over: Devices; None for one.
        shard_state: Whether the state is divided among the devices, see `parallel.state_sharding`.

    Returns:
        (key, state, window, feed, num) -> (state, window) after `num` more steps; it consumes the state.
    """
    tell_of_twins(step_fn)

    def advance(key: Any, state: Any, window: Window, feed: Any, num: Array) -> tuple[Any, Window]:
        end = state.step + num

        def running(carry: tuple[Any, Window]) -> Array:
            state, window = carry
            return (state.step < end) & (window.failed < 0)

        def body(carry: tuple[Any, Window]) -> tuple[Any, Window]:
            state, window = carry
            batch = feed(state.step)
            if over is not None:
                batch = jax.lax.with_sharding_constraint(batch, parallel.sharded(over))
            if over is None or not shard_state:
                after, metrics = step_fn(jax.random.fold_in(key, state.step), state, batch)
                return after, window.add(metrics, state.step)
            with jax.sharding.use_abstract_mesh(over.abstract_mesh):  # see jaxgen.learning.whole
                used = parallel.in_use(state, over)
                after, metrics = step_fn(jax.random.fold_in(key, state.step), used, batch)
            return parallel.at_rest(after, over), window.add(metrics, state.step)

        after, window = jax.lax.while_loop(running, body, (state, window))
        return (parallel.at_rest(after, over) if over is not None and shard_state else after), window

    return jax.jit(advance, donate_argnums=1)


@contextlib.contextmanager
def model_of_its_own() -> Iterator[None]:
    """Silence `CompiledAgainWarning`: a run builds a model from its config, so two runs rightly build two models."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CompiledAgainWarning)
        yield


_EARLIER: deque[Any] = deque(maxlen=8)
"""Weak references to the last steps that were compiled: of a loop that builds models, the one before is enough."""


def tell_of_twins(step_fn: Callable[..., Any]) -> None:
    """Warn where a step has the same code and equal values as an earlier one: a model is built in a loop."""
    earlier = [step for reference in _EARLIER if (step := reference()) is not None]
    if any(step is not step_fn and same(step, step_fn) for step in earlier):
        name = getattr(step_fn, "__qualname__", repr(step_fn))
        warnings.warn(
            f"the training step {name} is compiled again: it does the same as an earlier one, but is a new function. "
            "Build the model once and hand the same one to every call of fit",
            CompiledAgainWarning,
            stacklevel=4,
        )
    try:
        _EARLIER.append(weakref.ref(step_fn))
    except TypeError:  # objects without weak references are not checked
        return


def tell_of_another_feed(first: Any, feed: Any, step: int) -> bool:
    """Warn where a feed is no longer of the kind that the program was compiled for, and return whether it is so."""

    def kind(feed: Any) -> Any:
        leaves, form = jax.tree.flatten(feed)
        return form, [(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves]

    if kind(feed) == kind(first):
        return False
    warnings.warn(
        f"the feed of batches for step {step} has another structure or other shapes than the first one (it may hold a "
        "new function): the training loop is compiled again for every one that has",
        CompiledAgainWarning,
        stacklevel=3,
    )
    return True


def same(a: Any, b: Any) -> bool:
    """Tell whether two values, functions among them, are sure to do the same; False where this is unknown."""
    return _same(a, b, {})


def _same(a: Any, b: Any, met: dict[tuple[int, int], bool]) -> bool:
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    pair = (id(a), id(b))
    if pair not in met:
        met[pair] = True  # until shown otherwise: functions may hold each other
        met[pair] = _alike(a, b, met)
    return met[pair]


def _alike(a: Any, b: Any, met: dict[tuple[int, int], bool]) -> bool:
    def each(left: Any, right: Any) -> bool:
        return len(left) == len(right) and all(_same(x, y, met) for x, y in zip(left, right, strict=True))

    if hasattr(a, "__wrapped__") and not isinstance(a, types.FunctionType):  # jax.jit of a function
        return _same(a.__wrapped__, getattr(b, "__wrapped__", None), met)
    if isinstance(a, types.FunctionType):
        left, right = (
            [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
            + [_content(cell) for cell in function.__closure__ or ()]
            for function in (a, b)
        )
        return a.__code__ is b.__code__ and each(left, right)
    if isinstance(a, types.MethodType):
        return each((a.__func__, a.__self__), (b.__func__, b.__self__))
    if isinstance(a, functools.partial):
        return each((a.func, *a.args, *a.keywords.items()), (b.func, *b.args, *b.keywords.items()))
    if isinstance(a, tuple):
        return each(a, b)
    if isinstance(a, FrozenDict):
        return each(tuple(a.items()), tuple(b.items()))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, int | float | str | bytes | np.generic | np.dtype):
        return bool(a == b)
    if isinstance(a, list | dict | set | types.ModuleType | type | jax.Array) or not hasattr(a, "__dict__"):
        return False  # mutable values, and values not worth looking into
    left, right = vars(a), vars(b)
    if dataclasses.is_dataclass(a):  # flax's modules keep more than their fields
        names = [field.name for field in dataclasses.fields(a) if field.name not in ("parent", "name")]
        left, right = ({name: values.get(name) for name in names} for values in (left, right))
    return left.keys() == right.keys() and each(list(left.values()), [right[name] for name in left])


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return cell
