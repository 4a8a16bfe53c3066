"""The two networks of a game with their conditions: the config's own, or any others."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.core import Batch, Spec, Variables
from jaxgen.events import require_floats, require_shape
from jaxgen.gan.config import Config
from jaxgen.gan.networks import Architecture
from jaxgen.inputs import checked_batch
from jaxgen.nn import conditions
from jaxgen.nn.network import Network, network, of_linen
from jaxgen.nn.precision import wide

NAMES = ("generator", "discriminator")

Forms = Mapping[str, Array]
"""Conditions in the form that a network receives, by name, see `jaxgen.nn.conditions`."""


class Players(NamedTuple):
    """Both networks.

    Attributes:
        conditions: Conditions that both networks take, by name.
        fields: (batch) -> the fields that a GAN reads, checked.
        generator: G, (z, forms) -> x [B, *event] in model space, float32 at least.
        discriminator: D, (x, forms) -> logits [B], float32 at least.
    """

    conditions: conditions.Conditions
    fields: Callable[[Batch], dict[str, Array]]
    generator: Network
    discriminator: Network


def players(config: Config, spec: Spec, own: Any = None) -> Players:
    """Build both networks for data of this spec.

    Args:
        config: Configuration of the GAN.
        spec: Description of the data.
        own: {"generator": ..., "discriminator": ...}, networks in place of the config's, see `jaxgen.nn.network`;
            either may be left out. They are called as (z) or (z, forms) and (x) or (x, forms).

    Raises:
        ValueError: Networks that cannot make such data, or a condition that the data do not have.
    """
    given = config.conditions
    if config.conditional and spec.num_classes is None:
        raise ValueError("conditional=True needs labelled data, got a spec with num_classes=None")
    conditions.check(given, spec)
    chosen = _chosen(own)
    if any(name not in chosen for name in NAMES):
        config.network.check(spec)

    def fields(batch: Batch) -> dict[str, Array]:
        return checked_batch(batch, spec, needs=tuple(given), refuses=("mask",))

    def player(name: str) -> Network:
        shape = spec.event_shape if name == "generator" else ()
        if name in chosen:
            return _own(network(f'network["{name}"]', chosen[name]), name, shape, bool(given))
        return _shipped(config, spec, name)

    return Players(given, fields, *map(player, NAMES))


def _chosen(own: Any) -> dict[str, Any]:
    """The networks that stand in place of the config's, by the names of their players."""
    if not isinstance(own, Mapping | None):
        kind = type(own).__name__
        raise ValueError(f'network must be {{"generator": ..., "discriminator": ...}}, either left out, got {kind}')
    for name in own or {}:
        if name not in NAMES:
            raise ValueError(f'network must hold "generator" and "discriminator", either left out, got {name!r}')
    return {name: network for name, network in (own or {}).items() if network is not None}


def _own(given: Network, name: str, shape: tuple[int, ...], conditional: bool) -> Network:
    """A network of the user's, which takes forms only where there are conditions; what it returns is checked."""
    what = "x of the generator" if name == "generator" else "logits of the discriminator"

    def inputs(x: Array, forms: Forms) -> tuple[Any, ...]:
        return (x, forms) if conditional else (x,)

    def init(key: Any, x: Array, forms: Forms) -> Variables:
        return given.init(key, *inputs(x, forms))

    def apply(variables: Variables, x: Array, forms: Forms, **mode: Any) -> tuple[Array, Mapping[str, Any]]:
        output, changed = given.apply(variables, *inputs(x, forms), **mode)
        require_floats(**{what: output})
        require_shape((x.shape[0], *shape), **{what: output})
        return output.astype(wide(output.dtype)), changed

    return Network(init, apply)


def _shipped(config: Config, spec: Spec, name: str) -> Network:
    """One of the config's networks, to which the label comes by itself."""
    label = config.conditions.get("label")
    # One more label where it may be withheld; none where it never is.
    labels = None if label is None or spec.num_classes is None else spec.num_classes + (label.dropout > 0)
    rest = {name: condition for name, condition in config.conditions.items() if name != "label"}
    further = {"conditions": conditions.checked(rest)} if rest else {}
    architecture: Architecture = config.network
    build = architecture.generator if name == "generator" else architecture.discriminator
    module = of_linen(build(spec, labels, config.axis_name, jnp.dtype(config.dtype), **further))

    def named(forms: Forms) -> dict[str, Forms]:
        return {"forms": {name: forms[name] for name in rest}} if rest else {}

    def init(key: Any, x: Array, forms: Forms) -> Variables:
        return module.init(key, x, forms.get("label"), **named(forms))

    def apply(variables: Variables, x: Array, forms: Forms, **mode: Any) -> tuple[Array, Mapping[str, Any]]:
        return module.apply(variables, x, forms.get("label"), **named(forms), **mode)

    return Network(init, apply)
