"""Pairs of folders: each image of one has a partner of the same relative name in another.

    photos/train/cat/1.png      photos_small/train/cat/1.png      fields={"low": "photos_small"}

The endings may differ (1.png and 1.jpg). An image without a partner, or a partner without its image, is refused: one
that is left out would be missed by nobody.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxgen import require
from jaxgen.core import field_name
from jaxgen.data import images, tree


@dataclass(frozen=True)
class Images:
    """A folder of images that is a further field of those of another folder.

    Args:
        path: The folder.
        size: (height, width) to resize to, antialiased; None where all images have one size.
        crop: Whether to keep the aspect ratio, cutting off equally at both ends what is too long.

    Raises:
        ValueError: No pair of integers of at least 1, or crop without a size.
    """

    path: str | Path
    size: tuple[int, int] | None = None
    crop: bool = False

    def __post_init__(self):
        object.__setattr__(self, "size", image_size(self.size, self.crop))


def folders(fields: Mapping[str, Any] | None) -> dict[str, Images]:
    """The folders of some fields by name, the path of each as it is.

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: A reserved name, or no path.
    """
    if fields is not None and not isinstance(fields, Mapping):
        raise ValueError(f"fields must be a mapping of names to folders, got {type(fields).__name__}")
    found = {}
    for name, given in (fields or {}).items():
        if not isinstance(given, str | Path | Images):
            raise ValueError(
                f"fields[{field_name(name)!r}] must be a folder or data.Images(folder, ...), got {given!r}"
            )
        folder = given if isinstance(given, Images) else Images(given)
        path = Path(folder.path).expanduser()
        if not path.is_dir():
            raise FileNotFoundError(f"fields[{name!r}] must be a folder, there is none at {path}")
        found[field_name(name)] = Images(path, folder.size, folder.crop)
    return found


def of_splits(path: Path, splits: Mapping[str, Sequence[Path]], other: str | Path) -> dict[str, list[Path]]:
    """The partner in another folder of each image of a folder, by split.

    Args:
        path: The folder.
        splits: All of its images by split.
        other: The other folder.

    Raises:
        ValueError: An image without a partner, or a partner without its image.
    """
    other = Path(other)
    known = {file.relative_to(other).with_suffix(""): file for file in tree.images_below(other)}

    def partner(file: Path) -> Path:
        relative = file.relative_to(path)
        exact, similar = other / relative, known.get(relative.with_suffix(""))
        if exact.is_file():
            return exact
        if similar is None:
            raise ValueError(f"{other} must hold a partner of every image of {path}, got none of {relative}")
        return similar

    found = {name: [partner(file) for file in files] for name, files in splits.items()}
    if more := set(known.values()).difference(*found.values()):
        first = min(more).relative_to(other)
        raise ValueError(f"{path} must hold an image for each of {other}, got none for {first} ({len(more)} in all)")
    return found


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
    height, width = require.integer("size[0]", size[0], 1), require.integer("size[1]", size[1], 1)
    if height * width > images.MAX_PIXELS:
        raise ValueError(f"size must be at most {images.MAX_PIXELS} pixels, got {height} x {width}")
    return height, width
