"""The stack of bits: pops undo pushes bit for bit, take as many bits as the probabilities say, and draw fairly."""

import sys

import numpy as np
import pytest
from chains import Memory

from jaxgen.codec import Stack, initial_words, stack

pytest.importorskip("constriction")


def words(of, below):
    return np.concatenate([below.held, of.words()])


@pytest.mark.parametrize("kept", [8, 2**16])
def test_pops_undo_pushes_whatever_part_is_in_memory(kept, monkeypatch):
    monkeypatch.setattr(stack, "KEPT", kept)
    random = np.random.default_rng(0)
    below = Memory()
    coder = Stack(below)
    mean, std = random.normal(size=(3, 50)).astype(np.float32), random.uniform(0.01, 2, (3, 50)).astype(np.float32)
    table = random.uniform(size=(3, 50, 5)).astype(np.float32)
    values, n = random.integers(0, 5, (3, 50)), np.round(random.normal(size=(3, 50)) * 64).astype(np.int32)
    drawn = coder.pop_normals(mean, std, 2.0**-6, draw=0)
    before = words(coder, below)
    coder.push_values(values, table)
    coder.push_normals(n, mean, std, 2.0**-6)
    assert (len(below.held) > 0) == (kept == 8)
    np.testing.assert_array_equal(coder.pop_normals(mean, std, 2.0**-6), n)
    np.testing.assert_array_equal(coder.pop_values(table), values)
    np.testing.assert_array_equal(words(coder, below), before)
    coder.push_normals(drawn, mean, std, 2.0**-6, draw=0)
    np.testing.assert_array_equal(words(coder, below), initial_words(0, below.num_initial))


def test_a_push_takes_as_many_bits_as_the_probabilities_say():
    random, below = np.random.default_rng(0), Memory()
    coder = Stack(below)
    table = np.array([0.7, 0.2, 0.1], np.float32) * np.ones((20_000, 1), np.float32)
    coder.push_values(random.choice(3, 20_000, p=[0.7, 0.2, 0.1]), table)
    entropy = -np.sum(np.array([0.7, 0.2, 0.1]) * np.log2([0.7, 0.2, 0.1]))
    assert 32 * len(coder.words()) == pytest.approx(20_000 * entropy, rel=0.01)


def test_what_cannot_happen_can_still_be_pushed():
    coder = Stack(Memory())
    table = np.array([[1.0, 0.0]], np.float32)
    coder.push_values(np.array([1]), table)
    assert coder.pop_values(table).tolist() == [1]


@pytest.mark.parametrize("width", [2.0**-2, 2.0**-9])
def test_draws_are_normal_though_the_bits_are_of_another_distribution(width):
    """The bits below a draw were pushed by a wrong distribution; none lies hundreds of deviations off."""
    random, coder = np.random.default_rng(0), Stack(Memory())
    mean = np.zeros((1, 10_000), np.float32)
    std = np.full_like(mean, 0.5)
    wrong = np.round(random.normal(0, 0.8, mean.shape) / width).astype(np.int32)
    for _ in range(2):
        coder.push_normals(wrong, mean, std, width)
    z = coder.pop_normals(mean, std, width, draw=3) * width / 0.5
    assert abs(z.mean()) < 0.04 and abs(z).max() < 6
    assert z.std() == pytest.approx(np.sqrt(1 + (width / 0.5) ** 2 / 12), abs=0.03)


def test_what_is_no_number_or_too_fine_is_refused():
    coder, one = Stack(Memory()), np.ones((1, 1), np.float32)
    with pytest.raises(ValueError, match=r"must be finite to code with, got NaN"):
        coder.pop_normals(one * np.nan, one, 0.1)
    with pytest.raises(ValueError, match=r"must be finite"):
        coder.push_values(np.zeros((1, 1), np.int32), one[..., None] * np.inf)
    with pytest.raises(ValueError, match=r"bins must be at least 3.05176e-05 wide .* got 1e-06"):
        coder.pop_normals(one, one, 1e-6)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "constriction", None)
    with pytest.raises(ImportError, match=r"needs the package constriction: pip install 'jaxgen\[codec\]'"):
        Stack(Memory())
