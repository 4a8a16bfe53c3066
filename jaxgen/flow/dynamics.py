"""A trained network as functions of the state and the time, as samplers take it."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.paths.path import Path
from jaxgen.paths.prediction import Ends, Predict


class Dynamics(NamedTuple):
    """The way between noise and data that a network knows, with its conditions and guidance.

    Attributes:
        path: Path that the states are on.
        t_0: Time of the end at the data.
        t_1: Time of the end at the noise, where samplers start.
        ends: (x_t, t) -> `jaxgen.paths.Ends`, estimates of the data and of the noise.
        velocity: (x_t, t) -> dx / dt of the probability flow.
        average: (x_t, r, t) -> the mean velocity on the way from t to r; None for a model that has not learned it.
    """

    path: Path
    t_0: float
    t_1: float
    ends: Callable[[Array, Array], Ends]
    velocity: Predict
    average: Callable[[Array, Array, Array], Float[Array, "b *event"]] | None = None

    def denoise(self, x_t: Array, t: Array) -> Array:
        """Estimate of the data, for the samplers that step by it."""
        return self.ends(x_t, t).x_0

    def within(self, clip: float | None) -> Predict:
        """The denoiser, with estimates cut off at -c and c; None for no limit."""
        if clip is None:
            return self.denoise
        return lambda x_t, t: jnp.clip(self.denoise(x_t, t), -clip, clip)
