"""Small files in the formats of the published ones, and where the published ones are."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from jaxgen.data.official import OfficialFile

# Beside the checkout, where there is such a folder: real images that are no part of the project.
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
FIXTURE = SHARED / "tfds_fixture512"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the published files are not in ../shared/data")

NUM_TRAIN, NUM_TEST = 10, 4


def idx(array):
    return gzip.compress(struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes())


def small_mnist(offset=0):
    """(arrays, contents by file name): ten training images and four test images in IDX."""
    x = ((np.arange((NUM_TRAIN + NUM_TEST) * 784) * 7 + offset) % 256).astype(np.uint8).reshape(-1, 28, 28)
    label = ((np.arange(NUM_TRAIN + NUM_TEST) + offset) % 10).astype(np.uint8)
    contents = {
        "train-images-idx3-ubyte.gz": idx(x[:NUM_TRAIN]),
        "train-labels-idx1-ubyte.gz": idx(label[:NUM_TRAIN]),
        "t10k-images-idx3-ubyte.gz": idx(x[NUM_TRAIN:]),
        "t10k-labels-idx1-ubyte.gz": idx(label[NUM_TRAIN:]),
    }
    return (x[..., None], label), contents


def small_binarized():
    """(x, contents by file name): five images to a split, as text."""
    x = (np.arange(15 * 784) % 3 == 0).astype(np.uint8).reshape(-1, 28, 28, 1)
    parts = zip(("train", "valid", "test"), np.split(x, 3), strict=True)
    lines = {name: "".join(" ".join(map(str, image.ravel())) + "\n" for image in part) for name, part in parts}
    return x, {f"binarized_mnist_{name}.amat": text.encode() for name, text in lines.items()}


def registered(contents):
    """What would be registered of such files."""
    return tuple(
        OfficialFile(f"http://example.invalid/{name}", len(content), hashlib.sha256(content).hexdigest())
        for name, content in contents.items()
    )


def write(folder, contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder
