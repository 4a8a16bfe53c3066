"""Fourier features of the input, with which a network sees the last digits of its data.

Levels of 8-bit data on [-1, 1] are 2/255 apart. A smooth function of x hardly tells neighbours from one another, and
the last bits of an image are where most of its likelihood is; with n = 7 they are half a period of sin(2^n pi x) apart.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.events import require_events


def fourier_features(x: Float[Array, "b *axes c"], first: int, last: int) -> Float[Array, "b *axes features"]:
    """Sines and cosines of x at frequencies that double.

        sin(2^n pi x), cos(2^n pi x),     n = first .. last

    Args:
        x: Events, channels last.
        first: Smallest exponent n.
        last: Largest exponent n. In x of dtype float32 and of order 1, digits are exact up to n = 16 or so.

    Returns:
        2 (last - first + 1) features for each channel, along the last axis: the sines of all channels at the first
        frequency, their cosines, those at the next.

    Raises:
        ValueError: Exponents that are not integers, fall, or are not in 0..32.

    Source: Kingma et al. 2021 (VDM), section 5.1 and appendix C, with n = 7, 8.
    """
    require_events(x=x)
    require.integer("first", first, 0, 32)
    require.integer("last", last, first, 32)
    features = []
    for n in range(first, last + 1):
        # The product with a power of two is exact, and so is what is left of it beyond whole periods.
        turns = x * 2.0**n
        angle = jnp.pi * (turns - 2 * jnp.round(turns / 2))
        features += [jnp.sin(angle), jnp.cos(angle)]
    return jnp.concatenate(features, axis=-1)
