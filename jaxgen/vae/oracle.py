"""A VAE that is known exactly: everything is linear and Gaussian. `Labelled` is one with labels.

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
from jaxtyping import Array, Bool, Float, Int

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


@flax.struct.dataclass
class Labelled:
    """A mixture of linear-Gaussian models, one for each label: P(X, y) = P(y) N(X | b_y, W_y W_y^T + sigma^2 I).

    Everything that is estimated from few labels is known here: log P(X, y), log P(X), P(y|X) and the Bayes error, below
    which no classifier comes.

    Attributes:
        weights: Matrices W_y [k, x, z].
        bias: Vectors b_y [k, x].
        sigma: Standard deviation of the observation, a scalar array.
        log_prior: log P(y) [k], nats.

    Source: Kingma et al. 2014, section 2, for the model; Hastie et al. 2009, eq. 2.23, for the Bayes error.
    """

    weights: Any
    bias: Any
    sigma: Any
    log_prior: Any

    def given(self, label: int) -> LinearGaussian:
        """The model of X given a label."""
        return LinearGaussian(self.weights[label], self.bias[label], self.sigma)

    def log_joint(self, x: Float[Array, "b x"]) -> Float[Array, "b k"]:
        """log P(X, y) for every label, nats."""
        each = [self.given(label).log_prob(x) for label in range(len(self.bias))]
        return jnp.stack(each, axis=1) + self.log_prior[None]

    def log_prob(self, x: Float[Array, "b x"]) -> Float[Array, " b"]:
        """log P(X), the label summed out, nats."""
        return jax.scipy.special.logsumexp(self.log_joint(x), axis=1)

    def log_posterior(self, x: Float[Array, "b x"]) -> Float[Array, "b k"]:
        """log P(y|X), nats: the best classifier there is."""
        return jax.nn.log_softmax(self.log_joint(x))

    def sample(self, key: Array, num: int) -> tuple[Float[Array, "num x"], Int[Array, " num"]]:
        """Draws of P(X, y)."""
        require.typed_key("key", key)
        require.size("num", num)
        key_label, key_x = jax.random.split(key)
        label = jax.random.categorical(key_label, self.log_prior, shape=(num,)).astype(jnp.int32)
        each = jnp.stack([self.given(k).sample(key_x, num) for k in range(len(self.bias))])
        return each[label, jnp.arange(num)], label

    def bayes_error(self, key: Array, num: int) -> Float[Array, " num"]:
        """1 - max_y P(y|X) at draws of P(X), whose mean is the Bayes error."""
        x, _ = self.sample(key, num)
        return 1 - jnp.exp(self.log_posterior(x).max(axis=1))
