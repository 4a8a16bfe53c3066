"""A folder of images: what its sub-folders mean, and what it must not hold."""

import numpy as np
import pytest
from pictures import noise, save

from jaxgen.core import Spec
from jaxgen.data import folder, from_folder, load, open_folder


def fill(path, num, *shape, dtype="uint8", seed=0, ending="png"):
    """num images in a folder; returns them as [num, *shape]."""
    x = noise(num, *shape, dtype=dtype, seed=seed)
    for i, image in enumerate(x):
        save(path / f"{i:03}.{ending}", image)
    return x


def rows(x):
    x = x.reshape(len(x), -1)
    return x[np.lexsort(x.T)]


@pytest.mark.parametrize("shape", [(6, 9), (9, 6, 3), (1, 5)])
def test_images_of_any_shape_without_labels(tmp_path, shape):
    x = fill(tmp_path / "pictures", 20, *shape).reshape(20, *shape[:2], -1)
    data = from_folder(tmp_path / "pictures")
    assert data.name == "pictures"
    assert data.spec == Spec(x.shape[1:], "uint8", levels=256)
    assert [len(part) for part in data.splits.values()] == [16, 2, 2]
    np.testing.assert_array_equal(rows(np.concatenate([part.x for part in data.splits.values()])), rows(x))
    assert load(tmp_path / "pictures").fingerprint == data.fingerprint


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_becomes_float32(tmp_path, channels):
    x = fill(tmp_path, 10, 4, 3, channels, dtype="uint16")
    data = from_folder(tmp_path, valid=None)
    assert data.spec == Spec((4, 3, channels), "float32")
    assert data.valid is None
    everything = np.concatenate([part.x for part in data.splits.values()])
    np.testing.assert_array_equal(rows(np.round(everything * 65535)), rows(x))


def test_sub_folders_are_labels_in_the_order_of_their_names(tmp_path):
    by_label = [fill(tmp_path / name, 10, 4, 4, seed=i) for i, name in enumerate(("Zebra", "ant", "cat"))]
    save(tmp_path / "cat" / "more" / "deeper.PNG", noise(4, 4, seed=9))
    (tmp_path / "notes.txt").write_text("passed over")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "cat" / "._000.png").write_bytes(b"of a Mac")
    data = from_folder(tmp_path, seed=1)
    assert data.spec.num_classes == 3
    assert sum(len(part) for part in data.splits.values()) == 31
    for part in data.splits.values():
        for image, label in zip(part.x[..., 0], part.arrays["label"], strict=True):
            assert any(np.array_equal(image, known) for known in by_label[label]) or (
                label == 2 and np.array_equal(image, noise(4, 4, seed=9))
            )


def test_the_seed_decides_the_split(tmp_path):
    fill(tmp_path, 30, 4, 4)
    one, again, other = (from_folder(tmp_path, seed=seed).fingerprint for seed in (0, 0, 1))
    assert one == again != other


def test_splits_that_are_given(tmp_path):
    x = {
        name: fill(tmp_path / name / "a", num, 4, 4, seed=num) for name, num in (("train", 9), ("val", 3), ("test", 2))
    }
    data = from_folder(tmp_path)
    for name, part in data.splits.items():
        np.testing.assert_array_equal(part.x[..., 0], x["val" if name == "valid" else name])
    assert data.spec.num_classes == 1


def test_a_split_that_is_missing_comes_from_train(tmp_path):
    train, test = fill(tmp_path / "train", 10, 4, 4), fill(tmp_path / "test", 3, 4, 4, seed=1)
    data = from_folder(tmp_path, valid=0.2)
    assert [len(part) for part in data.splits.values()] == [8, 2, 3]
    assert data.valid is not None
    np.testing.assert_array_equal(data.test.x[..., 0], test)
    np.testing.assert_array_equal(rows(np.concatenate([data.train.x, data.valid.x])), rows(train))


def test_mixed_sizes_and_endings_are_resized(tmp_path):
    fill(tmp_path / "a", 5, 8, 12, 3)
    fill(tmp_path / "b", 5, 20, 6, 3, ending="JPEG")
    stretched, cropped = (load(tmp_path, size=(4, 6), crop=crop) for crop in (False, True))
    assert stretched.spec == cropped.spec == Spec((4, 6, 3), "uint8", levels=256, num_classes=2)
    assert stretched.fingerprint != cropped.fingerprint


def test_on_disk_they_are_what_they_are_in_memory(tmp_path):
    fill(tmp_path / "a", 7, 4, 5)
    fill(tmp_path / "b", 8, 4, 5)
    data, files = from_folder(tmp_path, seed=3), open_folder(tmp_path, seed=3)
    assert files.keys() == data.splits.keys()
    for name, part in data.splits.items():
        assert files[name].spec == data.spec
        for i, example in enumerate(part.x):
            np.testing.assert_array_equal(files[name][i]["x"], example)
        for ours, theirs in zip(files[name].evaluation_batches(4), part.evaluation_batches(4), strict=True):
            assert ours.keys() == theirs.keys()
            for column in ours:
                np.testing.assert_array_equal(ours[column], theirs[column])


def empty_class(path):
    fill(path / "a", 3, 4, 4)
    (path / "b").mkdir()


def loose(path):
    fill(path, 1, 4, 4)
    fill(path / "a", 3, 4, 4)


def only_text(path):
    path.mkdir()
    (path / "a.txt").touch()


def another(path, *shape, dtype="uint8"):
    fill(path, 3, 4, 4)
    save(path / "b.png", noise(*shape, dtype=dtype))


def named(path, *names):
    for name in names:
        fill(path / name, 2, 4, 4)


def linked(path, link, target):
    fill(path / "a", 2, 4, 4)
    (path / link).symlink_to(target)


def text_among(path):
    fill(path, 3, 4, 4)
    (path / "002.png").write_text("no image")


def cut_among(path):
    fill(path, 3, 4, 4)
    (path / "001.png").write_bytes((path / "001.png").read_bytes()[:40])


def tiff(path):
    fill(path, 3, 4, 4)
    (path / "a.TIFF").touch()


BAD = {
    "empty": (lambda path: path.mkdir(), r" must hold images \(PNG or JPEG\), got none"),
    "no image": (only_text, r" must hold images \(PNG or JPEG\), got none"),
    "empty class": (empty_class, r"/b must hold images \(PNG or JPEG\), got none"),
    "loose images": (loose, " must hold either images or sub-folders that are labels, got 000.png beside a/"),
    "mixed sizes": (
        lambda path: another(path, 5, 4),
        r"/b.png must be 4 x 4 pixels like .*/000.png, got 5 x 4; size=\(height, width\) resizes all",
    ),
    "grey and RGB": (lambda path: another(path, 4, 4, 3), "/b.png must be 8-bit grey like .*/000.png, got 8-bit RGB"),
    "8 and 16 bit": (
        lambda path: another(path, 4, 4, 1, dtype="uint16"),
        "/b.png must be 8-bit grey like .*/000.png, got 16-bit grey",
    ),
    "a text among them": (text_among, "/002.png must be a whole PNG or JPEG image"),
    "a cut one among them": (cut_among, "/001.png must be a whole PNG or JPEG image"),
    "another format": (tiff, "/a.TIFF must be PNG or JPEG: convert it first"),
    "no train": (lambda path: named(path, "test"), " must hold train, and beside it nothing but valid and test"),
    "train and more": (lambda path: named(path, "train", "extra"), " must hold train, and .*got extra, train"),
    "valid twice": (lambda path: named(path, "train", "val", "valid"), " must hold train, and .*got train, val, valid"),
    "unknown label": (
        lambda path: named(path, "train/a", "test/a", "test/b"),
        "/test must have the labels of train, a, got b",
    ),
    "labels in train only": (
        lambda path: named(path, "train/a", "test"),
        "/test must have the labels of train, a, got images without a label",
    ),
    "symlink loop": (lambda path: linked(path, "a/up", ".."), "/a/up must not lead back to .*: a symlink loop"),
    "loop to the root": (lambda path: linked(path, "b", "."), "/b must not lead back to .*: a symlink loop"),
    "link to itself": (
        lambda path: linked(path, "a/b.png", "b.png"),
        "/a/b.png .* it is a link to nothing or to itself",
    ),
    "link to nothing": (lambda path: linked(path, "a/b.png", "gone.png"), "/a/b.png .* is a link to nothing"),
}


@pytest.mark.parametrize("case", BAD)
def test_folders_that_are_none(tmp_path, case):
    make, message = BAD[case]
    path = tmp_path / "pictures"
    make(path)
    with pytest.raises(ValueError, match=f"^{path}{message}"):
        open_folder(path)


def test_a_link_to_another_folder_is_followed(tmp_path):
    x = fill(tmp_path / "elsewhere", 10, 4, 4)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a").symlink_to(tmp_path / "elsewhere")
    assert sum(map(len, from_folder(tmp_path / "pictures").splits.values())) == len(x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": (0, 4)}, r"size\[0\] must be an integer of at least 1, got 0"),
        ({"crop": True}, "crop goes with size, got crop=True and no size"),
        ({"valid": 0.5, "test": 0.5}, r"must leave an example of x to train on, got 2 \+ 2 of 4"),
        ({"seed": -1}, "seed must be an integer in"),
    ],
)
def test_arguments_that_are_none(tmp_path, arguments, message):
    fill(tmp_path, 4, 4, 4)
    with pytest.raises(ValueError, match=message):
        open_folder(tmp_path, **arguments)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"path must be a folder, there is none at {tmp_path}/none"):
        from_folder(tmp_path / "none")


def test_what_does_not_fit_into_memory_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    fill(tmp_path, 10, 4, 4)
    monkeypatch.setattr(folder, "MAX_BYTES", 159)
    assert len(open_folder(tmp_path)["train"]) == 8
    with pytest.raises(ValueError, match=r"must have at most .* GiB of pixels to be held in memory.*open_folder"):
        from_folder(tmp_path)
