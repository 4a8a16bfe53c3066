"""One image file: what its header says, and its pixels without a bit lost.

    8 bit     uint8 [H, W, C], 0 .. 255
    16 bit    float32 [H, W, C], value / 65535: each of the 65,536 values stays a number of its own
    C         1 for grey (also bilevel), 3 for RGB (also by palette)

Alpha and CMYK are refused: dropping a channel or changing the colour space is the user's decision. The header is
read before a pixel is decoded, so that a small file cannot ask for gigabytes of memory.
"""

import contextlib
import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MAX_PIXELS = 2**26
"""67 million: what a large camera takes; 200 MB in RGB."""

_CHANNELS = {"1": 1, "L": 1, "I;16": 1, "RGB": 3, "P": 3}  # by what Pillow calls the mode
# 16-bit RGB, of which Pillow decodes the upper bytes only: the lower ones are had by reading it as if swapped.
_UPPER, _LOWER = "RGB;16B", "RGB;16L"
# How a whole file ends. Who reads no more than the header would not miss it.
_ENDS = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9", "MPO": b"\xff\xd9"}
# Errors that Pillow raises on files that were cut short, altered or are something else.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)


class Header(NamedTuple):
    """Header of an image: pixels, channels (1 or 3) and bits per channel (8 or 16)."""

    height: int
    width: int
    channels: int
    bits: int

    @property
    def kind(self) -> str:
        return f"{self.bits}-bit {'grey' if self.channels == 1 else 'RGB'}"


def header(path: Path) -> Header:
    """The header of a PNG or JPEG file that seems whole.

    Raises:
        ValueError: Empty, no such image, cut short, 1x1, too large, or with alpha or other colours.
    """
    from PIL import Image

    if path.stat().st_size == 0:
        raise ValueError(f"{path} must be a PNG or JPEG image, got an empty file (0 bytes)")
    bombs = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    with warnings.catch_warnings(action="error", category=bombs[1]):
        try:
            with _opened(path) as image:
                mode, (width, height) = image.mode, image.size
                if "transparency" in image.info:
                    mode += " with transparency"
                bits = 16 if mode == "I;16" or image.tile[0].args == _UPPER else 8
                # A PNG would have to be decoded to know; it is cameras that turn pictures.
                turned = image.format != "PNG" and image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
                end = _ENDS[image.format]
                if width * height <= MAX_PIXELS and _last(path, len(end)) != end:
                    image.load()  # either something follows the end, or it is missing
        except bombs as error:
            raise ValueError(f"{path} must have at most {MAX_PIXELS} pixels: {error}") from None
    if width * height > MAX_PIXELS:
        raise ValueError(f"{path} must have at most {MAX_PIXELS} pixels, got {width} x {height}")
    if width * height == 1:
        raise ValueError(f"{path} must have more than one pixel, got 1 x 1: there is nothing to model")
    if mode not in _CHANNELS:
        raise ValueError(f"{path} must be grey or RGB without alpha, got {mode}: convert it first")
    if turned:
        width, height = height, width
    return Header(height, width, _CHANNELS[mode], bits)


def pixels(path: Path, kind: Header, size: tuple[int, int] | None = None, crop: bool = False) -> np.ndarray:
    """The pixels of a file.

    Args:
        path: The file.
        kind: Its header.
        size: (height, width) to resize to; None to leave it as it is.
        crop: See `resized`.

    Returns:
        [H, W, C] uint8, or float32 in [0, 1] from 16 bit.

    Raises:
        ValueError: The file is damaged.
    """
    if kind.bits == 16:
        if kind.channels == 1:
            values = _bytes(path, None)[..., None].astype(np.float32)
        else:
            values = _bytes(path, _UPPER).astype(np.float32) * np.float32(256) + _bytes(path, _LOWER)
        return resized(values / np.float32(65535), size, crop)
    from PIL import ImageOps

    with _opened(path) as image:
        upright = image if image.format == "PNG" else ImageOps.exif_transpose(image)
        array = np.array(upright.convert("L" if kind.channels == 1 else "RGB"))
    return resized(array.reshape(*array.shape[:2], kind.channels), size, crop)


def resized(image: np.ndarray, size: tuple[int, int] | None, crop: bool = False) -> np.ndarray:
    """An image in another size, by Pillow's antialiased bicubic filter.

    Args:
        image: [H, W, C] uint8, or float32 in [0, 1].
        size: (height, width); None returns the image as it is.
        crop: Whether to keep the aspect ratio, cutting off equally at both ends what is too long. Otherwise the
            image is stretched.
    """
    if size is None or image.shape[:2] == size:
        return image
    from PIL import Image

    height, width = size
    box = (0.0, 0.0, float(image.shape[1]), float(image.shape[0]))
    if crop:
        scale = min(box[2] / width, box[3] / height)
        left, top = (box[2] - scale * width) / 2, (box[3] - scale * height) / 2
        box = (left, top, left + scale * width, top + scale * height)
    planes = [
        np.asarray(Image.fromarray(image[..., c]).resize((width, height), Image.Resampling.BICUBIC, box=box))
        for c in range(image.shape[-1])
    ]
    together = np.stack(planes, axis=-1)
    return together if together.dtype == np.uint8 else np.clip(together, 0, 1)  # the filter overshoots at edges


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            yield image
    except _DAMAGED as error:
        raise ValueError(f"{path} must be a whole PNG or JPEG image: {error}") from error


def _bytes(path: Path, rawmode: str | None) -> np.ndarray:
    with _opened(path) as image:
        if rawmode is not None:
            image.tile = [tile._replace(args=rawmode) for tile in image.tile]
        return np.array(image)


def _last(path: Path, num: int) -> bytes:
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - num))
        return file.read()
