"""A network that predicts how each value of the data is distributed, from which Bayes' rule makes the denoised data.

    p(x_0) = sum_k w_k N(m_k, s_k^2)               for each value, w, m and s by the network
    p(k | x_t) proportional to w_k N(x_t; alpha m_k, V_k),     V_k = alpha^2 s_k^2 + sigma^2
    x_0_hat = sum_k p(k | x_t) (m_k + alpha s_k^2 / V_k (x_t - alpha m_k))
    eps_hat = sum_k p(k | x_t) sigma / V_k (x_t - alpha m_k)

Most pixels of drawings are exactly black or exactly white. A network that predicts the noise must there reproduce each
digit of x_t, which it sees through many layers; here x_t comes in by arithmetic, and a certain black stays black to
the last bit. The likelihood of such images gains by it; where nothing is certain it is one more form of the same
prediction.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.events import require_events, require_rank
from jaxgen.paths.path import Path, Time, signal_and_noise
from jaxgen.paths.prediction import Ends, Prediction


@dataclass(frozen=True)
class Mixture(Prediction):
    """The network predicts a mixture of distributions for each value of the data.

    Args:
        components: Number of normal distributions.
        ends_of_range: Whether there are two components more, the values -1 and 1 themselves: black and white of grey
            levels.
        std: Standard deviation of the normal distributions before training.

    Raises:
        ValueError: No component, or a standard deviation that is not positive.

    Source: Bayes' rule for a mixture, as in `jaxgen.paths.oracle`; as the output of a network for pixels, Salimans et
    al. 2017 (PixelCNN++), section 2.1.
    """

    components: int = 2
    ends_of_range: bool = True
    std: float = 0.3

    def __post_init__(self):
        require.size("components", self.components)
        require.number("std", self.std, above=0)
        require.fields(self)

    @property
    def num_outputs(self) -> int:
        return 3 * self.components + (2 if self.ends_of_range else 0)

    def target(
        self, path: Path, x_0: Float[Array, "b *event"], t: Time, eps: Float[Array, "b *event"]
    ) -> Float[Array, "b *event"]:
        """Refuse: the outputs are no estimate of a quantity at x_t; the error to train on is that of `ends`."""
        raise ValueError("prediction Mixture() has no target: train on the error of eps, weighting=Likelihood()")

    def ends(
        self, path: Path, x_t: Float[Array, "b *event"], t: Time, output: Float[Array, "outputs b *event"]
    ) -> Ends:
        """Predicted ends of the path, from the outputs: log-weights, means and log-deviations, one behind the other."""
        alpha, sigma = signal_and_noise(path, t, x_t)
        log_w, mean, var = self.parameters(output)
        require_events(x_t=x_t, output=mean[0])
        each_alpha, each_sigma = (value[None] if value.ndim else value for value in (alpha, sigma))
        spread = jnp.square(each_alpha) * var + jnp.square(each_sigma)
        centred = x_t[None] - each_alpha * mean
        share = jax.nn.softmax(log_w - 0.5 * (jnp.square(centred) / spread + jnp.log(spread)), axis=0)
        pull = share * centred / spread
        x_0 = (share * mean).sum(axis=0) + alpha * (var * pull).sum(axis=0)
        return Ends(x_0, sigma * pull.sum(axis=0))

    def parameters(self, output: Float[Array, "outputs b *event"]) -> tuple[Array, Array, Array]:
        """Log-weights (not normalised), means and variances of all components, each [components, B, *event].

        Raises:
            ValueError: Another number of outputs.
        """
        require_rank(output.ndim, "[outputs, b, *event]", output=output)
        if len(output) != self.num_outputs:
            raise ValueError(f"output must hold {self.num_outputs} arrays, got {len(output)}")
        n = self.components
        log_w, mean, log_std = output[: -2 * n], output[-2 * n : -n], output[-n:]
        each = (n,) + (1,) * (output.ndim - 1)
        places = np.linspace(-1, 1, n + 2)[1:-1].reshape(each)
        mean = mean + jnp.asarray(places, output.dtype)
        var = self.std**2 * jnp.exp(2 * jnp.clip(log_std, -7, 3))
        if not self.ends_of_range:
            return log_w, mean, var
        fixed = jnp.broadcast_to(jnp.asarray([-1, 1], output.dtype).reshape((2, *each[1:])), (2, *output.shape[1:]))
        return log_w, jnp.concatenate([fixed, mean]), jnp.concatenate([jnp.zeros_like(fixed), var])
