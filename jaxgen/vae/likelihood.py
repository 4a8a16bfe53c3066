"""The decoder's distribution P(X|z): the choices, and the space in which each lives.

A likelihood is a frozen dataclass; all have the same few methods, so that the model need not know which one it has.
The decoder's output is one array of the event's shape, or one with several times its channels where a likelihood has
several numbers for each value (`outputs`). The one further number that a likelihood may need, the logarithm of its
scale, is a constant or a parameter of the model.

Bounds can be compared only within one measure, so each likelihood names its own.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxgen import require
from jaxgen.core import Spec
from jaxgen.data import space
from jaxgen.data.statistics import warn_unscaled
from jaxgen.distributions import (
    bernoulli_log_prob,
    discretized_normal_log_prob,
    discretized_normal_probabilities,
    normal_log_prob,
)

_FITS_REAL = (
    "for real values Normal() fits (likelihood:normal), with a scale where their mean or spread is far from 0 and 1 "
    "(dataset.scaled(data.Standardise()), or scale:standardise)"
)


class Likelihood(Protocol):
    """The interface of a likelihood.

    Attributes:
        log_scale: The logarithm of the scale, or the value from which it is learned; None if there is no scale.
        learn: Whether the scale is a parameter.
        stochastic: Whether `target` needs uniform draws.
        discrete: Whether the data are discrete, so that bits/dim have a meaning.
        outputs: Numbers that the decoder returns for each value: the channels of its output, in this many groups.
    """

    @property
    def log_scale(self) -> float | None: ...
    @property
    def outputs(self) -> int: ...
    @property
    def learn(self) -> bool: ...
    @property
    def stochastic(self) -> bool: ...
    @property
    def discrete(self) -> bool: ...

    def measure(self, spec: Spec) -> str:
        """The measure of the probabilities: a name of the data that they belong to."""
        ...

    def check(self, spec: Spec) -> None:
        """Raise ValueError if the likelihood does not fit the data, as far as the spec knows them."""
        ...

    def require(self, x: Any, spec: Spec, mask: Any) -> None:
        """Raise ValueError if concrete stored values lie where the likelihood has no probability."""
        ...

    def target(self, x: Array, spec: Spec, uniform: Float[Array, "b *event"] | None) -> Float[Array, "b *event"]:
        """Stored data in the form that the likelihood takes; `uniform` None gives the mean of a stochastic target."""
        ...

    def log_prob(
        self,
        x: Float[Array, "b *event"],
        output: Float[Array, "b *output"],
        log_scale: Float[Array, ""],
        spec: Spec,
        mask: Bool[Array, "b *event"] | None,
    ) -> Float[Array, " b"]:
        """log P(X|z) of a target in nats, summed over the observed dimensions."""
        ...

    def mean(self, output: Float[Array, "b *output"], spec: Spec) -> Float[Array, "b *event"]:
        """E[X|z] in data space: images in [0, 1], real values in their own units.

        With a scale that is not linear it is the median of X|z: the mean on the scale, mapped back to data space.
        """
        ...

    def output(self, mean: Float[Array, "*event"]) -> Float[Array, "*output"]:
        """The decoder's output for which the target has this mean."""
        ...

    def draw(
        self,
        output: Float[Array, "b *output"],
        log_scale: Float[Array, ""],
        eps: Float[Array, "b *event"],
        spec: Spec,
    ) -> Float[Array, "b *event"]:
        """A draw of P(X|z), in the form of a target, from eps ~ N(0, I)."""
        ...

    def to_data(self, x: Float[Array, "b *event"], spec: Spec) -> Float[Array, "b *event"]:
        """A target in data space."""
        ...

    def probabilities(
        self, output: Float[Array, "b *output"], log_scale: Float[Array, ""], spec: Spec
    ) -> Float[Array, "b ..."]:
        """P(X|z) of every value that a dimension can have in storage, [B, *event, levels]: what a codec needs.

        Raises:
            ValueError: The likelihood is not one of the data as they are stored.
        """
        ...


@dataclass(frozen=True)
class Normal:
    """P(X|z) = N(X | f(z), sigma^2 I), the lecture's choice, for images in [0, 1] or scaled real values.

    Args:
        sigma: Standard deviation on that scale; its initial value if it is learned.
        learn: Whether sigma is learned, one value for all dimensions.

    Raises:
        ValueError: sigma not positive and finite.
    """

    sigma: float = 0.1
    learn: bool = False
    stochastic = False
    discrete = False
    outputs = 1

    def __post_init__(self):
        require.number("sigma", self.sigma, above=0)
        require.fields(self)

    @property
    def log_scale(self) -> float:
        return math.log(self.sigma)

    def measure(self, spec: Spec) -> str:
        return "density of pixels in [0, 1]" if spec.levels else space.density(spec)

    def check(self, spec: Spec) -> None:
        warn_unscaled(spec, "a VAE with the likelihood Normal()")

    def require(self, x: Any, spec: Spec, mask: Any) -> None:
        space.require_storage(x, spec, mask)

    def target(self, x: Array, spec: Spec, uniform: Float[Array, "b *event"] | None) -> Float[Array, "b *event"]:
        return space.to_seen(x, spec)

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
        # The mean of a normal distribution may lie outside [0, 1], where there are no images: take the nearest image.
        return jnp.clip(output, 0, 1) if spec.levels else space.from_seen(output, spec)

    def output(self, mean: Float[Array, "*event"]) -> Float[Array, "*event"]:
        return mean

    def draw(
        self,
        output: Float[Array, "b *event"],
        log_scale: Float[Array, ""],
        eps: Float[Array, "b *event"],
        spec: Spec,
    ) -> Float[Array, "b *event"]:
        return output + jnp.exp(log_scale) * eps

    def to_data(self, x: Float[Array, "b *event"], spec: Spec) -> Float[Array, "b *event"]:
        return self.mean(x, spec)

    def probabilities(
        self, output: Float[Array, "b *event"], log_scale: Float[Array, ""], spec: Spec
    ) -> Float[Array, "b ..."]:
        raise ValueError(
            f"likelihood must be DiscretizedNormal() for a codec, or Bernoulli() of data with 2 levels, got {self}: a "
            "density says nothing of the bits of an image"
        )


@dataclass(frozen=True)
class Bernoulli:
    """P(X|z) = product of Bernoulli(x_i | sigmoid(f(z)_i)), for black and white images.

    Grey images are binarised dynamically: every time a pixel is seen, it is white with a probability equal to its
    grey value. Data that are 0 or 1 stay as they are.
    """

    log_scale = None
    learn = False
    stochastic = True
    discrete = True
    outputs = 1

    def measure(self, spec: Spec) -> str:
        return "binarised"

    def check(self, spec: Spec) -> None:
        if spec.scale is not None:
            raise ValueError(
                f"scale must be None for the likelihood Bernoulli(), which is of values in [0, 1] as they are, got "
                f"{spec.scale}; {_FITS_REAL}"
            )
        known = spec.statistics
        if known is not None and not (known.low >= 0 and known.high <= 1):
            raise ValueError(
                f"data must lie in [0, 1] for the likelihood Bernoulli(), got {known.low:g} to {known.high:g}; "
                f"{_FITS_REAL}"
            )

    def require(self, x: Any, spec: Spec, mask: Any) -> None:
        space.require_storage(x, spec, mask)
        if spec.levels is None:
            space.require_range("x", x, 0, 1, f" for the likelihood Bernoulli(); {_FITS_REAL}", mask)

    def target(self, x: Array, spec: Spec, uniform: Float[Array, "b *event"] | None) -> Float[Array, "b *event"]:
        probability = space.to_unit(x, spec)
        if uniform is None:
            return probability
        drawn = (uniform < probability).astype(jnp.float32)
        if spec.levels is not None:
            return drawn
        # A value outside [0, 1] must not become a probability: its log-probability is -inf, and that of NaN is NaN.
        return jnp.where((probability >= 0) & (probability <= 1), drawn, probability)

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

    def draw(
        self,
        output: Float[Array, "b *event"],
        log_scale: Float[Array, ""],
        eps: Float[Array, "b *event"],
        spec: Spec,
    ) -> Float[Array, "b *event"]:
        return (jax.scipy.stats.norm.cdf(eps) < jax.nn.sigmoid(output)).astype(output.dtype)

    def to_data(self, x: Float[Array, "b *event"], spec: Spec) -> Float[Array, "b *event"]:
        return x

    def probabilities(
        self, output: Float[Array, "b *event"], log_scale: Float[Array, ""], spec: Spec
    ) -> Float[Array, "b ..."]:
        if spec.levels != 2:
            raise ValueError(
                f"data must have 2 levels for a codec with the likelihood Bernoulli(), got levels={spec.levels}: it is "
                "of binarised images, from which grey ones cannot come back (DiscretizedNormal() is of grey levels)"
            )
        return jax.nn.sigmoid(jnp.stack([-output, output], axis=-1))


@dataclass(frozen=True)
class DiscretizedNormal:
    """A normal distribution integrated over the bins of k grey levels, scaled to [-1, 1].

    Args:
        sigma: Standard deviation on [-1, 1]; its initial value if it is learned.
        learn: Whether sigma is learned, one value for all dimensions.
        own_scale: Whether the decoder gives each value a factor of sigma as well, within e^-4 .. e^4.

    Raises:
        ValueError: sigma not positive and finite.
    """

    sigma: float = 0.2
    learn: bool = True
    own_scale: bool = False
    stochastic = False
    discrete = True

    def __post_init__(self):
        require.number("sigma", self.sigma, above=0)
        require.fields(self)

    @property
    def log_scale(self) -> float:
        return math.log(self.sigma)

    @property
    def outputs(self) -> int:
        return 2 if self.own_scale else 1

    def measure(self, spec: Spec) -> str:
        return f"{spec.levels} grey levels"

    def check(self, spec: Spec) -> None:
        if spec.levels is None:
            raise ValueError(f"DiscretizedNormal needs discrete data, got a spec with levels=None; {_FITS_REAL}")

    def require(self, x: Any, spec: Spec, mask: Any) -> None:
        space.require_storage(x, spec, mask)

    def target(self, x: Array, spec: Spec, uniform: Float[Array, "b *event"] | None) -> Float[Array, "b *event"]:
        return space.to_model(x, spec)

    def log_prob(
        self,
        x: Float[Array, "b *event"],
        output: Float[Array, "b *output"],
        log_scale: Float[Array, ""],
        spec: Spec,
        mask: Bool[Array, "b *event"] | None,
    ) -> Float[Array, " b"]:
        assert spec.levels is not None  # ensured by `check`
        mu, log_scale = self._apart(output, log_scale)
        return discretized_normal_log_prob(x, mu, log_scale, levels=spec.levels, mask=mask)

    def mean(self, output: Float[Array, "b *output"], spec: Spec) -> Float[Array, "b *event"]:
        return space.from_model(self._apart(output, jnp.zeros(()))[0], spec)

    def output(self, mean: Float[Array, "*event"]) -> Float[Array, "*output"]:
        return jnp.concatenate([mean, jnp.zeros_like(mean)], axis=-1) if self.own_scale else mean

    def draw(
        self,
        output: Float[Array, "b *output"],
        log_scale: Float[Array, ""],
        eps: Float[Array, "b *event"],
        spec: Spec,
    ) -> Float[Array, "b *event"]:
        assert spec.levels is not None  # ensured by `check`
        mu, log_scale = self._apart(output, log_scale)
        step = 2 / (spec.levels - 1)
        bins = jnp.round((mu + jnp.exp(log_scale) * eps + 1) / step)
        return jnp.clip(bins, 0, spec.levels - 1) * step - 1

    def to_data(self, x: Float[Array, "b *event"], spec: Spec) -> Float[Array, "b *event"]:
        return space.from_model(x, spec)

    def probabilities(
        self, output: Float[Array, "b *output"], log_scale: Float[Array, ""], spec: Spec
    ) -> Float[Array, "b ..."]:
        assert spec.levels is not None  # ensured by `check`
        return discretized_normal_probabilities(*self._apart(output, log_scale), spec.levels)

    def _apart(self, output: Float[Array, "b *output"], log_scale: Float[Array, ""]) -> tuple[Array, Array]:
        """Mean and logarithm of the deviation: of every value, or one for all."""
        if not self.own_scale:
            return output, log_scale
        mu, factor = jnp.split(output, 2, axis=-1)
        return mu, log_scale + 4 * jnp.tanh(factor / 4)
