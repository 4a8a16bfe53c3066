"""The two ends of a path between which a model is trained, sampled and bounded."""

import math

import jax

from jaxgen.paths.path import Path, log_snr_ends

DEFAULT = (-10.0, 13.3)
"""Log signal-to-noise ratios at the noise and at the data, for a path whose own ends are infinite.

At -10 all but 5e-5 of the variance is noise; at 13.3 the noise is a third of half a grey level of 256 (Kingma et al.
2021, appendix B.1).
"""


def default_ends(levels: int | None) -> tuple[float, float]:
    """Ends for grey levels on [-1, 1], of which the noise at the data is a third of half a level; `DEFAULT` for 256.

    Args:
        levels: Number of grey levels; None for real values, for which the ends are `DEFAULT` too.
    """
    return DEFAULT if levels is None else (DEFAULT[0], round(2 * math.log(3 * (levels - 1)), 1))


def path_ends(path: Path, log_snr: tuple[float, float] | None = None, levels: int | None = None) -> tuple[float, float]:
    """Times (t_0, t_1) of the ends at the data and at the noise.

    Args:
        path: Path between them.
        log_snr: Log signal-to-noise ratios (at the noise, at the data); None for the path's own ends where they are
            finite, and `default_ends` elsewhere.
        levels: Number of grey levels of the data; None for real values.

    Raises:
        ValueError: Ratios that the path does not reach, or a path whose ratio does not fall between the ends.
    """
    low, high = default_ends(levels) if log_snr is None else log_snr
    with jax.ensure_compile_time_eval():
        at_data = float(path.log_snr(0.0))
        at_noise = float(path.log_snr(path.t_max)) if math.isfinite(path.t_max) else -math.inf
        for name, wanted in (("log_snr[0]", low), ("log_snr[1]", high)):
            if log_snr is not None and not at_noise <= wanted <= at_data:
                raise ValueError(f"{name} must lie between {at_noise:g} and {at_data:g} on {path}, got {wanted:g}")
        own = log_snr is None
        t_0 = 0.0 if own and math.isfinite(at_data) else float(path.time(float(high)))
        t_1 = float(path.t_max) if own and math.isfinite(at_noise) else float(path.time(float(low)))
    log_snr_ends(path, t_0, t_1)
    return t_0, t_1
