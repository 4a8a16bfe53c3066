"""Data sets by the word that a user has for them."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from jaxgen import spelling
from jaxgen.core import Spec
from jaxgen.data import toys
from jaxgen.data.arrays import from_file
from jaxgen.data.dataset import Dataset, Split
from jaxgen.data.embedded import digits
from jaxgen.data.folder import from_folder
from jaxgen.data.memory import require_room
from jaxgen.data.mnist import binarized_mnist, fashion_mnist, mnist
from jaxgen.data.pairs import Images
from jaxgen.data.prepared import from_tfds, tfds_names
from jaxgen.data.scale import Functions, Identity, Scale
from jaxgen.data.table import from_table
from jaxgen.require import integer

_BYTES_OF_A_DRAW = 48
"""Memory that a point in the plane takes while it is drawn: its number, its keys, its noise and itself."""
_AS_THEY_ARE = Identity()
_WITH_KEYS = (".npz", ".csv")
"""Endings of files whose names are followed by keys."""


def names() -> tuple[str, ...]:
    """The names that `load` knows, those of TFDS and paths aside."""
    toy_names = ("ring", "grid", "two_moons", "swiss_roll")
    return ("digits", "mnist", "fashion_mnist", "binarized_mnist", *toy_names)


def located(name: str | Path) -> str:
    """A name that means the same data in every folder: a path made absolute, any other name as it is.

    Args:
        name: As `load` takes it.
    """
    text, pairs = keys_in_name(str(name))
    keys = str(name).removeprefix(text)
    if pairs and not text.endswith(_WITH_KEYS):
        keys = ":" + ",".join(f"{field}={_absolute(folder)}" for field, folder in pairs.items())
    known = text in names() or text.startswith("tfds:")
    is_path = text.endswith((".npy", *_WITH_KEYS)) or Path(text).expanduser().is_dir()
    return _absolute(text) + keys if is_path and not known else str(name)


def load(
    name: str | Path,
    *,
    seed: int = 0,
    num: tuple[int, int, int] | None = None,
    valid: int | float | None = None,
    folder: str | Path | None = None,
    cache: str | Path | None = None,
    size: tuple[int, int] | None = None,
    crop: bool = False,
    keys: Mapping[str, str] | None = None,
    fields: Mapping[str, str | Path | Images] | None = None,
    num_values: Mapping[str, int] | None = None,
    limit: int | None = None,
    scale: Scale | Functions = _AS_THEY_ARE,
) -> Dataset:
    """A data set in memory, by its name or its path.

    Args:
        name: One of `names()`; a name of tensorflow-datasets, which "tfds:" before it makes sure of; the path of a
            .npy or .npz file (`from_file`), of a .csv file (`from_table`) or of a folder of images (`from_folder`). An
            .npz file whose keys are not x, label, ... is named with them: "photos.npz:x=images,label=y"; a .csv file
            with its column of classes and those to leave out: "wine.csv:label=kind,without=id+date"; a folder with
            those of its further fields: "photos:low=photos_small".
        seed: Seed of a toy's draws, or of the shuffle that splits what comes without splits. Not used where a data set
            has one split for ever.
        num: How many examples of a toy to draw for training, validation and testing; 50,000, 5,000 and 10,000
            unless given. The draws are the same on every machine up to rounding, so a toy's fingerprint holds
            for one version of JAX and one kind of device.
        valid: How many examples are for validation, or which fraction of them; 0 for no validation set. They are the
            last training images of mnist and fashion_mnist, 10,000 unless given, and drawn from TFDS, files and
            folders, a fraction of 0.1 unless given.
        folder: Where the official files are (None for $JAXGEN_DATA_DIR, else they are downloaded), or TFDS's
            data_dir (None for $TFDS_DATA_DIR or ~/tensorflow_datasets).
        cache: Where decoded arrays are kept; None for $JAXGEN_CACHE_DIR or the user's cache folder.
        size: (height, width) to which the images of a folder or of TFDS are resized.
        crop: Whether resizing keeps the aspect ratio.
        keys: Keys of an .npz file, see `from_file`; "label" and "without" of a .csv file.
        fields: Folders of the further fields of a folder, see `open_folder`.
        num_values: Number of values that the integers of a field of a file can have, see `from_arrays`.
        limit: Bytes of memory that the arrays of a file may take, see `from_file`.
        scale: How models see real values, see `jaxgen.data.scale`; grey levels have a scale of their own. `Identity()`
            of a .csv file is the default of `from_table`: each column standardised.

    Raises:
        ValueError: Another name, an argument that does not go with it, or what its source refuses.
        FileNotFoundError: A path or an official file that is not there.
        ImportError: TFDS is needed and not installed; or tensorflow is, to prepare a data set of TFDS.
        ConnectionError: The download failed.
    """
    path, in_name = keys_in_name(str(name))
    if in_name and path.endswith(_WITH_KEYS):
        if keys:
            raise ValueError(f"keys must be given once, got {name} and keys={dict(keys)}")
        name, keys = path, in_name
    elif in_name:
        if fields:
            raise ValueError(f"fields must be given once, got {name} and fields={dict(fields)}")
        name, fields = path, in_name
    options: dict[str, Any] = {
        "num": num,
        "valid": valid,
        "folder": folder,
        "cache": cache,
        "size": size,
        "crop": crop or None,
    }
    options |= {"keys": keys, "fields": fields, "num_values": num_values, "limit": limit}
    given = {option: value for option, value in options.items() if value is not None}
    dataset = _named(name, seed, given)
    of_its_own = str(name).endswith(".csv") and isinstance(scale, Identity)
    return dataset if of_its_own else dataset.scaled(scale)


def _named(name: str | Path, seed: int, given: dict[str, Any]) -> Dataset:
    """The data set of a name, with the options that were given."""

    def only(*allowed: str) -> dict[str, Any]:
        for option, value in given.items():
            if option not in allowed:
                raise ValueError(f"{option} does not go with {str(name)!r}, got {option}={value!r}")
        return given

    def split(*allowed: str) -> dict[str, Any]:
        chosen = only("valid", *allowed)
        return {**chosen, "seed": seed, **({"valid": None} if chosen.get("valid") == 0 else {})}

    match str(name):
        case "ring":
            return _drawn("ring", toys.ring, seed, **only("num"))
        case "grid":
            return _drawn("grid", toys.grid, seed, **only("num"))
        case "two_moons":
            return _drawn("two_moons", toys.two_moons, seed, **only("num"))
        case "swiss_roll":
            return _drawn("swiss_roll", toys.swiss_roll, seed, **only("num"))
        case "digits":
            only()
            return digits()
        case "mnist":
            return mnist(**only("valid", "folder", "cache"))
        case "fashion_mnist":
            return fashion_mnist(**only("valid", "folder", "cache"))
        case "binarized_mnist":
            return binarized_mnist(**only("folder", "cache"))
        case there if there.startswith("tfds:"):
            return from_tfds(there.removeprefix("tfds:"), **split("folder", "cache", "size", "crop"))
        case path if path.endswith((".npy", ".npz")):
            return from_file(path, **split("keys", "num_values", "limit"))
        case path if path.endswith(".csv"):
            options = split("keys")
            chosen = dict(options.pop("keys", {}))
            if strange := chosen.keys() - {"label", "without"}:
                raise ValueError(f"keys must be label and without for {path}, got {', '.join(sorted(strange))}")
            without = chosen.get("without", "")
            return from_table(path, label=chosen.get("label"), without=without.split("+") if without else (), **options)
        case path if Path(path).expanduser().is_dir():
            return from_folder(path, **split("size", "crop", "fields"))
        case there if there.partition("/")[0].partition(":")[0] in tfds_names():
            return from_tfds(there, **split("folder", "cache", "size", "crop"))
        case unknown:
            others = tfds_names()
            more = "" if others else " (pip install 'jaxgen[data]' for these)"
            raise ValueError(
                f"name must be one of {', '.join(names())}, one of tensorflow-datasets{more}, a path ending in .npy, "
                f".npz or .csv or a folder of images, got {unknown!r}{spelling.guess(unknown, [*names(), *others])}"
            )


def keys_in_name(name: str) -> tuple[str, dict[str, str]]:
    """The path of "photos.npz:x=images,label=y" or "photos:low=photos_small", and the keys of the file or the folders
    of the further fields; no keys where the name has none.

    Raises:
        ValueError: Something else than such pairs behind the colon.
    """
    forms = {".npz": "keys as in FILE.npz:x=KEY,label=KEY", ".csv": "keys as in FILE.csv:label=COLUMN,without=COLUMN"}
    ending = next((ending for ending in _WITH_KEYS if f"{ending}:" in name), None)
    if ending is not None:
        path, _, text = name.partition(f"{ending}:")
        path, form = f"{path}{ending}", forms[ending]
    else:
        path, _, text = name.partition(":")
        form = "further fields as in FOLDER:low=FOLDER"
        if "=" not in text or not Path(path).expanduser().is_dir():
            return name, {}
    pairs = [pair.partition("=") for pair in text.split(",")]
    keys = {column.strip(): key.strip() for column, _, key in pairs}
    if len(keys) < len(pairs) or not all(keys) or not all(keys.values()):
        raise ValueError(f"name must have its {form}, each once, got {name!r}")
    return path, keys


def _absolute(path: str) -> str:
    # `Path.resolve` would follow links, whose targets may be another tomorrow.
    return os.path.abspath(Path(path).expanduser())  # noqa: PTH100


def _drawn(
    name: str, toy: Callable[..., Array], seed: int, num: tuple[int, int, int] = (50_000, 5_000, 10_000)
) -> Dataset:
    # The generator is named: what "ring, seed 0" means is no matter of a user's `jax_default_prng_impl`.
    num_bytes = _BYTES_OF_A_DRAW * sum(integer(f"num[{i}]", size, 1) for i, size in enumerate(num))
    require_room(f"num={num}", num_bytes, "draw fewer")
    root = jax.random.key(integer("seed", seed, 0, 2**32 - 1), impl="threefry2x32")
    train, valid, test = (Split(np.asarray(toy(jax.random.fold_in(root, i), size))) for i, size in enumerate(num))
    return Dataset(name=name, spec=Spec(event_shape=(2,)), train=train, valid=valid, test=test)
