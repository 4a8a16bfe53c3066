"""The decoder's distribution P(X|z): which one, and in which space it lives.

A likelihood is a frozen dataclass; all have the same few methods, so that the model never asks which one it has.
The decoder's output is one array of the event's shape. The one further number that a likelihood may need, the
logarithm of its scale, is a constant or a parameter of the model.

Bounds compare only within one measure, so that each likelihood names its own.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxgen import require
from jaxgen.core import Spec
from jaxgen.data import space
from jaxgen.distributions import bernoulli_log_prob, discretized_normal_log_prob, normal_log_prob


class Likelihood(Protocol):
    """What the model asks of a likelihood.

    Attributes:
        log_scale: The logarithm of the scale, or the value from which it is learned; None if there is no scale.
        learn: Whether the scale is a parameter.
        stochastic: Whether `target` needs uniform draws.
        discrete: Whether probabilities are of discrete data, so that bits/dim mean something.
    """

    @property
    def log_scale(self) -> float | None: ...
    @property
    def learn(self) -> bool: ...
    @property
    def stochastic(self) -> bool: ...
    @property
    def discrete(self) -> bool: ...

    def measure(self, spec: Spec) -> str:
        """What the probabilities are of."""
        ...

    def check(self, spec: Spec) -> None:
        """Raise ValueError if the likelihood does not fit the data."""
        ...

    def target(self, x: Array, spec: Spec, uniform: Float[Array, "b *event"] | None) -> Float[Array, "b *event"]:
        """Stored data as what the likelihood is of; `uniform` None gives the mean of a stochastic target."""
        ...

    def log_prob(
        self,
        x: Float[Array, "b *event"],
        output: Float[Array, "b *event"],
        log_scale: Float[Array, ""],
        spec: Spec,
        mask: Bool[Array, "b *event"] | None,
    ) -> Float[Array, " b"]:
        """log P(X|z) in nats, summed over the observed dimensions."""
        ...

    def mean(self, output: Float[Array, "b *event"], spec: Spec) -> Float[Array, "b *event"]:
        """E[X|z] in data space; images in [0, 1]."""
        ...

    def output(self, mean: Float[Array, "*event"]) -> Float[Array, "*event"]:
        """The decoder's output for which the target has this mean."""
        ...


@dataclass(frozen=True)
class Normal:
    """P(X|z) = N(X | f(z), sigma^2 I), the lecture's choice. Images are scaled to [0, 1].

    Args:
        sigma: Standard deviation, or where it starts.
        learn: Whether sigma is learned, one for all dimensions.

    Raises:
        ValueError: sigma not positive and finite.
    """

    sigma: float = 0.1
    learn: bool = False
    stochastic = False
    discrete = False

    def __post_init__(self):
        require.number("sigma", self.sigma, above=0)
        require.fields(self)

    @property
    def log_scale(self) -> float:
        return math.log(self.sigma)

    def measure(self, spec: Spec) -> str:
        return "density of pixels in [0, 1]" if spec.levels else "density"

    def check(self, spec: Spec) -> None:
        pass

    def target(self, x: Array, spec: Spec, uniform: Float[Array, "b *event"] | None) -> Float[Array, "b *event"]:
        return space.to_unit(x, spec)

    def log_prob(
        self,
        x: Float[Array, "b *event"],
        output: Float[Array, "b *event"],
        log_scale: Float[Array, ""],
        spec: Spec,
        mask: Bool[Array, "b *event"] | None,
    ) -> Float[Array, " b"]:
        return normal_log_prob(x, output, 2 * log_scale, mask=mask)

    def mean(self, output: Float[Array, "b *event"], spec: Spec) -> Float[Array, "b *event"]:
        return jnp.clip(output, 0, 1) if spec.levels else output

    def output(self, mean: Float[Array, "*event"]) -> Float[Array, "*event"]:
        return mean


@dataclass(frozen=True)
class Bernoulli:
    """P(X|z) = product of Bernoulli(x_i | sigmoid(f(z)_i)), for black and white images.

    Grey images are binarised dynamically: every time a pixel is seen it is white with its grey value as the
    probability. Data that are 0 or 1 stay as they are.
    """

    log_scale = None
    learn = False
    stochastic = True
    discrete = True

    def measure(self, spec: Spec) -> str:
        return "binarised"

    def check(self, spec: Spec) -> None:
        pass

    def target(self, x: Array, spec: Spec, uniform: Float[Array, "b *event"] | None) -> Float[Array, "b *event"]:
        probability = space.to_unit(x, spec)
        return probability if uniform is None else (uniform < probability).astype(jnp.float32)

    def log_prob(
        self,
        x: Float[Array, "b *event"],
        output: Float[Array, "b *event"],
        log_scale: Float[Array, ""],
        spec: Spec,
        mask: Bool[Array, "b *event"] | None,
    ) -> Float[Array, " b"]:
        return bernoulli_log_prob(x, output, mask=mask)

    def mean(self, output: Float[Array, "b *event"], spec: Spec) -> Float[Array, "b *event"]:
        return jax.nn.sigmoid(output)

    def output(self, mean: Float[Array, "*event"]) -> Float[Array, "*event"]:
        return jax.scipy.special.logit(jnp.clip(mean, 0.001, 0.999))  # as Burda et al.: a pixel may always be black


@dataclass(frozen=True)
class DiscretizedNormal:
    """A normal distribution integrated over the bins of k grey levels, scaled to [-1, 1].

    Args:
        sigma: Standard deviation on [-1, 1], or where it starts.
        learn: Whether sigma is learned, one for all dimensions.

    Raises:
        ValueError: sigma not positive and finite.
    """

    sigma: float = 0.2
    learn: bool = True
    stochastic = False
    discrete = True

    def __post_init__(self):
        require.number("sigma", self.sigma, above=0)
        require.fields(self)

    @property
    def log_scale(self) -> float:
        return math.log(self.sigma)

    def measure(self, spec: Spec) -> str:
        return f"{spec.levels} grey levels"

    def check(self, spec: Spec) -> None:
        if spec.levels is None:
            raise ValueError("DiscretizedNormal needs discrete data, got a spec with levels=None")

    def target(self, x: Array, spec: Spec, uniform: Float[Array, "b *event"] | None) -> Float[Array, "b *event"]:
        return space.to_signed(x, spec)

    def log_prob(
        self,
        x: Float[Array, "b *event"],
        output: Float[Array, "b *event"],
        log_scale: Float[Array, ""],
        spec: Spec,
        mask: Bool[Array, "b *event"] | None,
    ) -> Float[Array, " b"]:
        assert spec.levels is not None  # `check` has seen to it
        return discretized_normal_log_prob(x, output, log_scale, levels=spec.levels, mask=mask)

    def mean(self, output: Float[Array, "b *event"], spec: Spec) -> Float[Array, "b *event"]:
        return space.from_signed(output, spec)

    def output(self, mean: Float[Array, "*event"]) -> Float[Array, "*event"]:
        return mean
