"""Beyond the lecture: penalties on the slope of D in x, which keep the game in balance.

Each maps (key, discriminate, x_real, x_fake) to one value per example, unweighted. `discriminate` gives the logits of
D, and the logit of an example must not depend on the others.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen.core import PRNGKey
from jaxgen.draws import example_uniforms
from jaxgen.events import require_events, require_floats, require_shape, sum_event


def gradient_penalty(
    key: PRNGKey,
    discriminate: Callable[[Array], Array],
    x_real: Float[Array, "b *event"],
    x_fake: Float[Array, "b *event"],
) -> Float[Array, " b"]:
    """(||grad l(x)|| - 1)^2 at x = u x_real + (1 - u) x_fake, u ~ U[0, 1) for each pair, l the logit.

    Args:
        key: Key of the draws of u; u of pair k comes from `fold_in(key, k)`.
        discriminate: The function x -> logits [b].
        x_real: Data.
        x_fake: Samples.

    Returns:
        One penalty per pair, unweighted. Where the gradient is 0 the norm's own gradient is taken as 0.

    Source: Gulrajani et al. 2017, eq. 3.
    """
    require_events(x_real=x_real, x_fake=x_fake)
    u = example_uniforms(key, jnp.arange(x_real.shape[0], dtype=jnp.int32), (1,) * (x_real.ndim - 1))
    u = u.astype(x_real.dtype)
    half = _half_squared_slope(discriminate, u * x_real + (1 - u) * x_fake)
    norm = jnp.where(half == 0, 0, jnp.sqrt(2 * jnp.where(half == 0, 1, half)))
    return jnp.square(norm - 1)


def r1_penalty(
    key: PRNGKey,
    discriminate: Callable[[Array], Array],
    x_real: Float[Array, "b *event"],
    x_fake: Float[Array, "b *event"],
) -> Float[Array, " b"]:
    """||grad l(x_real)||^2 / 2, l the logit: at p_g = p_d, D should be flat on the data.

    Args:
        key: Unused, because nothing is random; all penalties have the same arguments.
        discriminate: The function x -> logits [b].
        x_real: Data.
        x_fake: Unused.

    Returns:
        One penalty per example, unweighted.

    Source: Mescheder, Geiger & Nowozin 2018, eq. 9.
    """
    require_events(x_real=x_real)
    return _half_squared_slope(discriminate, x_real)


def r2_penalty(
    key: PRNGKey,
    discriminate: Callable[[Array], Array],
    x_real: Float[Array, "b *event"],
    x_fake: Float[Array, "b *event"],
) -> Float[Array, " b"]:
    """||grad l(x_fake)||^2 / 2: `r1_penalty` at samples. Here x_real and key are unused.

    Source: Mescheder, Geiger & Nowozin 2018, eq. 10.
    """
    require_events(x_fake=x_fake)
    return _half_squared_slope(discriminate, x_fake)


def _half_squared_slope(discriminate: Callable[[Array], Array], x: Array) -> Array:
    def total(x: Array) -> Array:
        logits = discriminate(x)
        require_floats(logits=logits)
        require_shape(x.shape[:1], logits=logits)
        return jnp.sum(logits)

    slope = jax.grad(total)(x)
    return sum_event((0.5 * slope) * slope)  # its square alone may overflow
