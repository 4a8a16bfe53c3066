"""The order of an epoch, computed element by element.

An epoch visits the examples 0..n-1 in an order of its own. Drawing that order as a whole costs O(n) in every
step that asks for it; here the element at one position costs O(1), a batch O(B), and nothing is stored.

The order is a keyed bijection. A Feistel network splits a number of k bits into a left and a right part and
lets each in turn be changed by a function of the other,

    left  <- left  xor F(right, key_1)
    right <- right xor F(left,  key_2)
    ...

Each round is undone by repeating it, whatever F is, so the whole is a bijection of 0..2^k - 1. To get one of
0..n-1, n <= 2^k, the network is applied until the number is again below n ("cycle walking"): that follows the
cycle on which the number lies to its next element below n, which is again a bijection.

Source: Luby & Rackoff 1988 for the network; Black & Rogaway 2002, section 4, for cycle walking; F is the
finaliser of MurmurHash3 (Appleby 2011). It mixes well and is no cipher: no secret should rest on it.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Integer, UInt32

from jaxgen.core import PRNGKey

NUM_ROUNDS = 10
# Parts of one or two bits mix badly: each round is then an affine or an even permutation, and the orders of
# few examples would be visibly uneven (chi-square over 400,000 epochs). Three bits a part pass.
MIN_BITS = 6


def round_keys(key: PRNGKey, epoch: Integer[Array, ""] | int) -> UInt32[Array, " r"]:
    """The keys of the rounds that make the order of one epoch."""
    return jax.random.bits(jax.random.fold_in(key, epoch), (NUM_ROUNDS,), jnp.uint32)


@functools.partial(jax.jit, static_argnames="n")
def permute(position: UInt32[Array, "*b"], n: int, round_keys: UInt32[Array, "r ..."]) -> UInt32[Array, "*b"]:
    """The example at each position of an epoch: a bijection of 0..n-1.

    Args:
        position: Positions within the epoch, below n (traced, so unchecked).
        n: Number of examples.
        round_keys: Round keys of the epoch, [r]; or [r, *b], where positions belong to several epochs.

    Returns:
        Indices of examples, below n.

    Source: Black & Rogaway 2002, section 4.
    """
    bits = max(MIN_BITS, (n - 1).bit_length())

    def walk(state: tuple[UInt32[Array, "*b"], Bool[Array, "*b"]]) -> tuple[Array, Array]:
        value, walking = state
        value = jnp.where(walking, _feistel(value, bits, round_keys), value)
        return value, walking & (value >= n)

    start = position, jnp.ones_like(position, dtype=bool)
    value, _ = jax.lax.while_loop(lambda state: jnp.any(state[1]), walk, start)
    return value


def shuffled(n: int, seed: int) -> np.ndarray:
    """0..n-1 in the order that belongs to the seed, for splits that must never change.

    The generator is named, so that a user's `jax_default_prng_impl` has no say in what the test set is.
    """
    key = jax.random.key(seed, impl="threefry2x32")
    return np.asarray(permute(jnp.arange(n, dtype=jnp.uint32), n, round_keys(key, 0)))


def _feistel(value, bits, keys):
    low_bits = bits // 2
    low_mask, high_mask = np.uint32(2**low_bits - 1), np.uint32(2 ** (bits - low_bits) - 1)
    high, low = value >> np.uint32(low_bits), value & low_mask
    for i in range(NUM_ROUNDS):
        if i % 2 == 0:
            high ^= _mix(low ^ keys[i]) & high_mask
        else:
            low ^= _mix(high ^ keys[i]) & low_mask
    return (high << np.uint32(low_bits)) | low


def _mix(h):
    h = (h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))
