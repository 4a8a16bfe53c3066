"""Scales: how real values in physical units become what a model of unit noise can learn, and come back.

    Identity       u = x                                            as they are
    Standardise    u = (x - mean) / std                             mean 0, standard deviation 1
    ToRange        u = 2 (x - low) / (high - low) - 1               [-1, 1], as images
    Arcsinh        u = (arcsinh(x / softening) - mean) / std        heavy tails on either side, as fluxes have them
    Functions      u = forward(x)                                   a pair of functions of the user's own

A scale is a frozen dataclass. What is left open (None) is measured on the observed values of the training split:
`dataset.scaled(Standardise())` puts the fitted scale into the spec, and models do the rest: they train on u, hand out x
in the data's own units, and their log-densities are those of x,

    log p(x) = log p(u) + sum_i log |du_i / dx_i|

Two models whose scales differ therefore compare in nats.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.data.statistics import measured

_Values: TypeAlias = Float[Array, "..."]
_MEDIAN_OF = 2**20  # values that the median is taken of


@dataclass(frozen=True)
class Identity:
    """Values as they are."""

    bounded = False

    def fitted(self, x: np.ndarray, mask: np.ndarray | None = None) -> "Identity":
        """Itself: there is nothing to fit."""
        del x, mask
        return self

    def forward(self, x: _Values) -> _Values:
        return x

    def inverse(self, u: _Values) -> _Values:
        return u

    def log_derivative(self, x: _Values) -> _Values:
        return jnp.zeros_like(x)


@dataclass(frozen=True)
class Standardise:
    """Mean 0 and standard deviation 1: u = (x - mean) / std.

    Args:
        mean: Value that becomes 0, one or one for each channel; None for the mean of the data.
        std: Difference that becomes 1, likewise; None for the standard deviation of the data.
        per_channel: Whether what is None is fitted for each channel (last axis) by itself.

    Raises:
        ValueError: No finite number, a std that is not positive, or other numbers of channels.
    """

    mean: float | tuple[float, ...] | None = None
    std: float | tuple[float, ...] | None = None
    per_channel: bool = False
    bounded = False

    def __post_init__(self):
        for name, low in (("mean", None), ("std", 0)):
            value = getattr(self, name)
            if isinstance(value, list | tuple):
                checked = tuple(require.number(f"{name}[{i}]", each, above=low) for i, each in enumerate(value))
                if not checked:
                    raise ValueError(f"{name} must hold a number for each channel, got {value}")
                object.__setattr__(self, name, checked)
            elif value is not None:
                object.__setattr__(self, name, require.number(name, value, above=low))
        if isinstance(self.mean, tuple) and isinstance(self.std, tuple) and len(self.mean) != len(self.std):
            raise ValueError(f"mean and std must have as many channels, got {len(self.mean)} and {len(self.std)}")
        if not isinstance(self.per_channel, bool):
            raise ValueError(f"per_channel must be True or False, got {self.per_channel!r}")

    def fitted(self, x: np.ndarray, mask: np.ndarray | None = None) -> "Standardise":
        """With mean and std of the observed values where they were None.

        Raises:
            ValueError: Values that are all the same, none observed, or another number of channels.
        """
        for name in ("mean", "std"):
            value = getattr(self, name)
            if isinstance(value, tuple) and (x.ndim < 2 or len(value) != x.shape[-1]):
                raise ValueError(f"{name} must have a number for each channel of {x.shape[1:]}, got {len(value)}")
        if self.mean is not None and self.std is not None:
            return self
        if self.per_channel and x.ndim < 2:
            raise ValueError(f"per_channel=True needs events with a channel axis, got {x.shape[1:]}")
        parts = (
            [_spread(x[..., c], None if mask is None else mask[..., c], f"channel {c}") for c in range(x.shape[-1])]
            if self.per_channel
            else [_spread(x, mask, "the data")]
        )
        means, stds = (tuple(values) for values in zip(*parts, strict=True))
        return replace(
            self,
            mean=(means if self.per_channel else means[0]) if self.mean is None else self.mean,
            std=(stds if self.per_channel else stds[0]) if self.std is None else self.std,
        )

    def forward(self, x: _Values) -> _Values:
        return (x - _along(self.mean, x, "mean")) / _along(self.std, x, "std")

    def inverse(self, u: _Values) -> _Values:
        return u * _along(self.std, u, "std") + _along(self.mean, u, "mean")

    def log_derivative(self, x: _Values) -> _Values:
        return jnp.broadcast_to(-jnp.log(_along(self.std, x, "std")), x.shape)


@dataclass(frozen=True)
class ToRange:
    """The range of the data becomes [-1, 1]: u = 2 (x - low) / (high - low) - 1.

    Models then know that no value lies beyond: diffusion models cut off what they take for x_0, and the generators of
    GANs end in a tanh, as for images.

    Args:
        low: Value that becomes -1; None for the smallest of the training split.
        high: Value that becomes 1; None for the largest of the training split.

    Raises:
        ValueError: No finite number, or low not below high.
    """

    low: float | None = None
    high: float | None = None
    bounded = True

    def __post_init__(self):
        for name in ("low", "high"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, require.number(name, getattr(self, name)))
        if self.low is not None and self.high is not None and not self.low < self.high:
            raise ValueError(f"low must be below high, got low={self.low}, high={self.high}")

    def fitted(self, x: np.ndarray, mask: np.ndarray | None = None) -> "ToRange":
        """With the range of the observed values where an end was None.

        Raises:
            ValueError: Values beyond a given end, all the same, or none observed.
        """
        found = _known(x, mask)
        low = found.low if self.low is None else self.low
        high = found.high if self.high is None else self.high
        if found.low < low or found.high > high:
            raise ValueError(
                f"low and high must hold all values, {found.low:g} to {found.high:g}, got low={low:g}, high={high:g}"
            )
        return replace(self, low=low, high=high)

    def forward(self, x: _Values) -> _Values:
        low, high = _given(low=self.low, high=self.high)
        return (x - low) * (2 / (high - low)) - 1

    def inverse(self, u: _Values) -> _Values:
        low, high = _given(low=self.low, high=self.high)
        return (u + 1) * ((high - low) / 2) + low

    def log_derivative(self, x: _Values) -> _Values:
        low, high = _given(low=self.low, high=self.high)
        return jnp.full_like(x, np.log(2 / (high - low)))


@dataclass(frozen=True)
class Arcsinh:
    """Linear near 0, logarithmic in the tails, then standardised: u = (arcsinh(x / softening) - mean) / std.

    Args:
        softening: Size of a value where the one passes into the other, near that of the noise say; None for the median
            of |x| over the values that are not 0.
        mean: Value of arcsinh(x / softening) that becomes 0; None for the mean over the data.
        std: Difference of arcsinh(x / softening) that becomes 1; None for the standard deviation over the data.

    Raises:
        ValueError: No finite number, or a softening or std that is not positive.
    """

    softening: float | None = None
    mean: float | None = None
    std: float | None = None
    bounded = False

    def __post_init__(self):
        for name, low in (("softening", 0), ("mean", None), ("std", 0)):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, require.number(name, getattr(self, name), above=low))

    def fitted(self, x: np.ndarray, mask: np.ndarray | None = None) -> "Arcsinh":
        """With what was None measured on the observed values.

        Raises:
            ValueError: Values that are all the same, or none observed.
        """
        softening = self.softening
        if softening is None:
            sizes = np.abs(x.reshape(-1) if mask is None else x[mask])
            sizes = sizes[sizes > 0]
            if sizes.size == 0:
                raise ValueError("scale=Arcsinh() needs values that are not all 0, got none")
            softening = float(np.median(sizes[:: -(-sizes.size // _MEDIAN_OF)]))
        if self.mean is not None and self.std is not None:
            return replace(self, softening=softening)
        # In float32, as the model will see them.
        mean, std = _spread(np.arcsinh(x / np.float32(softening)), mask, "the data")
        return Arcsinh(softening, mean if self.mean is None else self.mean, std if self.std is None else self.std)

    def forward(self, x: _Values) -> _Values:
        softening, mean, std = _given(softening=self.softening, mean=self.mean, std=self.std)
        return (jnp.arcsinh(x / softening) - mean) / std

    def inverse(self, u: _Values) -> _Values:
        softening, mean, std = _given(softening=self.softening, mean=self.mean, std=self.std)
        return softening * jnp.sinh(u * std + mean)

    def log_derivative(self, x: _Values) -> _Values:
        softening, _, std = _given(softening=self.softening, mean=self.mean, std=self.std)
        return -jnp.log(std * jnp.hypot(x, jnp.full_like(x, softening)))


@dataclass(frozen=True)
class Functions:
    """A pair of functions of the user's own, for Python alone: no manifest can hold them.

    Each value must depend on its own value (and place) alone; derivatives are taken by JAX.

    Args:
        forward: u = f(x), of arrays of any leading axes.
        inverse: x with f(x) = u.
        bounded: Whether all u lie in [-1, 1]; see `ToRange`.
    """

    forward: Callable[[Any], Any]
    inverse: Callable[[Any], Any]
    bounded: bool = False

    def fitted(self, x: np.ndarray, mask: np.ndarray | None = None) -> "Functions":
        """Itself: there is nothing to fit."""
        del x, mask
        return self

    def log_derivative(self, x: _Values) -> _Values:
        # Each output depends on its own input alone, so that one direction gives all derivatives.
        return jnp.log(jnp.abs(jax.jvp(self.forward, (x,), (jnp.ones_like(x),))[1]))


Scale: TypeAlias = Identity | Standardise | ToRange | Arcsinh
"""Scales that a config may choose; JSON can hold all of them."""


def _known(x: np.ndarray, mask: np.ndarray | None) -> Any:
    found = measured(x, mask)
    if found is None:
        raise ValueError("scale must be fitted to observed values, got a mask that hides all of the training split")
    if found.std == 0:
        raise ValueError(f"scale must be fitted to values that differ, got {found.low:g} throughout")
    return found


def _spread(x: np.ndarray, mask: np.ndarray | None, what: str) -> tuple[float, float]:
    try:
        found = _known(x, mask)
    except ValueError as error:
        raise ValueError(f"{error} ({what})") from None
    return found.mean, found.std


def _given(**values: float | None) -> tuple[float, ...]:
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise ValueError(f"{', '.join(missing)} must be numbers, got None: fit the scale, by dataset.scaled(scale)")
    return tuple(value for value in values.values() if value is not None)


def _along(value: float | tuple[float, ...] | None, x: Array, name: str) -> Array:
    """One number, or one for each channel, in the shape that broadcasts with x."""
    if isinstance(value, tuple):
        return jnp.asarray(value, x.dtype).reshape((1,) * (x.ndim - 1) + (-1,))
    return jnp.asarray(_given(**{name: value})[0], x.dtype)
