"""Names of folders, images and keys, and their meaning: a split, a column, or nothing of the kind.

Test images among the training ones are found by nobody afterwards, so a name that looks like a split, whatever its
case and spelling, is read as that split or refused; it never becomes a label.
"""

import re
from collections.abc import Iterable

from jaxgen import spelling

SPLITS = ("train", "valid", "test")
COLUMNS = ("x", "label", "mask")
UNCLEAR = "unclear"
"""Looks like a split, but it is not clear like which."""

_SPLIT_WORDS = {
    "train": ("train", "training", "trained", "trn"),
    "valid": ("valid", "val", "vali", "validation", "validate", "validating", "dev", "development"),
    "test": ("test", "tests", "testing", "tst"),
}
_SPLIT_OF = {word: split for split, words in _SPLIT_WORDS.items() for word in words}
# Some use these for validation, others for the test.
_EITHER = ("eval", "evaluation", "evaluate", "holdout", "heldout")
# Beside one of these, "dev" and "eval" may be anything (a development board); the others may not.
_STRONG = frozenset(_SPLIT_OF) - {"dev", "development", "trn", "tst", "trained", "validate"}
_FILLERS = (
    *("set", "sets", "split", "splits", "data", "dataset", "datasets", "file", "files", "folder", "folders", "dir"),
    *("image", "images", "img", "imgs", "picture", "pictures", "pic", "pics", "photo", "photos", "png", "jpg", "jpeg"),
    *("sample", "samples", "example", "examples", "x"),
)
_COLUMN_WORDS = {
    "x": "x xs image images img imgs picture pictures photo photos pixels data features inputs input samples arr",
    "label": "y ys label labels target targets class classes category categories",
    "mask": "mask masks observed",
}
_COLUMN_OF = {word: column for column, words in _COLUMN_WORDS.items() for word in words.split()}
_FILE = re.compile(r"(train|valid|val|test)(?:ing|idation)?(?![a-z])", re.IGNORECASE)


def split_of(name: str) -> str | None:
    """The split that the name of a folder speaks of: one of `SPLITS`, `UNCLEAR`, or None for a name like "cat".

    "TRAIN", "train-images", "TrainSet", "train2017" and "01_training" are all "train"; "eval", "train_cats" and
    "fold_1" are unclear.
    """
    every = [part for word in _words(name) for part in _parted(word)]
    words = [word for word in every if word not in _FILLERS]
    joined = "".join(words)
    if joined in _SPLIT_OF:
        return _SPLIT_OF[joined]
    if len(words) > 1 and len({_SPLIT_OF.get(word) for word in words}) == 1 and words[0] in _SPLIT_OF:
        return _SPLIT_OF[words[0]]
    if joined in _EITHER or re.fullmatch(r"(cv)?fold[\W_]*\d+", name, re.IGNORECASE):
        return UNCLEAR
    return UNCLEAR if words and (words[0] in _STRONG or words[-1] in _STRONG) else None


def splits_of_files(stems: Iterable[str]) -> dict[str, str]:
    """A name for each split that file names begin with, as "train_001" and "test_001" do."""
    found: dict[str, str] = {}
    for stem in stems:
        if match := _FILE.match(stem):
            found.setdefault(_SPLIT_OF[match[1].lower()], stem)
    return found


def key_of(name: str) -> str | None:
    """The name by which `from_file` would know a key: "train_x" for "x_train" and "TrainImages", "label" for "y"."""
    words = [part for word in _words(name) for part in _parted(word)]
    split = [_SPLIT_OF[word] for word in words if word in _SPLIT_OF]
    rest = [word for word in words if word not in _SPLIT_OF and word not in ("set", "split", "dataset")]
    # "image_labels" are labels, and "train" alone is x.
    columns = [_COLUMN_OF.get(word) for word in rest]
    if len(split) > 1 or None in columns or not words:
        return None
    column = next((column for column in columns if column != "x"), "x")
    return f"{split[0]}_{column}" if split else column


def misspelt(name: str) -> str | None:
    """The name that a key is another spelling of, "label" for "labels", "y" and "lable"; None for one of its own.

    Only a key that is neither known nor misspelt becomes a further field of the data.
    """
    if split_and_column(name)[1] in COLUMNS:
        return None
    split, column = split_and_column(name.lower())
    near = spelling.close(column, COLUMNS, num=1, likeness=0.8)
    return key_of(name) or (f"{split}_{near[0]}".removeprefix("_") if near else None)


def split_and_column(name: str) -> tuple[str, str]:
    """The split, "" for none, and the column of a key: ("train", "x") of "train_x", ("", "low") of "low"."""
    split, _, column = name.partition("_")
    return (split, column) if split in SPLITS and column else ("", name)


def _words(name: str) -> list[str]:
    """The words of a name, in lower case: those of CamelCase, snake_case and kebab-case, without digits."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+", name)]


def _parted(word: str) -> tuple[str, ...]:
    """The two words of "trainset" and "imagestest"; others as they are."""
    for known in () if word in _SPLIT_OF else _SPLIT_OF:
        if word.startswith(known) and word.removeprefix(known) in _FILLERS:
            return known, word.removeprefix(known)
        if word.endswith(known) and word.removesuffix(known) in _FILLERS:
            return word.removesuffix(known), known
    return (word,)
