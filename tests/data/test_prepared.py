"""Data sets of tensorflow-datasets that lie prepared on disk, read without tensorflow."""

import importlib.util
from types import SimpleNamespace

import numpy as np
import pytest
from published import FIXTURE, SHARED, needs_shared

from jaxgen.core import Field, Spec
from jaxgen.data import from_tfds, load, mnist, open_tfds
from jaxgen.data.prepared import described

needs_tfds = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_datasets") is None, reason="tensorflow-datasets is not installed"
)
pytestmark = [needs_tfds, needs_shared]


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No folder of the user's, and a cache of this test's own."""
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setenv("JAXGEN_CACHE_DIR", str(tmp_path / "cache"))


def without_tensorflow(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorflow" else find(name))


def test_records_are_the_published_images(tmp_path):
    data = from_tfds("mnist", folder=FIXTURE, valid=None)
    assert data.name == "mnist"
    assert data.spec == Spec((28, 28, 1), "uint8", levels=256, num_classes=10)
    assert data.spec.class_names == tuple("0123456789")
    assert [len(part) for part in data.splits.values()] == [512, 512]
    published = mnist(valid=0, folder=SHARED, cache=tmp_path)
    # TFDS shuffles what it writes: compare as sets of rows with their labels.
    for name, part in data.splits.items():
        known = {(x.tobytes(), int(label)) for x, label in zip(*published.splits[name].arrays.values(), strict=True)}
        assert {(x.tobytes(), int(label)) for x, label in zip(*part.arrays.values(), strict=True)} <= known


def test_a_validation_set_of_its_own_and_no_labels():
    data = load("tfds:binarized_mnist", folder=FIXTURE)
    assert data.spec == Spec((28, 28, 1), "uint8", levels=256)
    assert list(data.splits) == ["train", "valid", "test"]
    assert [len(part) for part in data.splits.values()] == [512, 512, 512]


def test_the_second_time_no_record_is_read(monkeypatch):
    first = load("tfds:mnist", folder=FIXTURE, seed=3)
    monkeypatch.setattr("jaxgen.data.prepared.Records.__getitem__", lambda *_: pytest.fail("read"))
    assert load("tfds:mnist", folder=FIXTURE, seed=3).fingerprint == first.fingerprint
    assert load("tfds:mnist", folder=FIXTURE, seed=4).fingerprint != first.fingerprint
    assert len(load("tfds:mnist", folder=FIXTURE, valid=0).train) == 512
    assert len(load("tfds:mnist", folder=FIXTURE, valid=100).splits["valid"]) == 100


def test_on_disk_they_are_what_they_are_in_memory(monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(FIXTURE))
    data, records = from_tfds("mnist", size=(7, 9), crop=True), open_tfds("mnist", size=(7, 9), crop=True)
    assert data.spec.event_shape == (7, 9, 1)
    for name, part in data.splits.items():
        assert records[name].spec == data.spec
        assert len(records[name]) == len(part)
        example = records[name][5]
        np.testing.assert_array_equal(example["x"], part.x[5])
        assert example["label"] == part.arrays["label"][5]


def test_what_is_not_prepared_needs_tensorflow(monkeypatch):
    without_tensorflow(monkeypatch)
    message = rf"'cifar10' must be prepared, which takes tensorflow: pip install tensorflow; .* nothing at {FIXTURE}"
    with pytest.raises(ImportError, match=message):
        load("cifar10", folder=FIXTURE)


def test_with_tensorflow_it_is_prepared(monkeypatch, tmp_path):
    """Tensorflow itself is too large for tests: what TFDS is asked is looked at."""
    import requests
    import tensorflow_datasets as tfds

    asked = []

    def download_and_prepare(builder, download_config):
        asked.append((builder.name, builder.info.file_format.value, download_config.extract_dir))
        raise requests.ConnectionError("no network")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", download_and_prepare)
    with pytest.raises(ConnectionError, match="cifar10 could not be downloaded: no network"):
        load("cifar10", folder=tmp_path)
    ((name, file_format, extracted),) = asked
    assert (name, file_format) == ("cifar10", "array_record")
    assert extracted == tmp_path / "downloads" / "extracted" / "cifar10-3.0.2"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tfds:cifar01", r"name must be one of tensorflow-datasets, got 'cifar01'; did you mean .*'cifar10'"),
        ("cifar01", r"name must be one of digits, .*got 'cifar01'; did you mean .*'cifar10'"),
        ("cifar10:1.0.0", "name must be one of tensorflow-datasets, got 'cifar10:1.0.0': .*only: 3"),
    ],
)
def test_names_that_do_not_exist(name, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        load(name, folder=FIXTURE if "tfds" in name or ":" in name else None)


def changed(tmp_path, name, change):
    """A copy of the prepared mnist under another name, whose descriptions are changed."""
    copy = tmp_path / name / "3.0.1"
    copy.mkdir(parents=True)
    for file in (FIXTURE / "mnist" / "3.0.1").iterdir():
        content = file.read_bytes()
        if file.suffix == ".json":
            content = change(content.replace(b'"mnist"', f'"{name}"'.encode()))
        (copy / file.name.replace("mnist", name)).write_bytes(content)
    return tmp_path


def test_a_data_set_that_tfds_knows_from_its_files_only(tmp_path):
    folder = changed(tmp_path, "homemade", lambda text: text)
    assert load("tfds:homemade", folder=folder).fingerprint == load("tfds:mnist", folder=FIXTURE).fingerprint


def test_a_format_that_is_read_in_order_only(tmp_path):
    folder = changed(tmp_path, "mnist", lambda text: text.replace(b'"array_record"', b'"tfrecord"'))
    with pytest.raises(ValueError, match=r"with file_format='array_record' to be read at any place, it is tfrecord in"):
        load("tfds:mnist", folder=folder)


def test_records_without_one_image(tmp_path):
    folder = changed(tmp_path, "homemade", lambda text: text.replace(b"image_feature.Image", b"text_feature.Text"))
    with pytest.raises(ValueError, match="homemade must have one image in a record, got none"):
        open_tfds("homemade", folder=folder)


def test_images_of_many_sizes(tmp_path):
    folder = changed(tmp_path, "homemade", lambda text: text.replace(b'"28"', b'"-1"'))
    with pytest.raises(ValueError, match=r"homemade has images of many sizes, got no size: size=\(height, width\)"):
        open_tfds("homemade", folder=folder)
    assert open_tfds("homemade", folder=folder, size=(14, 14))["test"][0]["x"].shape == (14, 14, 1)


def test_further_features_are_fields(tmp_path):
    plain = from_tfds("mnist", folder=FIXTURE, valid=None)
    data = from_tfds("mnist", folder=FIXTURE, fields={"digit": "label"}, valid=None)
    assert data.spec == Spec((28, 28, 1), "uint8", 256, fields={"digit": Field((), "int32", 10)})
    for name, split in data.splits.items():
        np.testing.assert_array_equal(split.fields["digit"], plain.splits[name].label)
    again = from_tfds("mnist", folder=FIXTURE, fields={"digit": "label"}, valid=None)  # from the cache
    assert again.fingerprint == data.fingerprint
    records = open_tfds("mnist", folder=FIXTURE, fields={"digit": "label"}, valid=None)
    assert records["test"].spec == data.spec
    assert records["test"][3]["digit"] == data.test.fields["digit"][3]
    with pytest.raises(ValueError, match="must be a feature of mnist, image, label, got 'lable'; did you mean 'label'"):
        open_tfds("mnist", folder=FIXTURE, fields={"digit": "lable"})
    folder = changed(tmp_path, "homemade", lambda text: text.replace(b'"28"', b'"-1"'))
    with pytest.raises(ValueError, match=r"fields\['low'\] must be numbers of one shape, got uint8 of shape \(None,"):
        open_tfds("homemade", folder=folder, fields={"low": "image"})
    with pytest.raises(ValueError, match=r"fields\['digit'\]: num_values must be None for float32, got 10"):
        described("digit", SimpleNamespace(shape=(), np_dtype=np.float32), 10)
    with pytest.raises(ValueError, match=r"fields\['digit'\]: num_values must be an integer .* for int32, got None"):
        described("digit", SimpleNamespace(shape=(), np_dtype=np.int64), None)
    assert described("low", SimpleNamespace(shape=(2, 2, 1), np_dtype=np.uint16), None) == Field((2, 2, 1), "float32")


def test_without_tfds(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"'mnist' is read by tensorflow-datasets: pip install 'jaxgen\[data\]'"):
        open_tfds("mnist", folder=FIXTURE)
