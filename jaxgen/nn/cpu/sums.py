"""A sum over positions as a product with a row of ones.

XLA's CPU compiler sums over leading axes element by element, after it has fused the sum with the computation of its
operand. The product is the same sum, several times faster (jax 0.10.2).
"""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxgen.nn.precision import wide


def by_product(x: Float[Array, "m n c"]) -> Float[Array, "m c"]:
    """The sum over the middle axis, accumulated in float32 where x is of lower precision, in the dtype of x."""
    ones = jnp.ones((x.shape[0], 1, x.shape[1]), x.dtype)
    return lax.dot_general(ones, x, (((2,), (1,)), ((0,), (0,))), preferred_element_type=wide(x.dtype))[:, 0].astype(
        x.dtype
    )
