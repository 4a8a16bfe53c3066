"""Image files for tests, among them those that Pillow cannot write."""

import itertools
import struct
import zlib

import numpy as np
from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png_header(width, height, bits=8, colour=2):
    return SIGNATURE + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))


def png16(array):
    """A PNG of [H, W, C] uint16, C 1 or 3, whose rows use the five filters of the format in turn."""
    height, width, channels = array.shape
    rows = np.frombuffer(array.astype(">u2").tobytes(), np.uint8).reshape(height, -1).astype(int)
    back = 2 * channels
    above, lines = np.zeros(rows.shape[1], int), b""
    for row, kind in zip(rows, itertools.cycle(range(5))):
        left = np.concatenate([np.zeros(back, int), row[:-back]])
        corner = np.concatenate([np.zeros(back, int), above[:-back]])
        near = np.stack([left, above, corner])
        paeth = np.take_along_axis(near, np.abs(left + above - corner - near).argmin(0)[None], 0)[0]
        guess = (0, left, above, (left + above) // 2, paeth)[kind]
        lines += bytes([kind]) + ((row - guess) % 256).astype(np.uint8).tobytes()
        above = row
    colour = {1: 0, 3: 2}[channels]
    return png_header(width, height, 16, colour) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def noise(*shape, dtype="uint8", seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def save(path, array, mode=None, **options):
    """Write [H, W] or [H, W, C] of 8 bit, or [H, W, C] of 16 bit; return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if array.dtype == np.uint16:
        path.write_bytes(png16(array))
    else:
        image = Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)
        (image if mode is None else image.convert(mode)).save(path, **options)
    return path
