"""The one spell-checker: the end of an error message about a word that is not known."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str:
    """Known words that come nearest to a word, or all of them, as the end of an error message.

    Args:
        word: A word that is none of the known ones.
        known: The known words.

    Returns:
        "did you mean 'this' or 'that'?", or "there are this, that, those".
    """
    words = sorted(known)
    return _question(word, words) or f"there are {', '.join(words)}"


def guess(word: str, known: Iterable[str]) -> str:
    """The same for a message that names the known words itself, or where there are too many: "" without a near one.

    Args:
        word: A word that is none of the known ones.
        known: The known words.

    Returns:
        "; did you mean 'this' or 'that'?", or "".
    """
    question = _question(word, list(known))
    return f"; {question}" if question else ""


def close(word: str, known: Iterable[str], num: int = 3, likeness: float = 0.5) -> list[str]:
    """The known words that are like a word, the nearest first.

    Args:
        word: Any word.
        known: The known words.
        num: How many of them at most.
        likeness: Least share of letters that the words have in common, in order.
    """
    return difflib.get_close_matches(word, list(known), n=num, cutoff=likeness)


def _question(word: str, words: list[str]) -> str:
    near = close(word, words)
    return f"did you mean {' or '.join(map(repr, near))}?" if near else ""
