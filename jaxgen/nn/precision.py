"""Precision of sums and normalisations: float32 at least, whatever the network computes in."""

from typing import Any

import jax.numpy as jnp


def wide(dtype: Any) -> Any:
    """float32 for what is narrower (bfloat16), else the dtype itself."""
    return jnp.float32 if jnp.finfo(dtype).bits < 32 else jnp.dtype(dtype)
