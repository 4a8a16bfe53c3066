"""The ends that all networks of GANs share: the input of the label, and the outputs x and logits."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgen.core import Spec
from jaxgen.data.space import limit
from jaxgen.nn import SpectralDense, SpectralEmbed
from jaxgen.nn.precision import wide


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
    """The input of a generator: z and, beside it, an embedding of the label of the same width and scale.

    (In the first dense layer the embedding is a bias for each class.)

    Attributes:
        num_classes: Number of classes; labels are 0 .. num_classes - 1, unchecked. None without labels.
        dtype: Dtype of the output.
    """

    num_classes: int | None
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, z: Float[Array, "b z"], label: Int[Array, " b"] | None) -> Float[Array, "b _"]:
        check_label(label, self.num_classes)
        z = z.astype(self.dtype)
        if label is None or self.num_classes is None:
            return z
        width = z.shape[-1]
        embedded = nn.Embed(self.num_classes, width, self.dtype, embedding_init=nn.initializers.normal(1.0))(label)
        return jnp.concatenate([z, embedded], axis=-1)


def model_space(x: Float[Array, "b *event"], spec: Spec) -> Float[Array, "b *event"]:
    """The output of a generator: in [-1, 1] by tanh for data that lie there, unchanged for other real values."""
    x = x.astype(wide(x.dtype))
    return x if limit(spec) is None else jnp.tanh(x)


class Projection(nn.Module):
    """The logits of a discriminator from its features phi.

        logits = psi(phi) + <embedding of the label, phi>,     psi linear; without labels psi(phi) alone

    Attributes:
        num_classes: Number of classes; labels are 0 .. num_classes - 1, unchecked. None without labels.
        spectral: Whether psi's kernel and the embedding are spectrally normalised.
        kernel_init: Initialiser of psi's kernel.
        dtype: Dtype of the computation; the logits are float32 at least.

    Source: Miyato & Koyama 2018, "cGANs with Projection Discriminator", equation 3.
    """

    num_classes: int | None
    spectral: bool = False
    kernel_init: Callable[..., Any] = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, phi: Float[Array, "b c"], label: Int[Array, " b"] | None) -> Float[Array, " b"]:
        check_label(label, self.num_classes)
        dense, embed = (SpectralDense, SpectralEmbed) if self.spectral else (nn.Dense, nn.Embed)
        logits = dense(1, kernel_init=self.kernel_init, dtype=self.dtype)(phi)[:, 0].astype(wide(self.dtype))
        if label is None or self.num_classes is None:
            return logits
        embedded = embed(self.num_classes, phi.shape[-1], dtype=wide(self.dtype))(label)
        return logits + (embedded * phi.astype(wide(self.dtype))).sum(axis=-1)
