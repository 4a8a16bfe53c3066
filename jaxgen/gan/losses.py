"""Losses that the two players minimise, and penalties that keep the discriminator smooth: choices of the config.

A loss is a frozen dataclass with two methods, one for each player, that return one value per example. A penalty maps
(key, discriminate, x_real, x_fake) to one value per example, its weight included. The equations themselves are in
`objective` and `penalties`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.gan import objective, penalties

Discriminate = Callable[[Array], Array]
"""x [B, *event] -> logits [B]."""


class Loss(Protocol):
    """The interface of a loss.

    Attributes:
        paired: Whether the generator's loss looks at real data too.
    """

    @property
    def paired(self) -> bool: ...

    def discriminator(self, logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
        """The discriminator's loss, which it minimises."""
        ...

    def generator(self, logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
        """The generator's loss, which it minimises; `logits_real` matter only where `paired`."""
        ...


@dataclass(frozen=True)
class Minimax:
    """The lecture's game: D maximises V(D, G), G minimises it."""

    paired = False

    def discriminator(self, logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
        return objective.discriminator_loss(logits_real, logits_fake)

    def generator(self, logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
        return objective.minimax_generator_loss(logits_fake)


@dataclass(frozen=True)
class NonSaturating:
    """The game as it is played in practice: D maximises V, G maximises log D(G(z)) (Goodfellow et al. 2014)."""

    paired = False

    def discriminator(self, logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
        return objective.discriminator_loss(logits_real, logits_fake)

    def generator(self, logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
        return objective.non_saturating_generator_loss(logits_fake)


@dataclass(frozen=True)
class LeastSquares:
    """Logits are pulled towards 1 for data and 0 for samples (Mao et al. 2017)."""

    paired = False

    def discriminator(self, logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
        return objective.least_squares_discriminator_loss(logits_real, logits_fake)

    def generator(self, logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
        return objective.least_squares_generator_loss(logits_fake)


@dataclass(frozen=True)
class Hinge:
    """Margins of one on either side (Lim & Ye 2017)."""

    paired = False

    def discriminator(self, logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
        return objective.hinge_discriminator_loss(logits_real, logits_fake)

    def generator(self, logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
        return objective.hinge_generator_loss(logits_fake)


@dataclass(frozen=True)
class Wasserstein:
    """The difference of the means; D must be kept Lipschitz, by `GradientPenalty` (Arjovsky et al. 2017)."""

    paired = False

    def discriminator(self, logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
        return objective.wasserstein_discriminator_loss(logits_real, logits_fake)

    def generator(self, logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
        return objective.wasserstein_generator_loss(logits_fake)


@dataclass(frozen=True)
class Relativistic:
    """Each sample is held against one real example: D raises the difference of their logits, G lowers it.

    Under it a generator that drops modes is no minimum (Sun et al. 2020); with `ZeroCentred(1, 1)` it converges
    locally (Huang et al. 2024, R3GAN).
    """

    paired = True

    def discriminator(self, logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
        return objective.relativistic_discriminator_loss(logits_real, logits_fake)

    def generator(self, logits_real: Float[Array, " b"], logits_fake: Float[Array, " b"]) -> Float[Array, " b"]:
        return objective.relativistic_generator_loss(logits_real, logits_fake)


class Penalty(Protocol):
    """The interface of a penalty."""

    def __call__(self, key: PRNGKey, discriminate: Discriminate, x_real: Array, x_fake: Array) -> Float[Array, " b"]:
        """The term that is added to the discriminator's loss."""
        ...


@dataclass(frozen=True)
class NoPenalty:
    """The lecture's objective, without any penalty."""

    def __call__(self, key: PRNGKey, discriminate: Discriminate, x_real: Array, x_fake: Array) -> Float[Array, " b"]:
        return jnp.zeros(x_real.shape[0], jnp.float32)


@dataclass(frozen=True)
class GradientPenalty:
    """weight (||grad D|| - 1)^2 between data and samples (Gulrajani et al. 2017).

    Args:
        weight: Weight of the penalty.

    Raises:
        ValueError: A negative weight, or one that is not finite.
    """

    weight: float = 10.0

    def __post_init__(self):
        require.number("weight", self.weight, 0)

    def __call__(self, key: PRNGKey, discriminate: Discriminate, x_real: Array, x_fake: Array) -> Float[Array, " b"]:
        return self.weight * penalties.gradient_penalty(key, discriminate, x_real, x_fake)


@dataclass(frozen=True)
class ZeroCentred:
    """r1/2 ||grad D||^2 at the data plus r2/2 ||grad D||^2 at the samples (Mescheder et al. 2018).

    Args:
        r1: Weight at the data.
        r2: Weight at the samples.

    Raises:
        ValueError: A negative weight, one that is not finite, or no positive weight.
    """

    r1: float = 1.0
    r2: float = 0.0

    def __post_init__(self):
        require.number("r1", self.r1, 0)
        require.number("r2", self.r2, 0)
        if self.r1 == self.r2 == 0:
            raise ValueError("r1 or r2 must be above 0, got r1=0 and r2=0; NoPenalty() is none")

    def __call__(self, key: PRNGKey, discriminate: Discriminate, x_real: Array, x_fake: Array) -> Float[Array, " b"]:
        total = jnp.zeros(x_real.shape[0], jnp.float32)
        if self.r1 > 0:
            total = total + self.r1 * penalties.r1_penalty(key, discriminate, x_real, x_fake)
        if self.r2 > 0:
            total = total + self.r2 * penalties.r2_penalty(key, discriminate, x_real, x_fake)
        return total
