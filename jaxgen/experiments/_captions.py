"""Names of the things in scenes, and scenes against their captions: which things stand where they should."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from jaxgen import evaluate
from jaxgen.core import Estimate
from jaxgen.data.captions import BESIDE, CELLS, Caption, Layout, layouts
from jaxgen.data.scenes import thing_of

_DIGITS: Mapping[str, int] = dict(
    zip(("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"), range(10), strict=True)
)

THINGS: Mapping[str, Mapping[str, int]] = {
    "digits": _DIGITS,
    "mnist": _DIGITS,
    "fashion_mnist": {"trouser": 1, "dress": 3, "coat": 4, "sandal": 5, "bag": 8, "boot": 9},
}
"""Names of the things of each set of images, and their labels there.

One garment of each outline is taken: nobody tells a coat from a pullover, a shirt or a T-shirt in 8 pixels, nor a
sandal from a sneaker.
"""

UNITS = {
    "things": "share of the things of a caption: right class, right size where one is said, in their cells",
    "class": "share of the things of a caption: right class in their cells",
    "size": "share of the sizes that are said, of what stands in the cells",
    "layout": "share of scenes with something in the cells of an allowed layout, and nothing elsewhere",
    "relation": "share of the relations that are said, between things of the right classes",
    "slots": "share of the four cells: the right thing, or nothing",
    "scene": "share of scenes with all four cells right",
}


def judged(
    captions: Sequence[Caption], found: Int[np.ndarray, "n 2 2"], names: Sequence[str]
) -> dict[str, Float[np.ndarray, " _"]]:
    """Shares of what is right, one for each caption that says such a thing.

    Of the layouts that a caption allows, the one that most cells agree with counts.

    Args:
        captions: Captions of the scenes.
        found: What stands in each cell, numbered as in `jaxgen.data.scenes.Scenes.cells`.
        names: Names of the classes of things.
    """
    shares: dict[str, list[float]] = {name: [] for name in UNITS}
    for caption, grid in zip(captions, found, strict=True):
        seen = {cell: thing_of(names, int(grid[cell])) for cell in CELLS}
        told = max((_told(caption, layout, seen) for layout in layouts(caption)), key=lambda told: sum(told["slots"]))
        occupied = {cell for cell, thing in seen.items() if thing is not None}
        told["layout"] = [any(occupied == set(layout) for layout in layouts(caption))]
        told["relation"] = _related(caption, seen)
        for name, right in told.items():
            if right:
                shares[name].append(float(np.mean(right)))
    return {name: np.array(values) for name, values in shares.items() if values}


def estimates(
    captions: Sequence[Caption], found: Int[np.ndarray, "n 2 2"], names: Sequence[str], prefix: str
) -> dict[str, Estimate]:
    """The same, mean and standard error over captions, by names that begin with a prefix."""
    shares = judged(captions, found, names)
    return {f"{prefix}/{name}": evaluate.estimate(values, UNITS[name]) for name, values in shares.items()}


def _told(caption: Caption, layout: Layout, seen: Mapping[tuple[int, int], tuple[str, str] | None]) -> dict[str, list]:
    """What is right of a scene if its things are to stand in these cells."""
    wanted = dict(zip(layout, caption.things, strict=True))
    right = {
        "class": [],
        "size": [],
        "things": [],
        "slots": [seen[cell] is None for cell in CELLS if cell not in wanted],
    }
    for cell, thing in wanted.items():
        name, size = seen[cell] or (None, None)
        right["class"].append(name == thing.name)
        if thing.size is not None:
            right["size"].append(size == thing.size)
        right["things"].append(name == thing.name and thing.size in (None, size))
    right["slots"] += right["things"]
    right["scene"] = [all(right["slots"])]
    return right


def _related(caption: Caption, seen: Mapping[tuple[int, int], tuple[str, str] | None]) -> list[bool]:
    """Whether each relation holds between some things of the right classes."""
    first, *others = (thing.name for thing in caption.things)
    held = []
    for relation, other in zip(caption.relations, others, strict=True):
        down, right = BESIDE[relation]
        pairs = [((row, column), (row + down, column + right)) for row, column in CELLS]
        classes = [(seen[a], seen.get(b)) for a, b in pairs]
        held.append(any(a and b and (a[0], b[0]) == (first, other) for a, b in classes))
    return held
