"""The autoencoder whose optimum is known exactly: linear encoder, linear decoder.

With S the covariance of the data, lambda_1 >= lambda_2 >= ... its eigenvalues and V_k its first k eigenvectors,

    min E||x - x_hat||^2 = sum_{i > k} lambda_i,   reached by   z = V_k^T (x - mean),  x_hat = mean + V_k z

so the best features are the principal components, up to an invertible map of z that the loss cannot see; every other
stationary point is a saddle (Baldi & Hornik 1989). The value is the best for a linear decoder after any encoder, since
the reconstructions lie in a plane of k dimensions: hidden layers in the encoder alone gain nothing (Bourlard & Kamp
1988). The gain of a decoder with hidden layers is the amount by which its error falls below this value.

Computed on the host in float64.
"""

from typing import Any

import flax.struct
import numpy as np
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.events import require_floats, require_shape


@flax.struct.dataclass
class LinearAutoencoder:
    """The best autoencoder without hidden layers: principal component analysis.

    Attributes:
        mean: Mean of the data, [x].
        components: V_k^T, the first k eigenvectors as rows, [z, x], orthonormal.
        eigenvalues: All eigenvalues of the covariance, in descending order, [x].

    Source: Bourlard & Kamp 1988; Baldi & Hornik 1989.
    """

    mean: Any
    components: Any
    eigenvalues: Any

    @property
    def reconstruction_error(self) -> float:
        """E||x - x_hat||^2 over the data, the least that a linear decoder can reach: the discarded eigenvalues."""
        return float(self.eigenvalues[len(self.components) :].sum())

    def encode(self, x: Float[Array | np.ndarray, "b x"]) -> Float[Array | np.ndarray, "b z"]:
        """z = V_k^T (x - mean)."""
        require_floats(x=x)
        require_shape((*x.shape[:1], *self.mean.shape), x=x)
        return (x - self.mean[None]) @ self.components.T

    def decode(self, z: Float[Array | np.ndarray, "b z"]) -> Float[Array | np.ndarray, "b x"]:
        """x_hat = mean + V_k z."""
        require_floats(z=z)
        require_shape((*z.shape[:1], len(self.components)), z=z)
        return z @ self.components + self.mean[None]


def principal_components(x: Float[Array | np.ndarray, "n x"], latent_dim: int) -> LinearAutoencoder:
    """The best linear autoencoder of given data.

    Args:
        x: Examples, flat. Their covariance is taken with 1/n, so that the error is the mean over these examples.
        latent_dim: Dimension of z.

    Raises:
        ValueError: latent_dim below 1 or above the dimension of x.

    Source: Bourlard & Kamp 1988; Baldi & Hornik 1989.
    """
    if np.ndim(x) != 2 or len(x) < 1:
        raise ValueError(f"x must have shape [n, x], at least one example, got {np.shape(x)}")
    exact = np.asarray(x, np.float64)
    if not np.isfinite(exact).all():
        raise ValueError("x must be finite, got NaN or infinity")
    require.integer("latent_dim", latent_dim, 1, exact.shape[1], "the dimension of x")
    mean = exact.mean(axis=0)
    centred = exact - mean
    eigenvalues, vectors = np.linalg.eigh(centred.T @ centred / len(exact))
    # eigh ascends; rounding may leave an eigenvalue that is zero slightly negative.
    return LinearAutoencoder(
        mean=mean, components=vectors[:, ::-1][:, :latent_dim].T, eigenvalues=np.maximum(eigenvalues[::-1], 0)
    )
