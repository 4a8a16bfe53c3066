"""What a user's word for a data set stands for."""

import numpy as np
import pytest

from jaxgen.core import Spec
from jaxgen.data import digits, load, names


def test_every_name_can_be_loaded():
    loaded = [load(name, num=None if name == "digits" else (10, 10, 10)) for name in names()]
    assert tuple(data.name for data in loaded) == names()
    assert loaded[0].fingerprint == digits().fingerprint


def test_toys_are_drawn_from_the_seed_with_splits_of_their_own():
    data, again, other = (load("ring", seed=seed, num=(10, 10, 20)) for seed in (0, 0, 1))
    assert data.spec == Spec((2,), "float32")
    assert [len(part) for part in data.splits.values()] == [10, 10, 20]
    assert data.fingerprint == again.fingerprint != other.fingerprint
    rows = np.concatenate([part.x for part in data.splits.values()])
    assert len(np.unique(rows, axis=0)) == 40


def test_the_size_of_a_toy_unless_given():
    assert [len(part) for part in load("swiss_roll").splits.values()] == [50_000, 5_000, 10_000]


def test_a_path(tmp_path):
    np.save(tmp_path / "mine.npy", np.zeros((10, 2), np.float32))
    assert load(str(tmp_path / "mine.npy")).fingerprint == load(tmp_path / "mine.npy").fingerprint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "digist"}, r"name must be one of digits, ring.*, got 'digist' \(nearest: digits\)"),
        ({"name": "imagenet"}, r"name must be one of digits, ring.*\.npz, got 'imagenet'$"),
        ({"name": "digits", "num": (1, 1, 1)}, r"num goes with a toy, .*got num=\(1, 1, 1\) for 'digits'"),
        ({"name": "ring", "num": (1, 0, 1)}, r"num\[1\] must be an integer of at least 1, got 0"),
        ({"name": "ring", "seed": -1}, r"seed must be an integer in 0\.\.4294967295, got -1"),
    ],
)
def test_what_cannot_be_loaded(arguments, message):
    with pytest.raises(ValueError, match=message):
        load(**arguments)


def test_a_path_without_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is none at"):
        load(tmp_path / "none.npz")
