"""Bits-back coding: images in as many bits as a model's negative bound says.

For the latents x_1 .. x_L of `jaxgen.latents`, one image x_0 is pushed onto the stack by

    pop  x_1 ~ q(x_1 | x_0)            push x_0 by p(x_0 | x_1)
    pop  x_l ~ q(x_l | x_{l-1})        push x_{l-1} by p(x_{l-1} | x_l)        l = 2 .. L
                                       push x_L by p(x_L) = N(0, I)

Popping a latent draws it with bits that the stack holds already, from the images before; who decodes it gets them back.
The stack grows by log q(x_{1:L} | x_0) - log p(x_{0:L}), whose mean is the negative bound. Popping an image goes the
same way back. No more than one level is popped before something is pushed, so that a message can begin with few bits.

Latents are rounded to bins of a fixed width. Both distributions of a level are integrated over the same bins; the
rounding makes the KL between them no larger (data processing) and reaches the likelihood only through a latent that
lies in the middle of its bin, a fraction of a standard deviation away.

The bits on top of the stack are those that the level below was just pushed into. Where p is not quite right they are
not quite uniform, and a latent drawn from them would depend on that level: a diffusion model was seen to take 3 % more
than its bound. So they are first mixed with pseudorandom ones (`Stack.pop_normals`).

Decoding must compute the same numbers as encoding did, to the bit: the same compiled program, on batches of one shape,
filled up with zeros. Rounding the numbers would be no guard, only fewer accidents: whatever the grid, some value lies
at an edge of it. So a file says where it was written, and has a checksum of its images.

Source: Townsend, Bird & Barber 2019 (BB-ANS); for chains Kingma, Abbeel & Ho 2019 (Bit-Swap).
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float32, Int, UInt8

from jaxgen.codec.stack import Stack
from jaxgen.latents import Gaussian, Latents


class Codec:
    """A model's latents as a code for batches of images.

    Args:
        latents: Chain of the model.
        variables: Variables of the model.
        batch_size: Rows of every call of the compiled functions.
    """

    def __init__(self, latents: Latents, variables: Any, batch_size: int):
        self._latents, self._variables, self.batch_size = latents, variables, batch_size
        self._first, self._data = jax.jit(latents.first), jax.jit(latents.data)
        self._up, self._down = (None if part is None else jax.jit(part) for part in (latents.up, latents.down))

    @property
    def num_levels(self) -> int:
        return len(self._latents.widths)

    def push(self, stack: Stack, x: UInt8[np.ndarray, "n *event"], first: int) -> None:
        """Push images, batch_size at most.

        Args:
            stack: The stack.
            x: The images.
            first: Number of the first of them.

        Raises:
            ValueError: The model computes numbers that are not finite.
        """
        num, widths = len(x), self._latents.widths
        below = stack.pop_normals(*self._q_of_first(x), widths[0], draw=first * self.num_levels)
        stack.push_values(x, self._p_of_data(below))
        for level in range(2, self.num_levels + 1):
            q, draw = self._gaussian(self._up, level, below, level - 1), first * self.num_levels + level - 1
            above = stack.pop_normals(*q, widths[level - 1], draw=draw)
            stack.push_normals(below, *self._gaussian(self._down, level, above, level), widths[level - 2])
            below = above
        stack.push_normals(below, *self._prior(num), widths[-1])

    def pop(self, stack: Stack, num: int, first: int) -> UInt8[np.ndarray, "num *event"]:
        """Pop images that were pushed together.

        Args:
            stack: The stack as it was after they were pushed; it becomes what it was before.
            num: How many.
            first: Number of the first of them.

        Raises:
            ValueError: The model computes numbers that are not finite.
            EOFError: The stack has too few words.
        """
        widths = self._latents.widths
        above = stack.pop_normals(*self._prior(num), widths[-1])
        for level in range(self.num_levels, 1, -1):
            below = stack.pop_normals(*self._gaussian(self._down, level, above, level), widths[level - 2])
            q, draw = self._gaussian(self._up, level, below, level - 1), first * self.num_levels + level - 1
            stack.push_normals(above, *q, widths[level - 1], draw=draw)
            above = below
        x = stack.pop_values(self._p_of_data(above)).astype(np.uint8)
        stack.push_normals(above, *self._q_of_first(x), widths[0], draw=first * self.num_levels)
        return x

    def _q_of_first(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self._on_host(self._first(self._variables, self._filled(x)), len(x))

    def _p_of_data(self, n: Int[np.ndarray, "n *shape"]) -> Float32[np.ndarray, "n *event values"]:
        return np.asarray(self._data(self._variables, self._values(n, 1)))[: len(n)]

    def _gaussian(self, function: Any, level: int, n: np.ndarray, level_of_n: int) -> tuple[np.ndarray, np.ndarray]:
        """Distribution of a level beside `level_of_n`, whose latents are in the bins n."""
        return self._on_host(function(self._variables, np.int32(level), self._values(n, level_of_n)), len(n))

    def _prior(self, num: int) -> tuple[np.ndarray, np.ndarray]:
        mean = np.zeros((num, *self._latents.shape), np.float32)
        return mean, np.ones_like(mean)

    def _values(self, n: Int[np.ndarray, "n *shape"], level: int) -> Float32[np.ndarray, "b *shape"]:
        """Latents in the middle of their bins."""
        return self._filled(n.astype(np.float32) * np.float32(self._latents.widths[level - 1]))

    def _filled(self, rows: np.ndarray) -> np.ndarray:
        padding = np.zeros((self.batch_size - len(rows), *rows.shape[1:]), rows.dtype)
        return np.concatenate([rows, padding])

    @staticmethod
    def _on_host(found: Gaussian, num: int) -> tuple[np.ndarray, np.ndarray]:
        return np.asarray(found.mean)[:num], np.asarray(found.std)[:num]


def batch_sizes(num: int, batch_size: int) -> Sequence[int]:
    """How many images are pushed together, batch by batch: no more than a quarter of those before, but one.

    A batch pops the latents of all its images before it pushes the images: the bits for it come from the images
    before. A message that began with a whole batch would need as many initial bits as all its latents take.

    Args:
        num: Number of images.
        batch_size: Images of a batch at most.
    """
    sizes, done = [], 0
    while done < num:
        sizes.append(min(max(1, done // 4), batch_size, num - done))
        done += sizes[-1]
    return sizes
