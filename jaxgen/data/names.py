"""Data sets by the word that a user has for them."""

import difflib
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Array

from jaxgen.core import Spec
from jaxgen.data import toys
from jaxgen.data.arrays import from_file
from jaxgen.data.checks import whole_number
from jaxgen.data.dataset import Dataset, Split
from jaxgen.data.embedded import digits
from jaxgen.data.mnist import binarized_mnist, fashion_mnist, mnist


def names() -> tuple[str, ...]:
    """The names that `load` knows, paths of files aside."""
    return ("digits", "ring", "grid", "two_moons", "swiss_roll")


def load(
    name: str | Path,
    *,
    seed: int = 0,
    num: tuple[int, int, int] | None = None,
    valid: int = 10_000,
    folder: str | Path | None = None,
    cache: str | Path | None = None,
) -> Dataset:
    """A data set by its name, or by the path of a .npy or .npz file.

    Args:
        name: One of `names()`, or a path.
        seed: Of a toy's draws, or of the shuffle behind a file's splits. The digits have one split for ever.
        num: How many examples of a toy to draw for training, validation and testing; 50,000, 5,000 and 10,000
            unless given. The draws are the same on every machine up to rounding, so a toy's fingerprint holds
            for one version of JAX and one kind of device.

    Raises:
        ValueError: Another name; a seed that is none; a num that is none, or for what is no toy.
        FileNotFoundError: A path without a file.
    """
    match str(name):
        case "ring":
            return _drawn("ring", toys.ring, seed, num)
        case "grid":
            return _drawn("grid", toys.grid, seed, num)
        case "two_moons":
            return _drawn("two_moons", toys.two_moons, seed, num)
        case "swiss_roll":
            return _drawn("swiss_roll", toys.swiss_roll, seed, num)
        case _ if num is not None:
            raise ValueError(f"num goes with a toy, whose size is free, got num={num} for {str(name)!r}")
        case "digits":
            return digits()
        case "mnist":
            return mnist(valid=valid, folder=folder, cache=cache)
        case "fashion_mnist":
            return fashion_mnist(valid=valid, folder=folder, cache=cache)
        case "binarized_mnist":
            return binarized_mnist(folder=folder, cache=cache)
        case path if path.endswith((".npy", ".npz")):
            return from_file(path, seed=seed)
        case unknown:
            near = difflib.get_close_matches(unknown, names())
            hint = f" (nearest: {', '.join(near)})" if near else ""
            raise ValueError(
                f"name must be one of {', '.join(names())}, or a path ending in .npy or .npz, got {unknown!r}{hint}"
            )


def _drawn(name: str, toy: Callable[..., Array], seed: int, num: tuple[int, int, int] | None) -> Dataset:
    # The generator is named: what "ring, seed 0" means is no matter of a user's `jax_default_prng_impl`.
    root = jax.random.key(whole_number("seed", seed, 0, 2**32 - 1), impl="threefry2x32")
    train, valid, test = (
        Split(np.asarray(toy(jax.random.fold_in(root, i), whole_number(f"num[{i}]", size, 1))))
        for i, size in enumerate(num or (50_000, 5_000, 10_000))
    )
    return Dataset(name=name, spec=Spec(event_shape=(2,)), train=train, valid=valid, test=test)
