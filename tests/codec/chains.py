"""A chain of latents that is known exactly, and a stack that lies in memory."""

import jax.numpy as jnp
import numpy as np
from scipy import stats

from jaxgen.codec import initial_words
from jaxgen.core import Spec
from jaxgen.distributions import discretized_normal_probabilities
from jaxgen.latents import Gaussian, Latents

SPEC = Spec((2, 2, 1), "uint8", levels=256)
STD = 0.3
"""Standard deviation of the data."""


def chain(num_levels=1, wrong=0.0, width=2.0**-5):
    """Normal data N(0, 0.3^2), on the grid of 256 levels, whose reversal is exact unless something is added to it.

    x_1 = 2 x_0 + 0.8 eps and x_l = 0.6 x_{l-1} + 0.8 eps, so that every level is N(0, 1).
    """

    def space(x):
        return x.astype(jnp.float32) / jnp.float32(127.5) - 1

    def normal(mean, std):
        return Gaussian(mean, jnp.full_like(mean, std))

    def first(variables, x):
        return normal(2 * space(x), 0.8)

    def data(variables, x_1):
        log_std = jnp.full_like(x_1, jnp.log(STD * 0.8))
        return discretized_normal_probabilities(variables["slope"] * x_1 + wrong, log_std, 256)

    def up(variables, level, x):
        return normal(0.6 * x, 0.8)

    def down(variables, level, x):
        return normal(0.6 * x + wrong, 0.8)

    return Latents(SPEC.event_shape, (width,) * num_levels, first, data, up, down)


VARIABLES = {"slope": np.float32(2 * STD**2)}


def images(num, seed=0):
    x = STD * np.random.default_rng(seed).normal(size=(num, *SPEC.event_shape))
    return np.clip(np.round((x + 1) * 127.5), 0, 255).astype(np.uint8)


def bits(x):
    """-log2 p(x) of all images together."""
    edges = (x.astype(np.float64)[..., None] + np.array([-0.5, 0.5])) / 127.5 - 1
    edges = np.where(x[..., None] == np.array([0, 256]), np.array([-np.inf, np.inf]), edges)
    below = stats.norm.cdf(edges, scale=STD)
    return -np.log2(below[..., 1] - below[..., 0]).sum()


class Memory:
    """What lies below a stack, in memory."""

    def __init__(self):
        self.held, self.num_initial = np.zeros(0, np.uint32), 0

    def take(self, num):
        num = min(num, len(self.held))
        words, self.held = self.held[len(self.held) - num :], self.held[: len(self.held) - num]
        return words

    def begin(self, num):
        self.num_initial += num
        return initial_words(self.num_initial - num, num)

    def give(self, words):
        self.held = np.concatenate([self.held, words])
