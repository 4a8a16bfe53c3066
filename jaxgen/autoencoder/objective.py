"""The autoencoder's objective: a reconstruction that is like the original.

An encoder turns x into a smaller set of features z, a decoder turns z into a reconstruction x_hat, and both are trained
for x_hat to match x, pixel by pixel. Neither labels nor probabilities take part: nothing says which z belong to images.
"""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from jaxgen.events import require_events, require_mask


def reconstruction_loss(
    x: Float[Array, "b *event"], x_hat: Float[Array, "b *event"], mask: Bool[Array, "b *event"] | None = None
) -> Float[Array, " b"]:
    """Squared L2 distance of the reconstruction from the original.

        L = ||x - x_hat||^2 = sum_i (x_i - x_hat_i)^2

    It is -2 sigma^2 log N(x | x_hat, sigma^2 I) up to a constant: the VAE's distortion, without the VAE's rate.

    Args:
        x: Original examples.
        x_hat: Their reconstructions.
        mask: True where x is observed; the rest may be NaN and does not count.

    Returns:
        One squared distance per example, in squared units of x; finite for differences up to 1e15.

    Raises:
        ValueError: Shapes that differ, or dtypes that are not floating (of the mask: bool).

    Source: lecture, "Some Background First: Autoencoders".
    """
    require_events(x=x, x_hat=x_hat)
    require_mask(x.shape, mask)
    residual = x - x_hat
    if mask is not None:
        residual = jnp.where(mask, residual, 0)  # before the square, whose gradient would bring the NaN back
    return jnp.square(residual).sum(axis=tuple(range(1, x.ndim)))
