"""Mode coverage where the modes are known: what a generator leaves out can be counted.

Data that are equal Gaussians around known centres (`jaxgen.data.ring`, `jaxgen.data.grid`) tell mode collapse from
bad samples. Each sample belongs to the centre that is nearest, and is of high quality if it is near it. Of images whose
channels are digits (`jaxgen.data.stacked_digits`) a classifier of digits reads which mode they are.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from jaxgen import require
from jaxgen.data.stacked_digits import mode_of
from jaxgen.distributions import kl_divergence
from jaxgen.evaluate.classifier import TrainedClassifier, class_histogram, class_kl
from jaxgen.events import require_floats, require_rank


class ModeStatistics(NamedTuple):
    """Coverage of the modes by samples.

    Attributes:
        modes: Number of modes with at least one high-quality sample, int32 [].
        high_quality: Share of the samples that are of high quality, float32 [].
        reverse_kl: KL of the high-quality samples' shares of the modes from equal shares, nats, float32 []; NaN
            without a high-quality sample.
        counts: High-quality samples of each mode, int32 [m].
    """

    modes: Int[Array, ""]
    high_quality: Float[Array, ""]
    reverse_kl: Float[Array, ""]
    counts: Int[Array, " m"]


def mode_statistics(
    samples: Float[Array | np.ndarray, "n d"],
    centres: Float[Array | np.ndarray, "m e"],
    std: float | Float[Array, ""],
    within: float | Float[Array, ""] = 3.0,
) -> ModeStatistics:
    """Modes covered, share of high-quality samples, and how evenly these fall on the modes.

        nearest(x) = argmin_k ||x - c_k||
        high quality: ||x - c_nearest(x)|| <= within std
        counts_k = number of high-quality x with nearest(x) = k
        modes = number of k with counts_k > 0
        reverse KL = sum_k p_k log(m p_k),  p_k = counts_k / sum_l counts_l

    The reverse KL lies between 0 and log m, which is all samples on one mode; n samples of equal modes come to about
    (m - 1) / (2 n). Only samples of high quality count in it, by their nearest mode and against equal shares, as in
    the code published with PacGAN; elsewhere the name stands for the shares of all samples. Data themselves are not
    all of high quality: in two dimensions 1 - exp(-9/2) = 98.9 % of a Gaussian lie within 3 std.

    Pure: under `jax.vmap` it takes the samples of several generators. It holds n m d numbers at once. Samples that are
    not finite are of low quality.

    Args:
        samples: The generator's.
        centres: Means of the modes, all different.
        std: Standard deviation of each mode in every dimension.
        within: Largest distance of a high-quality sample, in standard deviations.

    Raises:
        ValueError: No sample or no centre, dimensions that differ, std or within not above 0 (jax
            arrays go unchecked).

    Source: Lin et al. 2018 (PacGAN), section 4.1; Srivastava et al. 2017 (VEEGAN).
    """
    if not isinstance(samples, jax.Array):  # it may be traced: several generators at once
        require.plain_array("samples", samples)
    require_floats(samples=samples, centres=centres)
    require_rank(2, "[n, d]", samples=samples, centres=centres)
    if samples.shape[1:] != centres.shape[1:] or not samples.size or not centres.size:
        raise ValueError(
            f"samples and centres must be [n, d] and [m, d] and not empty, got {samples.shape} and {centres.shape}"
        )
    for name, value in (("std", std), ("within", within)):
        if not isinstance(value, jax.Array):
            require.number(name, value, above=0)
    return _statistics(samples, centres, within * std)


@jax.jit
def _statistics(samples: Array, centres: Array, reach: Array | float) -> ModeStatistics:
    difference = samples[:, None] - centres[None]
    squares = jnp.square(difference).sum(axis=-1)
    good = squares.min(axis=1) <= jnp.square(reach)
    # Without a scatter: -1 marks low quality and equals no mode.
    owner = jnp.where(good, squares.argmin(axis=1), -1)
    counts = (owner[:, None] == jnp.arange(len(centres))[None]).sum(axis=0)
    num_good = counts.sum()
    shares = counts / num_good
    return ModeStatistics(
        modes=(counts > 0).sum(),
        high_quality=num_good / len(samples),
        reverse_kl=kl_divergence(shares, jnp.full_like(shares, 1 / len(centres))),
        counts=counts,
    )


class ModeCounts(NamedTuple):
    """Coverage of the modes by samples whose modes are known.

    Attributes:
        modes: Number of modes with at least one sample.
        kl: KL of the samples' shares of the modes from the reference, in nats.
        floor: Expected `kl` of as many draws from the reference itself, in nats.
        counts: Number of samples of each mode, int [m].
    """

    modes: int
    kl: float
    floor: float
    counts: Int[np.ndarray, " m"]


def mode_counts(
    classes: Int[np.ndarray, " n"], num_modes: int, reference: Float[np.ndarray, " m"] | None = None
) -> ModeCounts:
    """Modes covered, and how far the samples' shares of the modes are from those of the data.

        modes = number of k with counts_k > 0
        KL = sum_k p_k log(p_k / q_k),  p_k = counts_k / n
        floor = (number of k with q_k > 0, less 1) / (2 n)

    The floor is that of `class_kl`, of first order in 1/n: 0.0192 nats for 26,000 samples of 1,000 modes.

    Args:
        classes: Mode of each sample, 0 .. num_modes - 1.
        num_modes: Number of modes.
        reference: Shares q of the modes in the data; equal ones unless given, as published figures have it.

    Raises:
        ValueError: No sample, or a mode out of range.

    Source: Lin et al. 2018 (PacGAN), section 4.2.
    """
    shares = class_histogram(classes, num_modes)
    kl = float(class_kl(shares, None if reference is None else reference.astype(np.float32)))
    occurring = num_modes if reference is None else int((reference > 0).sum())
    counts = np.bincount(classes, minlength=num_modes)
    return ModeCounts(int((counts > 0).sum()), kl, (occurring - 1) / (2 * len(classes)), counts)


def stacked_classes(judge: TrainedClassifier, x: Shaped[Array | np.ndarray, "n h w c"]) -> Int[np.ndarray, " n"]:
    """Modes of images whose every channel is a picture of its own: see `jaxgen.data.mode_of`.

    Args:
        judge: Classifier of pictures of one channel.
        x: Images as the classifier takes them, but for their channels.

    Raises:
        ValueError: Images that the classifier refuses.
    """
    images = require.plain_array("x", x)
    classes = [judge.predictions(images[..., channel, None]) for channel in range(images.shape[-1])]
    return mode_of(np.stack(classes, axis=1), judge.network.num_classes)
