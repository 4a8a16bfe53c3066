"""Noise schedules: the variance beta_t that each step adds, and the tables that follow from it.

    alpha_t = 1 - beta_t,     alpha_bar_t = alpha_1 alpha_2 ... alpha_t

beta_t in (0, 1) is the variance that step t adds, and it rises with t: beta_1 < beta_2 < ... < beta_T. alpha_bar_t is
the share of the data's variance that is left after t steps.

t runs 1 .. T. A table has T + 1 entries, of which entry 0 is the data (beta 0, alpha_bar 1), so that `alpha_bar[t]` is
the lecture's symbol with subscript t and `alpha_bar[t - 1]` needs no special case. Tables are float64 on the host: in
float32, 1 - alpha_bar_1 would be off by 2e-4. Values computed from them are cast when they are used.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from jaxgen import require

# Below this value sqrt(1 / alpha_bar) and its products overflow float32.
_SMALLEST_ALPHA_BAR = 1e-60


@dataclass(frozen=True, eq=False)
class Schedule:
    """The tables of a forward process, made by `linear`, `cosine`, `from_betas` or `respaced`.

    Two schedules with the same numbers are equal and hash alike, so that functions may be compiled for a schedule.
    Close over it, or make it a static argument; it is not a pytree.

    Attributes:
        beta: Variance that step t adds, [T + 1].
        alpha: 1 - beta, [T + 1].
        alpha_bar: Product of alpha up to t, [T + 1].
    """

    beta: Float64[np.ndarray, " levels"]
    alpha: Float64[np.ndarray, " levels"]
    alpha_bar: Float64[np.ndarray, " levels"]

    def __post_init__(self):
        for table in (self.beta, self.alpha, self.alpha_bar):
            table.flags.writeable = False

    @property
    def num_timesteps(self) -> int:
        """T, the number of steps."""
        return len(self.beta) - 1

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Schedule)
            and np.array_equal(self.beta, other.beta)
            and np.array_equal(self.alpha_bar, other.alpha_bar)
        )

    def __hash__(self) -> int:
        return hash((self.beta.tobytes(), self.alpha_bar.tobytes()))


def from_betas(beta: Sequence[float] | Float[np.ndarray, " steps"], monotone: bool = True) -> Schedule:
    """Schedule of any beta_1 .. beta_T.

    Args:
        beta: Values beta_1 .. beta_T, without the entry 0 of the tables.
        monotone: Whether beta must not fall. The lecture's beta rises; False permits any other.

    Raises:
        ValueError: No beta, a beta outside (0, 1), one that falls although monotone, or so many that alpha_bar_T is
            below 1e-60.

    Source: lecture, "Forward Diffusion Process"; Ho et al. 2020, equation 2.
    """
    require.one_of("monotone", monotone, (True, False))
    if isinstance(beta, str) or np.ndim(beta) != 1 or np.asarray(beta).dtype.kind != "f":
        raise ValueError(f"beta must be a sequence of numbers in (0, 1), at least one, got {beta!r}")
    beta = np.asarray(beta, np.float64)
    if beta.size == 0:
        raise ValueError("beta must hold at least one step, got none")
    outside = np.flatnonzero(~((beta > 0) & (beta < 1)))
    if outside.size:
        raise ValueError(f"beta must lie in (0, 1), got beta_{outside[0] + 1}={beta[outside[0]]}")
    falls = np.flatnonzero(np.diff(beta) < 0)
    if monotone and falls.size:
        t = falls[0] + 1
        raise ValueError(
            f"beta must not fall unless monotone=False, got beta_{t}={beta[t - 1]} and beta_{t + 1}={beta[t]}"
        )
    beta = np.concatenate([[0.0], beta])
    alpha = 1 - beta
    alpha_bar = np.cumprod(alpha)
    if alpha_bar[-1] < _SMALLEST_ALPHA_BAR:
        raise ValueError(f"beta must leave alpha_bar_T at least {_SMALLEST_ALPHA_BAR}, got alpha_bar_T={alpha_bar[-1]}")
    if not (np.diff(alpha_bar) < 0).all():
        raise ValueError(f"beta must be large enough to change alpha_bar in float64, got {beta[1:].min()}")
    return Schedule(beta, alpha, alpha_bar)


def linear(num_timesteps: int = 1000, beta_1: float = 1e-4, beta_T: float = 0.02) -> Schedule:
    """Schedule whose beta rises on a straight line.

        beta_t = beta_1 + (t - 1) / (T - 1) (beta_T - beta_1)

    The defaults are made for T = 1000, where alpha_bar_T = 4e-5. With fewer steps and the same ends x_T is not noise
    (T = 100: alpha_bar_T = 0.36): raise beta_T in proportion, or take `cosine`, which ends in noise for every T.

    Args:
        num_timesteps: Number T of steps.
        beta_1: First beta.
        beta_T: Last beta.

    Raises:
        ValueError: T below 1; see also `from_betas`.

    Source: lecture, "Forward Diffusion Process"; Ho et al. 2020, section 4.
    """
    require.size("num_timesteps", num_timesteps)
    for name, beta in (("beta_1", beta_1), ("beta_T", beta_T)):
        require.number(name, beta, above=0, below=1)
    return from_betas(np.linspace(beta_1, beta_T, num_timesteps))


def cosine(num_timesteps: int = 1000, s: float = 0.008) -> Schedule:
    """Schedule whose alpha_bar falls along a squared cosine, slowly at both ends.

        beta_t = min(1 - f(t) / f(t - 1), 0.999),     f(t) = cos((t / T + s) / (1 + s) * pi / 2)^2

    Args:
        num_timesteps: Number T of steps.
        s: Offset that keeps beta_1 from being too small.

    Raises:
        ValueError: T below 1, or a negative s; see also `from_betas`.

    Source: beyond the lecture; Nichol & Dhariwal 2021, equation 17.
    """
    require.size("num_timesteps", num_timesteps)
    require.number("s", s, 0)
    f = np.cos((np.arange(num_timesteps + 1) / num_timesteps + s) / (1 + s) * np.pi / 2) ** 2
    return from_betas(np.minimum(1 - f[1:] / f[:-1], 0.999))


def stretched(schedule: Schedule, low: float, high: float) -> Schedule:
    """Schedule whose log signal-to-noise ratio is mapped linearly to new ends, which suit a bound.

        low + (lambda_t - lambda_T) / (lambda_1 - lambda_T) (high - low),     lambda = log alpha_bar / (1 - alpha_bar)

    The last step of the chain pays -log P(x_0 | x_1): where the noise of x_1 is wider than a grey level, each value
    that is uncertain costs what a single step can say of it. Beta need not rise throughout.

    Args:
        schedule: Schedule of at least two steps.
        low: Log signal-to-noise ratio of the last level.
        high: Log signal-to-noise ratio of the first level. With 256 grey levels on [-1, 1] the noise is a third of half
            a level at 13.3.

    Raises:
        ValueError: One step, a high that is not above low, or ratios beyond 30, which float64 can hardly hold.

    Source: beyond the lecture; Kingma et al. 2021 (VDM), appendix B.1, for the ends.
    """
    require.number("low", low, -30)
    require.number("high", high, above=low)
    require.number("high", high, high=30)
    if schedule.num_timesteps < 2:
        raise ValueError(f"a schedule to be stretched must have two steps or more, got {schedule.num_timesteps}")
    own = np.log(schedule.alpha_bar[1:] / (1 - schedule.alpha_bar[1:]))
    ratios = low + (own - own[-1]) / (own[0] - own[-1]) * (high - low)
    # 1 - alpha_bar by itself, since the difference would lose its digits.
    alpha_bar, noise = (np.concatenate([[end], 1 / (1 + np.exp(sign * ratios))]) for end, sign in ((1.0, -1), (0.0, 1)))
    return from_betas(np.diff(noise) / alpha_bar[:-1], monotone=False)


def _ended(schedule: Schedule, log_snr: tuple[float, float] | None) -> Schedule:
    return schedule if log_snr is None else stretched(schedule, *log_snr)


def respaced(schedule: Schedule, timesteps: Sequence[int]) -> Schedule:
    """Schedule of a sub-sequence of the levels: its step i leads from timesteps[-i] down to the next level.

        alpha_{t|s} = alpha_bar_t / alpha_bar_s,     beta_{t|s} = 1 - alpha_{t|s}

    Its alpha_bar are those of `schedule`, so that it is a forward process with the same marginals and fewer steps.

    Args:
        schedule: Noise schedule with all the levels.
        timesteps: Descending t of `schedule`, as samplers take them.

    Returns:
        A schedule with len(timesteps) steps, numbered anew from 1.

    Raises:
        ValueError: timesteps empty, more than T, outside 1 .. T, or not strictly descending.

    Source: beyond the lecture; Nichol & Dhariwal 2021, section 4; Song et al. 2021 (DDIM), section 4.2.
    """
    check_timesteps(schedule.num_timesteps, timesteps)
    alpha_bar = schedule.alpha_bar[[0, *reversed(timesteps)]]
    alpha = np.concatenate([[1.0], alpha_bar[1:] / alpha_bar[:-1]])
    beta = 1 - alpha
    # Where no level is left out, beta stays the same to the last bit.
    steps = np.diff([0, *reversed(timesteps)])
    kept = np.flatnonzero(steps == 1)
    beta[1 + kept] = schedule.beta[np.asarray(timesteps)[::-1][kept]]
    alpha[1 + kept] = 1 - beta[1 + kept]
    return Schedule(beta, alpha, alpha_bar)


def uniform_timesteps(num_timesteps: int, num: int) -> tuple[int, ...]:
    """Choose `num` levels at even distances, from T down; the last step, to 0, is as long as the others.

        t_i = T - floor(i T / num),     i = 0 .. num - 1

    Args:
        num_timesteps: Number T of steps.
        num: Number of levels.

    Raises:
        ValueError: num outside 1 .. T.

    Source: beyond the lecture; Song et al. 2021 (DDIM), appendix D.2, ending in noise (Lin et al. 2024, section 3.3).
    """
    require.size("num_timesteps", num_timesteps)
    require.integer("num", num, 1, num_timesteps, "the number of timesteps")
    return tuple(num_timesteps - i * num_timesteps // num for i in range(num))


def check_timesteps(num_timesteps: int, timesteps: Sequence[int]) -> None:
    """Check that timesteps are a strictly descending sub-sequence of 1 .. T.

    Raises:
        ValueError: timesteps empty, more than T, outside 1 .. T, or not strictly descending.
    """
    if len(timesteps) == 0:
        raise ValueError("timesteps must hold at least one t, got none")
    if len(timesteps) > num_timesteps:
        raise ValueError(f"timesteps must be at most T={num_timesteps} many, got {len(timesteps)}")
    for t in timesteps:
        require.integer("each of timesteps", t, 1, num_timesteps)
    for t, s in itertools.pairwise(timesteps):
        if not t > s:
            raise ValueError(f"timesteps must fall strictly, got {s} after {t}")


@dataclass(frozen=True)
class Linear:
    """`linear` as a choice of a config.

    Args:
        num_timesteps: Number T of steps.
        beta_1: First beta.
        beta_T: Last beta.
        log_snr: Log signal-to-noise ratios (at T, at 1) to which the chain is stretched for the sake of the bound, see
            `stretched`: (-10, 13.3) for 256 grey levels; None for the schedule's own.

    Raises:
        ValueError: As raised by `linear` and `stretched`.
    """

    num_timesteps: int = 1000
    beta_1: float = 1e-4
    beta_T: float = 0.02
    log_snr: tuple[float, float] | None = None

    def __post_init__(self):
        require.fields(self)
        self.schedule()

    def schedule(self) -> Schedule:
        return _ended(linear(self.num_timesteps, self.beta_1, self.beta_T), self.log_snr)


@dataclass(frozen=True)
class Cosine:
    """`cosine` as a choice of a config.

    Args:
        num_timesteps: Number T of steps.
        s: Offset that keeps beta_1 from being too small.
        log_snr: Log signal-to-noise ratios (at T, at 1) to which the chain is stretched for the sake of the bound, see
            `stretched`: (-10, 13.3) for 256 grey levels; None for the schedule's own.

    Raises:
        ValueError: As raised by `cosine` and `stretched`.
    """

    num_timesteps: int = 1000
    s: float = 0.008
    log_snr: tuple[float, float] | None = None

    def __post_init__(self):
        require.fields(self)
        self.schedule()

    def schedule(self) -> Schedule:
        return _ended(cosine(self.num_timesteps, self.s), self.log_snr)


@dataclass(frozen=True)
class Betas:
    """`from_betas` as a choice of a config.

    Args:
        beta: Values beta_1 .. beta_T.
        monotone: Whether beta must not fall.

    Raises:
        ValueError: As raised by `from_betas`.
    """

    beta: tuple[float, ...]
    monotone: bool = True

    def __post_init__(self):
        require.fields(self)
        self.schedule()

    def schedule(self) -> Schedule:
        return from_betas(self.beta, self.monotone)
