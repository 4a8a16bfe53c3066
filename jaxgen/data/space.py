"""The spaces that data live in, and the way between them.

                grey levels                    real values
    storage     0 .. levels - 1, uint8         x, float32, in the data's own units
    data        u = x / (levels - 1)           x                  what `sample` hands out
    seen        u, in [0, 1]                   scale(x)           what pictures, metrics and a Normal decoder look at
    model       s = 2 u - 1, in [-1, 1]        scale(x)           what a model with unit noise computes on

    storage -> data    to_unit            storage -> seen    to_seen
    storage -> model   to_model           data -> seen       seen
    model -> data      from_model         seen -> data       from_seen

(`to_signed` and `from_signed` are the older names of `to_model` and `from_model`.) Real values whose spec has no scale
are the same in all four.
"""

from dataclasses import replace
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Shaped

from jaxgen.core import Spec
from jaxgen.data.scale import Standardise
from jaxgen.events import require_floats, sum_event


def to_unit(x: Shaped[Array | np.ndarray, "..."], spec: Spec) -> Float32[Array, "..."]:
    """Storage to data space: u = x / (levels - 1), real values unchanged.

    Args:
        x: Examples in the storage dtype of `spec`, any leading axes.
        spec: Description of the data.

    Returns:
        float32 in [0, 1] for discrete data.

    Raises:
        ValueError: x has another dtype than the storage one: it may have been scaled already.
    """
    if getattr(x, "dtype", None) is None:
        raise ValueError(f"x must be an array in storage dtype {spec.dtype}, got {type(x).__name__}")
    if x.dtype != spec.dtype:
        raise ValueError(f"x must be in storage dtype {spec.dtype}, got {x.dtype}")
    x = jnp.asarray(x)
    if spec.levels is None:
        return x
    # The top level is set, not computed: XLA turns the division into a product with the rounded reciprocal
    # and fuses it with what follows, so that 2 u - 1 could come out as 1.0000001.
    top = spec.levels - 1
    return jnp.where(x == top, jnp.float32(1), x.astype(jnp.float32) / top)


def to_seen(x: Shaped[Array | np.ndarray, "..."], spec: Spec) -> Float32[Array, "..."]:
    """Storage to what is looked at: grey levels in [0, 1], real values scaled.

    Args:
        x: Examples in the storage dtype of `spec`, any leading axes.
        spec: Description of the data.

    Raises:
        ValueError: x has another dtype than the storage one.
    """
    return seen(to_unit(x, spec), spec)


def seen(x: Float32[Array | np.ndarray, "..."], spec: Spec) -> Float32[Array, "..."]:
    """Data space to what is looked at: values of discrete data as they are, real values scaled."""
    x = jnp.asarray(x)
    return x if spec.scale is None else spec.scale.forward(x)


def from_seen(x: Float32[Array | np.ndarray, "..."], spec: Spec) -> Float32[Array, "..."]:
    """The way back from `seen`: real values in the data's own units."""
    x = jnp.asarray(x)
    return x if spec.scale is None else spec.scale.inverse(x)


def to_model(x: Shaped[Array | np.ndarray, "..."], spec: Spec) -> Float32[Array, "..."]:
    """Storage to model space: s = 2 u - 1 for grey levels, real values scaled.

    Args:
        x: Examples in the storage dtype of `spec`, any leading axes.
        spec: Description of the data.

    Returns:
        float32 in [-1, 1] for discrete data.

    Raises:
        ValueError: x has another dtype than the storage one.
    """
    return _centred(to_seen(x, spec), spec)


def data_to_model(x: Float32[Array | np.ndarray, "..."], spec: Spec) -> Float32[Array, "..."]:
    """Data to model space: samples as they were handed out, back to where the model made them."""
    return _centred(seen(x, spec), spec)


def from_model(x: Float32[Array | np.ndarray, "..."], spec: Spec) -> Float32[Array, "..."]:
    """Model to data space, as samples are handed out: u = (s + 1) / 2, real values in the data's own units.

    Values beyond [-1, 1], which the noise of a sampler may leave, are cut off for discrete data.

    Args:
        x: Values in model space.
        spec: Description of the data.

    Returns:
        float32 in [0, 1] for discrete data.

    Raises:
        ValueError: x holds integers, which are no values in model space.
    """
    require_floats(x=x)
    x = jnp.asarray(x)
    return from_seen(x, spec) if spec.levels is None else jnp.clip((x + 1) / 2, 0, 1)


to_signed, from_signed = to_model, from_model


def colours(spec: Spec) -> dict[str, Any]:
    """The ends of the colours of pictures, "vmin" and "vmax": the range of all data as they are seen.

    Strays of a model do not set it. Empty for grey levels, for real values of which nothing is known, and where
    channels have scales of their own: a picture then takes the range of what it shows.
    """
    if spec.levels is not None or spec.statistics is None:
        return {}
    if spec.scale is None and spec.statistics.low >= 0 and spec.statistics.high <= 1:
        return {"vmin": 0.0, "vmax": 1.0}
    ends = np.stack([np.full(spec.event_shape, end, np.float32) for end in (spec.statistics.low, spec.statistics.high)])
    with jax.ensure_compile_time_eval():  # a picture may be gone through on shapes alone
        first, second = np.asarray(seen(ends, spec)).reshape(2, -1)
    if np.ptp(first) > 0 or np.ptp(second) > 0 or first[0] == second[0]:
        return {}
    low, high = sorted((float(first[0]), float(second[0])))
    return {"vmin": low, "vmax": high}


def on_scale(spec: Spec) -> str:
    """The remark about values in a picture's title."""
    return "" if spec.scale is None else f"; values on the scale {type(spec.scale).__name__}"


def for_metrics(spec: Spec) -> Spec:
    """The spec by which metrics look at examples, networks that expect values of about unit size among them.

    It is that of the data where they have grey levels, a scale, or values in [0, 1]. Other real values are scaled so
    that their range becomes [0, 1]; samples beyond the range lie beyond [0, 1].
    """
    known = spec.statistics
    if spec.levels is not None or spec.scale is not None or known is None or known.low == known.high:
        return spec
    if known.low >= 0 and known.high <= 1:
        return spec
    return replace(spec, scale=Standardise(known.low, known.high - known.low))


def limit(spec: Spec) -> float | None:
    """c, where no value of the data lies beyond [-c, c] in model space; None where there is no such limit."""
    bounded = spec.levels is not None or (spec.scale is not None and spec.scale.bounded)
    return 1.0 if bounded else None


def density(spec: Spec) -> str:
    """The measure of log-densities of real values, as tables and units say it."""
    return "density" if spec.scale is None else "density of the data in their own units"


def log_volume(
    x: Shaped[Array | np.ndarray, "b *event"], spec: Spec, mask: Bool[Array | np.ndarray, "b *event"] | None = None
) -> Float32[Array, " b"] | None:
    """The difference between a log-density in model space and one of the data in their own units.

        log p(x) = log p(u) + sum_i log |du_i / dx_i|,     u = scale(x)

    Args:
        x: Examples in storage dtype: real values in their own units.
        spec: Description of the data.
        mask: True where x is observed; the rest does not count.

    Returns:
        The sum for each example, in nats; None where there is no scale and the density is that of x.

    Source: the change of variables, as in Dinh et al. 2017, equation 2.
    """
    if spec.scale is None:
        return None
    each = spec.scale.log_derivative(jnp.asarray(x))
    return sum_event(each, None if mask is None else jnp.asarray(mask))


def require_range(
    name: str,
    x: Shaped[Array | np.ndarray, "..."],
    low: int | float,
    high: int | float,
    hint: str = "",
    mask: Bool[Array | np.ndarray, "..."] | None = None,
) -> None:
    """Refuse concrete values outside low .. high, NaN among them; traced ones pass.

    Args:
        name: Name of the argument.
        x: Its values.
        low: The smallest value that is allowed.
        high: The largest value that is allowed.
        hint: Advice after the values: a choice that would fit.
        mask: True where a value counts; None where all do.

    Raises:
        ValueError: With the range that was found.
    """
    if isinstance(x, jax.core.Tracer) or isinstance(mask, jax.core.Tracer):
        return
    observed = np.asarray(x) if mask is None else np.asarray(x)[np.asarray(mask)]
    if observed.size == 0:
        return
    found_low, found_high = float(observed.min()), float(observed.max())
    if not (found_low >= low and found_high <= high):
        raise ValueError(f"{name} must lie in [{low:g}, {high:g}], got {found_low:g} to {found_high:g}{hint}")


def require_storage(
    x: Shaped[Array | np.ndarray, "..."], spec: Spec, mask: Bool[Array | np.ndarray, "..."] | None = None
) -> None:
    """Refuse concrete examples that the spec does not allow: another dtype, levels too high, values beyond the scale.

    Raises:
        ValueError: With what was found. Traced examples pass, but for their dtype.
    """
    if x.dtype != spec.dtype:
        raise ValueError(f"x must be in storage dtype {spec.dtype}, got {x.dtype}")
    if spec.levels is not None:
        require_range("x", x, 0, spec.levels - 1, f"; the spec has levels={spec.levels}", mask)
    elif spec.scale is not None and spec.scale.bounded:
        end = 1 + 1e-4  # rounding
        require_range("x on its scale", seen(x, spec), -end, end, f" by {spec.scale}", mask)


def _centred(x: Array, spec: Spec) -> Array:
    return x if spec.levels is None else 2 * x - 1
