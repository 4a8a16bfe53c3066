"""The latents of a model as a Markov chain over discrete data: all that a codec must know of a family.

    upwards      q(x_1 | x_0), q(x_l | x_{l-1})          l = 2 .. L, diagonal Gaussians
    downwards    p(x_L) = N(0, I), p(x_{l-1} | x_l)      diagonal Gaussians; p(x_0 | x_1) a probability for every value

A VAE is the case L = 1 with z as x_1; the chain of a diffusion model has one level for every step. Bits-back coding
takes for one example what the negative bound of the model says:

    -log p(x_0) <= E_q [log q(x_{1:L} | x_0) - log p(x_{0:L})]
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, Float


class Gaussian(NamedTuple):
    """A diagonal normal distribution of each example.

    Attributes:
        mean: Mean, [B, *shape].
        std: Standard deviation, likewise.
    """

    mean: Float[Array, "b *shape"]
    std: Float[Array, "b *shape"]


class Latents(NamedTuple):
    """The chain as pure functions of variables, which may be compiled; levels count from 1 and may be traced.

    Attributes:
        shape: Shape of one example's latents, the same at every level.
        widths: Width of the bins that the latents of each level are rounded to, from level 1 up: a fraction of the
            smallest standard deviation with which the level is drawn.
        first: (variables, x [B, *event] in storage dtype) -> q(x_1 | x_0).
        data: (variables, x_1) -> P(x_0 | x_1), the probability of every value of every dimension,
            [B, *event, values] float32.
        up: (variables, level, x_{level-1}) -> q(x_level | x_{level-1}), level 2 .. L; None where L = 1.
        down: (variables, level, x_level) -> p(x_{level-1} | x_level), level 2 .. L; None where L = 1.
    """

    shape: tuple[int, ...]
    widths: tuple[float, ...]
    first: Callable[[Any, Array], Gaussian]
    data: Callable[[Any, Array], Array]
    up: Callable[[Any, Any, Array], Gaussian] | None = None
    down: Callable[[Any, Any, Array], Gaussian] | None = None
