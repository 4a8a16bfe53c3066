"""Numbers as text: as many digits as their errors leave them, in tables, reports and pages alike."""

import math

_DIGITS = 4
"""Significant digits of a number without an error."""

_SPAN = 6
"""Orders of magnitude that an error may lie below its number, or a number above or below 1, to be written out."""


def text(value: float, error: float | None = None) -> str:
    """A number with its error, both to the same place: "86.42 ± 0.31", "540 ± 100", "(8.50 ± 0.12)e+07".

    The error has two significant digits and the number ends where they end. A number without an error has four, a large
    one all those before the point.

    Args:
        value: The number.
        error: Its standard error; None where it is not known.

    Returns:
        Text without a unit. NaN and infinity are "nan" and "inf".
    """
    value = float(value)
    error = None if error is None or math.isnan(error) else float(error)
    if not math.isfinite(value):
        return f"{value:g}" if error is None else f"{value:g} ± {error:g}"
    if error is None:
        return _written(value, min(_magnitude(value) - _DIGITS + 1, 0))
    if not math.isfinite(error):
        return f"{text(value)} ± {error:g}"
    if error == 0:
        return f"{text(value)} ± 0"
    error = float(f"{error:.1e}")  # two digits, and 0.0996 becomes 0.10
    if _magnitude(error) < _magnitude(value) - _SPAN:
        return f"{_written(value, _magnitude(value) - _SPAN)} ± {error:.1e}"
    place = _magnitude(error) - 1
    largest = _magnitude(max(abs(value), error))
    if not -_SPAN < largest < _SPAN:
        scale = 10.0**largest
        return f"({_fixed(value / scale, place - largest)} ± {_fixed(error / scale, place - largest)})e{largest:+03d}"
    return f"{_fixed(value, place)} ± {_fixed(error, place)}"


def _magnitude(value: float) -> int:
    return 0 if value == 0 else int(f"{abs(value):.{_DIGITS - 1}e}".partition("e")[2])


def _written(value: float, place: int) -> str:
    largest = _magnitude(value)
    if value == 0:
        return "0"
    if not -_SPAN < largest < _SPAN:
        return f"{value:.{_DIGITS - 1}e}"
    fixed = _fixed(value, place)
    return fixed.rstrip("0").rstrip(".") if "." in fixed else fixed


def _fixed(value: float, place: int) -> str:
    """Rounded to 10^place; without a sign where that leaves nothing."""
    rounded = round(value, -place) + 0.0  # no -0
    return f"{rounded:.{max(-place, 0)}f}"
