"""Files that appear whole or not at all, and what says that a disk is full."""

import errno
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from jaxgen import atomic, plot

WRITERS = {
    "bytes": lambda path: atomic.write_bytes(path, b"abc" * 1000),
    "text": lambda path: atomic.write_text(path, "äöü\n" * 1000),
    "array": lambda path: atomic.write_array(path, np.arange(5000)),
    "arrays": lambda path: atomic.write_arrays(path, {"x": np.arange(5000), "y": np.zeros(2)}),
    "figure": lambda path: plot.save(plot.images(np.zeros((1, 4, 4, 1)), title="zeros"), path, dpi=20),
    "page": lambda path: plot.page.write(plot.page.page("title", []), path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_there_whole_and_nothing_beside_it(tmp_path, name):
    path = tmp_path / "file"
    path.write_text("before")
    WRITERS[name](path)
    assert path.read_bytes() != b"before" and [p.name for p in tmp_path.iterdir()] == ["file"]
    if name == "text":
        assert path.read_text(encoding="utf-8") == "äöü\n" * 1000
    if name == "array":
        np.testing.assert_array_equal(np.load(path), np.arange(5000))
    if name == "arrays":
        with np.load(path) as content:
            np.testing.assert_array_equal(content["x"], np.arange(5000))


@pytest.mark.parametrize("name", WRITERS)
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, name):
    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "file"
    path.write_text("before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError) as caught:
        WRITERS[name](path)
    assert atomic.disk_is_full(caught.value)
    assert path.read_text() == "before" and [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a Linux device")
def test_an_array_that_does_not_fit_says_so_with_an_errno(monkeypatch):
    """numpy's own error for a file has no errno: 4096 requested and 0 written."""
    full = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115
    monkeypatch.setattr(atomic.Path, "open", lambda self, mode: full)
    with pytest.raises(OSError) as caught:
        atomic.write_array("nowhere", np.zeros(10_000))
    assert caught.value.errno == errno.ENOSPC


def test_others_may_read_it(tmp_path):
    """As any new file: a cache that only its maker can read is no help to the others of a machine."""
    before = os.umask(0o022)
    try:
        atomic.write_text(tmp_path / "file", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_a_name_at_the_limit_of_the_file_system(tmp_path):
    path = tmp_path / ("ü" * 120)
    atomic.write_text(path, "text")
    assert path.read_text() == "text"


def test_leftovers_are_ours_alone(tmp_path):
    names = [".a.png-0123abcd.partial", "a.png.partial", "film.iso.partial", "a.png", ".a.png-zz.partial", "b.partial"]
    for name in names:
        (tmp_path / name).touch()
    found = atomic.leftovers(tmp_path, r".*\.png")
    assert {path.name for path in found} == {".a.png-0123abcd.partial", "a.png.partial"}
    assert atomic.leftovers(tmp_path / "nothing") == []


def chained(outer, inner):
    try:
        raise inner
    except Exception as error:
        outer.__cause__ = error
    return outer


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        ValueError("RESOURCE_EXHAUSTED: Error writing: [OS error 28: ENOSPC No space left on device]"),
        chained(RuntimeError("save failed"), OSError(errno.ENOSPC, "x")),
        ExceptionGroup("several", [ValueError("a"), OSError(errno.ENOSPC, "x")]),
    ],
)
def test_what_says_that_a_disk_is_full(error):
    assert atomic.disk_is_full(error)


@pytest.mark.parametrize("error", [ValueError("28"), OSError(errno.EACCES, "Permission denied"), RuntimeError()])
def test_what_does_not(error):
    assert not atomic.disk_is_full(error)
