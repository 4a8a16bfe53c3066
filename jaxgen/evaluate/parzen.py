"""The Parzen-window estimate of a log-likelihood, by which the first generative adversarial networks were measured.

A model that only samples has no density. A window around each of N samples s_i makes one,

    p(x) = 1/N sum_i N(x | s_i, sigma^2 I)

whose width is the one that makes held-out images most likely. Published figures (Goodfellow et al. 2014, table 1:
GAN 225 +- 2 nats on MNIST, deep GSN 214, DBN 138) are of 10,000 samples with pixels in [0, 1], sigma one of ten values
from 0.1 to 1, chosen on held-out training images.

It is kept to stand beside those. It is no estimate of the model's likelihood: in as many dimensions as an image has,
no number of samples fills the space, and what is smooth wins over what is true (Theis, van den Oord & Bethge 2016). On
MNIST 10,000 of the training images themselves come to 241 nats and 1,000 k-means centroids of them to 280, which is why
`parzen` gives the figures of such references beside that of the samples.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from jaxgen import require
from jaxgen.core import Estimate, PRNGKey
from jaxgen.evaluate.likelihood import estimate
from jaxgen.evaluate.neighbours import BLOCK_VALUES, comparable, distance_blocks

CANDIDATES = tuple(np.logspace(-1, 0, 10).tolist())
"""The widths of the published protocol: ten, from 0.1 to 1."""


def parzen_log_prob(
    x: Real[Array | np.ndarray, "m ..."],
    samples: Real[Array | np.ndarray, "n ..."],
    sigma: float,
    *,
    block_values: int = BLOCK_VALUES,
) -> Float[np.ndarray, " m"]:
    """Log-density of a mixture of Gaussians of width sigma, one around each sample.

        log p(x) = log 1/n sum_i exp(-||x - s_i||^2 / (2 sigma^2)) - d/2 log(2 pi sigma^2)

    Computed in float64 on the host, to about 1e-15 (||x - c||^2 + ||s - c||^2) / sigma^2 with c the samples' mean.

    Args:
        x: Where the density is taken.
        samples: s, in the same space.
        sigma: Standard deviation of the windows, in the unit of x.
        block_values: Distances in memory at a time; 2^20 make about 50 MB. Only time depends on it.

    Returns:
        One log-density per example, in nats.

    Raises:
        ValueError: No examples, integers, shapes that differ, values that are not finite, or a width not above 0.

    Source: Goodfellow et al. 2014, section 5; Breuleux, Bengio & Vincent 2011.
    """
    return _log_prob(x, samples, [sigma], block_values)[0]


def choose_sigma(
    samples: Real[Array | np.ndarray, "n ..."],
    x_valid: Real[Array | np.ndarray, "m ..."],
    candidates: Sequence[float] | Float[np.ndarray, " s"] = CANDIDATES,
    *,
    block_values: int = BLOCK_VALUES,
) -> float:
    """The width that makes held-out images most likely, on average.

        argmax_sigma 1/m sum_j log p_sigma(x_j)

    Args:
        samples: Where the windows are.
        x_valid: Held-out images, none of those that the figure is for.
        candidates: Widths to choose from; of equals the first.
        block_values: See `parzen_log_prob`. The distances are computed once for all widths.

    Raises:
        ValueError: As `parzen_log_prob`; no candidate.
    """
    return float(candidates[int(np.argmax(_validation(samples, x_valid, candidates, block_values)))])


class ParzenResult(NamedTuple):
    """A Parzen-window log-likelihood and what it is worth.

    Attributes:
        log_likelihood: Mean over test images with its standard error, nats (a density: pixels in [0, 1]).
        sigma: The width that was chosen.
        validation: Mean over held-out images for each candidate, nats: where it is largest at an end, the choice was
            too narrow.
        num_samples: Number of windows.
        references: The same for other sets in place of the samples, each with a width of its own.
    """

    log_likelihood: Estimate
    sigma: float
    validation: Float[np.ndarray, " s"]
    num_samples: int
    references: Mapping[str, "ParzenResult"]


def parzen(
    samples: Real[Array | np.ndarray, "n ..."],
    x_valid: Real[Array | np.ndarray, "v ..."],
    x_test: Real[Array | np.ndarray, "t ..."],
    *,
    references: Mapping[str, Array | np.ndarray] | None = None,
    log_volume: Float[np.ndarray, " t"] | None = None,
    bounded: bool = True,
    candidates: Sequence[float] | Float[np.ndarray, " s"] = CANDIDATES,
    block_values: int = BLOCK_VALUES,
) -> ParzenResult:
    """The published protocol: the width from held-out images, the figure from test images.

    Args:
        samples: Samples of the model, 10,000 in the published figures; pixels in [0, 1].
        x_valid: Held-out training images, 1,000 in the published figures.
        x_test: Test images, 10,000 in the published figures.
        references: Sets to be measured as if they were samples, by name: as many training images say what a perfect
            model would come to, centroids (`kmeans_centroids`) what is to be had without one.
        log_volume: Summand that makes the log-density of each scaled test image one in its own units
            (`jaxgen.data.space.log_volume`); None adds nothing.
        bounded: Whether pixels must lie in [0, 1]; False for real values, all on one scale.
        candidates: Widths to choose from.
        block_values: See `parzen_log_prob`.

    Raises:
        ValueError: As `choose_sigma`; pixels outside [0, 1].

    Source: Goodfellow et al. 2014, section 5 and table 1.
    """
    sets = {"samples": samples, "x_valid": x_valid, "x_test": x_test}
    for name, images in {**sets, **(references or {})}.items():
        pixels = require.plain_array(name, images)
        if bounded and pixels.size and not (pixels.min() >= 0 and pixels.max() <= 1):
            raise ValueError(f"{name} must have pixels in [0, 1], got {pixels.min()} to {pixels.max()}")
    validation = _validation(samples, x_valid, candidates, block_values)
    sigma = float(candidates[int(np.argmax(validation))])
    log_prob = parzen_log_prob(x_test, samples, sigma, block_values=block_values)
    return ParzenResult(
        log_likelihood=estimate(log_prob if log_volume is None else log_prob + log_volume, "nats"),
        sigma=sigma,
        validation=validation,
        num_samples=len(samples),
        references={
            name: parzen(
                images,
                x_valid,
                x_test,
                log_volume=log_volume,
                bounded=bounded,
                candidates=candidates,
                block_values=block_values,
            )
            for name, images in (references or {}).items()
        },
    )


def kmeans_centroids(key: PRNGKey, x: Float[Array | np.ndarray, "n ..."], k: int) -> Float[np.ndarray, "k ..."]:
    """Means of k clusters of the data, by scikit-learn's k-means over mini-batches, begun at random examples.

    Args:
        key: Key of the first centroids and of the mini-batches.
        x: Examples of the data.
        k: Number of clusters.

    Returns:
        Centroids in the space of the data and in its dtype.

    Raises:
        ValueError: k out of 1..n.
    """
    from sklearn.cluster import MiniBatchKMeans

    require.typed_key("key", key)
    require.integer("k", k, 1, len(x), "the number of examples")
    seed = int(jax.random.bits(key, (), jnp.uint32))
    # Examples to begin with: the careful choice of k-means++ takes longer than everything after it.
    clusters: Any = MiniBatchKMeans(k, init="random", batch_size=max(1024, k), random_state=seed)
    data = require.plain_array("x", x)
    return clusters.fit(data.reshape(len(data), -1)).cluster_centers_.reshape(k, *data.shape[1:])


def _validation(
    samples: Array | np.ndarray,
    x_valid: Array | np.ndarray,
    candidates: Sequence[float] | np.ndarray,
    block_values: int,
) -> Float[np.ndarray, " s"]:
    if len(candidates) == 0:
        raise ValueError("candidates must hold at least one width, got none")
    return _log_prob(x_valid, samples, candidates, block_values).mean(axis=1)


def _log_prob(
    x: Array | np.ndarray, samples: Array | np.ndarray, sigmas: Sequence[float] | np.ndarray, block_values: int
) -> Float[np.ndarray, "s m"]:
    """`parzen_log_prob` for several widths, from the same distances."""
    x, samples = comparable(x=x, samples=samples)
    if not np.issubdtype(x.dtype, np.floating):
        raise ValueError(f"x and samples must be floating, pixels in [0, 1], got {x.dtype} and {samples.dtype}")
    for sigma in sigmas:
        require.number("sigma", sigma, above=0)
    # log sum exp, streaming: the sum is relative to the largest term so far, that of the closest sample.
    closest = np.full(len(x), np.inf)
    total = np.zeros((len(sigmas), len(x)))
    for block in distance_blocks(x, samples, block_values):
        rows = block.rows
        before = closest[rows].copy()  # a slice would follow the assignment
        closest[rows] = np.minimum(before, block.squares.min(axis=1))
        beyond = np.subtract(block.squares, closest[rows, None], out=block.squares)
        terms = np.empty_like(beyond)
        for sum_of_terms, sigma in zip(total, sigmas, strict=True):
            scale = -0.5 / sigma**2
            np.exp(np.multiply(beyond, scale, out=terms), out=terms)
            sum_of_terms[rows] = sum_of_terms[rows] * np.exp(scale * (before - closest[rows])) + terms.sum(axis=1)
    width = np.asarray(sigmas, np.float64)[:, None]
    log_volume = math.log(len(samples)) + x.shape[1] / 2 * np.log(2 * math.pi * width**2)
    return np.log(total) - closest[None] / (2 * width**2) - log_volume
