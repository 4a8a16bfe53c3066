"""Arrays in .npy and .npz files: their headers first, then no more of them than is wanted and fits into memory.

`np.load` believes a header: one that speaks of a terabyte is given a terabyte, and one with a flipped bit ends in an
error of Python's parser. Here a header must be one of a plain array whose size is that of the file, which is known
before an array is read. No pickle is opened, so that reading runs no code of the file's author.
"""

import contextlib
import math
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

DAMAGED = (
    ValueError,
    TypeError,
    OSError,
    EOFError,
    LookupError,
    AttributeError,
    RuntimeError,
    SyntaxError,
    ArithmeticError,
    MemoryError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)
"""Exceptions of numpy, zipfile and Python's parser on files that were cut, altered, encrypted or something else."""

ALONE = ""
"""Name of the array of a .npy file, which has none."""

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


class Header(NamedTuple):
    """The header of an array: its shape, dtype and size in bytes."""

    shape: tuple[int, ...]
    dtype: np.dtype
    num_bytes: int


def headers(path: Path) -> dict[str, Header]:
    """The headers of a file's arrays by name; one named `ALONE` where the file is a single array.

    Raises:
        ValueError: The file is damaged, of another format, or needs pickle.
    """
    found: dict[str, Header] = {}
    with _told(str(path)), path.open("rb") as file:
        archive = _archive(file)
        if archive is None:
            return {ALONE: _header(file, path.stat().st_size)}
        with archive:
            for member in archive.infolist():
                if not member.filename.endswith(".npy"):
                    continue
                name = member.filename.removesuffix(".npy")
                with _told(f"{name!r} in {path}"), archive.open(member) as stream:
                    if name in found:
                        raise ValueError("there are two arrays of this name")
                    found[name] = _header(stream, member.file_size)
    return found


def read(path: Path, names: list[str]) -> dict[str, np.ndarray]:
    """The arrays of these names; look at their `headers` first.

    Raises:
        ValueError: The file is damaged.
    """
    with _told(str(path)), path.open("rb") as file:
        archive = _archive(file)
        if archive is None:
            return {ALONE: _array(file)}
        found = {}
        with archive:
            for name in names:
                with _told(f"{name!r} in {path}"), archive.open(f"{name}.npy") as stream:
                    found[name] = _array(stream)
        return found


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    try:
        yield
    except _Told:
        raise
    except DAMAGED as error:
        raise _Told(f"{what} must be whole arrays of numbers, without pickled objects: {error}") from error


class _Told(ValueError):
    """An error that names the file already."""


def _archive(file: Any) -> zipfile.ZipFile | None:
    start = file.read(4)
    file.seek(0)
    return zipfile.ZipFile(file) if start in (b"PK\x03\x04", b"PK\x05\x06") else None


def _header(stream: Any, size: int) -> Header:
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"format version {version} is not known")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python's parser on what a flipped bit has made of the header
        shape, _, dtype = _HEADERS[version](stream)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects")
    num_bytes = dtype.itemsize * math.prod(shape)
    if min(shape, default=0) < 0 or stream.tell() + num_bytes != size:
        raise ValueError(f"its header speaks of {shape} of {dtype}, which are not the {size} bytes that it has")
    return Header(shape, dtype, num_bytes)


def _array(stream: Any) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        array = np.lib.format.read_array(stream, allow_pickle=False)
    stream.read(1)  # at the end of an archive's member its checksum is looked at
    return array
