"""Networks that are told a time t: the architectures that diffusion and flow models share, and how one is called.

    UNet    residual blocks and attention, down to small sizes and up again: images, signals, volumes (Ho et al. 2020)
    MLP     dense layers: points

An architecture is a frozen dataclass of numbers, a choice of a config, that builds the network for given data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Real

from jaxgen import require
from jaxgen.core import PRNGKey, Spec, Variables
from jaxgen.nn.condition_layers import ConditionVector
from jaxgen.nn.conditions import NO_CONDITIONS, NO_FORMS, Conditions
from jaxgen.nn.network import Network, of_linen
from jaxgen.nn.precision import wide
from jaxgen.nn.time import TimeEmbedding


@runtime_checkable
class Architecture(Protocol):
    """Interface that a model needs of an architecture."""

    def check(self, spec: Spec) -> None:
        """Raise ValueError if the network cannot take such data."""
        ...

    def network(
        self, spec: Spec, outputs: int, num_classes: int | None, dtype: Any, conditions: Conditions = NO_CONDITIONS
    ) -> nn.Module:
        """The module (x_t [B, *event], t [B], label [B] or None, train, forms) -> `outputs` arrays like x_t, float32.

        `num_classes` counts the label that stands for "no label" too, and is None for a network that takes no labels.
        `forms` are the further conditions (`jaxgen.nn.conditions.given`). With `train` there is dropout, if any (random
        stream "dropout").
        """
        ...


@dataclass(frozen=True)
class MLP:
    """Dense layers, each given the time embedding: for events of any shape, intended for points.

    Args:
        hidden: Widths of the hidden layers.
        time_features: Length of the sinusoidal embedding of t, even.

    Raises:
        ValueError: A number outside its range.
    """

    hidden: tuple[int, ...] = (128, 128, 128)
    time_features: int = 32

    def __post_init__(self):
        require.sizes("hidden", self.hidden, fewest=1)
        require.even("time_features", self.time_features, 4)

    def check(self, spec: Spec) -> None:
        """Accept every spec: dense layers take events of any shape."""

    def network(
        self, spec: Spec, outputs: int, num_classes: int | None, dtype: Any, conditions: Conditions = NO_CONDITIONS
    ) -> nn.Module:
        return Dense(self, spec, outputs, num_classes, dtype, conditions)


class Dense(nn.Module):
    """The network of `MLP`, see `Architecture`.

    Attributes:
        config: Sizes of the layers.
        spec: Description of the data.
        outputs: Number of output arrays of the event's shape.
        num_classes: Number of labels, "no label" included; None without labels.
        dtype: Dtype of the computation; the output is float32 at least.
        conditions: Conditions besides the label, by name.
    """

    config: MLP
    spec: Spec
    outputs: int = 1
    num_classes: int | None = None
    dtype: Any = jnp.float32
    conditions: Conditions = NO_CONDITIONS

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b *event"],
        t: Real[Array, " b"],
        label: Real[Array, " b"] | None,
        train: bool,
        forms: Mapping[str, Array] = NO_FORMS,
    ) -> tuple[Array, ...]:
        width = 4 * self.config.time_features
        vector = None
        if self.conditions:
            vector = ConditionVector(self.conditions, self.spec, width, dtype=self.dtype, name="conditions")(forms)
            vector = None if vector is None else nn.Dense(width, dtype=self.dtype, name="from_conditions")(vector)
        embedding = TimeEmbedding(self.config.time_features, self.num_classes, self.dtype)(t, label, vector)
        h = x.reshape(x.shape[0], -1).astype(self.dtype)
        for width in self.config.hidden:
            told = nn.Dense(width, use_bias=False, dtype=self.dtype)(embedding)
            h = nn.swish(nn.Dense(width, dtype=self.dtype)(h) + told)
        size = self.outputs * self.spec.num_dimensions
        flat = nn.Dense(size, dtype=self.dtype, kernel_init=nn.initializers.zeros)(h).astype(wide(self.dtype))
        return tuple(part.reshape(x.shape) for part in jnp.split(flat, self.outputs, axis=-1))


def timed(
    architecture: Architecture,
    spec: Spec,
    *,
    outputs: int = 1,
    conditions: Conditions = NO_CONDITIONS,
    dtype: str = "float32",
    scale: float = 1.0,
) -> Network:
    """A shipped network that is called with x_t, t and the forms of all its conditions, the label among them.

    Args:
        architecture: Sizes of the network.
        spec: Description of the data, with the fields of the conditions.
        outputs: Number of output arrays of the event's shape.
        conditions: Conditions by name.
        dtype: Dtype of the computation.
        scale: Factor of t; the networks are made for steps counted in hundreds (`jaxgen.nn.time`).

    Raises:
        ValueError: An architecture that cannot take such data.
    """
    architecture.check(spec)
    rest = {name: condition for name, condition in conditions.items() if name != "label"}
    labels = spec.num_classes + 1 if "label" in conditions and spec.num_classes else None
    more = {"conditions": rest} if rest else {}
    module = of_linen(architecture.network(spec, outputs, labels, jnp.dtype(dtype), **more))

    def init(key: PRNGKey, x_t: Array, t: Array, forms: Mapping[str, Array]) -> Variables:
        return module.init(key, x_t, told(t), forms.get("label"), **further(forms))

    def apply(
        variables: Variables, x_t: Array, t: Array, forms: Mapping[str, Array], **mode: Any
    ) -> tuple[Any, Mapping[str, Any]]:
        return module.apply(variables, x_t, told(t), forms.get("label"), **further(forms), **mode)

    def told(t: Array) -> Array:
        return t if scale == 1 else scale * t

    def further(forms: Mapping[str, Array]) -> dict[str, Mapping[str, Array]]:
        return {"forms": {name: forms[name] for name in rest}} if rest else {}

    return Network(init, apply)
