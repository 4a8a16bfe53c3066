"""Digests: the identity of a state or of a network, to the bit."""

import hashlib
from typing import Any

import jax
import numpy as np


def flatten(tree: Any) -> dict[str, Any]:
    """Leaves of a tree by their path, as in "params/encoder/Dense_0/kernel"."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def structure(tree: Any) -> dict[str, str]:
    """Dtype and shape of every leaf by its path, as in {"step": "int32[]"}."""
    return {
        path: f"{np.dtype(leaf.dtype).name}[{','.join(map(str, leaf.shape))}]" for path, leaf in flatten(tree).items()
    }


def digest(tree: Any) -> str:
    """SHA-256 over the paths, dtypes, shapes and bytes of all leaves, in hex.

    Args:
        tree: Any pytree of arrays: a whole state (parameters, optimizer, averages) or a part of it.

    Returns:
        64 hexadecimal digits; equal for two trees exactly if they are equal bit for bit.
    """
    sha = hashlib.sha256()
    described = structure(tree)
    for path, leaf in sorted(flatten(tree).items()):
        sha.update(f"{path} {described[path]}\n".encode())
        sha.update(np.ascontiguousarray(leaf).tobytes())
    return sha.hexdigest()
