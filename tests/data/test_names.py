"""What a user's word for a data set stands for."""

import importlib.util
from typing import Any

import numpy as np
import pytest
from published import SHARED

from jaxgen.core import Spec
from jaxgen.data import digits, load, names


@pytest.mark.parametrize("name", names())
def test_every_name_can_be_loaded(name, tmp_path):
    options: dict[str, Any] = {"num": (10, 10, 10)} if name in ("ring", "grid", "two_moons", "swiss_roll") else {}
    if "mnist" in name:
        if not SHARED.is_dir():
            pytest.skip(f"the published files are not at {SHARED}")
        options = {"folder": SHARED, "cache": tmp_path}
    assert load(name, **options).name == name


def test_the_digits_are_the_digits():
    assert load("digits").fingerprint == digits().fingerprint


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
        ({"name": "digist"}, r"name must be one of digits, mnist.*, got 'digist'; did you mean 'digits'"),
        ({"name": "digits", "num": (1, 1, 1)}, r"num does not go with 'digits', got num=\(1, 1, 1\)"),
        ({"name": "ring", "valid": 0.1}, r"valid does not go with 'ring', got valid=0\.1"),
        ({"name": "mnist", "size": (9, 9)}, r"size does not go with 'mnist', got size=\(9, 9\)"),
        ({"name": "binarized_mnist", "valid": 100}, "valid does not go with 'binarized_mnist', got valid=100"),
        ({"name": "x.npy", "crop": True}, "crop does not go with 'x.npy', got crop=True"),
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


def test_a_path_without_validation(tmp_path):
    np.save(tmp_path / "mine.npy", np.zeros((10, 2), np.float32))
    assert load(tmp_path / "mine.npy", valid=0).valid is None
    assert len(load(tmp_path / "mine.npy", valid=0.3).splits["valid"]) == 3


def test_without_tfds_the_error_says_how_to_get_its_names(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"one of tensorflow-datasets \(pip install 'jaxgen\[data\]' for these\)"):
        load("cifar10")
