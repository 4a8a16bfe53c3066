"""A folder of images: read one by one when they are asked for, or decoded into memory as a whole.

Which images are for training and which label they have is read from the sub-folders (`jaxgen.data.tree`). All are
of one kind (grey or RGB, 8 or 16 bit) and, unless they are resized, of one size. Further folders with images of the
same names are further fields (`jaxgen.data.pairs`), each of a kind and size of its own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen.core import Field, Spec
from jaxgen.data import checks, images, memory, pairs, tree
from jaxgen.data.arrays import divided
from jaxgen.data.dataset import Dataset
from jaxgen.data.examples import Examples

MAX_BYTES = 2**33
"""Limit of the images that are decoded into memory at once: 8 GiB."""


@dataclass(frozen=True, repr=False)
class ImageFiles:
    """The source behind `open_folder`: files[i] is {"x" [H, W, C], "label"} and what else is paired with it.

    Attributes:
        paths: The files.
        label: [N] int32, None without labels.
        kind: The header that they share.
        size: See `images.resized`.
        crop: See `images.resized`.
        fields: The partners of the files, by the name of their field.
    """

    paths: Sequence[Path]
    label: np.ndarray | None
    kind: images.Header
    size: tuple[int, int] | None
    crop: bool
    fields: Mapping[str, "ImageFiles"] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        return f"ImageFiles({len(self)} files, {self.kind.kind})"

    def __getitem__(self, i: int) -> dict[str, Any]:
        x = images.pixels(self.paths[i], self.kind, self.size, self.crop)
        label = {} if self.label is None else {"label": self.label[i]}
        return {"x": x, **label, **{name: files[i]["x"] for name, files in self.fields.items()}}

    @property
    def described(self) -> Field:
        """Shape, dtype and number of grey levels of one image."""
        shape = (*(self.size or (self.kind.height, self.kind.width)), self.kind.channels)
        return Field(shape, "uint8") if self.kind.bits == 8 else Field(shape, "float32")


def open_folder(
    path: str | Path,
    *,
    fields: Mapping[str, str | Path | pairs.Images] | None = None,
    size: tuple[int, int] | None = None,
    crop: bool = False,
    valid: int | float | None = 0.1,
    test: int | float = 0.1,
    seed: int = 0,
) -> dict[str, Examples]:
    """The splits of a folder of images that stay on disk. Every header is read and checked now.

    Args:
        path: The folder; `jaxgen.data.tree` has its forms.
        fields: Folders of images with the same relative names, by the name that their field is to have; `data.Images`
            resizes one.
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
            that leads nowhere or in a loop; an image without its partner, or the other way round.
    """
    path = Path(path).expanduser()
    if not path.is_dir():
        raise FileNotFoundError(f"path must be a folder, there is none at {path}")
    size = pairs.image_size(size, crop)
    folders = pairs.folders(fields)
    found, classes = tree.splits(path)
    every = {name: files for name, (files, _) in found.items()}
    files = _files(every, size, crop)
    beside = {name: _files(pairs.of_splits(path, every, f.path), f.size, f.crop) for name, f in folders.items()}
    x = files["train"].described
    described = {name: others["train"].described for name, others in beside.items()}
    spec = Spec(x.shape, x.dtype, x.num_values, len(classes) or None, described, class_names=tuple(classes) or None)
    given = {}
    for split, (_, label) in found.items():
        paired = {name: others[split] for name, others in beside.items()}
        given[split] = Examples(replace(files[split], label=label, fields=paired), spec)
    splits = divided(given, valid, test, seed)
    if classes:
        train = splits["train"]
        spec = replace(spec, labels=tuple(np.unique(train.source.label[train.index]).tolist()))
        checks.warn_of_missing(spec)
    return {name: Examples(split.source, spec, split.index) for name, split in splits.items()}


def from_folder(
    path: str | Path,
    *,
    fields: Mapping[str, str | Path | pairs.Images] | None = None,
    size: tuple[int, int] | None = None,
    crop: bool = False,
    valid: int | float | None = 0.1,
    test: int | float = 0.1,
    seed: int = 0,
) -> Dataset:
    """A data set of a folder of images, all in memory. Arguments, images and errors as those of `open_folder`.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: A folder that `open_folder` refuses, or more pixels than 8 GiB or half the memory that is available.
    """
    splits = open_folder(path, fields=fields, size=size, crop=crop, valid=valid, test=test, seed=seed)
    fits_into_memory(str(path), splits)
    name = Path(path).expanduser().resolve().name
    return Dataset(name, splits["train"].spec, **{name: split.decoded() for name, split in splits.items()})


def fits_into_memory(what: str, splits: Mapping[str, Examples]) -> None:
    """Refuse to decode what would fill the memory.

    Raises:
        ValueError: More than 8 GiB, or than half of what is available: a device that is a CPU has a copy.
    """
    spec = splits["train"].spec
    every = [(spec.event_shape, spec.dtype), *((other.shape, other.dtype) for other in spec.fields.values())]
    row = sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in every)
    num_bytes = sum(map(len, splits.values())) * row
    free = memory.available()
    most = MAX_BYTES if free is None else min(MAX_BYTES, free // 2)
    if num_bytes > most:
        raise ValueError(
            f"{what} must have at most {most / 2**30:.1f} GiB of pixels to be held in memory, got "
            f"{num_bytes / 2**30:.1f} GiB: choose a smaller size, or stream it (data.open_folder, data.open_tfds)"
        )


def _files(splits: Mapping[str, Sequence[Path]], size: tuple[int, int] | None, crop: bool) -> dict[str, ImageFiles]:
    """The files of each split, of one kind in all of them."""
    kind = _common([file for files in splits.values() for file in files], size)
    return {name: ImageFiles(files, None, kind, size, crop) for name, files in splits.items()}


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
