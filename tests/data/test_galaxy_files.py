"""Files of galaxies: the splits that are fixed in them, and what is wrong with others."""

import numpy as np
import pytest

from jaxgen.data import Arcsinh, galaxy_files, radio_galaxies, sdss_galaxies


@pytest.fixture
def sdss(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (50, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "s.npz", x=x, label=np.arange(50) % 2, test=np.arange(50) >= 40)
    return tmp_path / "s.npz"


@pytest.fixture
def radio(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), np.uint8)
    np.savez(tmp_path / "r.npz", x=x, label=np.arange(60) % 4, fold=np.arange(60) % 6)
    return tmp_path / "r.npz"


def test_sdss_holds_out_what_the_file_says(sdss):
    dataset = sdss_galaxies(sdss, seed=3)
    x = np.load(sdss)["x"]
    assert [len(split) for split in dataset.splits.values()] == [36, 4, 10]
    np.testing.assert_array_equal(dataset.test.x, x[40:])
    seen = np.concatenate([dataset.splits[name].x for name in ("train", "valid")]).reshape(40, -1)
    assert {row.tobytes() for row in seen} == {row.tobytes() for row in x[:40].reshape(40, -1)}
    assert dataset.spec.levels == 256 and dataset.spec.class_names == ("smooth", "spiral")
    assert galaxy_files.kind_of(sdss) == "sdss"


def test_folds_of_first(radio):
    dataset = radio_galaxies(radio, fold=2)
    x = np.load(radio)["x"].astype(np.float32)
    np.testing.assert_array_equal(dataset.test.x, x[5::6])
    np.testing.assert_array_equal(dataset.splits["valid"].x, x[2::6])
    assert len(dataset.train) == 40 and dataset.spec.levels is None and dataset.spec.scale == Arcsinh(10.0, 2.0, 2.0)
    assert dataset.spec.class_name(3) == "bent" and galaxy_files.kind_of(str(radio)) == "radio"


def test_other_files_are_neither(tmp_path):
    np.savez(tmp_path / "x.npz", x=np.zeros((4, 2, 2, 1), np.uint8))
    assert galaxy_files.kind_of(tmp_path / "x.npz") is None
    assert galaxy_files.kind_of(tmp_path) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"test": None}, "s.npz must hold x, label and test, got x, label"),
        ({"x": np.zeros((50, 8, 8, 1), np.uint8)}, r"x of .*s.npz must be uint8 .n, h, h, 3., got uint8 of shape"),
        ({"x": np.zeros((50, 8, 8, 3), np.float32)}, r"x of .* must be uint8 .n, h, h, 3., got float32"),
        ({"label": np.zeros(49, np.int32)}, "label of .*s.npz must hold one label for each of the 50"),
        ({"label": np.full(50, 2)}, "label of .*s.npz must"),
        ({"test": np.zeros(50)}, r"test of .*s.npz must be of shape \(50,\), got float64"),
    ],
)
def test_what_is_wrong_with_a_file_is_said_by_its_name(sdss, change, message):
    arrays = {**np.load(sdss), **change}
    np.savez(sdss, **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(ValueError, match=message):
        sdss_galaxies(sdss)


def test_a_file_that_is_not_there_and_a_fold_that_is_none(radio, tmp_path):
    for reader in (sdss_galaxies, radio_galaxies, galaxy_files.kind_of):
        with pytest.raises(FileNotFoundError, match=r"data must be a file of galaxies, there is none at .*gone.npz"):
            reader(tmp_path / "gone.npz")
    with pytest.raises(ValueError, match=r"fold must be an integer in 0..4, got 5"):
        radio_galaxies(radio, fold=5)
