"""Galaxies with known parameters, rendered as a telescope sees them: in float32 counts, with heavy tails.

    image = pixel * psf * galaxy,      observed = image + sqrt(sky + image) eps,      eps ~ N(0, 1)

A galaxy is an elliptical Sersic profile (`jaxgen.data.sersic`), blurred by the point-spread function and by the pixel.
The product of the three transfer functions is turned into pixels by one Fourier transform, so that no peak is sampled
too coarsely. Counts of photons have the variance of their mean, and that of the sky, which is subtracted, stays.

There are two kinds, as on the sky: blue discs (index near 1, seen from any side) and red spheroids (index near 3.5).
The flux has a tail that falls as a power, so that a few galaxies are a hundred times as bright as most.

Galaxy k comes from `fold_in(key, k)`. What is exact is float64 numpy.
"""

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Float64, Int32

from jaxgen import require
from jaxgen.core import PRNGKey
from jaxgen.data import sersic
from jaxgen.draws import example_keys, example_normals

KINDS = ("disc", "spheroid")
_AT_ONCE = 250  # galaxies that are rendered at once
_THINNEST = 0.2  # axis ratio of a disc seen from its edge
_INDEX = (0.5, 6.0)


@dataclass(frozen=True)
class GaussianPSF:
    """A Gaussian point-spread function.

    Args:
        fwhm: Full width at half maximum, in pixels.
    """

    fwhm: float = 2.5

    def __post_init__(self):
        require.number("fwhm", self.fwhm, above=0)

    def transfer(self, k: Float[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
        """Fourier transform at the wavenumbers k, in 1 / pixel."""
        sigma = self.fwhm / math.sqrt(8 * math.log(2))
        return np.exp(-0.5 * np.square(sigma * np.asarray(k, np.float64)))


@dataclass(frozen=True)
class MoffatPSF:
    """A point-spread function with the wings of the atmosphere: (1 + (r / a)^2)^-beta.

    Args:
        fwhm: Full width at half maximum, in pixels.
        beta: Exponent, at most 30; the wings are wider the smaller it is.

    Source: Moffat 1969; Trujillo et al. 2001.
    """

    fwhm: float = 2.5
    beta: float = 3.5

    def __post_init__(self):
        require.number("fwhm", self.fwhm, above=0)
        require.number("beta", self.beta, above=1, high=30)

    def transfer(self, k: Float[np.ndarray, "..."]) -> Float64[np.ndarray, "..."]:
        """Fourier transform at the wavenumbers k, in 1 / pixel: 2 (ka/2)^(beta-1) K_(beta-1)(ka) / Gamma(beta-1)."""
        from scipy.special import kve  # slow to import

        order = self.beta - 1
        width = self.fwhm / (2 * math.sqrt(2 ** (1 / self.beta) - 1))
        argument = np.maximum(width * np.abs(np.asarray(k, np.float64)), 1e-6)
        log_front = math.log(2) - math.lgamma(order) + order * np.log(argument / 2) - argument
        return np.exp(log_front) * kve(order, argument)


class Parameters(NamedTuple):
    """Parameters of galaxies.

    Attributes:
        kind: Number of the kind, see `KINDS`.
        flux: Total flux in the middle band, in counts.
        radius: Radius of the ellipse with half of the flux, sqrt(a b) of its half-axes, in pixels.
        sersic_index: Sersic index.
        axis_ratio: Minor over major axis.
        angle: Angle of the major axis against the rows, in radians.
        colour: Magnitudes by which the galaxy is fainter in the last band than in the first.
        place: Row and column of the centre, in pixels from that of the image.
    """

    kind: Int32[np.ndarray, " n"]
    flux: Float32[np.ndarray, " n"]
    radius: Float32[np.ndarray, " n"]
    sersic_index: Float32[np.ndarray, " n"]
    axis_ratio: Float32[np.ndarray, " n"]
    angle: Float32[np.ndarray, " n"]
    colour: Float32[np.ndarray, " n"]
    place: Float32[np.ndarray, "n 2"]

    @property
    def fields(self) -> dict[str, np.ndarray]:
        """All but the kind, as further fields of a data set."""
        return {name: value for name, value in self._asdict().items() if name != "kind"}


@dataclass(frozen=True)
class Galaxies:
    """A population of galaxies, and the telescope that sees them.

    Args:
        size: Height and width of an image in pixels.
        bands: Number of bands, from red to blue; the colour says how the flux differs between them.
        psf: Point-spread function.
        sky: Counts of the sky in a pixel, subtracted in the mean.
        discs: Share of discs.
        flux: Smallest flux, in counts.
        tail: Exponent a of the flux's tail, P(F > f) = (flux / f)^a.
        brightest: Largest flux over the smallest.
        disc_radius: Median half-light radius of discs, in pixels.
        spheroid_radius: Median half-light radius of spheroids, in pixels.

    Raises:
        ValueError: A number outside its range.
    """

    size: int = 32
    bands: int = 3
    psf: GaussianPSF | MoffatPSF = MoffatPSF()
    sky: float = 10.0
    discs: float = 0.6
    flux: float = 1000.0
    tail: float = 1.2
    brightest: float = 300.0
    disc_radius: float = 3.5
    spheroid_radius: float = 2.5

    def __post_init__(self):
        require.size("size", self.size, 8)
        require.size("bands", self.bands)
        require.number("sky", self.sky, 0)
        require.number("discs", self.discs, 0, 1)
        for name in ("flux", "tail", "disc_radius", "spheroid_radius"):
            require.number(name, getattr(self, name), above=0)
        require.number("brightest", self.brightest, above=1)
        require.fields(self)

    def parameters(self, key: PRNGKey, num: int, first: int = 0) -> Parameters:
        """Draw the parameters of the galaxies first .. first + num - 1 of a key.

        Raises:
            ValueError: num below 1, or first below 0.
        """
        require.size("num", num)
        require.size("first", first, 0)
        medians = jnp.asarray([self.disc_radius, self.spheroid_radius], jnp.float32)
        lowest, largest = jnp.float32(0.8), jnp.float32(self.size / 5)
        # P(F > f) at the largest flux: uniform draws between it and 1 have the tail cut off there.
        least = jnp.float32(self.brightest**-self.tail)

        def draw(key: PRNGKey) -> dict[str, Array]:
            keys = dict(zip(Parameters._fields, jax.random.split(key, len(Parameters._fields)), strict=True))
            uniform, normal = (
                lambda name, low, high, shape=(): jax.random.uniform(keys[name], shape, jnp.float32, low, high),
                lambda name: jax.random.normal(keys[name], (), jnp.float32),
            )
            kind = (uniform("kind", 0.0, 1.0) >= self.discs).astype(jnp.int32)
            disc = kind == 0
            cosine = uniform("axis_ratio", 0.0, 1.0)
            seen = jnp.sqrt(_THINNEST**2 + (1 - _THINNEST**2) * jnp.square(cosine))
            index = jnp.where(disc, jnp.exp(0.2 * normal("sersic_index")), 3.5 * jnp.exp(0.15 * normal("sersic_index")))
            return {
                "kind": kind,
                "flux": self.flux * uniform("flux", least, 1.0) ** jnp.float32(-1 / self.tail),
                "radius": jnp.clip(medians[kind] * jnp.exp(0.25 * normal("radius")), lowest, largest),
                "sersic_index": jnp.clip(index, *map(jnp.float32, _INDEX)),
                "axis_ratio": jnp.where(disc, seen, 0.55 + 0.45 * cosine),
                "angle": uniform("angle", 0.0, math.pi),
                "colour": jnp.where(disc, 0.6 + 0.15 * normal("colour"), 1.2 + 0.08 * normal("colour")),
                "place": uniform("place", -0.5, 0.5, (2,)),
            }

        drawn: Any = jax.jit(jax.vmap(draw))(example_keys(key, jnp.arange(first, first + num, dtype=jnp.int32)))
        return Parameters(**{name: np.asarray(value) for name, value in drawn.items()})

    def fluxes(self, parameters: Parameters) -> Float64[np.ndarray, "n bands"]:
        """Total flux of each galaxy in each band, in counts: magnitudes change evenly from band to band."""
        at = np.linspace(-0.5, 0.5, self.bands) if self.bands > 1 else np.zeros(1)
        colour = parameters.colour.astype(np.float64)[:, None]
        return parameters.flux.astype(np.float64)[:, None] * 10 ** (-0.4 * colour * at)

    def images(self, parameters: Parameters) -> Float32[np.ndarray, "n size size bands"]:
        """The galaxies blurred, without noise, in counts; light beyond the edge of the image is lost."""
        parts = [
            self._round(Parameters(*(column[k : k + _AT_ONCE] for column in parameters)))
            for k in range(0, len(parameters.flux), _AT_ONCE)
        ]
        flux = self.fluxes(parameters)[:, None, None, :]
        return (np.concatenate(parts)[..., None] * flux).astype(np.float32)

    def observed(self, key: PRNGKey, images: Float32[np.ndarray, "n *event"]) -> Float32[np.ndarray, "n *event"]:
        """Images with the noise of photons, of variance sky + image; that of image k comes from `fold_in(key, k)`."""
        eps = np.asarray(example_normals(key, jnp.arange(len(images), dtype=jnp.int32), images.shape[1:]))
        return images + np.sqrt(np.maximum(images, 0) + np.float32(self.sky)) * eps

    def sample(self, key: PRNGKey, num: int) -> tuple[Float32[np.ndarray, "n size size bands"], Parameters]:
        """Draw observed galaxies and their parameters.

        Raises:
            ValueError: num below 1.
        """
        key_parameters, key_noise = jax.random.split(key)
        parameters = self.parameters(key_parameters, num)
        return self.observed(key_noise, self.images(parameters)), parameters

    def _round(self, parameters: Parameters) -> Float64[np.ndarray, "n size size"]:
        """Images of flux 1, by one Fourier transform on a grid of twice the size, so that no wing comes back."""
        grid = 2 * self.size
        down, across = np.meshgrid(np.fft.fftfreq(grid), np.fft.rfftfreq(grid), indexing="ij")
        radius, ratio, angle = (
            getattr(parameters, name).astype(np.float64)[:, None, None] for name in ("radius", "axis_ratio", "angle")
        )
        # Wavenumbers along the axes of the galaxy, in whose units it is round with half of the light within 1.
        major = np.cos(angle) * across + np.sin(angle) * down
        minor = np.cos(angle) * down - np.sin(angle) * across
        k = 2 * math.pi * radius * np.hypot(major / np.sqrt(ratio), minor * np.sqrt(ratio))
        waves = sersic.transfer(parameters.sersic_index)(k)
        telescope = self.psf.transfer(2 * math.pi * np.hypot(down, across)) * np.sinc(down) * np.sinc(across)
        centre = (self.size - 1) / 2 + parameters.place.astype(np.float64)
        phase = down * centre[:, 0, None, None] + across * centre[:, 1, None, None]
        image = np.fft.irfft2(waves * telescope * np.exp(-2j * math.pi * phase), (grid, grid))
        return image[:, : self.size, : self.size]
