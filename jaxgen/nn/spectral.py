"""Spectral normalisation: layers whose kernel, as a matrix, has norm one.

    W / sigma(W),     sigma(W) = max |W u| over |u| = 1, the largest singular value

W is the kernel as a matrix, [all other axes, output channels]. The maximiser u is kept beside the parameters, in the
collection "spectral", and follows them by one step of the power iteration per update:

    u <- W^T W u / |W^T W u|,     sigma = |W u|,     d sigma / d W = (W u / |W u|) u^T

Kernels change little from one update to the next, so that one step keeps up with them. It is made in `init` and in
every `apply` that names "spectral" as mutable; otherwise the stored u is used unchanged, so that a network that is
applied twice with the same parameters and u is the same function both times. The gradient holds u fixed, which is exact
at the maximum, where sigma is stationary in u. u depends on the parameters alone, not on the batch.

(A convolution's own norm is another number, at most sqrt(number of kernel points) times this one.)

Source: Miyato et al. 2018, "Spectral Normalization for Generative Adversarial Networks", section 2.1, algorithm 1.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from jaxgen import require
from jaxgen.nn.convolution import conv_general_dilated
from jaxgen.nn.sums import add_bias


def _unit(u: Float[Array, " o"]) -> Float[Array, " o"]:
    return u / jnp.linalg.norm(u)


def _of_norm_one(module: nn.Module, weight: Float[Array, "*rest o"]) -> Float[Array, "*rest o"]:
    """The weight divided by its norm; the module keeps the u of the norm."""
    matrix = weight.reshape(-1, weight.shape[-1])

    def start():
        return _unit(jax.random.normal(module.make_rng("params"), matrix.shape[-1:], jnp.float32))

    def product(a, b):  # in full precision, which costs nothing here, even where products are coarse by default
        return jnp.dot(a, b, precision=lax.Precision.HIGHEST)

    u = module.variable("spectral", "u", start)
    if module.is_mutable_collection("spectral"):
        fixed = lax.stop_gradient(matrix)
        u.value = _unit(product(fixed.T, product(fixed, u.value)))
    return weight / jnp.linalg.norm(product(matrix, u.value))


class SpectralDense(nn.Module):
    """flax's `Dense` with a kernel of norm one.

    Attributes:
        features: Output width.
        use_bias: Whether a bias, which is not normalised, is added.
        kernel_init: Initialiser of the kernel before it is normalised.
        dtype: Dtype of the computation; parameters and u stay float32.
    """

    features: int
    use_bias: bool = True
    kernel_init: Callable[..., Any] = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "*batch c"]) -> Float[Array, "*batch d"]:
        require.size("features", self.features)
        kernel = self.param("kernel", self.kernel_init, (x.shape[-1], self.features), jnp.float32)
        y = x.astype(self.dtype) @ _of_norm_one(self, kernel).astype(self.dtype)
        return _shifted(self, y) if self.use_bias else y


class SpectralConv(nn.Module):
    """`jaxgen.nn.Conv` with a kernel of norm one, "SAME" padding, 1 to 3 spatial dimensions.

    Attributes:
        features: Output channels.
        kernel_size: Size of the kernel, one entry per spatial dimension.
        strides: Stride in every spatial dimension.
        use_bias: Whether a bias, which is not normalised, is added.
        kernel_init: Initialiser of the kernel before it is normalised.
        dtype: Dtype of the computation; parameters and u stay float32.
    """

    features: int
    kernel_size: tuple[int, ...]
    strides: int = 1
    use_bias: bool = True
    kernel_init: Callable[..., Any] = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b *space c"]) -> Float[Array, "b *out d"]:
        require.size("features", self.features)
        require.size("strides", self.strides)
        require.sizes("kernel_size", self.kernel_size, fewest=1)
        kernel = self.param("kernel", self.kernel_init, (*self.kernel_size, x.shape[-1], self.features), jnp.float32)
        spatial = len(self.kernel_size)
        space = "DHW"[3 - spatial :]
        y = conv_general_dilated(
            x.astype(self.dtype),
            _of_norm_one(self, kernel).astype(self.dtype),
            (self.strides,) * spatial,
            "SAME",
            dimension_numbers=(f"N{space}C", f"{space}IO", f"N{space}C"),
        )
        return _shifted(self, y) if self.use_bias else y


class SpectralEmbed(nn.Module):
    """flax's `Embed` with an embedding of norm one, as a matrix.

    Attributes:
        num_embeddings: Number of labels.
        features: Width of the embedding.
        embedding_init: Initialiser of the embedding before it is normalised.
        dtype: Dtype of the output; the embedding and u stay float32.
    """

    num_embeddings: int
    features: int
    embedding_init: Callable[..., Any] = nn.initializers.normal(1.0)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, label: Int[Array, "*batch"]) -> Float[Array, "*batch d"]:
        shape = (require.size("num_embeddings", self.num_embeddings), require.size("features", self.features))
        embedding = self.param("embedding", self.embedding_init, shape, jnp.float32)
        return jnp.take(_of_norm_one(self, embedding), label, axis=0).astype(self.dtype)


def _shifted(module: nn.Module, y: Float[Array, "*batch d"]) -> Float[Array, "*batch d"]:
    bias = module.param("bias", nn.initializers.zeros, y.shape[-1:], jnp.float32)
    return add_bias(y, bias.astype(y.dtype))
