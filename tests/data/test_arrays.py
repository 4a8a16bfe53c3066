"""The user's own arrays and files: taken as they are, or refused by name."""

# Wrong arguments are given on purpose.
# pyright: reportArgumentType=false

import io
import pickle

import jax
import numpy as np
import pytest

from jaxgen.core import Field, Spec
from jaxgen.data import Examples, Split, from_arrays, from_file, load, located
from jaxgen.data.checks import events

N = 20
X = (np.arange(N * 6) % 256).astype(np.uint8).reshape(N, 3, 2)
LABEL = np.arange(N) % 5


def sorted_rows(*splits):
    rows = np.concatenate([part.x.reshape(len(part), -1) for part in splits])
    return rows[np.lexsort(rows.T)]


@pytest.mark.filterwarnings("ignore:1 of the 5 classes have no example")
def test_fractions_are_split_off_and_rows_stay_together():
    data = from_arrays(X, LABEL, mask=X > 3, fields={"c": np.arange(N)}, condition=np.float32(X), valid=0.2, test=0.3)
    described = {"c": Field((), "int32", N), "condition": Field((3, 2), "float32")}
    assert data.spec == Spec((3, 2), "uint8", 256, num_classes=5, fields=described)
    assert [len(part) for part in data.splits.values()] == [10, 4, 6]
    np.testing.assert_array_equal(sorted_rows(*data.splits.values()), sorted_rows(Split(X)))
    for part in data.splits.values():
        rows = part.fields["c"]
        np.testing.assert_array_equal(part.fields["condition"], X[rows])
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
    with pytest.warns(UserWarning, match=r"7 of the 12 classes have no example in the training set \(5, 6, 7, "):
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
        ({"levels": 1}, r"levels must be an integer in 2\.\.256, got 1"),
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
        ({"x": X, "y": LABEL}, r"must hold x, label, mask and further fields, or these after .*, got 'y'"),
        ({"x_train": X}, r"must hold x, label, mask and further fields, or these after .*, got 'x_train'"),
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


HIDDEN = np.arange(N * 6).reshape(N, 3, 2) % 4 == 1


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_masked_arrays_mask_is_what_is_observed(dtype):
    values = X.astype(dtype)
    if dtype == np.float32:
        values[HIDDEN] = np.nan
    masked = np.ma.MaskedArray(values, HIDDEN)
    data = from_arrays(masked, valid=0.2, test=0.3)
    plain = from_arrays(np.where(HIDDEN, 0, X).astype(dtype), mask=~HIDDEN, valid=0.2, test=0.3)
    assert data.fingerprint == plain.fingerprint
    assert type(data.train.x) is np.ndarray
    assert data.train.mask is not None and not data.train.mask.all()


def test_a_masked_array_without_a_mask_is_an_array():
    assert from_arrays(np.ma.MaskedArray(X)).fingerprint == from_arrays(X).fingerprint


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"x": np.ma.MaskedArray(X, HIDDEN), "mask": HIDDEN},
            "mask must be None where x is a masked array, .*got both",
        ),
        (
            {"x": np.ma.masked_invalid(np.float64(X))},
            r"x must be uint8 or float32, got float64.*x\.astype\(np\.float32\)",
        ),
        (
            {"x": X, "label": np.ma.MaskedArray(LABEL)},
            r"label must be a plain .*masked array.*: pass label\.filled\(0\)",
        ),
        (
            {"x": X, "mask": np.ma.MaskedArray(HIDDEN)},
            "mask must be a plain numpy array, got a masked array, whose mask",
        ),
        (
            {"x": X, "fields": {"c": np.ma.MaskedArray(LABEL)}},
            "c must be a plain numpy .*masked array",
        ),
        ({"x": X[:, 0].view(np.matrix)}, r"x must be a plain numpy array, got matrix: pass np\.asarray\(x\)"),
        (
            {"x": np.zeros(N, "u1,f4")},
            r"x must hold numbers without fields, got the fields f0, f1: pass .*x\['f0'\], or",
        ),
        ({"x": np.zeros(N, "u1,f4").view(np.recarray)}, "x must be a plain numpy array, got recarray"),
    ],
)
def test_arrays_that_carry_more_than_numbers(arguments, message):
    with pytest.raises(ValueError, match=message):
        from_arrays(**arguments)


def test_an_array_of_arrays_is_to_be_stacked():
    rows = np.empty(2, object)
    rows[:] = [X[0], X[1]]
    with pytest.raises(
        ValueError, match=r"x must be one array of numbers, got an array of arrays: pass np\.stack\(x\)"
    ):
        Split(rows)
    rows[:] = [X[0], X[1, :1]]
    with pytest.raises(
        ValueError, match=r"x must hold examples of one shape, got an array of arrays of shapes \[\(1, 2\)"
    ):
        Split(rows)


def test_a_mask_is_not_lost_example_by_example():
    with pytest.raises(ValueError, match=r"example 1: .*must be a plain numpy array, got a masked array"):
        Examples(np.ma.MaskedArray(np.float32(X), HIDDEN), Spec((3, 2)))[1]


class Tensor:
    """What looks like an array of another library."""

    def __array__(self):
        return X


@pytest.mark.parametrize(
    ("library", "conversion"),
    [
        ("torch", r"x\.detach\(\)\.cpu\(\)\.numpy\(\)"),
        ("pandas.core.frame", r"x\.to_numpy\(\)"),
        ("scipy.sparse", r"x\.toarray\(\)"),
        ("xarray", r"np\.asarray\(x\)"),
    ],
)
def test_arrays_of_other_libraries_are_refused_with_the_conversion(library, conversion, monkeypatch):
    monkeypatch.setattr(Tensor, "__module__", library)
    with pytest.raises(ValueError, match=f"x must be a numpy array, got Tensor: pass {conversion}"):
        events("x", Tensor())
    with pytest.raises(ValueError, match=r"x must be a numpy array, got ArrayImpl: pass np\.asarray\(x\)"):
        events("x", jax.numpy.asarray(X))


@pytest.mark.parametrize(("valid", "test", "sizes"), [(3, 5, [12, 3, 5]), (0.2, 1, [15, 4, 1]), (None, 4, [16, 4])])
def test_sizes_may_be_numbers_of_examples(tmp_path, valid, test, sizes):
    assert [len(part) for part in from_arrays(X, valid=valid, test=test).splits.values()] == sizes
    np.save(tmp_path / "a.npy", X)
    assert [len(part) for part in from_file(tmp_path / "a.npy", valid=valid, test=test).splits.values()] == sizes


@pytest.mark.parametrize(("name", "value"), [("valid", 0), ("test", 0), ("valid", -3), ("test", 1.5), ("valid", True)])
def test_sizes_that_are_none(name, value):
    with pytest.raises(
        ValueError, match=f"{name} must be a Split or a fraction .*got {value}; or a number of examples"
    ):
        from_arrays(X, **{name: value})


def test_keys_of_a_file_are_mapped(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", images=X, y=LABEL, ids=LABEL, mask=X > 3)
    data = from_file(tmp_path / "a.npz", keys={"x": "images", "label": "y"}, seed=2)
    assert data.fingerprint == from_arrays(X, LABEL, mask=X > 3, seed=2).fingerprint
    assert data.fingerprint == load(f"{tmp_path}/a.npz:x=images,label=y", seed=2).fingerprint
    assert data.fingerprint == load(tmp_path / "a.npz", keys={"x": "images", "label": "y"}, seed=2).fingerprint
    # In a manifest the path is absolute and the keys stay.
    monkeypatch.chdir(tmp_path)
    assert located("a.npz:x=images,label=y") == f"{tmp_path}/a.npz:x=images,label=y"


def test_keys_of_splits_are_mapped(tmp_path):
    """The names of Keras' mnist.npz."""
    np.savez(tmp_path / "a.npz", x_train=X[:9], y_train=LABEL[:9], x_test=X[9:], y_test=LABEL[9:])
    keys = {"train_x": "x_train", "train_label": "y_train", "test_x": "x_test", "test_label": "y_test"}
    np.testing.assert_array_equal(from_file(tmp_path / "a.npz", keys=keys).test.x, X[9:])
    flags = ",".join(f"{name}={key}" for name, key in keys.items())
    np.testing.assert_array_equal(load(f"{tmp_path}/a.npz:{flags}").train.arrays["label"], LABEL[:9])
    # The advice is the mapping itself.
    with pytest.raises(
        ValueError, match=rf"the keys are x_train, y_train, x_test, y_test; keys=.*FILE\.npz:{flags}\)$"
    ):
        from_file(tmp_path / "a.npz")


@pytest.mark.parametrize("names", [("X", "Y"), ("Train_x", "Test_x"), ("images", "labels"), ("arr_0", "arr_1")])
def test_keys_in_another_spelling_are_named_with_the_mapping(tmp_path, names):
    np.savez(tmp_path / "a.npz", **dict.fromkeys(names, X))
    with pytest.raises(ValueError, match=rf"got '{names[0]}'; the keys are {', '.join(names)}; keys=.*maps them"):
        from_file(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"x": "imagse"}, r"keys\['x'\] must be a key of .*a\.npz, images, y, got 'imagse'; did you mean 'images'"),
        ({"y": "images"}, "keys must be given for x, label, .*got 'y'"),
        ({"label": "y"}, "must hold x in every split, got label of one set"),
    ],
)
def test_keys_that_are_none(tmp_path, keys, message):
    np.savez(tmp_path / "a.npz", images=X, y=LABEL)
    with pytest.raises(ValueError, match=message):
        from_file(tmp_path / "a.npz", keys=keys)


def test_keys_where_there_can_be_none(tmp_path):
    np.save(tmp_path / "a.npy", X)
    with pytest.raises(ValueError, match=r"keys goes with \.npz files"):
        from_file(tmp_path / "a.npy", keys={"x": "images"})
    with pytest.raises(ValueError, match="keys does not go with 'digits'"):
        load("digits", keys={"x": "images"})
    for name in ("a.npz:", "a.npz:x", "a.npz:x=", "a.npz:x=a,x=b"):
        with pytest.raises(ValueError, match=r"name must have its keys as in FILE\.npz:x=KEY,label=KEY, each once"):
            load(name)
    with pytest.raises(ValueError, match="keys must be given once"):
        load("a.npz:x=a", keys={"x": "b"})
