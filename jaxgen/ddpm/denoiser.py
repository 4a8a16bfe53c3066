"""The network as a denoiser: the noise in x_t from the time and perhaps a label, whichever quantity is predicted."""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax.numpy as jnp
from jaxtyping import Array

from jaxgen.core import Batch, PRNGKey, Spec, Variables
from jaxgen.ddpm.conditioning import guided
from jaxgen.ddpm.config import Config
from jaxgen.ddpm.process import Denoised
from jaxgen.ddpm.schedule import Schedule
from jaxgen.inputs import checked_batch, checked_label, checked_variables


class Denoiser(NamedTuple):
    """A network with its process.

    Attributes:
        schedule: Noise schedule.
        num_classes: Number of labels that the network knows, None for none; label num_classes stands for "no label".
        fields: (batch) -> the fields that a model reads, checked.
        init: (key) -> variables.
        outputs: (variables, x_t, t, label, key_dropout=None) -> (output, eps_hat, fraction): output of the network,
            the noise it implies, and the fraction of a learned variance or None. With a key there is dropout.
        bind: (variables, label=None, guidance=None) -> denoise(x_t, t), as every function of `jaxgen.ddpm` takes it;
            None stands for no label. Raises ValueError for guidance without a label, or from a model that did not learn
            it.
    """

    schedule: Schedule
    num_classes: int | None
    fields: Callable[[Batch], dict[str, Array]]
    init: Callable[[PRNGKey], Variables]
    outputs: Callable[..., tuple[Array, Array, Array | None]]
    bind: Callable[..., Callable[[Array, Array], Denoised]]


def denoiser(config: Config, spec: Spec) -> Denoiser:
    """Build the denoiser of a config for data of this spec.

    Raises:
        ValueError: A network that cannot take such data, or conditional=True for data without labels.
    """
    config.network.check(spec)
    if config.conditional and spec.num_classes is None:
        raise ValueError("conditional=True needs labelled data, got a spec with num_classes=None")
    schedule = config.schedule.schedule()
    num_classes = spec.num_classes if config.conditional else None
    embedded = None if num_classes is None else num_classes + 1
    network = config.network.network(spec, 2 if config.learned else 1, embedded, jnp.dtype(config.dtype))

    def fields(batch: Batch) -> dict[str, Array]:
        return checked_batch(batch, spec, needs=("label",) if config.conditional else (), refuses=("mask",))

    def init(key: PRNGKey) -> Variables:
        t = jnp.ones((2,), jnp.int32)
        label = None if num_classes is None else t
        return network.init(key, jnp.zeros((2, *spec.event_shape), jnp.float32), t, label, train=False)

    def outputs(
        variables: Variables, x_t: Array, t: Array, label: Array | None, key_dropout: PRNGKey | None = None
    ) -> tuple[Array, Array, Array | None]:
        rngs = {} if key_dropout is None else {"dropout": key_dropout}
        found = network.apply(
            checked_variables(variables, "params"), x_t, t, label, train=key_dropout is not None, rngs=rngs
        )
        output, *rest = cast(tuple[Array, ...], found)
        eps_hat = config.prediction.eps(schedule, x_t, t, output)
        return output, eps_hat, (rest[0] + 1) / 2 if rest else None

    def bind(variables: Variables, label: Any = None, guidance: Any = None) -> Callable[[Array, Array], Denoised]:
        if guidance is not None and (num_classes is None or config.label_dropout == 0 or label is None):
            raise ValueError(
                "guidance needs a label, and a model with conditional=True and label_dropout above 0, got "
                f"label={label!r}, conditional={config.conditional}, label_dropout={config.label_dropout}"
            )

        def conditioned(x_t: Array, t: Array, label: Array | None) -> Denoised:
            _, eps_hat, fraction = outputs(variables, x_t, t, label)
            return Denoised(eps_hat, fraction)

        def denoise(x_t: Array, t: Array) -> Denoised:
            unknown = None if num_classes is None else jnp.full(x_t.shape[:1], num_classes, jnp.int32)
            known = checked_label(label, x_t.shape[0], num_classes)
            if guidance is None:
                return conditioned(x_t, t, unknown if known is None else known)
            return guided(conditioned, guidance, known, unknown)(x_t, t)

        return denoise

    return Denoiser(schedule, num_classes, fields, init, outputs, bind)
