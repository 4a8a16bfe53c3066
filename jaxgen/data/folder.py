"""A folder of images: read one by one when they are asked for, or decoded into memory as a whole.

Which images are for training and which label they have is read from the sub-folders (`jaxgen.data.tree`). All are
of one kind (grey or RGB, 8 or 16 bit) and, unless they are resized, of one size.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.core import Spec
from jaxgen.data import checks, images, memory, tree
from jaxgen.data.arrays import divided
from jaxgen.data.dataset import Dataset
from jaxgen.data.examples import Examples
from jaxgen.require import integer

MAX_BYTES = 2**33
"""What is decoded into memory at once: 8 GiB."""


@dataclass(frozen=True, repr=False)
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

    def __repr__(self) -> str:
        return f"ImageFiles({len(self)} files, {self.kind.kind})"

    def __getitem__(self, i: int) -> dict[str, Any]:
        x = images.pixels(self.paths[i], self.kind, self.size, self.crop)
        return {"x": x} if self.label is None else {"x": x, "label": self.label[i]}


def open_folder(
    path: str | Path,
    *,
    size: tuple[int, int] | None = None,
    crop: bool = False,
    valid: int | float | None = 0.1,
    test: int | float = 0.1,
    seed: int = 0,
) -> dict[str, Examples]:
    """The splits of a folder of images that stay on disk. Every header is read and checked now.

    Args:
        path: The folder; `jaxgen.data.tree` has its forms.
        size: (height, width) to resize to, antialiased; None where all images have one size.
        crop: Whether to keep the aspect ratio, cutting off equally at both ends what is too long. Otherwise
            images are stretched.
        valid: Fraction or number of the training images for validation, None for none. Not used where it is a
            sub-folder.
        test: Fraction or number of them for the test. Not used where it is a sub-folder.
        seed: Seed of the shuffle behind the fractions.

    Returns:
        "train", "test" and, if there is one, "valid". Images are uint8 [H, W, C] with 256 levels, or from 16 bit
        float32 in [0, 1]; one channel if grey, three if RGB. The names of sub-folders that are labels are
        `spec.class_names`.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: No image; an image that is damaged, too large, of one pixel only, or of another kind or size
            than the first; sub-folders that do not go together, or look like splits where they are none; a symlink
            that leads nowhere or in a loop.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        raise FileNotFoundError(f"path must be a folder, there is none at {path}")
    size = image_size(size, crop)
    found, classes = tree.splits(path)
    kind = _common([file for files, _ in found.values() for file in files], size)
    height, width = size or (kind.height, kind.width)
    dtype, levels = ("uint8", 256) if kind.bits == 8 else ("float32", None)
    names = tuple(classes) or None
    spec = Spec((height, width, kind.channels), dtype, levels, len(classes) or None, class_names=names)
    given = {name: Examples(ImageFiles(files, label, kind, size, crop), spec) for name, (files, label) in found.items()}
    splits = divided(given, valid, test, seed)
    if classes:
        train = splits["train"]
        spec = replace(spec, labels=tuple(np.unique(train.source.label[train.index]).tolist()))
        checks.warn_of_missing(spec)
    return {name: Examples(split.source, spec, split.index) for name, split in splits.items()}


def from_folder(
    path: str | Path,
    *,
    size: tuple[int, int] | None = None,
    crop: bool = False,
    valid: int | float | None = 0.1,
    test: int | float = 0.1,
    seed: int = 0,
) -> Dataset:
    """A data set of a folder of images, all in memory. Arguments, images and errors as those of `open_folder`.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: What `open_folder` refuses, or more pixels than 8 GiB or half the memory that is available.
    """
    splits = open_folder(path, size=size, crop=crop, valid=valid, test=test, seed=seed)
    fits_into_memory(str(path), splits)
    name = Path(path).expanduser().resolve().name
    return Dataset(name, splits["train"].spec, **{name: split.decoded() for name, split in splits.items()})


def image_size(size: Any, crop: bool) -> tuple[int, int] | None:
    """A size to resize to, checked.

    Raises:
        ValueError: No pair of integers of at least 1, more pixels than an image may have, or crop without a size.
    """
    if size is None:
        if crop:
            raise ValueError("crop goes with size, got crop=True and no size")
        return None
    if not isinstance(size, Sequence) or len(size) != 2:
        raise ValueError(f"size must be (height, width), got {size!r}")
    height, width = integer("size[0]", size[0], 1), integer("size[1]", size[1], 1)
    if height * width > images.MAX_PIXELS:
        raise ValueError(f"size must be at most {images.MAX_PIXELS} pixels, got {height} x {width}")
    return height, width


def fits_into_memory(what: str, splits: Mapping[str, Examples]) -> None:
    """Refuse to decode what would fill the memory.

    Raises:
        ValueError: More than 8 GiB, or than half of what is available: a device that is a CPU has a copy.
    """
    spec = splits["train"].spec
    num_bytes = sum(map(len, splits.values())) * spec.num_dimensions * np.dtype(spec.dtype).itemsize
    free = memory.available()
    most = MAX_BYTES if free is None else min(MAX_BYTES, free // 2)
    if num_bytes > most:
        raise ValueError(
            f"{what} must have at most {most / 2**30:.1f} GiB of pixels to be held in memory, got "
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
