"""Any image data set of tensorflow-datasets that lies prepared on disk, read without tensorflow.

TFDS turns what authors publish into records, once; that takes tensorflow. Reading the records by their number does
not, if they were written as array_record. Reading them all takes a quarter of a minute for 60,000 small images, so
what fits into memory is decoded once and kept in the cache.
"""

import dataclasses
import hashlib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen import spelling
from jaxgen.core import Field, Spec, field_name
from jaxgen.data import cache as caching
from jaxgen.data import checks, images
from jaxgen.data.arrays import divided
from jaxgen.data.dataset import Dataset, Split
from jaxgen.data.examples import Examples
from jaxgen.data.folder import fits_into_memory
from jaxgen.data.pairs import image_size

FORMAT = "array_record"
"""Format of TFDS whose records can be read in any order."""


@dataclass(frozen=True, repr=False)
class Records:
    """The source behind `open_tfds`: records[i] is {"x" [H, W, C], "label"} and the further fields asked for.

    Attributes:
        records: Data source that `tfds.data_source` returns.
        image: Name of the image in a record.
        label: Name of the label in a record, None without.
        size: See `images.resized`.
        crop: See `images.resized`.
        fields: Names of further features of a record and their descriptions, by the names of their fields.
    """

    records: Any
    image: str
    label: str | None
    size: tuple[int, int] | None
    crop: bool
    fields: Mapping[str, tuple[str, Field]] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.records)

    def __repr__(self) -> str:
        return f"Records({len(self)} of {self.image}{'' if self.label is None else ' and ' + self.label})"

    def __getitem__(self, i: int) -> dict[str, Any]:
        record = self.records[i]
        x = images.resized(_unit(record[self.image]), self.size, self.crop)
        label = {} if self.label is None else {"label": np.int32(record[self.label])}
        further = {
            name: np.asarray(_unit(np.asarray(record[feature])), field.dtype)
            for name, (feature, field) in self.fields.items()
        }
        return {"x": x, **label, **further}


def open_tfds(
    name: str,
    *,
    folder: str | Path | None = None,
    fields: Mapping[str, str] | None = None,
    num_values: Mapping[str, int] | None = None,
    size: tuple[int, int] | None = None,
    crop: bool = False,
    valid: int | float | None = 0.1,
    test: int | float = 0.1,
    seed: int = 0,
) -> dict[str, Examples]:
    """The splits of an image data set of TFDS, as records that stay on disk.

    Its "validation" is for validation, or the test where there is no "test". What is not there is split off "train".

    Args:
        name: As TFDS has it: "cifar10", "emnist/letters", "mnist:3.0.1".
        fields: Further features of a record by the names that their fields are to have, {"low": "lr_image"}: images of
            one size, classes, or arrays of one shape. They are neither x nor the label then.
        num_values: Number of values that the integers of a field can have, by its name; known for classes.
        folder: TFDS's data_dir; None for $TFDS_DATA_DIR or ~/tensorflow_datasets. What is not prepared there is
            downloaded and prepared, which takes tensorflow.
        size: (height, width) to resize to, antialiased; None where all images have one size.
        crop: Whether to keep the aspect ratio, cutting off equally at both ends what is too long.
        valid: Fraction or number of the training images for validation, None for none. Not used where TFDS has one.
        test: Fraction or number of them for the test. Not used where TFDS has one.
        seed: Seed of the shuffle behind the fractions.

    Returns:
        "train", "test" and, if there is one, "valid". Images are uint8 [H, W, C] with 256 levels, or from 16 bit
        float32 in [0, 1].

    Raises:
        ImportError: TFDS is not installed; or tensorflow is not, and the data set must be prepared.
        ValueError: No such data set, records in a format that must be read in order, not just one image in a
            record, images of many sizes without a size, or a feature that can be no field.
        ConnectionError: The download failed.
    """
    size = image_size(size, crop)
    return divided(_splits(_builder(name, folder), size, crop, fields, num_values), valid, test, seed)


def from_tfds(
    name: str,
    *,
    folder: str | Path | None = None,
    fields: Mapping[str, str] | None = None,
    num_values: Mapping[str, int] | None = None,
    size: tuple[int, int] | None = None,
    crop: bool = False,
    valid: int | float | None = 0.1,
    test: int | float = 0.1,
    seed: int = 0,
    cache: str | Path | None = None,
) -> Dataset:
    """An image data set of TFDS, all in memory. Arguments, images and errors as those of `open_tfds`.

    Args:
        cache: Where the decoded arrays are kept; None for $JAXGEN_CACHE_DIR or the user's cache folder.

    Raises:
        ImportError: See `open_tfds`.
        ValueError: A data set that `open_tfds` refuses, or more pixels than 8 GiB or half the memory that is available.
        ConnectionError: The download failed.
    """
    size = image_size(size, crop)
    builder = _builder(name, folder)
    whole = _splits(builder, size, crop, fields, num_values)
    fits_into_memory(name, whole)

    def decode() -> dict[str, np.ndarray]:
        decoded = {split: examples.decoded().arrays for split, examples in whole.items()}
        return {f"{split}/{column}": array for split, arrays in decoded.items() for column, array in arrays.items()}

    # Two folders may hold different parts of one data set; what is in them, the description says.
    parts = [builder.info.full_name, size, crop, Path(builder.data_dir, "dataset_info.json").read_text()]
    parts += [sorted(fields.items())] if fields else []
    source = hashlib.sha256(repr(parts).encode()).hexdigest()
    file = f"{builder.info.full_name.replace('/', '-')}-{source[:8]}.npz"
    arrays = caching.cached(caching.folder(cache) / "tfds" / file, source, decode)
    columns = {split: [key.partition("/")[2] for key in arrays if key.startswith(f"{split}/")] for split in whole}
    splits = {split: Split.of({name: arrays[f"{split}/{name}"] for name in names}) for split, names in columns.items()}
    full_name = "-".join(builder.info.full_name.split("/")[:-1])
    dataset = Dataset(full_name, whole["train"].spec, **divided(splits, valid, test, seed))
    checks.warn_of_missing(dataset.spec)
    return dataset


def tfds_names() -> list[str]:
    """Names of the data sets of TFDS, none if it is not installed."""
    if importlib.util.find_spec("tensorflow_datasets") is None:
        return []
    import tensorflow_datasets as tfds  # an optional dependency, half a second of imports

    return tfds.list_builders(with_community_datasets=False)  # those would be asked for over the network


def _builder(name: str, folder: str | Path | None) -> Any:
    """TFDS's builder of a data set that is prepared for reading at any place."""
    if importlib.util.find_spec("tensorflow_datasets") is None:
        raise ImportError(f"{name!r} is read by tensorflow-datasets: pip install 'jaxgen[data]'")
    import tensorflow_datasets as tfds

    data_dir = folder or os.environ.get("TFDS_DATA_DIR")
    place: dict[str, Any] = {"data_dir": Path(data_dir).expanduser() if data_dir else None, "try_gcs": False}
    without = f"{name!r} must be prepared, which takes tensorflow: pip install tensorflow"
    try:
        builder: Any = tfds.builder(name, **place)
        # data_source itself would say of data that are not there that they have the wrong format.
        if not builder.is_prepared():
            if importlib.util.find_spec("tensorflow") is None:
                raise ImportError(f"{without}; there is nothing at {builder.data_dir}")
            return _prepared(tfds.builder(name, file_format=FORMAT, **place))
    except tfds.core.DatasetNotFoundError:
        raise ValueError(
            f"name must be one of tensorflow-datasets, got {name!r}{spelling.guess(name, tfds_names())}"
        ) from None
    except ModuleNotFoundError as error:  # some builders import tensorflow to say what they are
        raise ImportError(without) from error
    except (AssertionError, ValueError) as error:  # no such version or config
        raise ValueError(f"name must be one of tensorflow-datasets, got {name!r}: {error}") from error
    if (found := builder.info.file_format.value) != FORMAT:
        raise ValueError(
            f"{name!r} must be prepared with file_format={FORMAT!r} to be read at any place, it is {found} in "
            f"{builder.data_dir}: prepare it in another folder"
        )
    return builder


def _prepared(builder: Any) -> Any:
    """Have TFDS download and prepare a data set."""
    import requests  # comes with TFDS
    import tensorflow_datasets as tfds

    # Data sets with the same file names must not share what is extracted: fashion_mnist was once built from mnist.
    name = builder.info.full_name
    extracted = Path(builder.data_dir).parents[name.count("/")] / "downloads" / "extracted" / name.replace("/", "-")
    try:
        builder.download_and_prepare(download_config=tfds.download.DownloadConfig(extract_dir=extracted))
    except requests.RequestException as error:
        raise ConnectionError(f"{builder.name} could not be downloaded: {error}") from error
    return builder


def _splits(
    builder: Any,
    size: tuple[int, int] | None,
    crop: bool,
    fields: Mapping[str, str] | None,
    num_values: Mapping[str, int] | None,
) -> dict[str, Examples]:
    """The examples of TFDS for each of "train", "valid" and "test" that it has."""
    import tensorflow_datasets as tfds

    features = dict(builder.info.features.items())
    beside = {}
    for name, feature in (fields or {}).items():
        if feature not in features:
            raise ValueError(
                f"fields[{field_name(name)!r}] must be a feature of {builder.name}, {', '.join(features)}, "
                f"got {feature!r}{spelling.guess(feature, features)}"
            )
        beside[field_name(name)] = (feature, described(name, features[feature], (num_values or {}).get(name)))
    features = {key: feature for key, feature in features.items() if key not in (fields or {}).values()}
    pictures = [key for key, feature in features.items() if type(feature) is tfds.features.Image]
    if len(pictures) != 1:
        raise ValueError(f"{builder.name} must have one image in a record, got {', '.join(pictures) or 'none'}")
    (image,) = pictures
    classes = {key: feature for key, feature in features.items() if isinstance(feature, tfds.features.ClassLabel)}
    label = "label" if "label" in classes else next(iter(classes), None)
    num_classes = None if label is None else classes[label].num_classes
    height, width, channels = features[image].shape
    if size is None and (height is None or width is None):
        raise ValueError(f"{builder.name} has images of many sizes, got no size: size=(height, width) resizes them")
    dtype, levels = ("uint8", 256) if features[image].np_dtype == np.uint8 else ("float32", None)
    class_names = None if label is None else tuple(classes[label].names)
    further = {name: field for name, (_, field) in beside.items()}
    spec = Spec((*(size or (height, width)), channels), dtype, levels, num_classes, further, class_names=class_names)
    names = {"train": "train", "valid": "validation", "test": "test"}
    if "test" not in builder.info.splits:
        names = {"train": "train", "test": "validation"}
    return {
        split: Examples(Records(builder.as_data_source(theirs), image, label, size, crop, beside), spec)
        for split, theirs in names.items()
        if theirs in builder.info.splits
    }


def described(name: str, feature: Any, num_values: int | None) -> Field:
    """A feature of TFDS as a field.

    Raises:
        ValueError: No numbers of one shape, or integers of which nobody says how many there can be.
    """
    shape, dtype = feature.shape, np.dtype(feature.np_dtype)
    if None in shape or dtype.kind not in "buif" or dtype == np.float64:
        raise ValueError(f"fields[{name!r}] must be numbers of one shape, got {dtype} of shape {shape}")
    if dtype == np.uint16 and len(shape) == 3:
        return Field(shape, "float32")
    kept = dtype.name if dtype in (np.bool_, np.uint8, np.float32) else "int32"
    try:
        return Field(shape, kept, num_values or getattr(feature, "num_classes", None))
    except ValueError as error:
        raise ValueError(f"fields[{name!r}]: {error}") from None


def _unit(image: np.ndarray) -> np.ndarray:
    """16-bit grey levels in [0, 1]; others as they are."""
    return image.astype(np.float32) / np.float32(65535) if image.dtype == np.uint16 else image
