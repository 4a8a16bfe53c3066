"""Damaged and too large .npy and .npz files: refused by name, before anything is read."""

import io
import re
import struct
import warnings
import zipfile

import numpy as np
import pytest

from jaxgen.data import from_file, load, memory

X = np.arange(40, dtype=np.uint8).reshape(20, 2)


def content(save, **arrays):
    buffer = io.BytesIO()
    if save is np.save:
        save(buffer, X)
    else:
        save(buffer, x=X, **arrays)
    return buffer.getvalue()


@pytest.mark.parametrize(("save", "every"), [(np.save, 1), (np.savez, 3)])
def test_the_bits_of_the_first_128_bytes_flipped(tmp_path, save, every):
    """Each of 1,024 files is refused with its name, or is one of the few that still say the same."""
    whole, path = content(save), tmp_path / ("a.npy" if save is np.save else "a.npz")
    refused = 0
    for place in range(0, 8 * 128, every):
        damaged = bytearray(whole)
        damaged[place // 8] ^= 1 << place % 8
        path.write_bytes(damaged)
        try:
            with warnings.catch_warnings(action="error"):
                data = from_file(path)
        except ValueError as error:
            assert str(path) in str(error) or str(error).startswith("x must be uint8 or float32, got"), place
            refused += 1
        else:
            np.testing.assert_array_equal(np.sort(np.concatenate([s.x[:, 0] for s in data.splits.values()])), X[:, 0])
    assert refused > 300 / every


def npy(header):
    text = header.encode("latin1").ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


HEADERS = {
    "a terabyte": "{'descr': '|u1', 'fortran_order': False, 'shape': (1000000, 1000000), }",
    "more than 64 bits": "{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 99999999999), }",
    "negative": "{'descr': '|u1', 'fortran_order': False, 'shape': (-20, -2), }",
    "too little": "{'descr': '|u1', 'fortran_order': False, 'shape': (10, 2), }",
    "deeply nested": "(" * 117,
    "not closed": "{'descr': '''|u1",
    "no dtype": "{'descr': 'zz', 'fortran_order': False, 'shape': (20, 2), }",
    "an object": "{'descr': '|O', 'fortran_order': False, 'shape': (5,), }",
    "a NUL": "{'descr': '|u1\x00', 'fortran_order': False, 'shape': (20, 2), }",
}


@pytest.mark.parametrize("case", HEADERS)
def test_headers_that_are_not_those_of_the_file(tmp_path, case):
    alone, member = tmp_path / "a.npy", tmp_path / "a.npz"
    alone.write_bytes(npy(HEADERS[case]) + X.tobytes())
    with pytest.raises(ValueError, match=re.escape(f"{alone} must be whole arrays of numbers")):
        from_file(alone)
    with zipfile.ZipFile(member, "w") as archive:
        archive.writestr("x.npy", npy(HEADERS[case]) + X.tobytes())
    with pytest.raises(ValueError, match=re.escape(f"'x' in {member} must be whole arrays of numbers")):
        from_file(member)


def test_two_arrays_of_one_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        for _ in range(2):
            archive.writestr("x.npy", content(np.save))
    with pytest.raises(ValueError, match=r"'x' in .*a\.npz must be .*there are two arrays of this name"):
        from_file(tmp_path / "a.npz")


def test_a_small_archive_of_much_is_refused_before_it_is_unpacked(tmp_path):
    """Zeros, 10,000 times as large in memory as on disk: what counts is what an honest header says."""
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x=np.zeros((2**21, 8), np.uint8))
    assert path.stat().st_size < 2**16
    with pytest.raises(
        ValueError, match=r"bomb\.npz must fit into limit=16777216 bytes, got 0\.031 GiB \(33554432 bytes\)"
    ):
        from_file(path, limit=2**24)
    with pytest.raises(
        ValueError, match=r"must fit into limit=.*: read it example by example, data\.Examples\(np\.load"
    ):
        load(path, limit=2**25 - 1)
    assert len(from_file(path, limit=2**25).train) > 2**20


def test_a_file_larger_than_the_memory(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", X)
    monkeypatch.setattr(memory, "available", lambda: 2 * X.nbytes - 1)
    with pytest.raises(ValueError, match=r"a\.npy must fit into the .* GiB .*of memory that are available, got .* GiB"):
        from_file(tmp_path / "a.npy")
    assert len(from_file(tmp_path / "a.npy", limit=2 * X.nbytes).train) == 16
    with pytest.raises(ValueError, match=r"num=\(100, 10, 10\) must fit into .*: draw fewer"):
        load("ring", num=(100, 10, 10))
    monkeypatch.setattr(memory, "available", lambda: None)  # where the system does not say
    assert len(from_file(tmp_path / "a.npy").train) == 16


def test_a_sparse_file_of_a_terabyte_is_refused(tmp_path):
    path = tmp_path / "large.npy"
    with path.open("wb") as file:
        file.write(npy(HEADERS["a terabyte"]))
        file.truncate(file.tell() + 10**12)
    with pytest.raises(ValueError, match=r"large\.npy must fit into .*, got 1,862\.6 GiB: "):
        from_file(path)


@pytest.mark.parametrize("limit", [0, -1])
def test_limits_that_are_none(tmp_path, limit):
    np.save(tmp_path / "a.npy", X)
    with pytest.raises(ValueError, match=f"limit must be an integer of at least 1, got {limit}"):
        from_file(tmp_path / "a.npy", limit=limit)


def test_what_is_available_is_a_number_of_bytes():
    found = memory.available()
    assert found is None or 2**24 < found < 2**50
