"""The neural network of a diffusion model: the architectures, and the interface that the model needs of one.

    UNet    residual blocks and attention, down to small sizes and up again: images, signals, volumes (Ho et al. 2020)
    MLP     dense layers: points

An architecture is a frozen dataclass of numbers, a choice of the config, that builds the network for given data.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.core import Spec
from jaxgen.nn import Conditions, ConditionVector, TimeEmbedding, UNet
from jaxgen.nn.conditions import NO_CONDITIONS, NO_FORMS
from jaxgen.nn.precision import wide

__all__ = ["MLP", "Architecture", "Output", "UNet"]


class Architecture(Protocol):
    """Interface that the model needs of an architecture."""

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


class Output(NamedTuple):
    """Result of the network of a diffusion model; a network of the user's own may return the first array alone.

    Attributes:
        prediction: Quantity that the config names: the noise, x_0 or v, [B, *event].
        variance: Place of the learned log-variance between its two bounds, -1 to 1, [B, *event].
    """

    prediction: Array
    variance: Array | None = None


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
        t: Int[Array, " b"],
        label: Int[Array, " b"] | None,
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
