"""The three spaces that data live in: storage, unit and signed.

    storage  0 .. levels - 1, uint8      what the device holds
    unit     u = x / (levels - 1)        [0, 1]: what a Bernoulli decoder, a picture and a metric see
    signed   s = 2 u - 1                 [-1, 1]: what a Gaussian model with unit noise sees

Real-valued data (float32, no levels) have no scale of their own, so all three spaces are one.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float32, Shaped

from jaxgen.core import Spec
from jaxgen.events import require_floats


def to_unit(x: Shaped[Array | np.ndarray, "..."], spec: Spec) -> Float32[Array, "..."]:
    """Storage to unit space: u = x / (levels - 1), real values unchanged.

    Args:
        x: Examples in the storage dtype of `spec`, any leading axes.
        spec: What the data are.

    Returns:
        float32 in [0, 1] for discrete data.

    Raises:
        ValueError: x has another dtype than the storage one: it may have been scaled already.
    """
    if getattr(x, "dtype", None) is None:
        raise ValueError(f"x must be an array in storage dtype {spec.dtype}, got {type(x).__name__}")
    if x.dtype != spec.dtype:
        raise ValueError(f"x must be in storage dtype {spec.dtype}, got {x.dtype}")
    x = jnp.asarray(x)
    if spec.levels is None:
        return x
    # The top level is set, not computed: XLA turns the division into a product with the rounded reciprocal
    # and fuses it with what follows, so that 2 u - 1 could come out as 1.0000001.
    top = spec.levels - 1
    return jnp.where(x == top, jnp.float32(1), x.astype(jnp.float32) / top)


def to_signed(x: Shaped[Array | np.ndarray, "..."], spec: Spec) -> Float32[Array, "..."]:
    """Storage to signed space: s = 2 u - 1, real values unchanged.

    Args:
        x: Examples in the storage dtype of `spec`, any leading axes.
        spec: What the data are.

    Returns:
        float32 in [-1, 1] for discrete data.

    Raises:
        ValueError: x has another dtype than the storage one.
    """
    unit = to_unit(x, spec)
    return unit if spec.levels is None else 2 * unit - 1


def from_signed(x: Float32[Array | np.ndarray, "..."], spec: Spec) -> Float32[Array, "..."]:
    """Signed to unit space, as samples are handed out: u = (s + 1) / 2, real values unchanged.

    Values beyond [-1, 1], which the noise of a sampler may leave, are cut off for discrete data.

    Args:
        x: Values in signed space.
        spec: What the data are.

    Returns:
        float32 in [0, 1] for discrete data.

    Raises:
        ValueError: x holds integers, which are no values in signed space.
    """
    require_floats(x=x)
    x = jnp.asarray(x)
    return x if spec.levels is None else jnp.clip((x + 1) / 2, 0, 1)
