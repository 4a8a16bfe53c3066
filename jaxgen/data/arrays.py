"""The user's own data: arrays in memory, or in a .npy or .npz file.

A file is read without pickle, so opening one runs no code of its author. What it holds by which key:

    x.npy                                    x
    any.npz  x, label, mask                  one set, of which valid and test are split off
    any.npz  train_x, test_x, valid_x, ...   given splits, each with its own label, mask
    any.npz  low, or train_low, test_low     further fields, by any other name

Only x (or train_x and test_x) must be there. Other keys are mapped to these names by `keys`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen import require, spelling
from jaxgen.core import Spec
from jaxgen.data import checks, memory, naming, npy
from jaxgen.data import fields as further
from jaxgen.data.dataset import Dataset, Split
from jaxgen.data.permutation import shuffled
from jaxgen.data.scale import Functions, Identity, Scale

_TOO_LARGE = (
    "read it example by example, data.Examples(np.load(path, mmap_mode='r'), jaxgen.Spec(...)), "
    "or allow more with limit=BYTES"
)
_AS_THEY_ARE = Identity()


def from_arrays(
    x: np.ndarray,
    label: np.ndarray | None = None,
    *,
    mask: np.ndarray | None = None,
    fields: Mapping[str, np.ndarray] | None = None,
    condition: np.ndarray | None = None,
    num_values: Mapping[str, int] | None = None,
    levels: int | None = None,
    class_names: Sequence[str] | None = None,
    name: str = "arrays",
    valid: int | float | Split | None = 0.1,
    test: int | float | Split = 0.1,
    seed: int = 0,
    scale: Scale | Functions = _AS_THEY_ARE,
) -> Dataset:
    """A data set of the user's arrays.

    Args:
        x: [N, *event], uint8 or finite float32; never cast. The event shape is what is given: a model that
            wants (height, width, channels) is given x[..., None]. The mask of a numpy masked array becomes `mask`, and
            what lies behind it 0.
        label: [N] integers from 0. The number of classes is one more than the largest in any split, unless
            `class_names` gives it; classes without an example to train on are warned of.
        mask: [N, *event] bool, True = observed.
        fields: Further arrays [N, ...] by name, what a model may be given beside x: bool, uint8, float32 or integers
            from 0, kept as int32.
        condition: An array for the field named "condition".
        num_values: Number of values that the integers of a field can have, by its name: the size of a vocabulary, say.
            One more than the largest in any split unless given; 256 for uint8.
        levels: Number of grey levels of uint8 data, 256 unless given.
        class_names: Names of the classes 0, 1, ..., for tables and pictures.
        name: Name of the data set.
        valid: The validation set itself, or the fraction or number of the examples that become it; None for no
            validation set.
        test: The test set itself, or the fraction or number of the examples that become it.
        seed: Seed of the shuffle behind the fractions; train comes first in that order, then valid, then test. Not
            used where both sets are given.
        scale: How models see real values, see `jaxgen.data.scale`.

    Raises:
        ValueError: Arguments that `Split` or `Dataset` refuses, labels or integers of a field far beyond the number of
            those that occur, or fractions that leave a set without an example.
    """
    x, mask = _unmasked(x, mask)
    whole = Split(x, label, mask, fields, condition=condition)
    if levels is None and whole.x.dtype == np.uint8:
        levels = 256
    every = [split for split in (whole, valid, test) if isinstance(split, Split)]
    labels = [split.label for split in every if split.label is not None]
    names = None if class_names is None else tuple(class_names)
    num_classes = checks.num_classes("label", labels) if names is None else len(names)
    described = further.measured([split.fields for split in every], num_values)
    spec = Spec(whole.x.shape[1:], whole.x.dtype.name, levels, num_classes, described, class_names=names)
    if levels is not None:
        checks.below("x", whole.x, levels, "levels")
    given = {name: split for name, split in (("valid", valid), ("test", test)) if isinstance(split, Split)}
    splits = divided({"train": whole, **given}, valid, test, seed)
    dataset = Dataset(name=name, spec=spec, **splits).scaled(scale)
    checks.warn_of_missing(dataset.spec)
    return dataset


def _unmasked(x: Any, mask: Any) -> tuple[Any, Any]:
    """A masked array as numbers and what is observed of them; others as they are."""
    if not isinstance(x, np.ma.MaskedArray):
        return x, mask
    if mask is not None:
        raise ValueError("mask must be None where x is a masked array, which has a mask of its own, got both")
    if x.mask is np.ma.nomask or x.dtype not in (np.uint8, np.float32):  # another dtype is refused as such
        return np.asarray(x.data), None
    # Whatever lies behind a mask, NaN mostly, is no part of the data.
    return np.asarray(np.ma.filled(x, 0)), ~np.ma.getmaskarray(x)


def from_file(
    path: str | Path,
    *,
    keys: Mapping[str, str] | None = None,
    num_values: Mapping[str, int] | None = None,
    levels: int | None = None,
    valid: int | float | None = 0.1,
    test: int | float = 0.1,
    seed: int = 0,
    limit: int | None = None,
    scale: Scale | Functions = _AS_THEY_ARE,
) -> Dataset:
    """A data set from a .npy or .npz file; the module's docstring has the keys.

    Args:
        path: The file. Its name without the ending becomes the name of the data set.
        keys: Keys of an .npz file that has others than those of the module's docstring, by the names that they are to
            have: {"x": "images", "label": "y", "low": "images_8"}. Then further fields are those named here alone, and
            other keys than x, label and mask are not read.
        num_values: Number of values that the integers of a field can have, see `from_arrays`.
        levels: Number of grey levels of uint8 data, 256 unless given.
        valid: Fraction or number of the examples for the validation set, None for no such set. Not used where the file
            gives splits.
        test: Fraction or number of the examples for the test set. Not used where the file gives splits.
        seed: Seed of the shuffle behind the fractions.
        limit: Bytes of memory that the data may take, twice the size of the arrays since they are copied once; None
            for what is available.
        scale: How models see real values, see `jaxgen.data.scale`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged, of another format, needs pickle, has other keys, does not fit into memory, or
            holds what `from_arrays` refuses.
    """
    path = Path(path).expanduser()
    if path.suffix not in (".npy", ".npz"):
        raise ValueError(f"path must end in .npy or .npz, got {path}")
    if not path.is_file():
        raise FileNotFoundError(f"path must be a file, there is none at {path}")
    headers = npy.headers(path)
    columns = _columns(path, headers, keys)
    memory.require_room(str(path), 2 * sum(headers[key].num_bytes for key in columns.values()), _TOO_LARGE, limit)
    arrays = npy.read(path, list(dict.fromkeys(columns.values())))
    groups: dict[str, dict[str, Any]] = {}
    for name, key in columns.items():
        split, column = naming.split_and_column(name)
        groups.setdefault(split, {})[column] = arrays[key]
    for split, columns in groups.items():
        if "x" not in columns:
            raise ValueError(f"{path} must hold x in every split, got {', '.join(columns)} of {split or 'one set'}")
    options: dict[str, Any] = {"levels": levels, "num_values": num_values, "name": path.stem, "scale": scale}
    if groups.keys() == {""}:
        return from_arrays(**further.gathered(groups[""]), **options, valid=valid, test=test, seed=seed)
    if "" in groups or not {"train", "test"} <= groups.keys():
        found = ", ".join(split or "one set" for split in groups) or "nothing"
        raise ValueError(f"{path} must hold one set, or train_ and test_ (and valid_), got {found}")
    splits = {}
    for split, columns in groups.items():
        try:
            splits[split] = Split.of(columns)
        except ValueError as error:  # begins with the name of the column
            raise ValueError(f"{split}_{error}") from None
    given = {"valid": splits.get("valid"), "test": splits["test"]}
    return from_arrays(**further.gathered(groups["train"]), **options, **given)


def divided(splits: Mapping[str, Any], valid: Any, test: Any, seed: int) -> dict[str, Any]:
    """The splits given ("train" at least), and those that are not as shuffled rows of the training set.

    Args:
        splits: Each with a length and `rows(index)`.
        valid: Fraction or number of the examples for the validation set where none is given, None for no such set.
            Otherwise not used.
        test: Fraction or number of the examples for the test set where none is given. Otherwise not used.
        seed: Seed of the shuffle; train comes first in that order, then valid, then test.

    Raises:
        ValueError: A number that is no fraction, size or seed, or sizes that leave nothing to train on.
    """
    train = splits["train"]
    num = len(train)
    num_valid = 0 if "valid" in splits or valid is None else _share("valid", valid, num)
    num_test = 0 if "test" in splits else _share("test", test, num)
    num_train = num - num_valid - num_test
    if num_train < 1:
        raise ValueError(
            f"valid and test must leave an example of x to train on, got {num_valid} + {num_test} of {num}"
        )
    order = shuffled(num, require.integer("seed", seed, 0, 2**32 - 1))
    parts = np.split(order, [num_train, num_train + num_valid])
    result = {}
    for name, index in zip(("train", "valid", "test"), parts, strict=True):
        if name in splits and (name != "train" or num_train == num):
            result[name] = splits[name]
        elif len(index):
            result[name] = train.rows(index)
    return result


def _share(name: str, wanted: Any, num: int) -> int:
    """How many of `num` examples a split is given: a number of them, or the nearest to a fraction."""
    if isinstance(wanted, int | np.integer) and not isinstance(wanted, bool) and wanted >= 1:
        return int(wanted)
    if not isinstance(wanted, float | np.floating) or not 0 < wanted < 1:
        raise ValueError(
            f"{name} must be a Split or a fraction between 0 and 1, got {wanted!r}; or a number of examples, at least 1"
        )
    return max(1, round(num * float(wanted)))


def _columns(path: Path, headers: Mapping[str, npy.Header], keys: Mapping[str, str] | None) -> dict[str, str]:
    """The key of each name (x, train_label, ...) that the file has; refuses keys that are not known."""
    if npy.ALONE in headers:
        if keys:
            raise ValueError(f"keys goes with .npz files, {path} is one array without a key, got keys={dict(keys)}")
        return {"x": npy.ALONE}
    allowed = f"{', '.join(naming.COLUMNS)} and further fields, or these after train_, valid_ or test_"
    if not keys:
        if strange := [name for name in headers if naming.misspelt(name) or not name.isidentifier()]:
            raise ValueError(
                f"{path} must hold {allowed}, got {strange[0]!r}; the keys are {', '.join(headers)}; "
                f"{_mapping(headers)}"
            )
        return {name: name for name in headers}
    for name, key in keys.items():
        if (meant := naming.misspelt(name)) or not name.isidentifier():
            raise ValueError(
                f"keys must be given for {allowed}, got {name!r}" + (f"; did you mean {meant!r}?" if meant else "")
            )
        if key not in headers:
            raise ValueError(
                f"keys[{name!r}] must be a key of {path}, {', '.join(headers) or 'which has none'}, "
                f"got {key!r}{spelling.guess(key, headers)}"
            )
    taken = set(keys.values())
    own = [key for key in headers if naming.split_and_column(key)[1] in naming.COLUMNS]
    return {key: key for key in own if key not in taken} | dict(keys)


def _mapping(headers: Mapping[str, npy.Header]) -> str:
    """Advice on how the keys of a file are mapped, its own keys as the example where their names allow a guess."""
    guess: dict[str, str] = {}
    for key in headers:
        name = naming.key_of(key)
        if name is not None and name not in guess:
            guess[name] = key
    if not guess.keys() & {"x", "train_x"}:
        return "keys={'x': 'a key of the file', ...} maps them (on the command line FILE.npz:x=KEY,label=KEY)"
    flags = ",".join(f"{name}={key}" for name, key in guess.items())
    return f"keys={guess} maps them (on the command line FILE.npz:{flags})"
