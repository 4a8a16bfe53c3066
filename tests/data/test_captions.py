"""Captions: the grammar, the layouts that it allows, pairs that are held out, words as tokens."""

import itertools

import numpy as np
import pytest

from jaxgen.data import captions
from jaxgen.data.captions import Caption, Thing, Vocabulary

NAMES = ("one", "two", "eight", "coat")
WORDS = captions.vocabulary(NAMES)


def test_captions_read_as_english():
    assert str(Caption((Thing("eight"),))) == "an eight"
    two = Caption((Thing("one"), Thing("eight", "small")), ("below",))
    assert str(two) == "a one below a small eight"
    three = Caption((Thing("one", "large"), Thing("coat"), Thing("two", "small")), ("left of", "above"))
    assert str(three) == "a large one left of a coat and above a small two"


@pytest.mark.parametrize(
    ("relations", "layouts"),
    [
        ((), {((0, 0),), ((0, 1),), ((1, 0),), ((1, 1),)}),
        (("left of",), {((0, 0), (0, 1)), ((1, 0), (1, 1))}),
        (("right of",), {((0, 1), (0, 0)), ((1, 1), (1, 0))}),
        (("above",), {((0, 0), (1, 0)), ((0, 1), (1, 1))}),
        (("below",), {((1, 0), (0, 0)), ((1, 1), (0, 1))}),
        (("left of", "above"), {((0, 0), (0, 1), (1, 0))}),
        (("below", "right of"), {((1, 1), (0, 1), (1, 0))}),
    ],
)
def test_layouts_are_all_that_the_relations_allow(relations, layouts):
    caption = Caption((Thing("one"),) * (len(relations) + 1), relations)
    found = captions.layouts(caption)
    assert set(found) == layouts and len(found) == len(layouts)


@pytest.mark.parametrize(
    ("num", "relations", "message"),
    [
        (0, (), "the number of things must be an integer in 1..3, got 0"),
        (4, ("above",) * 3, "the number of things must be .* got 4"),
        (2, (), "relations must be one less than the things, got 0"),
        (2, ("beside",), "relation must be 'left of' or .* got 'beside'"),
        (3, ("above", "below"), "relations must be one across and one up or down"),
        (3, ("left of", "left of"), "relations must be one across and one up or down"),
    ],
)
def test_captions_without_a_layout_are_refused(num, relations, message):
    with pytest.raises(ValueError, match=message):
        captions.layouts(Caption((Thing("one"),) * num, relations))


def test_drawn_captions_have_layouts_and_fit_the_vocabulary():
    rng = np.random.default_rng(0)
    said = [captions.drawn(rng, NAMES) for _ in range(300)]
    assert all(captions.layouts(caption) for caption in said)
    assert {len(caption.things) for caption in said} == {1, 2, 3}
    assert {thing.size for caption in said for thing in caption.things} == {None, "small", "large"}
    assert {relation for caption in said for relation in caption.relations} == set(captions.BESIDE)
    for caption in said:
        assert WORDS.text(WORDS.tokens(str(caption))) == str(caption)
    longest = "a large one left of a small two and above a large eight"
    assert len(longest.split()) == captions.LENGTH and (WORDS.tokens(longest) != captions.PADDING).all()


def test_pairs_that_are_held_out_never_meet_or_always_do():
    pairs = captions.held_out(NAMES, 0.3, seed=1)
    assert len(pairs) == round(0.3 * 10) and pairs == captions.held_out(NAMES, 0.3, seed=1)
    assert all(1 <= len(pair) <= 2 and pair <= set(NAMES) for pair in pairs)
    for with_pair, num_things in ((False, (1, 2, 3)), (True, (2, 3))):
        rng = np.random.default_rng(2)
        for _ in range(200):
            things = captions.drawn(rng, NAMES, num_things, pairs, with_pair).things
            met = {frozenset((a.name, b.name)) for a, b in itertools.combinations(things, 2)}
            assert bool(met & pairs) == with_pair
    with pytest.raises(ValueError, match="pairs must let scenes of 1 things be drawn with one of them"):
        captions.drawn(np.random.default_rng(0), NAMES, (1,), pairs, with_pair=True)
    with pytest.raises(ValueError, match=r"share must be a finite number at least 0 and at most 1, got 2\.0"):
        captions.held_out(NAMES, 2.0, seed=0)


def test_tokens_are_words_in_order_and_padding():
    words = Vocabulary(("a", "red", "coat"), length=4)
    assert words.num_values == 4
    found = words.tokens("A red  COAT")
    assert found.tolist() == [1, 2, 3, 0] and found.dtype == np.int32
    assert words.text(found) == "a red coat"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a seven left of a small coat", r"text must be made of known words, got 'seven'; there are a, above, an,"),
        ("a one left of a small cot", "got 'cot'; did you mean 'coat'"),
        ("", "text must have 1 to 13 words, got 0"),
        ("a one " * 7, "text must have 1 to 13 words, got 14"),
    ],
)
def test_a_text_that_cannot_be_said_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        WORDS.tokens(text)


@pytest.mark.parametrize("words", [(), ("a", "a"), ("a b",), ("A",), ("",)])
def test_a_vocabulary_that_is_none_is_refused(words):
    with pytest.raises(ValueError, match="words must"):
        Vocabulary(words)
    with pytest.raises(ValueError, match=r"token must be an integer in 0\.\.14, got 99"):
        WORDS.text(np.array([99], np.int32))
