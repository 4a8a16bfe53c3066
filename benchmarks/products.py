"""The matrix products of a dense network's training step by themselves: what no implementation of the step can beat.

For every layer [n, m]: forward x W, and backward x^T g and, but for the first, g W^T; 32 bit, one after the other. A
step that spends its time elsewhere has something to win; one that is near this rate has not.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np


def operands(widths: Sequence[tuple[int, int]], batch_size: int) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each layer (n, m): x [batch_size, n], W [n, m], g [batch_size, m]."""
    rng = np.random.default_rng(0)
    shapes = [((batch_size, n), (n, m), (batch_size, m)) for n, m in widths]
    return [tuple(rng.standard_normal(shape, np.float32) for shape in layer) for layer in shapes]  # pyright: ignore


def jax_turn(widths: Sequence[tuple[int, int]], batch_size: int, steps: int) -> Callable[[], float]:
    """A turn of `steps` times all products, in one program."""
    import jax
    import jax.numpy as jnp

    def products(_: int, state: tuple) -> tuple:
        # Every product reads what the last round wrote into a corner of its operands, or XLA would take it out of the
        # loop, and all are kept.
        layers, outs = state
        layers = [
            (x.at[0, 0].set(out[0][0, 0]), w, g.at[0, 0].set(out[1][0, 0]))
            for (x, w, g), out in zip(layers, outs, strict=True)
        ]
        pairs = zip(layers, outs, strict=True)
        outs = [(x @ w, x.T @ g, g @ w.T if i else out[2]) for i, ((x, w, g), out) in enumerate(pairs)]
        return layers, outs

    layers = [tuple(map(jnp.asarray, layer)) for layer in operands(widths, batch_size)]
    outs = [(jnp.zeros_like(g), jnp.zeros_like(w), jnp.zeros_like(x)) for x, w, g in layers]
    run = jax.jit(lambda state: jax.lax.fori_loop(0, steps, products, state))

    def turn() -> float:
        begin = time.perf_counter()
        jax.block_until_ready(run((layers, outs)))
        return steps / (time.perf_counter() - begin)

    return turn


def torch_turn(widths: Sequence[tuple[int, int]], batch_size: int, steps: int) -> Callable[[], float]:
    """The same by PyTorch, called from Python."""
    import torch

    layers = [tuple(map(torch.from_numpy, layer)) for layer in operands(widths, batch_size)]

    def turn() -> float:
        begin = time.perf_counter()
        for _ in range(steps):
            for i, (x, w, g) in enumerate(layers):
                _ = x @ w, x.T @ g, g @ w.T if i else None
        return steps / (time.perf_counter() - begin)

    return turn
