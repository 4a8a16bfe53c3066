"""MNIST and its kin, from the files that their authors published, without tensorflow.

    mnist              handwritten digits, 256 levels, 10 classes                 50,000 + 10,000 + 10,000
    fashion_mnist      pieces of clothing, 256 levels, 10 classes                 50,000 + 10,000 + 10,000
    binarized_mnist    the digits, drawn once as 0 and 1, without labels          50,000 + 10,000 + 10,000

The official training sets hold 60,000 images; validation is the last 10,000 of them, as is customary (Larochelle's
binarisation is cut there as well).
"""

import gzip
from pathlib import Path

import numpy as np

from jaxgen.core import Spec
from jaxgen.data import cache as caching
from jaxgen.data.dataset import Dataset, Split
from jaxgen.data.official import OfficialFile, contents, source
from jaxgen.require import integer

_CVDF = "https://storage.googleapis.com/cvdf-datasets/mnist/"
_ZALANDO = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_LAROCHELLE = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/binarized_mnist_"

MNIST = (
    OfficialFile(
        _CVDF + "train-images-idx3-ubyte.gz",
        9912422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    ),
    OfficialFile(
        _CVDF + "train-labels-idx1-ubyte.gz", 28881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    OfficialFile(
        _CVDF + "t10k-images-idx3-ubyte.gz", 1648877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    OfficialFile(
        _CVDF + "t10k-labels-idx1-ubyte.gz", 4542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
)
FASHION_MNIST = (
    OfficialFile(
        _ZALANDO + "train-images-idx3-ubyte.gz",
        26421880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    OfficialFile(
        _ZALANDO + "train-labels-idx1-ubyte.gz",
        29515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    OfficialFile(
        _ZALANDO + "t10k-images-idx3-ubyte.gz",
        4422102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    OfficialFile(
        _ZALANDO + "t10k-labels-idx1-ubyte.gz", 5148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
    ),
)
BINARIZED_MNIST = (
    OfficialFile(
        _LAROCHELLE + "train.amat", 78400000, "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d"
    ),
    OfficialFile(
        _LAROCHELLE + "valid.amat", 15680000, "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2"
    ),
    OfficialFile(
        _LAROCHELLE + "test.amat", 15680000, "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c"
    ),
)


def mnist(*, valid: int | float = 10_000, folder: str | Path | None = None, cache: str | Path | None = None) -> Dataset:
    """70,000 handwritten digits, uint8 [28, 28, 1], 0 (paper) .. 255 (ink).

    Args:
        valid: How many of the last of the 60,000 training images are for validation, or which fraction of them. 0 for
            none: published likelihoods are often those of models that were trained on all 60,000.
        folder: Where the official files are, itself or its sub-folder of the data set's name; None for
            $JAXGEN_DATA_DIR, and without that for a download by TFDS.
        cache: Where the decoded arrays are kept; None for $JAXGEN_CACHE_DIR or the user's cache folder.

    Raises:
        FileNotFoundError: The files are not in the folder; or there is no folder, and TFDS is not installed.
        ConnectionError: The download failed.
        ValueError: A file that is not the published one, or a valid that is none.

    Source: LeCun, Cortes & Burges 1998; the files and checksums of tensorflow-datasets, mnist 3.0.1.
    """
    return _labelled("mnist", MNIST, valid, folder, cache)


def fashion_mnist(
    *, valid: int | float = 10_000, folder: str | Path | None = None, cache: str | Path | None = None
) -> Dataset:
    """70,000 pieces of clothing, uint8 [28, 28, 1]; arguments and errors as those of `mnist`.

    Source: Xiao, Rasul & Vollgraf 2017; the files and checksums of tensorflow-datasets, fashion_mnist 3.0.1.
    """
    return _labelled("fashion_mnist", FASHION_MNIST, valid, folder, cache)


def binarized_mnist(*, folder: str | Path | None = None, cache: str | Path | None = None) -> Dataset:
    """70,000 digits whose every pixel was drawn once, uint8 [28, 28, 1] of 0 and 1, without labels.

    The splits are its author's. Arguments and errors as those of `mnist`.

    Source: Larochelle & Murray 2011; the files and checksums of tensorflow-datasets, binarized_mnist 1.0.0.
    """

    def decode() -> dict[str, np.ndarray]:
        files = contents("binarized_mnist", BINARIZED_MNIST, folder, place)
        # Each pixel is a character 0 or 1 and one of white space: 784 pixels to a line.
        text = (np.frombuffer(content, np.uint8).reshape(-1, 28, 28, 1, 2) for content in files.values())
        return dict(zip(("train", "valid", "test"), (part[..., 0] - np.uint8(ord("0")) for part in text), strict=True))

    place = caching.folder(cache)
    arrays = caching.cached(place / "binarized_mnist.npz", source(BINARIZED_MNIST), decode)
    splits = {name: Split(x) for name, x in arrays.items()}
    return Dataset(name="binarized_mnist", spec=Spec((28, 28, 1), "uint8", levels=2), **splits)


def _labelled(
    name: str, files: tuple[OfficialFile, ...], valid: int | float, folder: str | Path | None, cache: str | Path | None
) -> Dataset:
    if isinstance(valid, float) and 0 < valid < 1:
        valid = round(60_000 * valid)
    valid = integer("valid", valid, 0, 59_999)

    def decode() -> dict[str, np.ndarray]:
        arrays = (_idx(content) for content in contents(name, files, folder, place).values())
        return dict(zip(("train_x", "train_label", "test_x", "test_label"), arrays, strict=True))

    place = caching.folder(cache)
    arrays = caching.cached(place / f"{name}.npz", source(files), decode)
    x, label = arrays["train_x"][..., None], arrays["train_label"]
    num_train = len(x) - valid
    return Dataset(
        name=name,
        spec=Spec((28, 28, 1), "uint8", levels=256, num_classes=10),
        train=Split(x[:num_train], label[:num_train]),
        valid=Split(x[num_train:], label[num_train:]) if valid else None,
        test=Split(arrays["test_x"][..., None], arrays["test_label"]),
    )


def _idx(content: bytes) -> np.ndarray:
    """IDX: two zero bytes, a type (8 = uint8), the number of axes, their sizes as big-endian int32, the values."""
    content = gzip.decompress(content)
    num_axes = content[3]
    shape = np.frombuffer(content, ">i4", num_axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * num_axes).reshape(shape)
