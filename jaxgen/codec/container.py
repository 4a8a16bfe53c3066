"""The file of compressed images.

    8 bytes      "jaxgen", 0, 1: the format
    4 bytes      length of the header, little-endian as all that follows
    header       JSON: the model's digest, shape, levels and number of images, and where the file was written
    words        the stack of bits, 32 bits each, from the lowest word to the highest
    32 bytes     SHA-256 of the images: their bytes, one after the other
    32 bytes     SHA-256 of everything before

A stack is read from its end, so that the last image comes first.
"""

import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from jaxtyping import UInt32

from jaxgen.codec.stack import KEPT, initial_words

_MAGIC = b"jaxgen\0\1"
_DIGEST = 32
_CHUNK = 2**20


@dataclass(frozen=True)
class Header:
    """Header of a file.

    Attributes:
        model: Digest of the model's variables, 64 hexadecimal digits.
        shape: Shape of an image.
        levels: Number of values that a pixel can have.
        num: Number of images.
        batch_size: Rows of the compiled functions.
        num_levels: Levels of the chain; None for all that the model has.
        widths: Digest of the widths of the latents' bins.
        environment: Versions, device and flags of the process that wrote it.
    """

    model: str
    shape: tuple[int, ...]
    levels: int
    num: int
    batch_size: int
    num_levels: int | None
    widths: str
    environment: dict[str, Any] = field(default_factory=dict)

    def written(self) -> bytes:
        """The header as it stands in a file."""
        text = json.dumps(dataclasses.asdict(self), separators=(",", ":")).encode()
        return _MAGIC + len(text).to_bytes(4, "little") + text


class Written:
    """A file that is written, as what lies below a stack.

    Args:
        file: Open for writing and reading, empty.
        header: Its header.
    """

    def __init__(self, file: IO[bytes], header: Header):
        self._file = file
        self.header_bytes = self._file.write(header.written())
        self.num_initial = 0
        """Initial words that were taken so far."""

    def take(self, num: int) -> UInt32[np.ndarray, " words"]:
        """Take words back out of the file."""
        there = min(num, (self._file.tell() - self.header_bytes) // 4)
        place = self._file.tell() - 4 * there
        self._file.seek(place)
        words = np.frombuffer(self._file.read(4 * there), "<u4").astype(np.uint32)
        self._file.seek(place)
        self._file.truncate()
        return words

    def begin(self, num: int) -> UInt32[np.ndarray, " num"]:
        """The next initial words."""
        self.num_initial += num
        return initial_words(self.num_initial - num, num)

    def give(self, words: UInt32[np.ndarray, " words"]) -> None:
        self._file.write(words.astype("<u4").tobytes())

    def close(self, words: UInt32[np.ndarray, " words"], images: bytes) -> int:
        """Write the rest of the file.

        Args:
            words: The part of the stack that is in memory.
            images: SHA-256 of the images.

        Returns:
            Size of the file in bytes.
        """
        self.give(words)
        self._file.write(images)
        size = self._file.tell()
        self._file.seek(0)
        checksum = _sha256(self._file, size)
        self._file.seek(size)
        self._file.write(checksum)
        return size + _DIGEST


class Read:
    """A file that is read, as what lies below a stack. What is taken out of it stays in the file.

    Args:
        path: The file.

    Raises:
        ValueError: It is no file of this kind, of a later format, damaged or cut short.
        OSError: It cannot be read.
    """

    def __init__(self, path: Path | str):
        self.path, name = Path(path), str(path)
        with self.path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = file.read(len(_MAGIC) + 4)
            if start[:6] != _MAGIC[:6]:
                raise ValueError(f"{name} must be a file that jaxgen compress wrote, got something else")
            if start[:8] != _MAGIC and len(start) >= 8:
                raise ValueError(f"{name} must be of format {_MAGIC[7]}, got one of another jaxgen")
            end = size - _DIGEST
            file.seek(0)
            if end < len(_MAGIC) + 4 + _DIGEST or _sha256(file, end) != file.read():
                raise ValueError(f"{name} is damaged or cut short: its checksum does not fit")
            file.seek(len(_MAGIC))
            self._bottom = len(_MAGIC) + 4 + int.from_bytes(file.read(4), "little")
            try:
                tree = json.loads(file.read(self._bottom - file.tell()))
                self.header = Header(**{**tree, "shape": tuple(tree["shape"])})
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(f"{name} has a header that cannot be read: {error}") from None
            self._top = end - _DIGEST
            self._given = np.zeros(0, np.uint32)
            file.seek(self._top)
            self.images = file.read(_DIGEST)
            """SHA-256 of the images."""

    def take(self, num: int) -> UInt32[np.ndarray, " words"]:
        """The next words from the top, those first that were given."""
        if len(self._given):
            words, self._given = self._given, self._given[:0]
            return words
        num = min(max(num, KEPT // 2), (self._top - self._bottom) // 4)
        self._top -= 4 * num
        with self.path.open("rb") as file:
            file.seek(self._top)
            return np.frombuffer(file.read(4 * num), "<u4").astype(np.uint32)

    def begin(self, num: int) -> UInt32[np.ndarray, " num"]:
        raise EOFError(f"{self.path} has no bits left where more are asked for")

    def give(self, words: UInt32[np.ndarray, " words"]) -> None:
        """Keep words, which are not those of the file."""
        self._given = np.concatenate([self._given, words])

    def left(self) -> UInt32[np.ndarray, " words"]:
        """All words that are left."""
        given, self._given = self._given, self._given[:0]
        return np.concatenate([self.take((self._top - self._bottom) // 4), given])


def _sha256(file: IO[bytes], size: int) -> bytes:
    """SHA-256 of the next `size` bytes."""
    sha, left = hashlib.sha256(), size
    while left and (part := file.read(min(left, _CHUNK))):
        sha.update(part)
        left -= len(part)
    return sha.digest()
