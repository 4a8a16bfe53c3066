"""The ends that all networks of GANs share: where conditions come in, and the outputs x and logits."""

from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen.core import Spec
from jaxgen.data.space import limit
from jaxgen.nn import ConditionVector, SpectralDense, SpectralEmbed
from jaxgen.nn.conditions import NO_CONDITIONS, NO_FORMS, Conditions
from jaxgen.nn.precision import wide

_CONDITION_WIDTH = 128
"""Length of an embedded condition."""


def check_space(spec: Spec, smallest: int, reason: str) -> None:
    """Raise ValueError where events are not (*space, channels), or have a side too short for convolutions."""
    space = spec.event_shape[:-1]
    if not 1 <= len(space) <= 3:
        raise ValueError(
            f"event_shape must be (*space, channels) with 1 to 3 dimensions of space, got {spec.event_shape}"
        )
    if min(space) < smallest:
        raise ValueError(
            f"event_shape must have sides of at least {smallest} in space, for {reason}, got {spec.event_shape}"
        )


def check_label(label: Array | None, num_classes: int | None) -> None:
    """Raise ValueError where a label is given to a network without classes, or none to one with them."""
    if num_classes is None and label is not None:
        raise ValueError("label must be None where num_classes is None, got one")
    if num_classes is not None and label is None:
        raise ValueError(f"label must be given where num_classes is not None, got None with num_classes={num_classes}")


class Latent(nn.Module):
    """The input of a generator: z and, beside it, an embedding of the label of the same width and scale, then a vector
    of all other conditions.

    (In the first dense layer the embedding is a bias for each class.)

    Attributes:
        num_classes: Number of classes; labels are 0 .. num_classes - 1, unchecked. None without labels.
        dtype: Dtype of the output.
        spec: Description of the data; needed with conditions.
        conditions: Conditions besides the label, by name.
    """

    num_classes: int | None
    dtype: Any = jnp.float32
    spec: Spec | None = None
    conditions: Conditions = NO_CONDITIONS

    @nn.compact
    def __call__(
        self, z: Float[Array, "b z"], label: Int[Array, " b"] | None, forms: Mapping[str, Array] = NO_FORMS
    ) -> Float[Array, "b _"]:
        check_label(label, self.num_classes)
        parts = [z.astype(self.dtype)]
        if label is not None and self.num_classes is not None:
            init = nn.initializers.normal(1.0)
            parts.append(nn.Embed(self.num_classes, z.shape[-1], self.dtype, embedding_init=init)(label))
        vector = _vector(self.conditions, self.spec, forms, self.dtype)
        if vector is not None:
            parts.append(vector)
        return jnp.concatenate(parts, axis=-1) if len(parts) > 1 else parts[0]


def model_space(x: Float[Array, "b *event"], spec: Spec) -> Float[Array, "b *event"]:
    """The output of a generator: in [-1, 1] by tanh for data that lie there, unchanged for other real values."""
    x = x.astype(wide(x.dtype))
    return x if limit(spec) is None else jnp.tanh(x)


class Projection(nn.Module):
    """The logits of a discriminator from its features phi.

        logits = psi(phi) + <embedding of the label, phi> + <V a(c), phi>,     psi linear

    c is the vector of all conditions but the label and those that are channels of x already. a is a leaky ReLU, so that
    the logits need not be linear in a condition that is a vector itself. Without conditions psi(phi) is all there is.

    Attributes:
        num_classes: Number of classes; labels are 0 .. num_classes - 1, unchecked. None without labels.
        spectral: Whether psi's kernel, the embedding and V are spectrally normalised.
        kernel_init: Initialiser of psi's kernel.
        dtype: Dtype of the computation; the logits are float32 at least.
        spec: Description of the data; needed with conditions.
        conditions: Conditions besides the label, by name.

    Source: Miyato & Koyama 2018, "cGANs with Projection Discriminator", equation 3.
    """

    num_classes: int | None
    spectral: bool = False
    kernel_init: Callable[..., Any] = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32
    spec: Spec | None = None
    conditions: Conditions = NO_CONDITIONS

    @nn.compact
    def __call__(
        self, phi: Float[Array, "b c"], label: Int[Array, " b"] | None, forms: Mapping[str, Array] = NO_FORMS
    ) -> Float[Array, " b"]:
        check_label(label, self.num_classes)
        dense, embed = (SpectralDense, SpectralEmbed) if self.spectral else (nn.Dense, nn.Embed)
        logits = dense(1, kernel_init=self.kernel_init, dtype=self.dtype)(phi)[:, 0].astype(wide(self.dtype))
        if label is not None and self.num_classes is not None:
            embedded = embed(self.num_classes, phi.shape[-1], dtype=wide(self.dtype))(label)
            logits = logits + (embedded * phi.astype(wide(self.dtype))).sum(axis=-1)
        vector = _vector(self.conditions, self.spec, forms, self.dtype, images=False)
        if vector is not None:
            direction = dense(phi.shape[-1], use_bias=False, dtype=self.dtype, name="of_conditions")
            projected = direction(nn.leaky_relu(vector, 0.2)).astype(wide(self.dtype))
            logits = logits + (projected * phi.astype(wide(self.dtype))).sum(axis=-1)
        return logits


def _vector(
    conditions: Conditions, spec: Spec | None, forms: Mapping[str, Array], dtype: Any, images: bool = True
) -> Float[Array, "b _"] | None:
    """All conditions as one vector; to be called within a compact module. None without conditions."""
    if not conditions:
        return None
    if spec is None:
        raise ValueError(f"spec must be given where there are conditions, got None with {', '.join(conditions)}")
    return ConditionVector(conditions, spec, _CONDITION_WIDTH, images, dtype, name="conditions")(forms)
