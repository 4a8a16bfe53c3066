"""Arrays on the devices of a mesh, which may belong to several processes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding


def spread(tree: Any, sharding: Any) -> Any:
    """Put arrays on the devices of a mesh.

    Where the mesh spans several processes, each must have the same arrays and call this; every process then copies its
    own parts, and nothing is sent. (`jax.device_put` would send all of them, to compare.)

    Args:
        tree: Arrays of this process, typed keys among them, or arrays that lie on the mesh already.
        sharding: Division of every array, a `NamedSharding`, or a tree of one for each.
    """
    shardings = jax.tree.map(lambda _: sharding, tree) if isinstance(sharding, NamedSharding) else sharding
    if all(one.is_fully_addressable for one in jax.tree.leaves(shardings)):
        return jax.device_put(tree, shardings)
    return jax.tree.map(_spread, tree, shardings)


def _spread(leaf: Any, sharding: NamedSharding) -> jax.Array:
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return jax.device_put(leaf, sharding, may_alias=False)
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        data = _spread(jax.random.key_data(leaf), sharding)
        return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
    host = np.array(leaf)  # a copy: a device may otherwise use the memory of the array itself
    return jax.make_array_from_callback(host.shape, sharding, lambda index: host[index])
