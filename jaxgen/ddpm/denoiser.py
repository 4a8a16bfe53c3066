"""The network as a denoiser: the noise in x_t from the time and its conditions, whichever quantity is predicted."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.core import Batch, PRNGKey, Spec, Variables
from jaxgen.ddpm.conditioning import guided
from jaxgen.ddpm.config import Config
from jaxgen.ddpm.networks import Architecture, Output
from jaxgen.ddpm.process import Denoised
from jaxgen.ddpm.schedule import Schedule
from jaxgen.events import require_floats, require_shape
from jaxgen.inputs import checked_batch, checked_variables
from jaxgen.nn import condition_inputs, conditions
from jaxgen.nn.network import Network, network, of_linen

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
        fields: (batch) -> the fields that a model reads, checked.
        init: (key) -> variables.
        predict: (variables, x_t, t, forms, key_dropout=None) -> `Predicted`. With a key the network is in training.
        bind: (variables, fields, guidance=None) -> denoise(x_t, t), as every function of `jaxgen.ddpm` takes it, for
            the conditions among the fields; the others are withheld. Raises ValueError for guidance without a
            condition, or from a model that did not learn it.
    """

    schedule: Schedule
    conditions: conditions.Conditions
    fields: Callable[[Batch], dict[str, Array]]
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
    net = _shipped(config, spec) if own is None else network("network", own)

    def fields(batch: Batch) -> dict[str, Array]:
        return checked_batch(batch, spec, needs=tuple(given), refuses=("mask",))

    def inputs(x_t: Array, t: Array, forms: Forms) -> tuple[Any, ...]:
        return (x_t, t, forms) if given or own is None else (x_t, t)

    def init(key: PRNGKey) -> Variables:
        x_t, t = jnp.zeros((2, *spec.event_shape), jnp.float32), jnp.ones((2,), jnp.int32)
        return net.init(key, *inputs(x_t, t, conditions.absent(given, spec, 2)))

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
        steered = [name for name in fields if name in given and given[name].dropout > 0]
        if guidance is not None and not steered:
            raise ValueError(
                "guidance needs a label, or another condition, that the model has learned to go without: of dropout "
                f"(for conditional=True: label_dropout) above 0, got {', '.join(fields) or 'no condition'} of "
                + (", ".join(f"{name} with dropout {given[name].dropout:g}" for name in given) or "none")
            )

        def conditioned(x_t: Array, t: Array, forms: Forms) -> Denoised:
            return predict(variables, x_t, t, forms).denoised

        def denoise(x_t: Array, t: Array) -> Denoised:
            num = x_t.shape[0]
            forms = condition_inputs.for_samples(given, spec, fields, num)
            if guidance is None:
                return conditioned(x_t, t, forms)
            kept = {name: values for name, values in fields.items() if name not in steered}
            without = condition_inputs.for_samples(given, spec, kept, num)
            return guided(conditioned, guidance, forms, without)(x_t, t)

        return denoise

    return Denoiser(schedule, given, fields, init, predict, bind)


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
    """The config's network, to which the label comes by itself."""
    architecture: Architecture = config.network
    architecture.check(spec)
    rest = {name: condition for name, condition in config.conditions.items() if name != "label"}
    labels = spec.num_classes + 1 if "label" in config.conditions and spec.num_classes else None
    outputs, dtype = 2 if config.learned else 1, jnp.dtype(config.dtype)
    module = of_linen(architecture.network(spec, outputs, labels, dtype, **({"conditions": rest} if rest else {})))

    def init(key: PRNGKey, x_t: Array, t: Array, forms: Forms) -> Variables:
        return module.init(key, x_t, t, forms.get("label"), **further(forms))

    def apply(variables: Variables, x_t: Array, t: Array, forms: Forms, **mode: Any) -> tuple[Any, Mapping[str, Any]]:
        return module.apply(variables, x_t, t, forms.get("label"), **further(forms), **mode)

    def further(forms: Forms) -> dict[str, Forms]:
        return {"forms": {name: forms[name] for name in rest}} if rest else {}

    return Network(init, apply)
