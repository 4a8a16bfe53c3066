"""A VAE that is known exactly: everything is linear and Gaussian.

    P(z) = N(0, I),   P(X|z) = N(X | W z + b, sigma^2 I)
    P(X) = N(X | b, W W^T + sigma^2 I)
    P(z|X) = N(z | M^-1 W^T (X - b), sigma^2 M^-1),   M = W^T W + sigma^2 I

Compare any encoder and any estimate with it: log P(X) - KL[Q || P(z|X)] = ELBO holds for every Gaussian Q.
"""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Bool, Float

from jaxgen import require
from jaxgen.events import require_floats, require_mask, require_rank, require_shape

LOG_2_PI = 1.8378770664093453


@flax.struct.dataclass
class LinearGaussian:
    """x = W z + b + sigma eps, with z ~ N(0, I): probabilistic PCA.

    Attributes:
        weights: Matrix W [x, z].
        bias: Vector b [x].
        sigma: Standard deviation of the observation, a scalar array.

    Source: lecture, "Key Concepts of VAEs"; Tipping & Bishop 1999.
    """

    weights: Any
    bias: Any
    sigma: Any

    @property
    def _dtype(self) -> Any:
        return jnp.asarray(self.weights).dtype

    def log_prob(self, x: Float[Array, "b x"]) -> Float[Array, " b"]:
        """log P(X), nats, which the ELBO bounds from below."""
        self._require(x)
        covariance = self.weights @ self.weights.T + self.sigma**2 * jnp.eye(x.shape[1], dtype=self._dtype)
        cholesky = jnp.linalg.cholesky(covariance)
        whitened = solve_triangular(cholesky, (x - self.bias[None]).T, lower=True)
        return -0.5 * (jnp.square(whitened).sum(axis=0) + x.shape[1] * LOG_2_PI) - jnp.log(jnp.diag(cholesky)).sum()

    def posterior(self, x: Float[Array, "b x"]) -> tuple[Float[Array, "b z"], Float[Array, "z z"]]:
        """P(z|X): a mean for each x and the covariance, which all x share."""
        self._require(x)
        latent_dim = self.weights.shape[1]
        precision = self.weights.T @ self.weights + self.sigma**2 * jnp.eye(latent_dim, dtype=self._dtype)
        factor = (jnp.linalg.cholesky(precision), True)
        mean = cho_solve(factor, self.weights.T @ (x - self.bias[None]).T).T
        return mean, self.sigma**2 * cho_solve(factor, jnp.eye(latent_dim, dtype=self._dtype))

    def expected_log_likelihood(
        self, x: Float[Array, "b x"], mu: Float[Array, "b z"], cov: Float[Array, "b z z"]
    ) -> Float[Array, " b"]:
        """E_{z~Q} log P(X|z) for Q = N(mu, cov), nats: the first term of the bound, without sampling.

        E ||x - W z - b||^2 = ||x - W mu - b||^2 + tr(W cov W^T)
        """
        self._require(x)
        latent_dim = self.weights.shape[1]
        require_floats(mu=mu, cov=cov)
        require_shape((x.shape[0], latent_dim), mu=mu)
        require_shape((x.shape[0], latent_dim, latent_dim), cov=cov)
        residual = x - mu @ self.weights.T - self.bias[None]
        spread = jnp.einsum("xz,bzy,xy->b", self.weights, cov, self.weights)
        square = jnp.square(residual).sum(axis=1) + spread
        return -0.5 * (square / self.sigma**2 + x.shape[1] * (LOG_2_PI + 2 * jnp.log(self.sigma)))

    def conditional(self, x: Float[Array, "b x"], mask: Bool[Array, "b x"]) -> Float[Array, "b x"]:
        """E[X | X_observed], the exact imputation; observed dimensions keep their values.

        E[X_m | X_o] = b_m + C_mo C_oo^-1 (X_o - b_o),   C = W W^T + sigma^2 I
        """
        self._require(x)
        require_mask(x.shape, mask)
        covariance = self.weights @ self.weights.T + self.sigma**2 * jnp.eye(x.shape[1], dtype=self._dtype)

        def one(x: Array, mask: Array) -> Array:
            both = mask[:, None] & mask[None, :]
            # Rows and columns of missing dimensions become those of the identity: the solve leaves them alone.
            observed = jnp.where(both, covariance, jnp.eye(x.shape[0], dtype=self._dtype))
            residual = jnp.where(mask, x - self.bias, 0.0)
            return jnp.where(mask, x, self.bias + covariance @ jnp.linalg.solve(observed, residual))

        return jax.vmap(one)(x, mask)

    def sample(self, key: Array, num: int) -> Float[Array, "num x"]:
        """Draws of P(X)."""
        require.typed_key("key", key)
        require.size("num", num)
        key_z, key_x = jax.random.split(key)
        z = jax.random.normal(key_z, (num, self.weights.shape[1]), self._dtype)
        eps = jax.random.normal(key_x, (num, self.weights.shape[0]), self._dtype)
        return z @ self.weights.T + self.bias[None] + self.sigma * eps

    def _require(self, x: Array) -> None:
        """Raise unless x is floats [b, x] with as many dimensions as W has rows."""
        require_floats(x=x)
        require_rank(2, "[b, x]", x=x)
        require_shape((x.shape[0], self.weights.shape[0]), x=x)
