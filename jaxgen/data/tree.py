"""What the sub-folders of a folder of images say: splits and labels.

    folder/*.png                        images without labels
    folder/cat/*.png, folder/dog/*.png  the names of the sub-folders, sorted, are the labels 0, 1, ...
    folder/train/..., folder/test/...   given splits (and valid/ or val/), each as one of the above

What lies deeper counts to the label it lies in. Images count in the order of their paths, so that an index means
the same image on every machine. Hidden files and what is no image by its name are passed over.
"""

from pathlib import Path

import numpy as np

_SPLITS = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
_OTHER_FORMATS = (".bmp", ".gif", ".tif", ".tiff", ".webp")


def splits(path: Path) -> tuple[dict[str, tuple[list[Path], np.ndarray | None]], list[str]]:
    """Files and labels by split, "train" alone where none are given; and what the labels are called.

    Raises:
        ValueError: A folder without an image, a symlink that leads nowhere or in a loop, an image of another
            format, or sub-folders that do not go together.
    """
    inside = _children(path)
    folders = {child.name for child in inside if child.is_dir()}
    if not folders & _SPLITS.keys():
        labelled = {"train": _by_class(path)}
    else:
        names = [_SPLITS.get(child.name) for child in inside if child.is_dir() or _is_image(child)]
        if None in names or len(set(names)) < len(names) or "train" not in names:
            found = ", ".join(child.name for child in inside)
            raise ValueError(f"{path} must hold train, and beside it nothing but valid and test, got {found}")
        labelled = {_SPLITS[name]: _by_class(path / name) for name in sorted(folders)}
    classes = sorted(labelled["train"].keys() - {""})
    for name, by_class in labelled.items():
        if unknown := by_class.keys() - labelled["train"].keys():
            others = ", ".join(sorted(unknown - {""})) or "images without a label"
            raise ValueError(
                f"{path / name} must have the labels of train, {', '.join(classes) or 'none'}, got {others}"
            )
    found = {}
    for name, by_class in labelled.items():
        files = [file for label in sorted(by_class) for file in by_class[label]]
        numbers = [classes.index(label) for label in sorted(by_class) for _ in by_class[label]] if classes else None
        found[name] = (files, None if numbers is None else np.array(numbers, np.int32))
    return found, classes


def _by_class(path: Path) -> dict[str, list[Path]]:
    """The images of each sub-folder by its name, or all of them by the name ""."""
    inside = _children(path)
    loose = [child for child in inside if _is_image(child)]
    classes = {child.name: _below(child, (path.resolve(),)) for child in inside if child.is_dir()}
    if loose and classes:
        raise ValueError(
            f"{path} must hold either images or sub-folders that are labels, "
            f"got {loose[0].name} beside {next(iter(classes))}/"
        )
    if empty := [name for name, files in classes.items() if not files]:
        raise ValueError(f"{path / empty[0]} must hold images (PNG or JPEG), got none")
    if not loose and not classes:
        raise ValueError(f"{path} must hold images (PNG or JPEG), got none")
    return classes or {"": loose}


def _below(folder: Path, above: tuple[Path, ...]) -> list[Path]:
    real = folder.resolve()
    if real in above:
        raise ValueError(f"{folder} must not lead back to {real}, in which it lies: a symlink loop")
    files: list[Path] = []
    for child in _children(folder):
        if child.is_dir():
            files += _below(child, (*above, real))
        elif _is_image(child):
            files.append(child)
    return files


def _children(folder: Path) -> list[Path]:
    children = sorted(child for child in folder.iterdir() if not child.name.startswith("."))
    for child in children:
        if not child.exists():
            raise ValueError(f"{child} must be a file or a folder, it is a link to nothing or to itself")
        if child.suffix.lower() in _OTHER_FORMATS:
            raise ValueError(f"{child} must be PNG or JPEG: convert it first")
    return children


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in (".png", ".jpg", ".jpeg") and path.is_file()
