"""Gaussian paths from data to noise, over real t: t = 0 is the data, and the signal falls as t grows.

    x_t = alpha(t) x_0 + sigma(t) eps,     eps ~ N(0, I)
    lambda(t) = log alpha(t)^2 / sigma(t)^2, the log signal-to-noise ratio, falls from infinity at t = 0

    Linear               alpha = 1 - t, sigma = t                       rectified flow, flow matching
    Cosine               alpha = cos(pi t / 2), sigma = sin(pi t / 2)   an arc at constant speed
    LinearBeta           alpha = exp(-B(t) / 2), alpha^2 + sigma^2 = 1  the VP diffusion, of which Ho et al. take steps
    VarianceExploding    alpha = 1, sigma = t                           EDM, where t is the standard deviation
    Tabulated            through the levels of a discrete schedule      the lecture's chain, in `jaxgen.paths.tabulated`

A path is a frozen dataclass of numbers. One of your own subclasses `Path` and gives five functions of t.
"""

import math
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, runtime_checkable

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.events import require_events, require_floats, require_shape

Values: TypeAlias = int | float | Float[Array | np.ndarray, "..."]
"""A number, or an array of floats."""

Time: TypeAlias = int | float | Float[Array | np.ndarray, ""] | Float[Array | np.ndarray, " b"]
"""t, one for all examples or one for each."""


def floats(t: Any) -> Array:
    """A number or an array as floats. Raises ValueError for an array of integers."""
    found = jnp.asarray(float(t)) if isinstance(t, int | float) else jnp.asarray(t)
    require_floats(t=found)
    return found


@runtime_checkable
class Path(Protocol):
    """Signal alpha(t) and noise sigma(t) as functions of real t in [0, t_max], elementwise on arrays of any shape."""

    @property
    def t_max(self) -> float:
        """Largest t, where the noise is strongest; infinite where there is no end."""
        return 1.0

    def alpha(self, t: Values) -> Array:
        """Factor alpha(t) of the data; 1 at t = 0."""
        ...

    def sigma(self, t: Values) -> Array:
        """Standard deviation sigma(t) of the noise; 0 at t = 0."""
        ...

    def alpha_rate(self, t: Values) -> Array:
        """Derivative d alpha / dt."""
        ...

    def sigma_rate(self, t: Values) -> Array:
        """Derivative d sigma / dt; it may be infinite at t = 0."""
        ...

    def time(self, log_snr: Values) -> Array:
        """The t with this log signal-to-noise ratio: the inverse of `log_snr`."""
        ...

    def log_snr(self, t: Values) -> Array:
        """Log signal-to-noise ratio lambda(t) = log alpha(t)^2 / sigma(t)^2. Source: Kingma et al. 2021, section 3."""
        return 2 * (jnp.log(self.alpha(t)) - jnp.log(self.sigma(t)))

    def log_snr_rate(self, t: Values) -> Array:
        """Derivative d lambda / dt, negative: half of it weighs the noise's error in the continuous-time bound.

        Source: Kingma et al. 2021, equation 17.
        """
        return 2 * (self.alpha_rate(t) / self.alpha(t) - self.sigma_rate(t) / self.sigma(t))


@dataclass(frozen=True)
class Linear(Path):
    """The straight line from data to noise: alpha = 1 - t, sigma = t.

    Source: Liu et al. 2023 (rectified flow), equation 1; Lipman et al. 2023, equation 20, with t turned round.
    """

    def alpha(self, t: Values) -> Array:
        return 1 - floats(t)

    def sigma(self, t: Values) -> Array:
        return floats(t)

    def alpha_rate(self, t: Values) -> Array:
        return -jnp.ones_like(floats(t))

    def sigma_rate(self, t: Values) -> Array:
        return jnp.ones_like(floats(t))

    def time(self, log_snr: Values) -> Array:
        return jax.nn.sigmoid(-floats(log_snr) / 2)


@dataclass(frozen=True)
class Cosine(Path):
    """An arc of a circle at constant speed: alpha = cos(pi t / 2), sigma = sin(pi t / 2).

    Source: Nichol & Dhariwal 2021, equation 17, without its offset; Salimans & Ho 2022, section 3.
    """

    def alpha(self, t: Values) -> Array:
        return jnp.sin(math.pi / 2 * (1 - floats(t)))  # the cosine, with all digits where it is small

    def sigma(self, t: Values) -> Array:
        return jnp.sin(math.pi / 2 * floats(t))

    def alpha_rate(self, t: Values) -> Array:
        return -math.pi / 2 * self.sigma(t)

    def sigma_rate(self, t: Values) -> Array:
        return math.pi / 2 * self.alpha(t)

    def time(self, log_snr: Values) -> Array:
        return 2 / math.pi * jnp.arctan(jnp.exp(-floats(log_snr) / 2))


@dataclass(frozen=True)
class LinearBeta(Path):
    """The variance-preserving diffusion whose rate beta(t) grows linearly.

        alpha = exp(-B / 2),   sigma = sqrt(1 - exp(-B)),   B(t) = beta_min t + (beta_max - beta_min) t^2 / 2

    sigma grows like a square root at t = 0, where its derivative is infinite.

    Args:
        beta_min: Rate at t = 0.
        beta_max: Rate at t = 1.

    Raises:
        ValueError: Rates that are not positive, or that fall.

    Source: Song et al. 2021, "Score-based generative modeling", appendix C.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self):
        require.number("beta_min", self.beta_min, above=0)
        require.number("beta_max", self.beta_max, self.beta_min)

    def alpha(self, t: Values) -> Array:
        return jnp.exp(-self._integral(t) / 2)

    def sigma(self, t: Values) -> Array:
        return jnp.sqrt(-jnp.expm1(-self._integral(t)))

    def alpha_rate(self, t: Values) -> Array:
        return -self._beta(t) / 2 * self.alpha(t)

    def sigma_rate(self, t: Values) -> Array:
        return self._beta(t) / 2 * jnp.square(self.alpha(t)) / self.sigma(t)

    def time(self, log_snr: Values) -> Array:
        integral = jax.nn.softplus(-floats(log_snr))
        root = jnp.sqrt(self.beta_min**2 + 2 * (self.beta_max - self.beta_min) * integral)
        return 2 * integral / (root + self.beta_min)

    def _beta(self, t: Values) -> Array:
        return self.beta_min + (self.beta_max - self.beta_min) * floats(t)

    def _integral(self, t: Values) -> Array:
        return floats(t) * (self.beta_min + (self.beta_max - self.beta_min) / 2 * floats(t))


@dataclass(frozen=True)
class VarianceExploding(Path):
    """Noise that is added to data left as they are: alpha = 1, sigma = t, for t without end.

    Source: Song et al. 2021, "Score-based generative modeling", section 3.4; Karras et al. 2022 (EDM), section 3.
    """

    @property
    def t_max(self) -> float:
        return math.inf

    def alpha(self, t: Values) -> Array:
        return jnp.ones_like(floats(t))

    def sigma(self, t: Values) -> Array:
        return floats(t)

    def alpha_rate(self, t: Values) -> Array:
        return jnp.zeros_like(floats(t))

    def sigma_rate(self, t: Values) -> Array:
        return jnp.ones_like(floats(t))

    def time(self, log_snr: Values) -> Array:
        return jnp.exp(-floats(log_snr) / 2)


def signal_and_noise(path: Path, t: Time, x: Float[Array, "b *event"]) -> tuple[Array, Array]:
    """alpha(t) and sigma(t), in the dtype of x and in a shape that broadcasts against x.

    Raises:
        ValueError: An x of integers, a t that is neither one number nor one for each example, or a concrete t outside
            [0, t_max].
    """
    t = _checked(path, t, x)
    return _against(path.alpha(t), x), _against(path.sigma(t), x)


def rates(path: Path, t: Time, x: Float[Array, "b *event"]) -> tuple[Array, Array]:
    """Derivatives of alpha and sigma at t, as `signal_and_noise` gives their values."""
    t = _checked(path, t, x)
    return _against(path.alpha_rate(t), x), _against(path.sigma_rate(t), x)


def log_snr_ends(
    path: Path, t_0: float, t_1: float, names: tuple[str, str] = ("t_0", "t_1")
) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """Log signal-to-noise ratios at the two ends between which a bound or a likelihood is taken.

    Args:
        path: Path between data and noise. One whose ratios are traced, being learned, is not checked.
        t_0: End that is close to the data.
        t_1: End that is close to the noise.
        names: Names of the ends in messages.

    Returns:
        The ratios at t_0 and at t_1, the first being the larger one.

    Raises:
        ValueError: Ends that are not in order, or beyond those of the path; a path that has no finite ratio there,
            since its noise or its signal or both are 0; or one whose ratio does not fall between them.
    """
    require.number(names[0], t_0, 0)
    require.number(names[1], t_1, above=t_0)
    if t_1 > path.t_max:
        raise ValueError(f"{names[1]} must be at most {path.t_max:g}, the path's largest t, got {t_1!r}")
    with jax.ensure_compile_time_eval():
        ratios = path.log_snr(float(t_0)), path.log_snr(float(t_1))
        factors = [(path.alpha(float(t)), path.sigma(float(t))) for t in (t_0, t_1)]
    if any(isinstance(value, jax.core.Tracer) for value in ratios):
        return ratios
    high, low = (float(ratio) for ratio in ratios)
    for name, t, ratio, (alpha, sigma) in zip(names, (t_0, t_1), (high, low), factors, strict=True):
        if not math.isfinite(ratio):
            raise ValueError(
                f"{name} must be a time at which the path has signal and noise, got t={t:g}, where "
                f"alpha={float(alpha):g} and sigma={float(sigma):g}"
            )
    if not high > low:
        raise ValueError(
            f"path must lose signal as t grows, got log signal-to-noise ratios {high:g} at t={t_0:g} and {low:g} "
            f"at t={t_1:g}"
        )
    return ratios


def _checked(path: Path, t: Any, x: Array) -> Array:
    require_events(x=x)
    found = floats(t)
    require_shape((), x.shape[:1], t=found)
    if not isinstance(found, jax.core.Tracer):
        values = np.asarray(found)
        if values.size and not (values.min() >= 0 and values.max() <= path.t_max):
            raise ValueError(f"t must lie in [0, {path.t_max:g}], got {values.min():g}..{values.max():g}")
    return found


def _against(value: Array, x: Array) -> Array:
    value = value.astype(x.dtype)
    return value.reshape(value.shape + (1,) * (x.ndim - 1)) if value.ndim else value
