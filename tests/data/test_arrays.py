"""The user's own arrays and files: taken as they are, or refused by name."""

import io
import pickle

import jax
import numpy as np
import pytest

from jaxgen.core import Spec
from jaxgen.data import Split, from_arrays, from_file

N = 20
X = (np.arange(N * 6) % 256).astype(np.uint8).reshape(N, 3, 2)
LABEL = np.arange(N) % 5


def sorted_rows(*splits):
    rows = np.concatenate([part.x.reshape(len(part), -1) for part in splits])
    return rows[np.lexsort(rows.T)]


def test_fractions_are_split_off_and_rows_stay_together():
    condition = {"c": np.arange(N, dtype=np.int32)}
    data = from_arrays(X, LABEL, mask=X > 3, condition=condition, valid=0.2, test=0.3)
    assert data.spec == Spec((3, 2), "uint8", 256, num_classes=5, condition={"c": jax.ShapeDtypeStruct((), np.int32)})
    assert [len(part) for part in data.splits.values()] == [10, 4, 6]
    np.testing.assert_array_equal(sorted_rows(*data.splits.values()), sorted_rows(Split(X)))
    for part in data.splits.values():
        rows = part.condition["c"]
        np.testing.assert_array_equal(part.x, X[rows])
        np.testing.assert_array_equal(part.label, LABEL[rows])
        np.testing.assert_array_equal(part.mask, X[rows] > 3)


def test_the_seed_decides_the_split_and_ten_percent_is_the_default():
    one, again, other = (from_arrays(X, seed=seed) for seed in (0, 0, 1))
    assert [len(part) for part in one.splits.values()] == [16, 2, 2]
    assert one.fingerprint == again.fingerprint != other.fingerprint
    assert one.name == "arrays"


def test_given_splits_stay_as_they_are():
    valid, test = Split(X[:3], LABEL[:3]), Split(X[3:8], LABEL[3:8] + 7)
    data = from_arrays(X[8:], LABEL[8:], valid=valid, test=test)
    assert data.valid is valid
    assert data.test is test
    np.testing.assert_array_equal(data.train.x, X[8:])
    assert data.spec.num_classes == 12  # the largest label is in the test set


def test_one_set_given_and_the_other_split_off():
    test = Split(X[:5])
    data = from_arrays(X[5:], valid=0.2, test=test)
    assert [len(part) for part in data.splits.values()] == [12, 3, 5]
    np.testing.assert_array_equal(sorted_rows(data.train, data.valid), sorted_rows(Split(X[5:])))
    assert from_arrays(X, valid=None).valid is None


@pytest.mark.parametrize("shape", [(N,), (N, 4, 4), (N, 2, 2, 2, 1)])
def test_events_have_the_shape_that_is_given(shape):
    data = from_arrays(np.zeros(shape, np.float32))
    assert data.spec == Spec(shape[1:], "float32")
    assert data.train.batches(seed=0, batch_size=2)(0)["x"].shape == (2, *shape[1:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": 100}, r"^x must lie below levels=100, got 100 at index \(16, 2, 0\)"),
        ({"levels": 1}, "levels must lie in 2..256, got 1"),
        ({"x": np.zeros((N, 2), np.float32), "levels": 2}, "levels goes with dtype uint8 and only with it"),
        ({"x": np.zeros((N, 2))}, r"x must be uint8 or float32, got float64.*x\.astype\(np\.float32\)"),
        ({"label": LABEL[1:]}, r"label must hold one label for each of the 20 examples, got shape \(19,\)"),
        ({"mask": X}, "mask must be bool"),
        ({"valid": 0.0}, "valid must be a Split or a fraction between 0 and 1, got 0.0"),
        ({"test": 1.0}, "test must be a Split or a fraction between 0 and 1, got 1.0"),
        ({"test": float("nan")}, "test must be a Split or a fraction between 0 and 1, got nan"),
        ({"valid": 0.5, "test": 0.5}, r"must leave an example of x to train on, got 10 \+ 10 of 20"),
        ({"x": X[:2]}, r"must leave an example of x to train on, got 1 \+ 1 of 2"),
        ({"seed": -1}, "seed must be an integer in"),
        ({"test": Split(X[:, :2])}, r"test must have the event_shape of the spec, \(3, 2\), got \(2, 2\)"),
        ({"test": Split(X.astype(np.float32))}, "test must have the dtype of the spec, uint8, got float32"),
        ({"label": LABEL, "test": Split(X)}, r"test\.label goes with num_classes .*label missing"),
    ],
)
def test_arrays_that_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(**{"x": X, **changes})


def test_a_file_with_one_array(tmp_path):
    np.save(tmp_path / "sand.npy", X)
    data = from_file(tmp_path / "sand.npy", seed=4, valid=0.2)
    assert data.name == "sand"
    assert data.fingerprint == from_arrays(X, seed=4, valid=0.2).fingerprint


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_with_one_set(tmp_path, save):
    columns = {"x": X % 17, "label": LABEL, "mask": X > 3, "condition": np.float32(X)}
    save(tmp_path / "set.npz", **columns)
    data = from_file(tmp_path / "set.npz", levels=17)
    assert data.fingerprint == from_arrays(**columns, levels=17).fingerprint


def test_a_file_with_given_splits(tmp_path):
    columns = {"train_x": X[:9], "train_label": LABEL[:9], "test_x": X[9:], "test_label": LABEL[9:]}
    np.savez(tmp_path / "splits.npz", **columns)
    data = from_file(tmp_path / "splits.npz")
    assert data.valid is None
    np.testing.assert_array_equal(data.train.x, X[:9])
    np.testing.assert_array_equal(data.test.label, LABEL[9:])
    np.savez(tmp_path / "three.npz", **columns, valid_x=X[:2], valid_label=LABEL[:2])
    assert [len(part) for part in from_file(tmp_path / "three.npz").splits.values()] == [9, 2, 11]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"x": X, "y": LABEL}, r"must hold x, label, mask, condition, or these after .*, got 'y'"),
        ({"x_train": X}, r"must hold x, label, mask, condition, or these after .*, got 'x_train'"),
        ({"label": LABEL}, "must hold x in every split, got label of one set"),
        ({"train_x": X, "test_label": LABEL}, "must hold x in every split, got label of test"),
        ({"x": X, "test_x": X}, "must hold one set, or train_ and test_ .*, got one set, test"),
        ({"train_x": X, "valid_x": X}, "must hold one set, or train_ and test_ .*, got train, valid"),
        ({}, "must hold one set, or train_ and test_ .*, got nothing"),
        ({"train_x": X, "test_x": np.float64(X)}, "^test_x must be uint8 or float32, got float64"),
        (
            {"train_x": X, "train_label": -LABEL, "test_x": X},
            "^train_label must lie in .*, got -1 at index 1",
        ),
    ],
)
def test_files_with_other_keys(tmp_path, columns, message):
    np.savez(tmp_path / "a.npz", **columns)
    with pytest.raises(ValueError, match=message):
        from_file(tmp_path / "a.npz")


class Bomb:
    """Shows whether it was unpickled."""

    def __reduce__(self):
        return print, ("unpickled",)


def test_pickles_are_never_opened(tmp_path, capsys):
    bomb = np.array([Bomb()], dtype=object)
    np.save(tmp_path / "a.npy", bomb, allow_pickle=True)
    np.savez(tmp_path / "b.npz", x=X, label=bomb)
    (tmp_path / "c.npy").write_bytes(pickle.dumps(Bomb()))
    for name, what in (("a.npy", "a.npy"), ("b.npz", r"'label' in .*b\.npz"), ("c.npy", "c.npy")):
        with pytest.raises(ValueError, match=f"{what} must be whole arrays of numbers, without pickled objects"):
            from_file(tmp_path / name)
    assert "unpickled" not in capsys.readouterr().out


@pytest.mark.parametrize("save", [np.save, np.savez, np.savez_compressed])
def test_a_file_cut_short_anywhere(tmp_path, save):
    buffer = io.BytesIO()
    save(buffer, X)
    whole = buffer.getvalue()
    path = tmp_path / ("a.npy" if save is np.save else "a.npz")
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=rf"{path.name} must be whole arrays"):
            from_file(path)


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"path must be a file, there is none at .*a\.npz"):
        from_file(tmp_path / "a.npz")
    with pytest.raises(ValueError, match=r"path must end in \.npy or \.npz, got .*a\.csv"):
        from_file(tmp_path / "a.csv")
