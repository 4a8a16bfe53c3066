"""Images to a file and back, one batch in memory at a time."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from jaxgen import atomic, require
from jaxgen.codec.bits_back import Codec, batch_sizes
from jaxgen.codec.container import Header, Read, Written
from jaxgen.codec.stack import Stack, initial_words
from jaxgen.core import Spec
from jaxgen.digest import digest
from jaxgen.latents import Latents
from jaxgen.progress import counted

_BATCH, _BATCH_BYTES = 64, 2**26
"""Images that are coded together: so many, or as many as have tables of probabilities of so many bytes; of few images
fewer, since the first batches have one each and are computed as whole ones."""


@runtime_checkable
class Images(Protocol):
    """Images to compress: an array, memory-mapped perhaps, or files that are read when they are asked for."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Any: ...


class Compressed(NamedTuple):
    """Size of a file and its parts, in bytes.

    Attributes:
        num: Number of images.
        num_dimensions: Dimensions of an image.
        size: Size of the file.
        header: Size of header and checksums.
        initial: Size of the bits below the first image, which stand for a message of before.
    """

    num: int
    num_dimensions: int
    size: int
    header: int
    initial: int

    @property
    def bits_per_dim(self) -> float:
        """Bits of the whole file for each dimension of each image."""
        return 8 * self.size / (self.num * self.num_dimensions)

    @property
    def net_bits_per_dim(self) -> float:
        """The same without header, checksums and initial bits: what the negative bound is the mean of."""
        return 8 * (self.size - self.header - self.initial) / (self.num * self.num_dimensions)


def compress(
    path: Path | str,
    images: Images,
    latents: Latents,
    variables: Any,
    spec: Spec,
    *,
    num_levels: int | None = None,
    batch_size: int | None = None,
    environment: Mapping[str, Any] | None = None,
) -> Compressed:
    """Compress images with a model; the file appears whole or not at all.

    Args:
        path: The file.
        images: Images in storage dtype, at least one.
        latents: Chain of the model.
        variables: Variables of the model.
        spec: Description of the data.
        num_levels: The number that the chain was asked for, which the file keeps.
        batch_size: Images that are coded together; None for as many as suit their size.
        environment: Versions, device and flags, which the file keeps.

    Raises:
        ValueError: Data without grey levels, a batch_size below 1, no image, or one of another shape, dtype or with
            values that the spec does not allow.
        ImportError: constriction is not installed.
        OSError: The file cannot be written.
    """
    if not len(images):
        raise ValueError("images must be at least one, got none")
    if spec.levels is None:
        raise ValueError("spec must be of grey levels for a codec, got real values (levels=None)")
    if batch_size is not None:
        require.size("batch_size", batch_size)
    fitting = _BATCH_BYTES // (4 * spec.num_dimensions * spec.levels)
    if batch_size is None:
        batch_size = max(1, min(_BATCH, max(8, len(images) // 16), fitting))
    header = Header(
        model=digest(variables),
        shape=spec.event_shape,
        levels=spec.levels,
        num=len(images),
        batch_size=batch_size,
        num_levels=num_levels,
        widths=_digest_of(latents),
        environment=json.loads(json.dumps(dict(environment or {}))),
    )
    codec, sha, first = Codec(latents, variables, batch_size), hashlib.sha256(), 0
    with atomic.writing(path) as file:
        written = Written(file, header)
        stack = Stack(written)
        for num in counted(batch_sizes(len(images), batch_size), "batches"):
            x = _checked(images[first : first + num], num, spec, first)
            sha.update(x.tobytes())
            codec.push(stack, x, first)
            first += num
        size = written.close(stack.words(), sha.digest())
    overhead = written.header_bytes + 64
    return Compressed(len(images), spec.num_dimensions, size, overhead, 4 * written.num_initial)


def decompress(
    read: Read, out: Any, latents: Latents, variables: Any, *, environment: Mapping[str, Any] | None = None
) -> None:
    """Decompress the images of a file, from the last to the first.

    Args:
        read: The file, see `belongs` for the model that it needs.
        out: Array [num, *shape] uint8 to fill, memory-mapped perhaps.
        latents: Chain of the model.
        variables: Variables of the model.
        environment: Versions, device and flags of this process.

    Raises:
        ValueError: The numbers of the model are not those that the file was written with.
        ImportError: constriction is not installed.
    """
    header = read.header
    codec, stack, last = Codec(latents, variables, header.batch_size), Stack(read), header.num
    try:
        for num in counted(batch_sizes(header.num, header.batch_size)[::-1], "batches"):
            last -= num
            out[last : last + num] = codec.pop(stack, num, last)
        left = np.concatenate([read.left(), stack.words()])
        right = np.array_equal(left, initial_words(0, len(left))) and _sha256(out) == read.images
    except (EOFError, KeyError):  # no bits left, or a latent where none can be
        right = False
    if not right:
        raise ValueError(
            f"{read.path} cannot be decoded here: the file is whole and the model its own, but this process computes "
            f"other numbers with it than the one that wrote it{_difference(header.environment, environment or {})}"
        )


def belongs(read: Read, latents: Latents, variables: Any, spec: Spec) -> None:
    """Refuse a model that a file was not written with.

    Args:
        read: The file.
        latents: Chain of the model.
        variables: Variables of the model.
        spec: Description of its data.

    Raises:
        ValueError: With what is another.
    """
    header = read.header
    if (header.shape, header.levels) != (spec.event_shape, spec.levels):
        raise ValueError(
            f"{read.path} holds images of shape {header.shape} with {header.levels} levels, the model's have shape "
            f"{spec.event_shape} with {spec.levels}"
        )
    if (own := digest(variables)) != header.model:
        raise ValueError(
            f"{read.path} was written with the model {header.model[:16]}, got the model {own[:16]}: take the run and "
            "the checkpoint that it was compressed with"
        )
    if header.widths != _digest_of(latents):
        raise ValueError(f"{read.path} was written with another chain of latents than this model's")


def _checked(x: Any, num: int, spec: Spec, first: int) -> UInt8[np.ndarray, "num *event"]:
    x = np.asarray(x)
    if x.dtype != spec.dtype or x.shape != (num, *spec.event_shape):
        raise ValueError(
            f"images must be {spec.dtype} of shape {spec.event_shape}, got {x.dtype} of shape {x.shape[1:]}"
        )
    if spec.levels is not None and x.max(initial=0) >= spec.levels:
        raise ValueError(f"images must have values below {spec.levels}, got {x.max()} in one from number {first} on")
    return x


def _difference(written: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """What is another here than where a file was written."""
    names = [name for name in {**written, **here} if written.get(name) != here.get(name)]
    if not names:
        return "; both name the same versions and device"
    return ": " + ", ".join(f"{name} {written.get(name)} there, {here.get(name)} here" for name in names)


def _digest_of(latents: Latents) -> str:
    """Digest of what the bins of a chain depend on."""
    return hashlib.sha256(repr((latents.shape, latents.widths)).encode()).hexdigest()[:16]


def _sha256(images: np.ndarray) -> bytes:
    sha = hashlib.sha256()
    for rows in _parts(len(images)):
        sha.update(np.ascontiguousarray(images[rows]).tobytes())
    return sha.digest()


def _parts(num: int, size: int = 1024) -> Iterator[slice]:
    return (slice(first, min(first + size, num)) for first in range(0, num, size))
