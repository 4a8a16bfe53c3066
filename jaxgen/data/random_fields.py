"""Gaussian random fields on a periodic grid: volumes about which everything is known.

A field of mean 0 whose statistics do not change from place to place is a sum of waves with independent amplitudes, and
its power spectrum P(k) says how strong they are. With the orthonormal Fourier transform F over a grid of N cells of
side a in d dimensions,

    x = F^-1 sqrt(lambda_k) F eps,     eps ~ N(0, I),     lambda_k = P(k) / a^d
    log p(x) = -1/2 sum_k (|F x|_k^2 / lambda_k + log(2 pi lambda_k))

so that lambda_k are the eigenvalues of the covariance of the cells, and their mean is the variance of one cell. Given
noisy values of some of the cells, the field is Gaussian again, with the mean and the covariance of the Wiener filter.

Sample k comes from `fold_in(key, k)`. What is exact is float64 numpy.
"""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Float32, Float64

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.data.gaussians import Gaussian, observed_in_part
from jaxgen.draws import example_keys


@dataclass(frozen=True)
class PowerLaw:
    """A power spectrum that is flat on large scales and falls as a power of k on small ones.

        P(k) = A / (k^2 + k_0^2)^(n / 2)

    Args:
        amplitude: Amplitude A.
        k_0: Wavenumber of the bend, in 1 / length.
        slope: Exponent n.

    Raises:
        ValueError: A number that is not positive, or a negative slope.

    Source: slope 4 in three dimensions is the Matérn covariance of smoothness 1/2, exp(-k_0 r); Rasmussen & Williams
    2006, equation 4.15.
    """

    amplitude: float = 30.0
    k_0: float = 0.2
    slope: float = 3.0

    def __post_init__(self):
        require.number("amplitude", self.amplitude, above=0)
        require.number("k_0", self.k_0, above=0)
        require.number("slope", self.slope, 0)

    def __call__(self, k: Float64[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
        """Power at the wavenumbers k, in the squared unit of the field times length^d."""
        return self.amplitude * (np.square(k) + self.k_0**2) ** (-self.slope / 2)


def wavenumbers(shape: tuple[int, ...], cell: float = 1.0) -> Float64[np.ndarray, "*shape"]:
    """Length |k| of the wave vector of every Fourier mode of a periodic grid, in the order of `numpy.fft.fftn`.

    Args:
        shape: Number of cells along each axis.
        cell: Side of a cell.

    Raises:
        ValueError: No axis, a number of cells below 1, or a side that is not positive.
    """
    require.sizes("shape", shape, fewest=1)
    require.number("cell", cell, above=0)
    axes = np.meshgrid(*(2 * np.pi * np.fft.fftfreq(n, cell) for n in shape), indexing="ij")
    return np.sqrt(sum(np.square(axis) for axis in axes))


@dataclass(frozen=True)
class RandomField:
    """A Gaussian random field of mean 0 on a periodic grid.

    Examples are [*shape, 1], the last axis the channel of images.

    Args:
        shape: Number of cells along each axis.
        cell: Side of a cell, in units of length.
        spectrum: Power spectrum.

    Raises:
        ValueError: No axis, a number of cells below 1, or a side that is not positive.

    Source: Adler 1981, "The Geometry of Random Fields", section 2.4 (spectral representation).
    """

    shape: tuple[int, ...] = (6, 6, 6)
    cell: float = 8.0
    spectrum: PowerLaw = PowerLaw()

    def __post_init__(self):
        object.__setattr__(self, "shape", require.sizes("shape", self.shape, fewest=1))
        require.number("cell", self.cell, above=0)
        require.fields(self)

    @property
    def mode_variances(self) -> Float64[np.ndarray, "*shape"]:
        """Variance lambda_k = P(k) / a^d of every mode of the orthonormal Fourier transform."""
        return self.spectrum(wavenumbers(self.shape, self.cell)) / self.cell ** len(self.shape)

    @property
    def variance(self) -> float:
        """Variance of one cell, the mean of lambda_k (Parseval)."""
        return float(self.mode_variances.mean())

    def sample(self, key: PRNGKey, num: int, first: int = 0) -> Float32[Array, "num *event"]:
        """Draw the fields first .. first + num - 1 of a key.

        Raises:
            ValueError: num below 1, or first below 0.
        """
        require.size("num", num)
        require.size("first", first, 0)
        axes = tuple(range(len(self.shape)))
        half = np.sqrt(self.mode_variances[..., : self.shape[-1] // 2 + 1]).astype(np.complex64)

        def draw(key: PRNGKey) -> Array:
            waves = jnp.fft.rfftn(jax.random.normal(key, self.shape, jnp.float32), axes=axes)
            return jnp.fft.irfftn(waves * half, self.shape, axes)[..., None]

        return jax.jit(jax.vmap(draw))(example_keys(key, jnp.arange(first, first + num, dtype=jnp.int32)))

    def log_prob(self, x: Float[np.ndarray, "b ..."]) -> Float64[np.ndarray, " b"]:
        """Log-density log p(x), in nats.

        Raises:
            ValueError: Fields of another shape.
        """
        power = np.square(np.abs(self._waves(x)))
        each = power / self.mode_variances + np.log(2 * math.pi * self.mode_variances)
        return -0.5 * each.reshape(len(power), -1).sum(axis=1)

    def entropy(self) -> float:
        """Entropy 1/2 sum_k log(2 pi e lambda_k), in nats: a lower limit of every mean negative bound."""
        return 0.5 * float(np.log(2 * math.pi * math.e * self.mode_variances).sum())

    def covariance(self) -> Float64[np.ndarray, "n n"]:
        """Covariance of the cells, in the order of `x.reshape(-1)`: xi(i - j), the Fourier transform of the spectrum.

        xi(r) = 1/N sum_k lambda_k exp(i k r)
        """
        xi = np.fft.ifftn(self.mode_variances).real
        place = np.indices(self.shape).reshape(len(self.shape), -1)
        apart = place[:, :, None] - place[:, None, :]
        return xi[tuple(apart % np.asarray(self.shape)[:, None, None])]

    def posterior(self, observed: Float[np.ndarray, "..."], seen: Bool[np.ndarray, "..."], noise: float) -> Gaussian:
        """The field given noisy values of some of its cells: mean and covariance of the Wiener filter.

        Args:
            observed: Values with noise; those of cells that are not seen may be anything.
            seen: True where a cell was observed.
            noise: Standard deviation of the noise.

        Returns:
            A Gaussian of the cells, in the order of `x.reshape(-1)`.

        Raises:
            ValueError: Another shape, or noise that is not positive.

        Source: Zaroubi et al. 1995, equations 7 and 14; see `gaussians.observed_in_part`.
        """
        require.number("noise", noise, above=0)
        for name, value in (("observed", observed), ("seen", seen)):
            if np.shape(value) != (*self.shape, 1):
                raise ValueError(f"{name} must be of shape {(*self.shape, 1)}, got {np.shape(value)}")
        mask = np.asarray(seen).reshape(-1)
        prior = Gaussian(np.zeros(mask.size), self.covariance())
        return observed_in_part(prior, np.flatnonzero(mask), np.asarray(observed).reshape(-1)[mask], noise**2)

    def _waves(self, x: np.ndarray) -> np.ndarray:
        if np.shape(x)[1:] != (*self.shape, 1):
            raise ValueError(f"x must be of shape [b, {', '.join(map(str, self.shape))}, 1], got {np.shape(x)}")
        axes = tuple(range(1, 1 + len(self.shape)))
        return np.fft.fftn(np.asarray(x, np.float64)[..., 0], axes=axes, norm="ortho")


def observe(
    key: PRNGKey, x: Float32[Array | np.ndarray, "b *event"], share: float, noise: float
) -> tuple[Float32[Array, "b *event"], Bool[Array, "b *event"]]:
    """Noisy values of some of the cells, each seen with probability `share`, independently.

    Args:
        key: Root of the draws; those of example k come from `fold_in(key, k)`.
        x: Fields.
        share: Probability that a cell is seen.
        noise: Standard deviation of the noise.

    Returns:
        The values, 0 where a cell is not seen, and True where it is.

    Raises:
        ValueError: A share outside [0, 1], or noise that is not positive.
    """
    require.number("share", share, 0, 1)
    require.number("noise", noise, above=0)

    def one(key: PRNGKey, x: Array) -> tuple[Array, Array]:
        key_seen, key_noise = jax.random.split(key)
        seen = jax.random.bernoulli(key_seen, jnp.float32(share), x.shape)
        values = x + jnp.float32(noise) * jax.random.normal(key_noise, x.shape, jnp.float32)
        return jnp.where(seen, values, jnp.float32(0)), seen

    return jax.jit(jax.vmap(one))(example_keys(key, jnp.arange(len(x), dtype=jnp.int32)), jnp.asarray(x))
