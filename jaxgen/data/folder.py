"""A folder of images: read one by one when they are asked for, or decoded into memory as a whole.

Which images are for training and which label they have is read from the sub-folders (`jaxgen.data.tree`). All are
of one kind (grey or RGB, 8 or 16 bit) and, unless they are resized, of one size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.core import Spec
from jaxgen.data import images, tree
from jaxgen.data.arrays import divided
from jaxgen.data.dataset import Dataset
from jaxgen.data.examples import Examples
from jaxgen.require import integer

MAX_BYTES = 2**33
"""What is decoded into memory at once: 8 GiB."""


@dataclass(frozen=True)
class ImageFiles:
    """The source behind `open_folder`: files[i] is {"x" [H, W, C], "label"}.

    Attributes:
        paths: The files.
        label: [N] int32, None without labels.
        kind: The header that they share.
        size: See `images.resized`.
        crop: See `images.resized`.
    """

    paths: Sequence[Path]
    label: np.ndarray | None
    kind: images.Header
    size: tuple[int, int] | None
    crop: bool

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> dict[str, Any]:
        x = images.pixels(self.paths[i], self.kind, self.size, self.crop)
        return {"x": x} if self.label is None else {"x": x, "label": self.label[i]}


def open_folder(
    path: str | Path,
    *,
    size: tuple[int, int] | None = None,
    crop: bool = False,
    valid: float | None = 0.1,
    test: float = 0.1,
    seed: int = 0,
) -> dict[str, Examples]:
    """The splits of a folder of images that stay on disk. Every header is read and checked now.

    Args:
        path: The folder; `jaxgen.data.tree` has its forms.
        size: (height, width) to resize to, antialiased; None where all images have one size.
        crop: Whether to keep the aspect ratio, cutting off equally at both ends what is too long. Otherwise
            images are stretched.
        valid: Fraction of the training images for validation, None for none. Not used where it is a sub-folder.
        test: Fraction for the test. Not used where it is a sub-folder.
        seed: Of the shuffle behind the fractions.

    Returns:
        "train", "test" and, if there is one, "valid". Images are uint8 [H, W, C] with 256 levels, or from 16 bit
        float32 in [0, 1]; one channel if grey, three if RGB.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: No image; an image that is damaged, too large, of one pixel only, or of another kind or size
            than the first; sub-folders that do not go together; a symlink that leads nowhere or in a loop.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        raise FileNotFoundError(f"path must be a folder, there is none at {path}")
    size = image_size(size, crop)
    found, classes = tree.splits(path)
    kind = _common([file for files, _ in found.values() for file in files], size)
    height, width = size or (kind.height, kind.width)
    dtype, levels = ("uint8", 256) if kind.bits == 8 else ("float32", None)
    spec = Spec((height, width, kind.channels), dtype, levels, num_classes=len(classes) or None)
    given = {name: Examples(ImageFiles(files, label, kind, size, crop), spec) for name, (files, label) in found.items()}
    return divided(given, valid, test, seed)


def from_folder(
    path: str | Path,
    *,
    size: tuple[int, int] | None = None,
    crop: bool = False,
    valid: float | None = 0.1,
    test: float = 0.1,
    seed: int = 0,
) -> Dataset:
    """A data set of a folder of images, all in memory. Arguments, images and errors as those of `open_folder`.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: What `open_folder` refuses, or more than 8 GiB of pixels.
    """
    splits = open_folder(path, size=size, crop=crop, valid=valid, test=test, seed=seed)
    fits_into_memory(str(path), splits)
    name = Path(path).expanduser().resolve().name
    return Dataset(name, splits["train"].spec, **{name: split.decoded() for name, split in splits.items()})


def image_size(size: Any, crop: bool) -> tuple[int, int] | None:
    """A size to resize to, checked.

    Raises:
        ValueError: No pair of integers of at least 1, or crop without a size.
    """
    if size is None:
        if crop:
            raise ValueError("crop goes with size, got crop=True and no size")
        return None
    if not isinstance(size, Sequence) or len(size) != 2:
        raise ValueError(f"size must be (height, width), got {size!r}")
    return integer("size[0]", size[0], 1), integer("size[1]", size[1], 1)


def fits_into_memory(what: str, splits: Mapping[str, Examples]) -> None:
    """Refuse to decode what would fill the memory.

    Raises:
        ValueError: More than 8 GiB.
    """
    spec = splits["train"].spec
    num_bytes = sum(map(len, splits.values())) * spec.num_dimensions * np.dtype(spec.dtype).itemsize
    if num_bytes > MAX_BYTES:
        raise ValueError(
            f"{what} must have at most {MAX_BYTES / 2**30:.0f} GiB of pixels to be held in memory, got "
            f"{num_bytes / 2**30:.1f} GiB: choose a smaller size, or stream it (data.open_folder, data.open_tfds)"
        )


def _common(paths: Sequence[Path], size: tuple[int, int] | None) -> images.Header:
    first = images.header(paths[0])
    for path in paths[1:]:
        found = images.header(path)
        if found.kind != first.kind:
            raise ValueError(f"{path} must be {first.kind} like {paths[0]}, got {found.kind}")
        if size is None and found != first:
            raise ValueError(
                f"{path} must be {first.height} x {first.width} pixels like {paths[0]}, got "
                f"{found.height} x {found.width}; size=(height, width) resizes all"
            )
    return first
