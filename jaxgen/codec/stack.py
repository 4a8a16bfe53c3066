"""The stack of bits: an entropy coder of asymmetric numeral systems (ANS), by the package constriction.

    push(symbol, P)    the stack grows by -log2 P(symbol) bits
    pop(P)             a symbol, drawn from P by the bits on top, which it takes off: the inverse of push, bit for bit

Only the top of the stack changes, so only the top has to be in memory. What lies below it is kept by a `Below`: the
file that is written or read, and under its first word bits that stand for a message of before, which every model of
latent variables needs to begin (`initial_words`).

Every distribution is rounded to multiples of 2^-24 with nothing below one of them, so that any symbol can be pushed.
"""

import hashlib
import importlib
import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32, Integer, UInt32

_PRECISION = 24
"""Bits of the probabilities in constriction's coder."""

_RANGE = 16.0
"""Latents are coded within -16 .. 16: standard deviations of their prior."""

_ENTROPY = math.sqrt(2 * math.pi * math.e)
"""A normal distribution takes as many bits as log2 of its deviation times this, in bins."""

_FURTHEST = 6.0
"""Standard deviations, six to twelve, beyond which nothing is drawn."""

_MOST_BINS = 2**20
"""Each bin takes 2^-24 of the probability at least: of so many, a sixteenth is lost."""

KEPT = 2**16
"""Words in memory after a part of the stack was given away: 256 KiB."""


@runtime_checkable
class Below(Protocol):
    """What lies under the part of a stack that is in memory."""

    def take(self, num: int) -> UInt32[np.ndarray, " words"]:
        """Take the words on top of it away: `num`, or more, or all that there are; in the order of the stack."""
        ...

    def begin(self, num: int) -> UInt32[np.ndarray, " num"]:
        """Words that lie below the first of the message, where nothing else is left.

        Raises:
            EOFError: The message has begun already.
        """
        ...

    def give(self, words: UInt32[np.ndarray, " words"]) -> None:
        """Put words on top of it."""
        ...


class _Normals(NamedTuple):
    """Normal values that are coded together: where they are, and centre + n for the numbers n of their bins."""

    where: Any
    family: Any
    centre: np.ndarray
    mean: np.ndarray
    std: np.ndarray


class Stack:
    """A stack of symbols in as few bits as their probabilities allow.

    Args:
        below: What lies under it.

    Raises:
        ImportError: constriction is not installed.
    """

    def __init__(self, below: Below):
        self._constriction = installed()
        self._below = below
        self._coder = self._coder_of(np.zeros(0, np.uint32))

    def pop_normals(
        self,
        mean: Float[np.ndarray, "b *shape"],
        std: Float[np.ndarray, "b *shape"],
        width: float,
        *,
        draw: int | None = None,
    ) -> Integer[np.ndarray, "b *shape"]:
        """Pop the numbers n of the bins of normal values: n stands for (n - 1/2) width .. (n + 1/2) width.

        Args:
            mean: Means of the values.
            std: Their standard deviations.
            width: Width of the bins.
            draw: Number of the draw, where the values are no message but drawn from what lies on the stack: the bits
                for them are then mixed with a pad of this number, and none lies far off. None for a message.

        Raises:
            ValueError: Means or deviations that are not finite, or too narrow bins.
            EOFError: The stack has too few words.
        """
        found, parts = np.zeros(mean.size, np.int32), self._normals(mean, std, width, draw is not None)
        if draw is not None:
            self._mix(parts, draw)
        for part in parts:
            n = self._pop(lambda coder, part=part: coder.decode(part.family, part.mean, part.std), len(part.mean))
            found[part.where] = part.centre + n
        return found.reshape(mean.shape)

    def push_normals(
        self,
        n: Integer[np.ndarray, "b *shape"],
        mean: Float[np.ndarray, "b *shape"],
        std: Float[np.ndarray, "b *shape"],
        width: float,
        *,
        draw: int | None = None,
    ) -> None:
        """Push numbers of bins of normal values, as `pop_normals` pops them.

        Args:
            n: Numbers of the bins.
            mean: Means of the values.
            std: Their standard deviations.
            width: Width of the bins.
            draw: Number of the draw that they came from; None for a message.

        Raises:
            ValueError: Means or deviations that are not finite, or too narrow bins.
            KeyError: A bin where no draw can lie.
        """
        parts = self._normals(mean, std, width, draw is not None)
        for part in reversed(parts):
            symbols = (n.ravel()[part.where] - part.centre).astype(np.int32)
            self._push(symbols, part.family, part.mean, part.std)
        if draw is not None:
            self._mix(parts, draw)
        self._give()

    def pop_values(self, probabilities: Float32[np.ndarray, "b *event values"]) -> Integer[np.ndarray, "b *event"]:
        """Pop values 0, 1, .. with these probabilities.

        Raises:
            ValueError: Probabilities that are not finite.
            EOFError: The stack has too few words.
        """
        shape, table = probabilities.shape[:-1], self._table(probabilities)
        return self._pop(lambda coder: coder.decode(self._values, table), len(table)).reshape(shape)

    def push_values(
        self, values: Integer[np.ndarray, "b *event"], probabilities: Float32[np.ndarray, "b *event values"]
    ) -> None:
        """Push values 0, 1, .. with these probabilities.

        Raises:
            ValueError: Probabilities that are not finite.
        """
        self._push(values.ravel().astype(np.int32), self._values, self._table(probabilities))
        self._give()

    def words(self) -> UInt32[np.ndarray, " words"]:
        """The words of the stack in memory, from the lowest to the highest."""
        return self._coder.get_compressed()

    @property
    def _values(self) -> Any:
        return self._constriction.stream.model.Categorical(perfect=False)

    def _table(self, probabilities: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(_finite(probabilities).reshape(-1, probabilities.shape[-1]))

    def _normals(self, mean: np.ndarray, std: np.ndarray, width: float, drawn: bool) -> list[_Normals]:
        """Values with the same range of bins, part by part: all of them, or those drawn with a similar deviation.

        Since no bin has less than 2^-24, the bins of a wide range would be drawn too often, hundreds of deviations off.
        """
        family = self._constriction.stream.model.QuantizedGaussian
        mean, std = (_finite(part).astype(np.float64).ravel() / width for part in (mean, std))
        std = np.maximum(std, 2.0**-6)
        if not drawn:
            last = int(_RANGE / width)
            if 2 * last + 1 > _MOST_BINS:
                raise ValueError(
                    f"bins must be at least {2 * _RANGE / _MOST_BINS:g} wide for the coder's precision, got {width:g}: "
                    "the first levels of the chain have too little noise (take fewer levels)"
                )
            return [_Normals(slice(None), family(-last, last), np.zeros((), np.int32), mean, std)]
        centre = np.clip(np.round(mean), -(2**30), 2**30).astype(np.int32)
        parts, octave = [], np.ceil(np.log2(std)).astype(np.int32)
        for k in np.unique(octave):
            where, last = np.flatnonzero(octave == k), int(np.ceil(_FURTHEST * 2.0**k))
            rest = mean[where] - centre[where]
            parts.append(_Normals(where, family(-last, last), centre[where], rest, std[where]))
        return parts

    def _push(self, symbols: np.ndarray, *model: Any) -> None:
        if self._coder.num_words() < 2:  # the coder's own state, under which words cannot come later
            self._under(self._below.begin(2))
        self._coder.encode_reverse(symbols, *model)

    def _mix(self, parts: list[_Normals], draw: int) -> None:
        """Mix the bits that these values take with a pad of pseudorandom ones; done twice, nothing has changed.

        Bits that were pushed by a distribution which is not quite that of the message are not quite uniform, and those
        on top are the ones of the level below: drawn from them as they are, a latent would depend on it.
        """
        bits = sum(np.log2(np.maximum(_ENTROPY * part.std, 1.0)).sum() for part in parts)
        num = int(bits) // 32 + 2
        if (lacking := num + 1 - self._coder.num_words()) > 0:
            self._under(self._below.take(lacking))
        if (lacking := num + 1 - self._coder.num_words()) > 0:
            self._under(self._below.begin(lacking))
        words = self.words()
        # The highest word stays: it must not become 0.
        words[-1 - num : -1] ^= np.frombuffer(hashlib.shake_128(b"%d" % draw).digest(4 * num), "<u4")[::-1]
        self._coder = self._coder_of(words)

    def _pop(self, pop: Callable[[Any], np.ndarray], num: int) -> np.ndarray:
        """Pop `num` symbols, with words from below where those in memory may not last."""
        most = num * _PRECISION // 32 + 3
        if self._coder.num_words() < most:
            self._under(self._below.take(most - self._coder.num_words()))
        while True:
            held = self._coder.num_words()
            coder = self._coder if held >= most else self._coder.clone()
            found = pop(coder)
            # Two words are the coder's own state: with less, it has made up bits.
            if held >= most or coder.num_words() >= 2:
                self._coder = coder
                return found
            self._under(self._below.begin(max(16, held // 8)))

    def _under(self, words: np.ndarray) -> None:
        if len(words):
            self._coder = self._coder_of(np.concatenate([words, self.words()]))

    def _give(self) -> None:
        if self._coder.num_words() > 2 * KEPT:
            words = self.words()
            self._below.give(words[:-KEPT])
            self._coder = self._coder_of(words[-KEPT:])

    def _coder_of(self, words: np.ndarray) -> Any:
        return self._constriction.stream.stack.AnsCoder(np.ascontiguousarray(words, np.uint32))


def initial_words(first: int, num: int) -> UInt32[np.ndarray, " num"]:
    """Words number first .. first + num - 1 of those below the first of a message, number 0 the highest of them.

    They are the same in every file, so that the end of a message can be told from what lies below it.
    """
    size = 4 * (first + num)
    stream = np.frombuffer(hashlib.shake_256(b"jaxgen: the bits below a message").digest(size), "<u4")
    return stream[first:][::-1].astype(np.uint32)


def installed() -> Any:
    """The package constriction.

    Raises:
        ImportError: It is not installed.
    """
    try:
        return importlib.import_module("constriction")
    except ModuleNotFoundError:
        raise ImportError(
            "compression needs the package constriction: pip install 'jaxgen[codec]'", name="constriction"
        ) from None


def _finite(values: np.ndarray) -> np.ndarray:
    if not np.isfinite(values).all():
        raise ValueError("the model's numbers must be finite to code with, got NaN or infinity")
    return values
