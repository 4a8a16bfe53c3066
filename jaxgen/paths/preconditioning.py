"""A network between two scalings that give its inputs and targets unit variance at every level.

    x_0_hat = c_skip x_t + c_out F(c_in x_t, c_noise)

With V = alpha^2 s^2 + sigma^2 the variance of x_t for data of standard deviation s,

    c_in = 1 / sqrt V,   c_skip = alpha s^2 / V,   c_out = sigma s / sqrt V,   c_noise = log(sigma / alpha) / 4

F learns what a linear denoiser does not know: c_skip x_t is the best denoiser of N(0, s^2 I), whose error has standard
deviation c_out. On `VarianceExploding` these are the coefficients of EDM, where alpha = 1 and sigma = t.
"""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.events import require_events
from jaxgen.paths.path import Path, Time, Values, signal_and_noise
from jaxgen.paths.prediction import Ends, Prediction


def variance(path: Path, t: Values, data_std: float) -> Array:
    """Variance alpha^2 s^2 + sigma^2 of x_t for data of standard deviation s."""
    return jnp.square(path.alpha(t) * data_std) + jnp.square(path.sigma(t))


def c_in(path: Path, t: Values, data_std: float) -> Array:
    """Factor of the network's input. Source: Karras et al. 2022 (EDM), equation 117."""
    return 1 / jnp.sqrt(variance(path, t, data_std))


def c_skip(path: Path, t: Values, data_std: float) -> Array:
    """Share of x_t that passes the network by. Source: Karras et al. 2022 (EDM), equation 131."""
    return path.alpha(t) * data_std**2 / variance(path, t, data_std)


def c_out(path: Path, t: Values, data_std: float) -> Array:
    """Factor of the network's output. Source: Karras et al. 2022 (EDM), equation 138."""
    return path.sigma(t) * data_std / jnp.sqrt(variance(path, t, data_std))


def c_noise(path: Path, t: Values) -> Array:
    """The level as the network is told it, log(sigma / alpha) / 4; t > 0. Source: Karras et al. 2022 (EDM), table 1."""
    return -path.log_snr(t) / 8


def weight(path: Path, t: Values, data_std: float) -> Array:
    """Weight 1 / c_out^2 of the squared error of x_0, with which the network's own error weighs the same at every t.

    Source: Karras et al. 2022 (EDM), equation 144.
    """
    return 1 / jnp.square(c_out(path, t, data_std))


@dataclass(frozen=True)
class Preconditioned(Prediction):
    """The network predicts (x_0 - c_skip x_t) / c_out, from c_in x_t and c_noise; the loss is its squared error.

    Args:
        data_std: Standard deviation s of the data.

    Raises:
        ValueError: A data_std that is not positive.

    Source: Karras et al. 2022 (EDM), equation 7.
    """

    data_std: float = 0.5

    def __post_init__(self):
        require.number("data_std", self.data_std, above=0)

    def inputs(
        self, path: Path, x_t: Float[Array, "b *event"], t: Float[Array, " b"]
    ) -> tuple[Float[Array, "b *event"], Float[Array, " b"]]:
        alpha, sigma = signal_and_noise(path, t, x_t)
        return x_t / jnp.sqrt(self._variance(alpha, sigma)), c_noise(path, t)

    def target(
        self, path: Path, x_0: Float[Array, "b *event"], t: Time, eps: Float[Array, "b *event"]
    ) -> Float[Array, "b *event"]:
        """The target, as (sigma x_0 - alpha s^2 eps) / (s sqrt V), which loses no digits at small sigma."""
        require_events(x_0=x_0, eps=eps)
        alpha, sigma = signal_and_noise(path, t, x_0)
        scale = self.data_std * jnp.sqrt(self._variance(alpha, sigma))
        return (sigma * x_0 - alpha * self.data_std**2 * eps) / scale

    def ends(self, path: Path, x_t: Float[Array, "b *event"], t: Time, output: Float[Array, "b *event"]) -> Ends:
        require_events(x_t=x_t, output=output)
        alpha, sigma = signal_and_noise(path, t, x_t)
        spread = self._variance(alpha, sigma)
        skip, out = alpha * self.data_std**2 / spread, sigma * self.data_std / jnp.sqrt(spread)
        # eps without a division by sigma: (x_t - alpha x_0_hat) / sigma with x_0_hat written out.
        eps = sigma / spread * x_t - alpha * self.data_std / jnp.sqrt(spread) * output
        return Ends(skip * x_t + out * output, eps)

    def _variance(self, alpha: Array, sigma: Array) -> Array:
        return jnp.square(alpha * self.data_std) + jnp.square(sigma)
