"""The network as a denoiser: the noise in x_t from the time and its conditions, whichever quantity is predicted."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.core import Batch, Field, PRNGKey, Spec, Variables
from jaxgen.ddpm.conditioning import guided
from jaxgen.ddpm.config import Config
from jaxgen.ddpm.networks import Output
from jaxgen.ddpm.process import Denoised
from jaxgen.ddpm.schedule import Schedule
from jaxgen.events import require_floats, require_shape
from jaxgen.inputs import checked_batch, checked_variables
from jaxgen.nn import condition_inputs, conditions
from jaxgen.nn.network import Network, network
from jaxgen.nn.timed import timed

OBSERVED = "observed"
"""Name of the mask among what a network is given, where it is shown one."""

_MASK: conditions.Conditions = {OBSERVED: conditions.Concat(dropout=0.0)}

Forms = Mapping[str, Array]
"""Conditions in the form that a network receives, by name, see `jaxgen.nn.conditions`."""


class Predicted(NamedTuple):
    """Result of the network for x_t.

    Attributes:
        output: Output of the network, the quantity that the config's `prediction` names.
        denoised: Noise that this implies, and the fraction of a learned variance.
        collections: Further collections of the network that have changed in training.
    """

    output: Array
    denoised: Denoised
    collections: Mapping[str, Any]


class Denoiser(NamedTuple):
    """A network with its process.

    Attributes:
        schedule: Noise schedule.
        conditions: Conditions that the network takes, by name.
        fields: (batch, learning=False) -> the fields that a model reads, checked; "mask" in training alone.
        shown: (mask or None for all observed, number of examples) -> what the network is shown of a mask, beside the
            forms of the conditions: nothing unless the config says so.
        init: (key) -> variables.
        predict: (variables, x_t, t, forms, key_dropout=None) -> `Predicted`. With a key the network is in training.
        bind: (variables, fields, guidance=None) -> denoise(x_t, t), as every function of `jaxgen.ddpm` takes it, for
            the conditions among the fields; the others are withheld. Raises ValueError for guidance without a
            condition, or from a model that did not learn it.
    """

    schedule: Schedule
    conditions: conditions.Conditions
    fields: Callable[..., dict[str, Array]]
    shown: Callable[[Array | None, int], Forms]
    init: Callable[[PRNGKey], Variables]
    predict: Callable[..., Predicted]
    bind: Callable[..., Callable[[Array, Array], Denoised]]


def denoiser(config: Config, spec: Spec, own: Any = None) -> Denoiser:
    """Build the denoiser of a config for data of this spec.

    Args:
        config: Configuration of the model.
        spec: Description of the data.
        own: A network in place of the config's, see `jaxgen.nn.network`: (x_t, t) or (x_t, t, forms) -> prediction, or
            `networks.Output`.

    Raises:
        ValueError: A network that cannot take such data, or a condition that the data do not have.
    """
    given = config.conditions
    if config.conditional and spec.num_classes is None:
        raise ValueError("conditional=True needs labelled data, got a spec with num_classes=None")
    conditions.check(given, spec)
    schedule = config.schedule.schedule()
    if config.see_mask and OBSERVED in spec.fields:
        raise ValueError(f'the data must have no field "{OBSERVED}" with see_mask=True, which has it for the mask')
    net = _shipped(config, spec) if own is None else network("network", own)

    def fields(batch: Batch, learning: bool = False) -> dict[str, Array]:
        if not (learning and config.see_mask):
            return checked_batch(batch, spec, needs=tuple(given), refuses=("mask",))
        read = checked_batch(batch, spec, needs=tuple(given))
        if "mask" not in read:
            raise ValueError('batch must hold "mask" with see_mask=True, got none')
        return read

    def shown(mask: Array | None, num: int) -> Forms:
        if not config.see_mask:
            return {}
        mask = jnp.ones((num, *spec.event_shape), jnp.bool_) if mask is None else mask
        return conditions.given(_MASK, _with_mask(spec), {OBSERVED: mask})

    def inputs(x_t: Array, t: Array, forms: Forms) -> tuple[Any, ...]:
        if config.see_mask:
            seen = forms[OBSERVED][..., : x_t.shape[-1]] > 0
            x_t = jnp.where(seen, x_t, jnp.zeros((), x_t.dtype))
        return (x_t, t, forms) if given or config.see_mask or own is None else (x_t, t)

    def init(key: PRNGKey) -> Variables:
        x_t, t = jnp.zeros((2, *spec.event_shape), jnp.float32), jnp.ones((2,), jnp.int32)
        return net.init(key, *inputs(x_t, t, {**conditions.absent(given, spec, 2), **shown(None, 2)}))

    def predict(
        variables: Variables, x_t: Array, t: Array, forms: Forms, key_dropout: PRNGKey | None = None
    ) -> Predicted:
        train = key_dropout is not None
        result, changed = net.apply(
            checked_variables(variables, "params"), *inputs(x_t, t, forms), train=train, key=key_dropout, learn=train
        )
        output = _checked(result, x_t, config)
        eps_hat = config.prediction.eps(schedule, x_t, t, output.prediction)
        fraction = None if output.variance is None else (output.variance + 1) / 2
        return Predicted(output.prediction, Denoised(eps_hat, fraction), changed)

    def bind(
        variables: Variables, fields: Mapping[str, Array], guidance: Any = None
    ) -> Callable[[Array, Array], Denoised]:
        steered = condition_inputs.steered(given, fields, guidance)

        def conditioned(x_t: Array, t: Array, forms: Forms) -> Denoised:
            return predict(variables, x_t, t, {**forms, **shown(None, len(x_t))}).denoised

        def denoise(x_t: Array, t: Array) -> Denoised:
            num = x_t.shape[0]
            forms = condition_inputs.for_samples(given, spec, fields, num)
            if guidance is None:
                return conditioned(x_t, t, forms)
            kept = {name: values for name, values in fields.items() if name not in steered}
            without = condition_inputs.for_samples(given, spec, kept, num)
            return guided(conditioned, guidance, forms, without)(x_t, t)

        return denoise

    return Denoiser(schedule, given, fields, shown, init, predict, bind)


def _with_mask(spec: Spec) -> Spec:
    """The data with their mask as a field, for a network that is shown it."""
    return dataclasses.replace(spec, fields={**spec.fields, OBSERVED: Field(spec.event_shape, "bool")})


def _checked(result: Any, x_t: Array, config: Config) -> Output:
    """Result of a network, if it is as the config asks for.

    Raises:
        ValueError: Another number of arrays, or another shape than that of x_t.
    """
    parts = [part for part in (result if isinstance(result, tuple) else (result,)) if part is not None]
    wanted = 1 if config.learned is None else 2
    if len(parts) != wanted:
        raise ValueError(
            f"the network must return {'one array' if wanted == 1 else 'networks.Output(prediction, variance)'} with "
            f"variance={config.variance}, got {len(parts)} array{'s' * (len(parts) != 1)}"
        )
    for name, part in zip(Output._fields, parts, strict=False):
        require_floats(**{f"{name} of the network": part})
        require_shape(x_t.shape, **{f"{name} of the network": part})
    return Output(*parts)


def _shipped(config: Config, spec: Spec) -> Network:
    """The config's network, which sees the mask where the config says so."""
    given = dict(config.conditions)
    if config.see_mask:
        given, spec = {**given, **_MASK}, _with_mask(spec)
    outputs = 2 if config.learned else 1
    return timed(config.network, spec, outputs=outputs, conditions=given, dtype=config.dtype)
