"""Names that look like splits are splits or are refused; they never become labels."""

import numpy as np
import pytest
from pictures import noise, save

from jaxgen.data import open_folder
from jaxgen.data.naming import UNCLEAR, key_of, misspelt, split_and_column, split_of


@pytest.mark.parametrize(
    ("split", "names"),
    [
        ("train", "train Train TRAIN training trainset Training_Set train_images TrainImages images-train 01_train"),
        ("valid", "val VAL valid Validation validation_set dev DevSet val2017 valimages"),
        ("test", "test TEST Testing tests TestSet test_data x_test tst"),
        (UNCLEAR, "eval Evaluation holdout hold_out Held-Out train_cats testA test_tube fold_1 fold2"),
        (None, "cat contest latest trainer protest image 1 folds valley Ärger developer"),
    ],
)  # fmt: skip
def test_what_a_folders_name_says(split, names):
    assert {name: split_of(name) for name in names.split()} == dict.fromkeys(names.split(), split)


def test_what_a_key_says():
    known = {
        "Train_x": "train_x", "X": "x", "x_train": "train_x", "y_test": "test_label", "labels": "label",
        "trainImages": "train_x", "image_labels": "label", "arr_0": "x", "train": "train_x", "ids": None, "": None,
    }  # fmt: skip
    assert {key: key_of(key) for key in known} == known


def test_what_is_no_field_of_its_own_but_misspelt():
    known = {
        "labels": "label", "lable": "label", "y": "label", "Train_lable": "train_label", "train_lable": "train_label",
        "masks": "mask", "mas": "mask", "images": "x", "X": "x",
    }  # fmt: skip
    assert {key: misspelt(key) for key in known} == known
    for name in ("x", "train_x", "valid_mask", "low", "train_low", "caption", "condition", "past", "task", "ids"):
        assert misspelt(name) is None
    assert split_and_column("train_low_res") == ("train", "low_res")
    assert [split_and_column(name) for name in ("low_res", "train", "train_", "trainer_x")] == [
        ("", "low_res"), ("", "train"), ("", "train_"), ("", "trainer_x")
    ]  # fmt: skip


def folders(path, *names):
    for i, name in enumerate(names):
        for k in range(3):
            save(path / name / f"{k}.png", noise(4, 4, seed=10 * i + k))
    return path


@pytest.mark.parametrize(
    ("train", "valid", "test"),
    [
        ("Train", "Val", "Test"),
        ("TRAIN", "VALID", "TEST"),
        ("training", "validation", "testing"),
        ("trainset", "devset", "testset"),
        ("train_images", "val_images", "test_images"),
        ("train2017", "val2017", "test2017"),
    ],
)
def test_splits_in_any_spelling(tmp_path, train, valid, test):
    names = [f"{split}/{label}" for split in (train, valid, test) for label in ("cat", "dog")]
    splits = open_folder(folders(tmp_path, *names))
    assert set(splits) == {"train", "valid", "test"}
    for i, split in enumerate(("train", "valid", "test")):
        np.testing.assert_array_equal(splits[split][0]["x"][..., 0], noise(4, 4, seed=20 * i))
        assert len(splits[split]) == 6
        assert splits[split].spec.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("train", "eval"), "eval looks like a split, but not clearly like one of these: rename it"),
        (("train_cats", "train_dogs", "test_cats"), "test_cats looks like a split, but not clearly"),
        (("trainA", "trainB", "testA", "testB"), "testA looks like a split"),
        (("Train", "train"), "must hold train, and beside it nothing but valid and test, got Train, train"),
        (("Test", "cat", "dog"), "must hold train, and beside it nothing but valid and test, got Test, cat, dog"),
        (("fold_0", "fold_1"), "fold_0 looks like a split"),
        (("cat/train", "cat/test"), "cat/test looks like a split within the label cat: splits must lie directly"),
        (("data/train/a", "data/test/a"), r"data/test looks like a split within the label data: .*give .*/data itself"),
        (("train/train", "train/test"), "must hold labels, got test, train, which look like splits"),
    ],
)  # fmt: skip
def test_names_that_look_like_splits_where_they_are_none(tmp_path, names, message):
    with pytest.raises(ValueError, match=message):
        open_folder(folders(tmp_path, *names))


def test_a_train_among_the_labels_of_given_splits_is_a_vehicle(tmp_path):
    path = folders(tmp_path, "train/bus", "train/train", "test/bus", "test/train")
    assert open_folder(path)["test"].spec.class_names == ("bus", "train")


@pytest.mark.parametrize("names", [("train_1.png", "test_1.png"), ("a/Train-1.png", "b/val7.png")])
def test_files_that_are_named_like_splits(tmp_path, names):
    for i, name in enumerate([*names, *(name.replace("1", "2").replace("7", "8") for name in names)]):
        save(tmp_path / name, noise(4, 4, seed=i))
    with pytest.raises(ValueError, match="must hold splits as sub-folders, got file names that look like them"):
        open_folder(tmp_path)
