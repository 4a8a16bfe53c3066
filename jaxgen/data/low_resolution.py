"""Pictures and their low-resolution versions, by the protocol that papers on super-resolution share.

    y        = round(16 + (65.481 R + 128.553 G + 24.966 B) / 255)     luminance Y of a picture, 16 .. 235
    low      = round(bicubic(y, 1 / s))                                what is given: y reduced by the factor s
    enlarged = round(bicubic(low, s))                                  the same picture in the size of y, without detail
    residual = y - enlarged                                            what was lost: what a model has to find again

The size of y is cut to a multiple of s first. The bicubic filter is antialiased (Pillow, in float32), and agrees with
the published figures of bicubic enlargement on Set5 to 0.01 dB. Everything is in grey levels, 0 .. 255.

Source: Dong et al. 2014 (SRCNN), section 4; ITU-R BT.601 for the luminance.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32, Shaped, UInt8

from jaxgen import require
from jaxgen.data import images, tree

SHRINKS = (1.0, 0.9, 0.8, 0.7, 0.6)
"""Sizes in which a training picture is used besides its own, so that few pictures show more."""


class Patches(NamedTuple):
    """Square cut-outs of pictures.

    Attributes:
        residual: y - enlarged, in grey levels.
        enlarged: Enlarged low-resolution picture.
        factor: Factor s of each patch.
    """

    residual: Float32[np.ndarray, "n p p 1"]
    enlarged: UInt8[np.ndarray, "n p p 1"]
    factor: Int32[np.ndarray, " n"]


def luminance(picture: Shaped[np.ndarray, "..."]) -> UInt8[np.ndarray, "h w"]:
    """Luminance Y of a picture of one channel (grey) or three (red, green, blue), 16 .. 235.

    Args:
        picture: Grey levels [h, w, 1] or [h, w, 3], uint8.

    Raises:
        ValueError: Another dtype or number of channels.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] not in (1, 3):
        raise ValueError(f"picture must be uint8 [h, w, 1 or 3], got {picture.dtype} of shape {picture.shape}")
    weights = np.array([65.481, 128.553, 24.966]) if picture.shape[-1] == 3 else np.array([219.0])
    return np.rint(16 + picture.astype(np.float64) @ weights / 255).astype(np.uint8)


def cut(y: UInt8[np.ndarray, "h w"], factor: int) -> UInt8[np.ndarray, "l m"]:
    """A picture without the last rows and columns that are too many for a multiple of the factor.

    Raises:
        ValueError: A factor below 2, or a picture that is smaller than it.
    """
    require.integer("factor", factor, 2)
    height, width = (size - size % factor for size in y.shape)
    if not height or not width:
        raise ValueError(f"factor must be at most the size of the picture, {y.shape[0]} x {y.shape[1]}, got {factor}")
    return y[:height, :width]


def reduced(y: UInt8[np.ndarray, "h w"], factor: int) -> UInt8[np.ndarray, "l m"]:
    """The low-resolution version of a picture, 1 / factor of its size.

    Raises:
        ValueError: A factor below 2, or that does not divide the size.
    """
    require.integer("factor", factor, 2)
    if y.shape[0] % factor or y.shape[1] % factor:
        raise ValueError(f"factor must divide the size of y, {y.shape[0]} x {y.shape[1]}, got {factor}")
    return _bicubic(y, (y.shape[0] // factor, y.shape[1] // factor))


def enlarged(low: UInt8[np.ndarray, "l m"], factor: int) -> UInt8[np.ndarray, "h w"]:
    """A picture enlarged by a factor, bicubic: no detail is added.

    Raises:
        ValueError: A factor below 2.
    """
    require.integer("factor", factor, 2)
    return _bicubic(low, (low.shape[0] * factor, low.shape[1] * factor))


def pictures(folder: str | Path | None) -> dict[str, UInt8[np.ndarray, "h w"]]:
    """The luminance of all pictures (PNG or JPEG, of any size) below a folder, by their relative names in order.

    Args:
        folder: The folder; None for the two photographs that scikit-learn carries (640 x 427).

    Raises:
        FileNotFoundError: There is no such folder.
        ValueError: A folder without a picture, or a file that is damaged or not of 8 bit.
    """
    if folder is None:
        from sklearn.datasets import load_sample_images

        found = load_sample_images()
        names = (Path(name).stem for name in found["filenames"])
        return {name: luminance(np.asarray(image)) for name, image in zip(names, found["images"], strict=True)}
    root = Path(folder).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"data must be a folder of pictures, there is none at {root}")
    files = tree.images_below(root)
    if not files:
        raise ValueError(f"{root} must hold pictures (PNG or JPEG), got none")
    kinds = {file: images.header(file) for file in files}
    for file, kind in kinds.items():
        if kind.bits != 8:
            raise ValueError(f"{file} must be of 8 bit, got {kind.kind}")
    return {str(file.relative_to(root)): luminance(images.pixels(file, kind)) for file, kind in kinds.items()}


def patches(
    of: Mapping[str, UInt8[np.ndarray, "h w"]],
    num: int,
    size: int,
    factors: Sequence[int],
    *,
    seed: int,
    shrinks: Sequence[float] = SHRINKS,
    turned: bool = True,
) -> Patches:
    """Random cut-outs of pictures, each in one of several sizes, turned and mirrored.

    A picture is drawn in proportion to its number of pixels. The whole picture is reduced and enlarged before a patch
    is cut out of it, so that patches have no edges of their own.

    Args:
        of: Luminance by name.
        num: Number of patches.
        size: Height and width of a patch, in pixels.
        factors: Factors, each for an equal share of the patches.
        seed: Seed of the draws.
        shrinks: Sizes to which pictures are reduced before all else, relative to their own.
        turned: Whether patches are turned by quarter turns and mirrored at random.

    Raises:
        ValueError: A number out of range, or no picture as large as a patch; those that are smaller are left out.
    """
    for name, value in {"num": num, "size": size}.items():
        require.size(name, value)
    require.sizes("factors", factors, 2, fewest=1)
    versions = {
        (name, shrink): smaller
        for name, y in of.items()
        for shrink in shrinks
        if min((smaller := _shrunk(y, shrink)).shape) >= size + max(factors)
    }
    if not versions:
        largest = max((y.shape for y in of.values()), key=min, default=(0, 0))
        raise ValueError(
            f"size must be below that of some picture by {max(factors)} pixels, got {size} and pictures of at most "
            f"{largest[0]} x {largest[1]}"
        )
    rng = np.random.default_rng(seed)
    places = list(versions)
    area = np.array([versions[place].size for place in places], np.float64)
    chosen = rng.choice(len(places), num, p=area / area.sum())
    factor = np.resize(np.array(factors, np.int32), num)
    made: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}
    residual = np.empty((num, size, size), np.float32)
    given = np.empty((num, size, size), np.uint8)
    for k in range(num):
        which = (int(chosen[k]), int(factor[k]))
        if which not in made:
            y = cut(versions[places[which[0]]], which[1])
            made[which] = (y, enlarged(reduced(y, which[1]), which[1]))
        y, low = made[which]
        top, left = (int(rng.integers(0, length - size + 1)) for length in y.shape)
        window = np.s_[top : top + size, left : left + size]
        turns, mirrored = (int(rng.integers(0, 4)), bool(rng.integers(0, 2))) if turned else (0, False)
        high, base = (np.rot90(a[window], turns)[:, :: -1 if mirrored else 1] for a in (y, low))
        residual[k], given[k] = high.astype(np.float32) - base, base
    return Patches(residual[..., None], given[..., None], factor)


def _shrunk(y: np.ndarray, share: float) -> np.ndarray:
    require.number("shrinks", share, 0, 1, above=0)
    if share == 1:
        return y
    return _bicubic(y, (max(1, round(y.shape[0] * share)), max(1, round(y.shape[1] * share))))


def _bicubic(y: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    image = Image.fromarray(y.astype(np.float32)).resize((size[1], size[0]), Image.Resampling.BICUBIC)
    return np.clip(np.rint(np.asarray(image)), 0, 255).astype(np.uint8)
