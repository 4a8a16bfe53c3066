"""Networks of any library as a pair of pure functions.

    init     (key, *inputs)             -> variables
    apply    (variables, *inputs, ...)  -> output, and the collections that it changed

A module of flax linen is taken as it is. Anything else (equinox, flax nnx, haiku, functions written by hand) is a pair:

    init     (key, *inputs)             -> parameters, a pytree of arrays
    apply    (parameters, *inputs)      -> output; with an argument "key" it is given one in training, else None

The family says what the inputs and the output are; the last input is the dictionary of conditions
(`jaxgen.nn.conditions`) where the model has some, and is left out where it has none.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax

from jaxgen.core import PRNGKey, Variables


class Network(NamedTuple):
    """A network as two pure functions.

    Attributes:
        init: (key, *inputs) -> variables, {"params": ..., and further collections}.
        apply: (variables, *inputs, train=False, key=None, learn=False) -> (output, changed collections). `train` is
            how a network behaves while it is trained: dropout, which the key is for, and moments of the batch; `learn`
            also updates its further collections.
    """

    init: Callable[..., Variables]
    apply: Callable[..., tuple[Any, Mapping[str, Any]]]


def network(name: str, given: Any) -> Network:
    """A user's network as a `Network`.

    Args:
        name: Name of the argument, for errors.
        given: A linen module, a pair (init, apply), or a `Network`.

    Raises:
        ValueError: Anything else.
    """
    if isinstance(given, Network):
        return given
    if isinstance(given, nn.Module):
        return of_linen(given)
    if isinstance(given, tuple | list) and len(given) == 2 and all(map(callable, given)):
        return of_pair(*given)
    kind = given.__name__ if isinstance(given, type) else type(given).__name__
    raise ValueError(f"{name} must be a linen module or a pair of functions (init, apply), got {kind}")


def of_linen(module: nn.Module) -> Network:
    """A linen module, whose `__call__` takes the inputs and, if it has such an argument, `train`.

    Inputs may also be given by name.
    """
    takes_train = "train" in inspect.signature(type(module).__call__).parameters

    def mode(train: bool) -> dict[str, Any]:
        return {"train": train} if takes_train else {}

    def init(key: PRNGKey, *inputs: Any, **named: Any) -> Variables:
        key_params, key_dropout = key, jax.random.fold_in(key, 1)
        return cast(
            Variables, module.init({"params": key_params, "dropout": key_dropout}, *inputs, **named, **mode(True))
        )

    def apply(
        variables: Variables,
        *inputs: Any,
        train: bool = False,
        key: PRNGKey | None = None,
        learn: bool = False,
        **named: Any,
    ) -> tuple[Any, Mapping[str, Any]]:
        rngs = {} if key is None else {"dropout": key}
        if not train:
            return module.apply(variables, *inputs, rngs=rngs, **named, **mode(False)), {}
        # Moments of a batch are taken down in training whether they are kept or not; the norms of spectral
        # normalisation are moved on by their own player's update alone.
        mutable = [name for name in variables if name != "params" and (learn or name != "spectral")]
        applied = module.apply(variables, *inputs, rngs=rngs, mutable=mutable, **named, **mode(True))
        output, changed = cast(tuple[Any, Mapping[str, Any]], applied)
        return output, changed if learn else {}

    return Network(init, apply)


def of_pair(init: Callable[..., Any], apply: Callable[..., Any]) -> Network:
    """A pair (init, apply) of functions of parameters alone, as the module's docstring has it."""
    takes_key = "key" in inspect.signature(apply).parameters

    def initialised(key: PRNGKey, *inputs: Any) -> Variables:
        return {"params": init(key, *inputs)}

    def applied(
        variables: Variables, *inputs: Any, train: bool = False, key: PRNGKey | None = None, learn: bool = False
    ) -> tuple[Any, Mapping[str, Any]]:
        del learn
        more = {"key": key if train else None} if takes_key else {}
        return apply(variables["params"], *inputs, **more), {}

    return Network(initialised, applied)


def part_of(variables: Variables, name: str) -> Variables:
    """Variables of one of a model's networks: every collection holds each network's under its name."""
    return {collection: values[name] for collection, values in variables.items() if name in values}


def together(parts: Mapping[str, Variables]) -> dict[str, Any]:
    """Variables of all of a model's networks, collection by collection; the inverse of `part_of`."""
    collections = {collection for variables in parts.values() for collection in variables}
    return {
        collection: {name: variables[collection] for name, variables in parts.items() if collection in variables}
        for collection in sorted(collections)
    }
