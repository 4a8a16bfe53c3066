"""The mask's own distribution P(s|x): why entries are missing, where that depends on what they are.

    s_d = 1 where dimension d is observed, x = (x_o, x_m) what is observed and what is not

    log P(x_o, s) = log integral P(s | x_o, x_m) P(x_o | z) P(x_m | z) P(z) dx_m dz

Where s does not depend on x_m (missing at random), P(s | x) is a factor that no parameter of the model sees, and may be
left out. Where it does (a scale that cannot weigh what is too heavy), leaving it out biases the model; with it the
bound is that of the pair (x_o, s). The missing entries are drawn like z,

    x_m = f(z)_m + sigma u,     u ~ N(0, I)

so that u is a further latent whose Q is its prior: rate and importance weights are those of z alone, and every estimate
of the VAE holds with (z, u) in the place of z.

Each choice is a frozen dataclass with the same method. x is what the likelihood takes: on the scale of the data set.

Source: Ipsen, Mattei & Frellsen 2021, "not-MIWAE: Deep generative modelling with missing not at random data", eq. 4 to
9.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxgen import require
from jaxgen.core import Spec
from jaxgen.distributions import bernoulli_log_prob
from jaxgen.nn import MLP
from jaxgen.nn.precision import wide


class Missingness(Protocol):
    """The interface of a mask's distribution."""

    def module(self, spec: Spec, dtype: Any) -> nn.Module:
        """A module x [B, *event] -> logits [B, *event] that a dimension is missing."""
        ...


@dataclass(frozen=True)
class SelfMasking:
    """Each dimension hides itself: its probability to be missing depends on its own value.

        P(s_d = 0 | x) = sigmoid(w_d x_d + b_d)

    Args:
        sign: 1 where large values are known to go missing (w_d > 0 for all d), -1 where small ones are, 0 where that is
            to be learned.

    Raises:
        ValueError: Another sign.

    Source: Ipsen et al. 2021, section 3.3, "self-masking" and "self-masking known".
    """

    sign: int = 0

    def __post_init__(self):
        require.integer("sign", self.sign, -1, 1)
        require.fields(self)

    def module(self, spec: Spec, dtype: Any) -> nn.Module:
        del dtype  # two numbers for each dimension
        return Slopes(self.sign, spec.event_shape)


@dataclass(frozen=True)
class Agnostic:
    """Any dimension may hide any other: the probabilities to be missing are those of a network of all of x.

        P(s_d = 0 | x) = sigmoid(g(x)_d)

    Args:
        hidden: Widths of the network's hidden layers; () for a linear map.

    Raises:
        ValueError: A width below 1.

    Source: Ipsen et al. 2021, section 3.3, "agnostic".
    """

    hidden: tuple[int, ...] = ()

    def __post_init__(self):
        require.sizes("hidden", self.hidden)
        require.fields(self)

    def module(self, spec: Spec, dtype: Any) -> nn.Module:
        return Dense(self.hidden, spec.event_shape, dtype)


class Slopes(nn.Module):
    """w_d x_d + b_d for each dimension; w_d = sign softplus(v_d) where the sign is known, from w_d = sign at the start.

    Attributes:
        sign: Sign of all w_d, 0 where it is to be learned.
        event_shape: Shape of x without its batch axis.
    """

    sign: int
    event_shape: tuple[int, ...]

    @nn.compact
    def __call__(self, x: Float[Array, "b *event"]) -> Float[Array, "b *event"]:
        start = jnp.log(jnp.expm1(jnp.float32(1))) if self.sign else jnp.float32(0)
        v = self.param("weight", lambda _: jnp.full(self.event_shape, start))
        b = self.param("bias", nn.initializers.zeros, self.event_shape, jnp.float32)
        w = self.sign * jax.nn.softplus(v) if self.sign else v
        return w.astype(x.dtype)[None] * x + b.astype(x.dtype)[None]


class Dense(nn.Module):
    """A dense network of all of x with one output for each dimension, all of them 0 at the start.

    Attributes:
        hidden: Widths of the hidden layers.
        event_shape: Shape of x without its batch axis.
        dtype: Dtype of the computation; the output is float32 at least.
    """

    hidden: tuple[int, ...]
    event_shape: tuple[int, ...]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b *event"]) -> Float[Array, "b *event"]:
        h = MLP(self.hidden, nn.tanh, self.dtype)(x.reshape(x.shape[0], -1))
        size = x[0].size
        flat = nn.Dense(size, kernel_init=nn.initializers.zeros, dtype=self.dtype)(h)
        return flat.astype(wide(self.dtype)).reshape(x.shape)


def mask_log_prob(mask: Bool[Array, "b *event"], logits: Float[Array, "b *event"]) -> Float[Array, " b"]:
    """log P(s|x) of a mask.

        log P(s|x) = sum_d  s_d log(1 - sigmoid(l_d)) + (1 - s_d) log sigmoid(l_d)

    Args:
        mask: s, True where a dimension is observed.
        logits: l, of being missing.

    Returns:
        One value per example, in nats.

    Source: Ipsen et al. 2021, eq. 3; Little & Rubin 2002, section 15.
    """
    return bernoulli_log_prob((~mask).astype(logits.dtype), logits)
