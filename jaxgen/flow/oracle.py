"""Data whose bound in continuous time is known: one Gaussian, and independent grey levels.

The conditional means of the data and of the noise, which a network should approach, are `ends`:
`functools.partial(data.ends, path)` is what `continuous_bound` takes. `jaxgen.paths.oracle` has mixtures of Gaussians,
whose velocity, flow and average velocity are known too.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float64

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.events import require_events
from jaxgen.paths.oracle import Gaussian
from jaxgen.paths.path import Path, Time, log_snr_ends, signal_and_noise
from jaxgen.paths.prediction import Ends


@dataclass(frozen=True)
class MeanBound:
    """Means of the three terms of the bound over the data, in nats.

    Args:
        prior: Mean of the prior cost.
        diffusion: Mean of the diffusion cost.
        reconstruction: Mean of the reconstruction cost.
    """

    prior: float
    diffusion: float
    reconstruction: float

    @property
    def negative_bound(self) -> float:
        """Sum of the three terms."""
        return self.prior + self.diffusion + self.reconstruction


def gaussian_bound(
    data: Gaussian, path: Path, t_0: float = 0.0, t_1: float = 1.0, prior_std: float | None = None
) -> MeanBound:
    """The mean bound of data N(m, s^2 I) with the exact denoiser, in closed form.

    With D dimensions and SNR = (alpha / sigma)^2,

        prior          = D (log(p / sigma) - 1/2 + (sigma^2 + alpha^2 s^2) / (2 p^2)) + alpha^2 |m|^2 / (2 p^2)  at t_1
        diffusion      = D / 2 log((1 + s^2 SNR(t_0)) / (1 + s^2 SNR(t_1)))
        reconstruction = D / 2 log(2 pi e / SNR(t_0))

    The sum exceeds the entropy D / 2 log(2 pi e s^2) by what p(x_{t_1}) and p(x_0 | x_{t_0}) are wrong.

    Args:
        data: `jaxgen.paths.oracle.gaussian` of a mean and a standard deviation.
        path: Path between data and noise.
        t_0: End that is close to the data.
        t_1: End that is close to the noise.
        prior_std: Standard deviation p of the states that a sampler starts from; None for sigma(t_1).

    Raises:
        ValueError: Ends as `continuous_bound` refuses them.

    Source: Kingma et al. 2021 (VDM), equations 11 to 15, with the mean squared error of a Gaussian's denoiser.
    """
    high, low = (float(value) for value in log_snr_ends(path, t_0, t_1))
    size, s = data.means[0].size, float(data.stds[0])
    alpha, sigma = float(path.alpha(t_1)), float(path.sigma(t_1))
    p = sigma if prior_std is None else require.number("prior_std", prior_std, above=0)
    away = alpha**2 * float(np.square(data.means[0]).sum())
    return MeanBound(
        prior=size * (math.log(p / sigma) - 0.5 + (sigma**2 + (alpha * s) ** 2) / (2 * p**2)) + away / (2 * p**2),
        diffusion=size / 2 * float(np.logaddexp(0, 2 * math.log(s) + high) - np.logaddexp(0, 2 * math.log(s) + low)),
        reconstruction=size / 2 * (math.log(2 * math.pi * math.e) - high),
    )


@dataclass(frozen=True, eq=False)
class GreyLevels:
    """Data of independent dimensions, each one of L grey levels on [-1, 1] with given probabilities.

    Args:
        probabilities: Probability of each level, [L], all positive; they sum to one.

    Raises:
        ValueError: Fewer than two levels, or probabilities that are not positive or do not sum to one.
    """

    probabilities: Float64[np.ndarray, " levels"]

    def __post_init__(self):
        right = self.probabilities.ndim == 1 and len(self.probabilities) > 1 and (self.probabilities > 0).all()
        if not right or not math.isclose(self.probabilities.sum(), 1):
            raise ValueError(f"probabilities must be two or more, positive and sum to 1, got {self.probabilities}")

    @property
    def levels(self) -> int:
        """Number of grey levels."""
        return len(self.probabilities)

    def log_prob(self, x_0: Float[Array, "b *event"]) -> Float[Array, " b"]:
        """Log-probability of data on the grid, in nats."""
        require_events(x_0=x_0)
        place = jnp.round((x_0 + 1) / 2 * (self.levels - 1)).astype(jnp.int32)
        table = jnp.asarray(np.log(self.probabilities).astype(x_0.dtype))
        return table[place].sum(axis=tuple(range(1, x_0.ndim)))

    def ends(self, path: Path, x_t: Float[Array, "b *event"], t: Time) -> Ends:
        """E[x_0 | x_t] and E[eps | x_t], in each dimension from P(level | x_t)."""
        require_events(x_t=x_t)
        alpha, sigma = (jnp.expand_dims(value, -1) for value in signal_and_noise(path, t, x_t))
        shape = (1,) * x_t.ndim + (-1,)
        grid = jnp.asarray(np.linspace(-1, 1, self.levels).astype(x_t.dtype)).reshape(shape)
        log_p = jnp.asarray(np.log(self.probabilities).astype(x_t.dtype)).reshape(shape)
        eps = (x_t[..., None] - alpha * grid) / sigma
        share = jax.nn.softmax(log_p - 0.5 * jnp.square(eps), axis=-1)
        return Ends((share * grid).sum(axis=-1), (share * eps).sum(axis=-1))

    def sample(self, key: PRNGKey, num: int, event_shape: tuple[int, ...]) -> Float[Array, "num ..."]:
        """Draw `num` examples of the given shape."""
        require.size("num", num)
        require.sizes("event_shape", event_shape)
        log_p = jnp.asarray(np.log(self.probabilities), jnp.float32)
        place = jax.random.categorical(key, log_p, shape=(num, *event_shape))
        return place.astype(jnp.float32) * (2 / (self.levels - 1)) - 1
