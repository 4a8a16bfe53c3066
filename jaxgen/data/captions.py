"""Captions of scenes with one to three things: a small grammar, and its words as tokens.

    caption  = thing [relation thing ["and" relation thing]]         a seven left of a small coat and above a three
    thing    = ("a" or "an") ["small" or "large"] name
    relation = "left of" or "right of" or "above" or "below"

Things stand in the four cells of a grid of two rows and two columns. Both relations are those of the first thing. What
a caption leaves open has several right answers: the cell of a thing that is alone, the row of two that stand beside
each other, and a size that is not said.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from jaxtyping import Int32

from jaxgen import require, spelling

CELLS = ((0, 0), (0, 1), (1, 0), (1, 1))
"""The cells (row, column) of a scene, in the order in which its grid is flattened."""

SIZES = ("small", "large")

BESIDE = {"left of": (0, 1), "right of": (0, -1), "above": (1, 0), "below": (-1, 0)}
"""Way (rows, columns) from the first thing of a relation to the second."""

PADDING = 0
"""Token that fills up short captions."""

MOST = 3
"""Largest number of things in a scene."""

LENGTH = 3 * MOST + 4
"""Words of the longest caption: "a small one left of a small two and above a small three"."""

Layout: TypeAlias = tuple[tuple[int, int], ...]
"""Cells of the things of a caption."""


class Thing(NamedTuple):
    """A thing as a caption has it.

    Attributes:
        name: Name of its class, one word.
        size: One of `SIZES`; None where it is not said.
    """

    name: str
    size: str | None = None

    def __str__(self) -> str:
        if self.size:
            return f"a {self.size} {self.name}"
        return f"{'an' if self.name[0] in _VOWELS else 'a'} {self.name}"


class Caption(NamedTuple):
    """A caption in parts.

    Attributes:
        things: One to three things.
        relations: Relation of the first thing to each further one: one across, one up or down.
    """

    things: tuple[Thing, ...]
    relations: tuple[str, ...] = ()

    def __str__(self) -> str:
        first, *others = map(str, self.things)
        told = [f"{relation} {other}" for relation, other in zip(self.relations, others, strict=True)]
        return " ".join((first, " and ".join(told))) if told else first


@dataclass(frozen=True)
class Vocabulary:
    """Words as tokens 1, 2, ...; 0 is padding.

    Args:
        words: The words.
        length: Number of tokens of a text, padding included.

    Raises:
        ValueError: No word, the same one twice, one with a space in it, or a length below 1.
    """

    words: tuple[str, ...]
    length: int = LENGTH

    def __post_init__(self):
        require.fields(self)
        require.size("length", self.length)
        for word in self.words:
            if word.split() != [word] or word != word.lower() or self.words.count(word) > 1:
                raise ValueError(f"words must be single words in small letters, each once, got {word!r}")
        if not self.words:
            raise ValueError("words must hold at least one word, got none")

    @property
    def num_values(self) -> int:
        """Number of tokens, padding included."""
        return len(self.words) + 1

    def tokens(self, text: str) -> Int32[np.ndarray, " length"]:
        """A text as tokens.

        Args:
            text: Words with spaces between, in small or capital letters.

        Raises:
            ValueError: A word that is none of the vocabulary, with the nearest one; no word, or too many.
        """
        if not isinstance(text, str):
            raise ValueError(f"text must be a string, got {text!r}")
        words = text.lower().split()
        for word in words:
            if word not in self.words:
                raise ValueError(
                    f"text must be made of known words, got {word!r}; {spelling.nearest(word, self.words)}"
                )
        if not 1 <= len(words) <= self.length:
            raise ValueError(f"text must have 1 to {self.length} words, got {len(words)}")
        found = np.full(self.length, PADDING, np.int32)
        found[: len(words)] = [1 + self.words.index(word) for word in words]
        return found

    def text(self, tokens: Int32[np.ndarray, " length"]) -> str:
        """The text of some tokens, without the padding.

        Raises:
            ValueError: A token out of range.
        """
        return " ".join(
            self.words[require.integer("token", int(token), 0, len(self.words)) - 1]
            for token in tokens
            if token != PADDING
        )


def vocabulary(names: Sequence[str]) -> Vocabulary:
    """The words of captions about things of these names.

    Args:
        names: Names of the classes of things.

    Raises:
        ValueError: A name that is no single word, or that is given twice.
    """
    relations = dict.fromkeys(word for relation in BESIDE for word in relation.split())
    return Vocabulary(("a", "an", "and", *SIZES, *relations, *names))


def layouts(caption: Caption) -> tuple[Layout, ...]:
    """All layouts that a caption allows: 4 for one thing, 2 for two, 1 for three.

    Raises:
        ValueError: Another number of things or relations, an unknown relation, or two relations along one axis.
    """
    require.integer("the number of things", len(caption.things), 1, MOST)
    if len(caption.relations) != len(caption.things) - 1:
        raise ValueError(f"relations must be one less than the things, got {len(caption.relations)}")
    for relation in caption.relations:
        require.one_of("relation", relation, tuple(BESIDE))
    ways = [BESIDE[relation] for relation in caption.relations]
    if len(ways) == 2 and bool(ways[0][0]) == bool(ways[1][0]):
        raise ValueError(f"relations must be one across and one up or down, got {caption.relations}")
    placed = (((row, column), *((row + down, column + right) for down, right in ways)) for row, column in CELLS)
    return tuple(layout for layout in placed if set(layout) <= set(CELLS))


def drawn(
    rng: np.random.Generator,
    names: Sequence[str],
    num_things: Sequence[int] = (1, 2, 3),
    pairs: frozenset[frozenset[str]] = frozenset(),
    with_pair: bool = False,
) -> Caption:
    """A random caption: number of things, names and relations equally likely, each size said with probability 1/2.

    Args:
        rng: Source of the draws.
        names: Names of the classes of things.
        num_things: Numbers of things to draw from.
        pairs: Sets of two names, or of one that is its own partner, that are held out (`held_out`).
        with_pair: Whether the scene must hold such a pair; otherwise it holds none.

    Raises:
        ValueError: One thing alone where there must be a pair, or no scene in a thousand that is as it must be.
    """
    num = int(rng.choice(np.asarray(num_things)))
    known = list(names)
    for _ in range(_TRIES):
        chosen = [known[i] for i in rng.integers(0, len(names), num)]
        met = {frozenset((a, b)) for i, a in enumerate(chosen) for b in chosen[:i]}
        if bool(met & pairs) == with_pair:
            break
    else:
        raise ValueError(
            f"pairs must let scenes of {num} things be drawn {'with' if with_pair else 'without'} one of them, "
            f"got {len(pairs)} pairs and none in {_TRIES} tries"
        )
    across, down = (str(rng.choice(some)) for some in (("left of", "right of"), ("above", "below")))
    relations = [across, down] if rng.integers(0, 2) else [down, across]
    sizes = [SIZES[k] if k < len(SIZES) else None for k in rng.integers(0, 2 * len(SIZES), num)]
    things = tuple(Thing(name, size) for name, size in zip(chosen, sizes, strict=True))
    return Caption(things, tuple(relations[: num - 1]))


def held_out(names: Sequence[str], share: float, seed: int) -> frozenset[frozenset[str]]:
    """Pairs of names, a random share of all, for scenes that a model never sees in training.

    Args:
        names: Names of the classes of things.
        share: Share of the pairs; a name with itself is one of them.
        seed: Seed of the draw.

    Raises:
        ValueError: A share outside [0, 1].
    """
    every = [frozenset((a, b)) for i, a in enumerate(names) for b in names[: i + 1]]
    num = round(require.number("share", share, 0, 1) * len(every))
    return frozenset(every[i] for i in np.random.default_rng(seed).permutation(len(every))[:num])


_TRIES = 1000
_VOWELS = "aeiu"  # an eight, but a one
