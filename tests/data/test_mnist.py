"""MNIST and its kin: from a folder, from TFDS's download, from the cache; never from anything else."""

import gzip
import http.server
import importlib.util
import threading
import time

import numpy as np
import pytest
from published import NUM_TEST, NUM_TRAIN, SHARED, needs_shared, registered, small_binarized, small_mnist, write

from jaxgen.core import Spec
from jaxgen.data import binarized_mnist, fashion_mnist, load, mnist, official

OURS = importlib.import_module("jaxgen.data.mnist")
needs_tfds = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_datasets") is None, reason="tensorflow-datasets is not installed"
)


NAME = "train-images-idx3-ubyte.gz"


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No folder of the user's, and a cache of this test's own."""
    monkeypatch.delenv("JAXGEN_DATA_DIR", raising=False)
    monkeypatch.setenv("JAXGEN_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def small(monkeypatch):
    """Small files stand for the published ones; returns (arrays, contents)."""
    arrays, contents = small_mnist()
    monkeypatch.setattr(OURS, "MNIST", registered(contents))
    return arrays, contents


def no_download(*_):
    raise AssertionError("nothing is to be downloaded")


def test_images_labels_and_splits_are_those_of_the_files(small, tmp_path):
    (x, label), contents = small
    data = mnist(valid=3, folder=write(tmp_path / "files", contents))
    assert data.name == "mnist"
    assert data.spec == Spec((28, 28, 1), "uint8", levels=256, num_classes=10)
    cuts = {"train": slice(0, 7), "valid": slice(7, NUM_TRAIN), "test": slice(NUM_TRAIN, NUM_TRAIN + NUM_TEST)}
    for name, part in data.splits.items():
        np.testing.assert_array_equal(part.x, x[cuts[name]])
        np.testing.assert_array_equal(part.label, label[cuts[name]])


def test_all_can_be_trained_on(small, tmp_path):
    folder = write(tmp_path / "files", small[1])
    for data in (mnist(valid=0, folder=folder), load("mnist", valid=0, folder=folder)):
        assert data.valid is None
        assert len(data.train) == NUM_TRAIN


def test_the_cache_needs_no_files_and_serves_any_valid(small, tmp_path, monkeypatch):
    monkeypatch.setattr(official, "download", no_download)
    first = mnist(valid=3, folder=write(tmp_path / "files", small[1]), cache=tmp_path / "other")
    assert mnist(valid=3, cache=tmp_path / "other").fingerprint == first.fingerprint
    assert len(mnist(valid=1, cache=tmp_path / "other").train) == NUM_TRAIN - 1
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("layout", ["itself", "sub-folder", "gzipped again", "environment"])
def test_where_the_files_may_lie(small, tmp_path, monkeypatch, layout):
    contents = small[1]
    # Beside them, and found first if names alone counted, the files of another data set.
    _, others = small_mnist(offset=1)
    if layout == "itself":
        write(tmp_path / "files", contents)
    elif layout == "sub-folder":
        write(write(tmp_path / "files", others) / "mnist", contents)
    elif layout == "gzipped again":
        write(tmp_path / "files", {f"{name}.gz": gzip.compress(content) for name, content in contents.items()})
    else:
        monkeypatch.setenv("JAXGEN_DATA_DIR", str(write(tmp_path / "files" / "mnist", contents).parent))
    data = mnist(valid=3, folder=None if layout == "environment" else tmp_path / "files")
    np.testing.assert_array_equal(data.train.x, small[0][0][:7])


def test_data_sets_with_the_same_file_names_stay_apart(small, tmp_path, monkeypatch):
    _, others = small_mnist(offset=1)
    monkeypatch.setattr(OURS, "FASHION_MNIST", registered(others))
    write(tmp_path / "mnist", small[1])
    write(tmp_path / "fashion_mnist", others)
    digits, clothes = mnist(valid=3, folder=tmp_path), fashion_mnist(valid=3, folder=tmp_path)
    assert clothes.name == "fashion_mnist"
    assert digits.fingerprint != clothes.fingerprint
    assert mnist(valid=3).fingerprint == digits.fingerprint


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_binarized_mnist(tmp_path, monkeypatch, ending):
    x, contents = small_binarized()
    monkeypatch.setattr(OURS, "BINARIZED_MNIST", registered(contents))
    packed = {name + ending: gzip.compress(text) if ending else text for name, text in contents.items()}
    data = binarized_mnist(folder=write(tmp_path / "files", packed))
    assert data.spec == Spec((28, 28, 1), "uint8", levels=2)
    np.testing.assert_array_equal(np.concatenate([part.x for part in data.splits.values()]), x)
    assert load("binarized_mnist").fingerprint == data.fingerprint


CUT_GZIP = gzip.compress(small_mnist()[1][NAME])[:-20]
BAD_FILES = {
    "another file": (
        lambda content: {NAME: content[:-1] + b"!"},
        ValueError,
        f"{NAME} must have sha256 [0-9a-f]+, got [0-9a-f]+: it is not the published file",
    ),
    "half a download": (
        lambda content: {NAME: content[: len(content) // 2]},
        ValueError,
        rf"{NAME} must hold \d+ bytes, got \d+: was its download cut short\?",
    ),
    "half a gzip": (
        lambda content: {NAME: None, f"{NAME}.gz": CUT_GZIP},
        ValueError,
        f"{NAME}.gz must be a whole gzip file",
    ),
    "no file": (lambda content: {NAME: None}, FileNotFoundError, f"folder must hold .*there is no {NAME}"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_files_that_are_not_the_published_ones(small, tmp_path, case):
    change, error, message = BAD_FILES[case]
    changed = {**small[1], **change(small[1][NAME])}
    folder = write(tmp_path / "files", {name: content for name, content in changed.items() if content is not None})
    with pytest.raises(error, match=message):
        mnist(valid=3, folder=folder)
    assert not (tmp_path / "cache").exists()


def test_without_a_folder_tfds_downloads_what_is_not_kept(small, tmp_path, monkeypatch):
    asked = []

    def download(dataset, urls, folder):
        asked.append((dataset, [url.rpartition("/")[2] for url in urls]))
        write(folder, {f"{name}.of-tfds": content for name, content in small[1].items()})
        return [folder / f"{name}.of-tfds" for name in asked[-1][1]]

    monkeypatch.setattr(official, "download", download)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    cache = tmp_path / "cache"
    assert len(mnist(valid=3).train) == 7
    assert asked == [("mnist", list(small[1]))]
    assert {path.name for path in (cache / "downloads" / "mnist").iterdir()} == set(small[1])
    (cache / "mnist.npz").unlink()
    assert len(mnist(valid=3).train) == 7
    assert len(asked) == 1
    (cache / "mnist.npz").unlink()
    (cache / "downloads" / "mnist" / NAME).write_bytes(b"half")
    assert len(mnist(valid=3).train) == 7
    assert len(asked) == 2


def test_without_a_network_the_error_says_how_to_use_local_files(small, monkeypatch):
    def download(*_):
        raise OSError("Name or service not known")

    monkeypatch.setattr(official, "download", download)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    message = (
        r"mnist could not be downloaded; download .*train-images.* by hand .*`folder` or by \$JAXGEN_DATA_DIR.*Name"
    )
    with pytest.raises(ConnectionError, match=message):
        mnist(valid=3)


def test_without_tfds_the_error_says_both_ways(small, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = r"either pip install 'jaxgen\[data\]'.*or download http://example.invalid/train.*\$JAXGEN_DATA_DIR"
    with pytest.raises(FileNotFoundError, match=message):
        mnist(valid=3)


@pytest.mark.parametrize("valid", [-1, 60_000, True])
def test_a_valid_that_is_none(valid):
    with pytest.raises(ValueError, match=rf"valid must be an integer in 0\.\.59999, got {valid}"):
        mnist(valid=valid)


@needs_tfds
def test_addresses_sizes_and_checksums_are_those_of_tfds():
    import tensorflow_datasets as tfds

    for name in ("mnist", "fashion_mnist", "binarized_mnist"):
        theirs = tfds.builder_cls(name).url_infos
        ours = getattr(OURS, name.upper())
        assert theirs is not None
        assert {file.url: (file.size, file.sha256) for file in ours} == {
            url: (int(info.size), info.checksum) for url, info in theirs.items()
        }


@pytest.fixture
def proxy(monkeypatch):
    """A server on this machine that has fashion_mnist's files, at whatever address; a dict of changes to them."""
    changes = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(200)
            self.end_headers()

        def do_GET(self):
            name = self.path.rpartition("/")[2]
            content = changes.get(name, lambda content: content)((SHARED / "fashion_mnist" / name).read_bytes())
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
        yield changes
        server.shutdown()
        thread.join()


@needs_shared
@needs_tfds
def test_the_download_manager_of_tfds_refuses_half_a_file_and_accepts_the_whole(proxy, tmp_path):
    proxy["t10k-labels-idx1-ubyte.gz"] = lambda content: content[:-100]
    with pytest.raises(ConnectionError, match=r"fashion_mnist could not be downloaded.*wrong checksum"):
        fashion_mnist()
    proxy.clear()
    assert fashion_mnist().fingerprint == fashion_mnist(folder=SHARED, cache=tmp_path / "other").fingerprint


@needs_shared
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "binarized_mnist"])
def test_the_published_files(name):
    data = load(name, folder=SHARED)
    assert [len(part) for part in data.splits.values()] == [50_000, 10_000, 10_000]
    if name == "binarized_mnist":
        assert data.train.x.max() == 1
    else:
        labels = [part.arrays["label"] for part in data.splits.values()]
        np.testing.assert_array_equal(labels[0][:5], {"mnist": [5, 0, 4, 1, 9], "fashion_mnist": [9, 0, 0, 3, 0]}[name])
        # Classes of the official training set, from the papers: MNIST is uneven, Fashion-MNIST is not.
        ones = np.bincount(np.concatenate(labels[:2]))[1]
        assert ones == {"mnist": 6742, "fashion_mnist": 6000}[name]
    seconds = []
    for _ in range(3):
        begin = time.perf_counter()
        again = load(name)
        seconds.append(time.perf_counter() - begin)
    assert again.fingerprint == data.fingerprint
    assert min(seconds) < 1
