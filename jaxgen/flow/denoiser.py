"""The network on its path: the data and the noise in x_t from the time and its conditions, whatever is predicted."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.core import Batch, Field, PRNGKey, Spec, Variables
from jaxgen.events import require_floats, require_shape
from jaxgen.flow.config import Config
from jaxgen.flow.dynamics import Dynamics
from jaxgen.flow.networks import AVERAGE_TIME_SCALE, TIME_SCALE
from jaxgen.inputs import checked_batch, checked_variables
from jaxgen.nn import condition_inputs, conditions, sinusoidal_embedding
from jaxgen.nn.conditions import Concat, Conditions, Embed
from jaxgen.nn.fourier import fourier_features
from jaxgen.nn.network import network, part_of, together
from jaxgen.nn.timed import timed
from jaxgen.paths.guidance import guided
from jaxgen.paths.log_snr import LearnedLogSNR
from jaxgen.paths.path import Path
from jaxgen.paths.prediction import Ends, velocity_from_ends

SPAN, FOURIER = "span", "fourier"
"""Names of a model's own inputs among the conditions that a network is given."""

NETWORK, PATH = "network", "path"
"""Names of the two parts of the variables where the path is learned."""

_SPAN_FEATURES = 32

Tree = TypeVar("Tree")

Forms = Mapping[str, Array]
"""Conditions in the form that a network receives, by name, see `jaxgen.nn.conditions`."""


class Denoiser(NamedTuple):
    """A network on its path.

    Attributes:
        path_of: (variables) -> the path that it is trained on, which may be learned.
        ends: Times (t_0, t_1) between which it is trained.
        conditions: Conditions that the network takes, by name.
        fields: (batch) -> the fields that a model reads, checked.
        init: (key) -> variables.
        output: (variables, x_t, t, forms, r=None, key_dropout=None) -> (the network's output, changed collections); r
            is the time that an average velocity goes to, t itself where there is none. With a key the network is in
            training.
        of_output: (path, x_t, t, output) -> `Ends`.
        bind: (variables, fields, guidance=None, interval=None) -> `Dynamics`, for the conditions among the fields;
            those that are not there are withheld. Raises ValueError for guidance without a condition, or from a model
            that did not learn it.
    """

    path_of: Callable[[Variables], Path]
    ends: tuple[float, float]
    conditions: Conditions
    fields: Callable[[Batch], dict[str, Array]]
    init: Callable[[PRNGKey], Variables]
    output: Callable[..., tuple[Array, Mapping[str, Any]]]
    of_output: Callable[[Path, Array, Array, Array], Ends]
    bind: Callable[..., Dynamics]


def denoiser(config: Config, spec: Spec, own: Any = None) -> Denoiser:
    """Build the network of a config on its path, for data of this spec.

    Args:
        config: Configuration of the model.
        spec: Description of the data.
        own: A network in place of the config's, see `jaxgen.flow.networks`.

    Raises:
        ValueError: A network that cannot take such data, a condition that the data do not have, or ends that the path
            does not reach.
    """
    given, prediction, both_ends = config.conditions, config.prediction, config.ends(spec.levels)
    chosen_path = config.path
    learned = chosen_path if isinstance(chosen_path, LearnedLogSNR) else None
    if config.conditional and spec.num_classes is None:
        raise ValueError("conditional=True needs labelled data, got a spec with num_classes=None")
    conditions.check(given, spec)
    scale = TIME_SCALE if config.average is None else AVERAGE_TIME_SCALE
    inner = _own_inputs(config, spec)
    for name in inner:
        if name in spec.fields:
            raise ValueError(f'the data must have no field "{name}", which the model has of its own')
    told: Conditions = {**given, **{name: condition for name, (condition, _) in inner.items()}}
    told_spec = dataclasses.replace(spec, fields={**spec.fields, **{name: field for name, (_, field) in inner.items()}})
    if own is None:
        outputs = prediction.num_outputs
        net = timed(config.network, told_spec, outputs=outputs, conditions=told, dtype=config.dtype, scale=scale)
    else:
        net = network("network", own)

    def fields(batch: Batch) -> dict[str, Array]:
        return checked_batch(batch, spec, needs=tuple(given), refuses=("mask",))

    def path_of(variables: Variables) -> Path:
        if learned is None:
            return cast(Path, chosen_path)
        return learned.path(checked_variables(variables, "params")["params"][PATH])

    def inputs(path: Path, x_t: Array, t: Array, forms: Forms, r: Array | None) -> tuple[Any, ...]:
        forms = dict(forms)
        if SPAN in inner:
            span = jnp.zeros_like(t) if r is None else t - r
            features = sinusoidal_embedding(span, _SPAN_FEATURES, scale)
            forms[SPAN] = jnp.concatenate([features, jnp.zeros_like(features[:, :1])], axis=1)
        seen, time = prediction.inputs(path, x_t, t)
        if FOURIER in inner and config.fourier is not None:
            features = fourier_features(x_t, *config.fourier)
            forms[FOURIER] = jnp.concatenate([features, jnp.zeros_like(features[..., :1])], axis=-1)
        return (seen, time, forms) if told or own is None else (seen, time)

    def init(key: PRNGKey) -> Variables:
        x_t = jnp.zeros((2, *spec.event_shape), jnp.float32)
        t = jnp.full((2,), both_ends[1], jnp.float32)
        forms = conditions.absent(given, spec, 2)
        if learned is None:
            return net.init(key, *inputs(cast(Path, chosen_path), x_t, t, forms, None))
        key_net, key_path = jax.random.split(key)
        params = learned.init(key_path)
        variables = net.init(key_net, *inputs(learned.path(params), x_t, t, forms, None))
        return together({NETWORK: variables, PATH: {"params": params}})

    def output(
        variables: Variables,
        x_t: Array,
        t: Array,
        forms: Forms,
        r: Array | None = None,
        key_dropout: PRNGKey | None = None,
    ) -> tuple[Array, Mapping[str, Any]]:
        train = key_dropout is not None
        given_to = inputs(path_of(variables), x_t, t, forms, r)
        own_variables = checked_variables(variables, "params")
        if learned is not None:
            own_variables = part_of(own_variables, NETWORK)
        result, changed = net.apply(own_variables, *given_to, train=train, key=key_dropout, learn=train)
        if learned is not None:
            changed = {name: {NETWORK: values} for name, values in changed.items()}
        return _checked(result, x_t, prediction.num_outputs), changed

    def of_output(path: Path, x_t: Array, t: Array, output: Array) -> Ends:
        return prediction.ends(path, x_t, t, output)

    def bind(
        variables: Variables,
        fields: Mapping[str, Array],
        guidance: Any = None,
        interval: tuple[float, float] | None = None,
    ) -> Dynamics:
        path, fields = path_of(variables), {name: fields[name] for name in given if name in fields}
        steered = condition_inputs.steered(given, fields, guidance)
        if interval is not None and guidance is None:
            raise ValueError(f"guidance_interval needs a weight, guidance, got guidance=None and {interval}")

        def steer(of: Callable[[Array, Array, Forms], Tree], x_t: Array, t: Array) -> Tree:
            """Prediction, linear in the score, pushed towards the conditions."""
            num = x_t.shape[0]
            forms = condition_inputs.for_samples(given, spec, fields, num)
            if guidance is None:
                return of(x_t, t, forms)
            kept = {name: values for name, values in fields.items() if name not in steered}
            without = condition_inputs.for_samples(given, spec, kept, num)
            return guided(of, guidance, forms, without, interval=interval)(x_t, t)

        def ends(x_t: Array, t: Array) -> Ends:
            def of(x_t: Array, t: Array, forms: Forms) -> Ends:
                return of_output(path, x_t, t, output(variables, x_t, t, forms)[0])

            return steer(of, x_t, t)

        def velocity(x_t: Array, t: Array) -> Array:
            return velocity_from_ends(path, t, ends(x_t, t))

        def average(x_t: Array, r: Array, t: Array) -> Array:
            span = t - r

            def of(x_t: Array, t: Array, forms: Forms) -> Array:
                spans = jnp.tile(span, len(t) // len(span))  # twice, where guidance doubles the batch
                return output(variables, x_t, t, forms, t - spans)[0]

            return steer(of, x_t, t)

        return Dynamics(path, *both_ends, ends, velocity, average if config.average is not None else None)

    return Denoiser(path_of, both_ends, given, fields, init, output, of_output, bind)


def _own_inputs(config: Config, spec: Spec) -> dict[str, tuple[Embed | Concat, Field]]:
    """What a network is given besides the conditions, as conditions that are never withheld, with their fields."""
    inner: dict[str, tuple[Embed | Concat, Field]] = {}
    if config.average is not None:
        inner[SPAN] = Embed(dropout=0.0), Field((_SPAN_FEATURES,), "float32")
    if (exponents := config.fourier) is not None:
        event = jnp.zeros((1, *spec.event_shape), jnp.float32)
        features = jax.eval_shape(lambda x: fourier_features(x, *exponents), event)
        inner[FOURIER] = Concat(dropout=0.0), Field(features.shape[1:], "float32")
    return inner


def _checked(result: Any, x_t: Array, num: int) -> Float[Array, "..."]:
    """Output of a network, if it is as many arrays like x_t as the prediction asks for; several are stacked.

    Raises:
        ValueError: Another number of arrays, or another shape than that of x_t.
    """
    parts = result if isinstance(result, tuple) else (result,)
    if len(parts) != num:
        raise ValueError(f"the network must return {num} array{'s' * (num != 1)}, got {len(parts)}")
    for part in parts:
        require_floats(**{"output of the network": part})
        require_shape(x_t.shape, **{"output of the network": part})
    return parts[0] if num == 1 else jnp.stack(parts)
