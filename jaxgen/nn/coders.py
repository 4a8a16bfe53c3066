"""An encoder and a decoder with their conditions, as the autoencoder and the VAE have them.

    encode     x and the conditions -> z, or what the family makes of it
    decode     z and the conditions -> the output, of the event's shape

Each is the network that the family ships or one of the user's own. The variables hold both by their names, collection
by collection: {"params": {"encoder": ..., "decoder": ...}, ...}.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.core import Label, PRNGKey, Sample, Spec, Variables
from jaxgen.draws import example_labels, example_normals
from jaxgen.events import require_floats, require_shape
from jaxgen.inputs import checked_draws, checked_variables
from jaxgen.nn import condition_inputs
from jaxgen.nn.conditions import Conditions, check
from jaxgen.nn.network import network, of_linen, part_of, together

Forms = Mapping[str, Array]
"""Conditions in the form that a network receives, by name, see `jaxgen.nn.conditions`."""

_NAMES = ("encoder", "decoder")
_LABELS = 2**32 - 1  # folded into a key for the labels of samples: no sample has this number


class Coders(NamedTuple):
    """The two networks as functions of the variables of both.

    Attributes:
        init: (key, x, forms, bias) -> variables. The shipped decoder's bias starts at the one given.
        encode: (variables, x, forms, key=None) -> (what the encoder returns, its changed collections). With a key the
            network is in training, which the key is for.
        decode: (variables, z, forms, key=None) -> (output [B, *event] float32, changed collections), likewise.
    """

    init: Callable[[PRNGKey, Array, Forms, Array], dict[str, Any]]
    encode: Callable[..., tuple[Any, dict[str, Any]]]
    decode: Callable[..., tuple[Array, dict[str, Any]]]


def coders(
    conditions: Conditions, spec: Spec, latent_dim: int, encoder: nn.Module, decoder: nn.Module, own: Any = None
) -> Coders:
    """Put an encoder and a decoder for data of this spec together.

    Args:
        conditions: Conditions by name.
        spec: Description of the data.
        latent_dim: Dimension of z.
        encoder: The shipped encoder, (x, forms) -> what the family reads of it.
        decoder: The shipped decoder, (z, forms) -> output, with a parameter "bias" of the event's shape.
        own: Networks in their place, {"encoder": ..., "decoder": ...}, either of which may be left out; see
            `jaxgen.nn.network`. They receive the conditions only where there are some.

    Raises:
        ValueError: A condition that the data do not have, or no such networks.
    """
    check(conditions, spec)
    given = _networks(own)
    nets = {
        name: network(f"network[{name!r}]", given[name]) if name in given else of_linen(shipped)
        for name, shipped in zip(_NAMES, (encoder, decoder), strict=True)
    }

    def inputs(name: str, x: Array, forms: Forms) -> tuple[Any, ...]:
        return (x, forms) if conditions or name not in given else (x,)

    def init(key: PRNGKey, x: Array, forms: Forms, bias: Float[Array, "*event"]) -> dict[str, Any]:
        z = jnp.zeros((x.shape[0], latent_dim), jnp.float32)
        key_encoder, key_decoder = jax.random.split(key)
        parts = {
            "encoder": nets["encoder"].init(key_encoder, *inputs("encoder", x, forms)),
            "decoder": nets["decoder"].init(key_decoder, *inputs("decoder", z, forms)),
        }
        variables = together({name: checked_variables(part, "params") for name, part in parts.items()})
        if "decoder" not in given:
            variables["params"]["decoder"]["bias"] = bias  # the network has only the rest to learn
        return variables

    def called(name: str, variables: Variables, x: Array, forms: Forms, key: Any) -> tuple[Any, dict[str, Any]]:
        own = part_of(checked_variables(variables, "params"), name)
        train = key is not None
        output, changed = nets[name].apply(own, *inputs(name, x, forms), train=train, key=key, learn=train)
        return output, {collection: {name: values} for collection, values in changed.items()}

    def encode(variables: Variables, x: Array, forms: Forms, key: Any = None) -> tuple[Any, dict[str, Any]]:
        return called("encoder", variables, x, forms, key)

    def decode(variables: Variables, z: Array, forms: Forms, key: Any = None) -> tuple[Array, dict[str, Any]]:
        output, changed = called("decoder", variables, z, forms, key)
        return checked_output("output of the decoder", output, (len(z), *spec.event_shape)), changed

    return Coders(init, encode, decode)


def asked_beside(x: Any, conditions: Conditions, spec: Spec, label: Any, condition: Any) -> dict[str, Array]:
    """Conditions that a caller gives beside x or z, one value for each example.

    Raises:
        ValueError: A value that cannot be, or none where the model has never gone without one.
    """
    num = int(jnp.shape(x)[0]) if jnp.ndim(x) else 1  # x without axes is refused later
    return condition_inputs.chosen(conditions, spec, num, label, condition, drawn=())


def latent_sampler(
    conditions: Conditions, spec: Spec, latent_dim: int, decoded: Callable[[Variables, Array, dict[str, Array]], Array]
) -> Sample:
    """Build the `sample` of a model that decodes z ~ N(0, I).

    z of sample k, and its label if none is given, come from fold_in(key, k). Other conditions that are not given are
    withheld.

    Args:
        conditions: Conditions by name.
        spec: Description of the data.
        latent_dim: Dimension of z.
        decoded: (variables, z, fields of the conditions) -> samples in data space.
    """

    @functools.partial(jax.jit, static_argnames=("num", "drawn"))
    def draws(
        key: PRNGKey, variables: Variables, num: int, first: Any, asked: dict[str, Array], drawn: bool
    ) -> Float[Array, "num *event"]:
        index = first + jnp.arange(num, dtype=jnp.int32)
        if drawn:
            label = example_labels(jax.random.fold_in(key, _LABELS), index, spec.num_classes or 0, spec.labels)
            asked = {**asked, "label": label}
        return decoded(variables, example_normals(key, index, (latent_dim,)), asked)

    def sample(
        key: PRNGKey, variables: Variables, num: int, *, first: int = 0, label: Any = None, condition: Any = None
    ) -> Float[Array, "num *event"]:
        """Decode z ~ N(0, I); z of sample k, and its label if none is given, come from fold_in(key, k)."""
        first = checked_draws(key, num, first)
        drawn = condition_inputs.label_is_drawn(conditions, label, condition)
        asked = condition_inputs.chosen(conditions, spec, num, label, condition, drawn=("label",) if drawn else ())
        return draws(key, variables, num, first, asked, drawn)

    def of_label(
        key: PRNGKey, variables: Variables, num: int, *, first: int = 0, label: Label = None, condition: Any = None
    ) -> Float[Array, "num *event"]:
        """Decode z ~ N(0, I); z of sample k, and its label if none is given, come from fold_in(key, k)."""
        first = checked_draws(key, num, first)
        return sample(key, variables, num, first=first, label=label, condition=condition)

    return of_label if "label" in conditions else sample  # the command line has a flag for what is annotated so


def checked_output(name: str, output: Any, shape: tuple[int, ...]) -> Array:
    """Output of a network as float32, if it is floats of this shape.

    Raises:
        ValueError: Something else; of a broadcast nobody would hear.
    """
    require_floats(**{name: output})
    require_shape(shape, **{name: output})
    return output.astype(jnp.float32)


def changed_with(variables: Variables, *changes: Mapping[str, Any]) -> dict[str, Any]:
    """The further collections of both networks after a call of each in training; {} where nothing has changed.

    Args:
        variables: Variables of both before.
        changes: Changed collections, as `Coders.encode` and `Coders.decode` return them.
    """
    after = {}
    for changed in changes:
        for collection, networks in changed.items():
            after[collection] = {**after.get(collection, variables.get(collection, {})), **networks}
    return after


def _networks(own: Any) -> Mapping[str, Any]:
    """The user's networks by name.

    Raises:
        ValueError: No mapping, or other names.
    """
    if own is None:
        return {}
    if not isinstance(own, Mapping):
        raise ValueError(f'network must be a mapping {{"encoder": ..., "decoder": ...}}, got {type(own).__name__}')
    for name in own:
        require.one_of("name of a network", name, _NAMES)
    return own
