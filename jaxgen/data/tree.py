"""Splits and labels, from the sub-folders of a folder of images.

    folder/*.png                        images without labels
    folder/cat/*.png, folder/dog/*.png  the names of the sub-folders, sorted, are the labels 0, 1, ...
    folder/train/..., folder/test/...   given splits (and valid/ or val/), each as one of the above

Names of splits are known in any case and spelling ("Train", "testing", "train_images"; `jaxgen.data.naming`). A name
that looks like a split and stands elsewhere, or of which it is not clear which split it is, is refused: as a label it
would put test images among the training ones.

Images in deeper folders belong to the label above them. Images are ordered by their paths, so that an index means the
same image on every machine. Hidden files and files that are not named as images are skipped.
"""

from pathlib import Path

import numpy as np

from jaxgen.data.naming import UNCLEAR, split_of, splits_of_files

_OTHER_FORMATS = (".bmp", ".gif", ".tif", ".tiff", ".webp")


def splits(path: Path) -> tuple[dict[str, tuple[list[Path], np.ndarray | None]], list[str]]:
    """Files and labels by split, "train" alone where none are given; and the names of the labels.

    Raises:
        ValueError: A folder without an image, a symlink that leads nowhere or in a loop, an image of another
            format, sub-folders that do not go together, or names that look like splits and cannot be taken as such.
    """
    inside = _children(path)
    split_names = {child.name: split_of(child.name) for child in inside if child.is_dir()}
    if not any(split_names.values()):
        labelled = {"train": ("", _by_class(path))}
        _refuse_splits_of_files(path, [file for files in labelled["train"][1].values() for file in files])
    else:
        names = [split_names.get(child.name) for child in inside if child.is_dir() or _is_image(child)]
        unclear = [name for name, split in split_names.items() if split == UNCLEAR]
        if None in names or unclear or len(set(names)) < len(names) or "train" not in names:
            found = ", ".join(child.name for child in inside)
            looks = (
                f"; {unclear[0]} looks like a split, but not clearly like one of these: rename it" if unclear else ""
            )
            raise ValueError(
                f"{path} must hold train, and beside it nothing but valid and test, got {found}{looks} (folders named "
                "like splits are never taken as labels)"
            )
        labelled = {
            split: (name, _by_class(path / name)) for name, split in sorted(split_names.items()) if split is not None
        }
    classes = sorted(labelled["train"][1].keys() - {""})
    for name, by_class in labelled.values():
        if unknown := by_class.keys() - labelled["train"][1].keys():
            others = ", ".join(sorted(unknown - {""})) or "images without a label"
            raise ValueError(
                f"{path / name} must have the labels of train, {', '.join(classes) or 'none'}, got {others}"
            )
    found = {}
    for split, (_, by_class) in labelled.items():
        files = [file for label in sorted(by_class) for file in by_class[label]]
        numbers = [classes.index(label) for label in sorted(by_class) for _ in by_class[label]] if classes else None
        found[split] = (files, None if numbers is None else np.array(numbers, np.int32))
    return found, classes


def images_below(path: Path) -> list[Path]:
    """All images of a folder whatever its sub-folders mean, hidden ones and those behind links to folders aside."""
    below = (file for file in path.rglob("*") if not any(part.startswith(".") for part in file.relative_to(path).parts))
    return sorted(file for file in below if _is_image(file))


def _refuse_splits_of_files(path: Path, files: list[Path]) -> None:
    """train_1.png beside test_1.png: splits by the names of files, which a shuffle would mix."""
    found = splits_of_files(file.stem for file in files)
    if len(found) > 1:
        (one, first), (other, second), *_ = found.items()
        raise ValueError(
            f"{path} must hold splits as sub-folders, got file names that look like them, {first} and {second}: "
            f"move them into {one}/ and {other}/, or rename them"
        )


def _by_class(path: Path) -> dict[str, list[Path]]:
    """The images of each sub-folder by its name, or all of them by the name ""."""
    inside = _children(path)
    loose = [child for child in inside if _is_image(child)]
    folders = [child for child in inside if child.is_dir()]
    # One name among labels may be a label, a train beside cars; two splits, or nothing else, are no labels.
    looks = {child.name for child in folders if split_of(child.name)}
    if looks and (len(looks) > 1 or len(looks) == len(folders)):
        raise ValueError(
            f"{path} must hold labels, got {', '.join(sorted(looks))}, which look like splits: these must lie directly "
            "in the folder that is given"
        )
    classes = {child.name: _below(child, (path.resolve(),)) for child in folders}
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
            if split_of(child.name):
                raise ValueError(
                    f"{child} looks like a split within the label {folder.name}: splits must lie directly in the "
                    f"folder that is given, with the labels in them (give {folder} itself if it is the data set)"
                )
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
