"""Images that are named one by one, as a sequence that reads them when they are asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from jaxgen import atomic
from jaxgen.core import Spec
from jaxgen.data import images

_PICTURES = (".png", ".jpg", ".jpeg")


class ImageFiles:
    """Images of files, in their order: PNG or JPEG, .npy or .npz with "x" [N, *event], folders of pictures.

    Args:
        paths: The files and folders; the pictures of a folder come in the order of their names.
        spec: Description of the data that they must be like.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: No image at all; one that is damaged, or of another shape or dtype than the spec's.
    """

    def __init__(self, paths: Sequence[Path | str], spec: Spec):
        self._spec = spec
        self._sources = [self._source(path) for path in _files(paths)]
        self._ends = np.cumsum([len(source) for source in self._sources], dtype=np.int64)
        if not len(self):
            raise ValueError(f"images must be at least one, got none in {', '.join(map(str, paths)) or 'nothing'}")

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, rows: slice) -> UInt8[np.ndarray, "n *event"]:
        first, last, _ = rows.indices(len(self))
        parts, position = [], first
        while position < last:
            i = int(np.searchsorted(self._ends, position, side="right"))
            start = position - (int(self._ends[i - 1]) if i else 0)
            parts.append(self._sources[i][start : start + last - position])
            position += len(parts[-1])
        return np.concatenate(parts)

    def _source(self, path: Path) -> Any:
        event = self._spec.event_shape
        if path.suffix.lower() in _PICTURES:
            if self._spec.levels != 256:
                raise ValueError(
                    f"{path} must be an array (.npy, .npz) of the model's {self._spec.levels} levels, got a picture, "
                    "which has 256"
                )
            kind = images.header(path)
            if kind.bits != 8 or (kind.height, kind.width, kind.channels) != event:
                raise ValueError(
                    f"{path} must be an 8-bit picture of shape {event}, as the model's data, got {kind.kind} of shape "
                    f"{(kind.height, kind.width, kind.channels)}"
                )
            return _Picture(path, kind)
        if path.suffix not in (".npy", ".npz"):
            raise ValueError(f"{path} must be a picture (PNG, JPEG), .npy, .npz or a folder of pictures")
        x = np.load(path, mmap_mode="r" if path.suffix == ".npy" else None, allow_pickle=False)
        if path.suffix == ".npz":
            if "x" not in x:
                raise ValueError(f'{path} must hold an array "x", got {", ".join(x) or "none"}')
            x = x["x"]
        if x.dtype != self._spec.dtype or x.shape[1:] != event:
            raise ValueError(
                f"{path} must hold {self._spec.dtype} of shape [N, {', '.join(map(str, event))}], as the model's data, "
                f"got {x.dtype} of shape {list(x.shape)}"
            )
        return x


class _Picture:
    """The pixels of a file, as an array of one image that is read late."""

    def __init__(self, path: Path, kind: images.Header):
        self._path, self._kind = path, kind

    def __len__(self) -> int:
        return 1

    def __getitem__(self, rows: slice) -> np.ndarray:
        return images.pixels(self._path, self._kind)[None]


def write_pictures(folder: Path, x: UInt8[np.ndarray, "n h w c"]) -> None:
    """Write images as PNG files that are named by their numbers.

    Args:
        folder: The folder, which is there.
        x: The images, with 1 or 3 channels.

    Raises:
        OSError: A file cannot be written.
    """
    from PIL import Image

    digits = max(5, len(str(len(x) - 1)))
    for i, image in enumerate(x):
        with atomic.writing(folder / f"{i:0{digits}}.png") as file:
            Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image).save(file, format="PNG")


def _files(paths: Sequence[Path | str]) -> list[Path]:
    """The files, with those of folders in the place of the folders."""
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += sorted(file for file in path.iterdir() if file.suffix.lower() in _PICTURES)
        elif path.exists():
            found.append(path)
        else:
            raise FileNotFoundError(f"there is no image {path}")
    return found
