"""Scenes: things stand where their captions say, in the size that is said, within their cells."""

import numpy as np
import pytest

from jaxgen.data import captions, scenes
from jaxgen.data.captions import Caption, Thing

RNG = np.random.default_rng(0)
# Bars and squares with an empty border: a class is known by its shape.
THINGS = {
    "bar": np.zeros((3, 20, 20), np.uint8),
    "square": np.zeros((2, 20, 20), np.uint8),
}
THINGS["bar"][:, 2:18, 5:9] = 200
THINGS["square"][:, 4:12, 4:12] = 100


def test_a_thing_is_cut_out_and_scaled_by_its_longer_side():
    assert scenes.scaled(THINGS["bar"][0], 8).shape == (8, 2)
    assert scenes.scaled(THINGS["square"][0], 14).shape == (14, 14)
    assert (scenes.scaled(THINGS["square"][0], 14) == 100).all()
    wide = THINGS["bar"][0].T.copy()
    assert scenes.scaled(wide, 14).shape == (4, 14)
    faint = wide.copy()
    faint[0, 0] = 5  # a speck is not part of the thing
    assert scenes.scaled(faint, 14).shape == (4, 14)
    with pytest.raises(ValueError, match="image must have some ink"):
        scenes.scaled(np.zeros((4, 4), np.uint8), 8)
    with pytest.raises(ValueError, match="side must be an integer of at least 1, got 0"):
        scenes.scaled(wide, 0)


def test_things_stand_in_their_cells_and_nothing_else_does():
    rng = np.random.default_rng(1)
    said = [captions.drawn(rng, tuple(THINGS)) for _ in range(200)]
    drawn = scenes.drawn(rng, said, THINGS)
    assert drawn.x.shape == (200, 32, 32, 1) and drawn.x.dtype == np.uint8
    cut = scenes.cut_into_cells(drawn.x).reshape(200, 2, 2, 16, 16)
    layouts = set()
    for n, caption in enumerate(said):
        wanted = [tuple(cell) for cell in np.argwhere(drawn.cells[n])]
        layout = next(each for each in captions.layouts(caption) if sorted(each) == sorted(wanted))
        layouts.add((caption.relations, layout))
        for cell in captions.CELLS:
            found = scenes.thing_of(tuple(THINGS), int(drawn.cells[n][cell]))
            ink = np.argwhere(cut[n][cell])
            if cell not in layout:
                assert found is None and not len(ink)
                continue
            assert found is not None
            thing = caption.things[layout.index(cell)]
            height, width = np.ptp(ink, axis=0) + 1
            assert found[0] == thing.name and thing.size in (None, found[1])
            assert height == scenes.SIDES[found[1]] and (width == height) == (found[0] == "square")
            assert (np.abs(ink.mean(axis=0) - 7.5) <= 2.5).all()
    assert len({layout for relations, layout in layouts if not relations}) == 4  # all the answers are drawn


def test_numbers_of_things():
    names = ("bar", "square")
    assert [scenes.thing_of(names, number) for number in range(5)] == [
        None,
        *[("bar", "small"), ("bar", "large"), ("square", "small"), ("square", "large")],
    ]
    for number in range(1, 5):
        thing = scenes.thing_of(names, number)
        assert thing is not None and scenes.thing_number(names, *thing) == number
    with pytest.raises(ValueError, match=r"number must be an integer in 0\.\.4, got 5"):
        scenes.thing_of(names, 5)


def test_what_cannot_be_drawn_is_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="captions must hold at least one caption, got none"):
        scenes.drawn(rng, [], THINGS)
    with pytest.raises(ValueError, match="the name of a thing must be 'bar' or 'square', got 'coat'"):
        scenes.drawn(rng, [Caption((Thing("coat"),))], THINGS)
    with pytest.raises(ValueError, match=r"x must be pictures \[n, 32, 32, 1\], got shape \(2, 28, 28, 1\)"):
        scenes.cut_into_cells(np.zeros((2, 28, 28, 1)))
