"""Pairs of folders: partners by their relative names, none missing on either side."""

import numpy as np
import pytest
from pictures import noise, save
from published import SHARED

from jaxgen import data
from jaxgen.core import Field

SUPER_RESOLUTION = SHARED / "super_resolution"
needs_photos = pytest.mark.skipif(not SUPER_RESOLUTION.is_dir(), reason=f"there are no photos at {SUPER_RESOLUTION}")


@pytest.fixture
def photos(tmp_path):
    """20 images in two classes; smaller ones, and 16-bit depths under other endings, in folders of their own."""
    for i in range(20):
        name = f"{'cat' if i % 2 else 'dog'}/{i:02}"
        save(tmp_path / "photos" / f"{name}.png", noise(4, 6, 3, seed=i))
        save(tmp_path / "small" / f"{name}.png", noise(2, 3, 3, seed=i))
        save(tmp_path / "depth" / f"{name}.PNG", noise(4, 6, 1, seed=i, dtype="uint16"))
    return tmp_path


def test_partners_stay_together_through_the_split_and_into_batches(photos):
    dataset = data.from_folder(photos / "photos", fields={"low": photos / "small", "depth": str(photos / "depth")})
    assert dataset.spec.fields == {"low": Field((2, 3, 3), "uint8"), "depth": Field((4, 6, 1), "float32")}
    assert [len(split) for split in dataset.splits.values()] == [16, 2, 2]
    known = {noise(4, 6, 3, seed=i).tobytes(): i for i in range(20)}
    for split in dataset.splits.values():
        for x, low, depth, label in zip(
            split.x, split.fields["low"], split.fields["depth"], split.arrays["label"], strict=True
        ):
            i = known[x.tobytes()]
            np.testing.assert_array_equal(low, noise(2, 3, 3, seed=i))
            np.testing.assert_array_equal(np.round(depth * 65535), noise(4, 6, 1, seed=i, dtype="uint16"))
            assert label == 1 - i % 2
    on_disk = data.open_folder(photos / "photos", fields={"low": photos / "small", "depth": photos / "depth"})
    for name, split in dataset.splits.items():
        assert on_disk[name].spec == dataset.spec
        np.testing.assert_array_equal(on_disk[name][1]["low"], split.fields["low"][1])


def test_a_field_is_resized_on_its_own(photos):
    fields = {"low": data.Images(photos / "photos", size=(2, 2), crop=True)}
    dataset = data.from_folder(photos / "photos", fields=fields)
    assert dataset.spec.event_shape == (4, 6, 3)
    assert dataset.spec.fields == {"low": Field((2, 2, 3), "uint8")}
    alone = data.from_folder(photos / "photos", size=(2, 2), crop=True)
    np.testing.assert_array_equal(dataset.train.fields["low"], alone.train.x)


def test_given_splits_have_partners_in_folders_of_the_same_names(tmp_path):
    for split, num in (("Train", 5), ("test", 3)):
        for i in range(num):
            save(tmp_path / "a" / split / f"{i}.png", noise(4, 4, seed=i))
            save(tmp_path / "b" / split / f"{i}.jpg", np.full((2, 2), 10 * i, np.uint8))
    dataset = data.from_folder(tmp_path / "a", fields={"low": tmp_path / "b"}, valid=None)
    for name, num in (("train", 5), ("test", 3)):
        np.testing.assert_allclose(dataset.splits[name].fields["low"][:, 0, 0, 0], 10 * np.arange(num), atol=1)


def test_a_name_has_the_folders_of_its_fields(photos, monkeypatch):
    monkeypatch.chdir(photos)
    expected = data.from_folder("photos", fields={"low": "small"}).fingerprint
    assert data.load("photos:low=small").fingerprint == expected
    assert data.load("photos", fields={"low": "small"}).fingerprint == expected
    assert data.located("photos:low=small,depth=depth") == f"{photos}/photos:low={photos}/small,depth={photos}/depth"
    assert data.load(data.located("photos:low=small")).fingerprint == expected
    for name in ("photos:low=", "photos:low=small,low=depth", "photos:=small"):
        with pytest.raises(ValueError, match="name must have its further fields as in FOLDER:low=FOLDER, each once"):
            data.load(name)
    with pytest.raises(ValueError, match="fields must be given once"):
        data.load("photos:low=small", fields={"low": "small"})
    with pytest.raises(ValueError, match="fields does not go with 'digits'"):
        data.load("digits", fields={"low": "small"})


def test_what_has_no_partner_is_named(photos):
    (photos / "small" / "cat" / "05.png").unlink()
    with pytest.raises(ValueError, match=r"small must hold a partner of every image of .*, got none of cat/05\.png"):
        data.open_folder(photos / "photos", fields={"low": photos / "small"})
    (photos / "photos" / "dog" / "04.png").unlink()
    (photos / "photos" / "dog" / "06.png").unlink()
    message = r"photos must hold an image for each of .*depth, got none for dog/04\.PNG \(2 in all\)"
    with pytest.raises(ValueError, match=message):
        data.open_folder(photos / "photos", fields={"depth": photos / "depth"})


def test_folders_of_fields_that_are_none(photos):
    path = photos / "photos"
    with pytest.raises(FileNotFoundError, match=r"fields\['low'\] must be a folder, there is none at .*away"):
        data.open_folder(path, fields={"low": photos / "away"})
    with pytest.raises(ValueError, match="the name of a further field must be none of x, label"):
        data.open_folder(path, fields={"mask": photos / "small"})
    with pytest.raises(ValueError, match=r"size\[1\] must be an integer of at least 1, got 0"):
        data.Images("small", size=(2, 0))
    with pytest.raises(ValueError, match="crop goes with size"):
        data.Images("small", crop=True)
    save(photos / "small" / "cat" / "05.png", noise(2, 4, 3))
    with pytest.raises(ValueError, match=r"05\.png must be 2 x 3 pixels like .*01\.png, got 2 x 4"):
        data.open_folder(path, fields={"low": photos / "small"})


def test_fields_count_to_what_must_fit_into_memory(photos, monkeypatch):
    monkeypatch.setattr("jaxgen.data.memory.available", lambda: 2 * 20 * (72 + 17))
    data.from_folder(photos / "photos")
    with pytest.raises(ValueError, match=r"must have at most .* to be held in memory"):
        data.from_folder(photos / "photos", fields={"low": photos / "small"})


@needs_photos
def test_real_photos_and_smaller_ones():
    """Set5, five photos of many sizes, paired with themselves at another size."""
    folder = SUPER_RESOLUTION / "Set5"
    pair = {"low": data.Images(folder, size=(16, 16), crop=True)}
    dataset = data.from_folder(folder, fields=pair, size=(48, 48), crop=True, valid=None, test=1)
    assert dataset.spec.event_shape == (48, 48, 3)
    assert dataset.spec.fields == {"low": Field((16, 16, 3), "uint8")}
    x, low = dataset.train.x.astype(float), dataset.train.fields["low"].astype(float)
    means = x.reshape(-1, 16, 3, 16, 3, 3).mean(axis=(2, 4))
    # Each is a smaller copy of its own image, and of no other.
    distance = np.abs(means[:, None] - low[None]).mean(axis=(2, 3, 4))
    assert (distance.argmin(axis=1) == np.arange(len(x))).all() and np.diag(distance).max() < 10
