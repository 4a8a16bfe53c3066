"""Tables of real values: a .csv file or a data frame, one example in a row, one named quantity in a column.

    wine = data.from_table("wine.csv", label="kind")
    wine.spec.columns        # ("alcohol", "ash", ...)
    data.write_table("samples.csv", model.sample(key, variables, 100), wine.spec.columns)

Reading is strict: a cell is a number, or missing, or refused by its column, row and text. Missing cells become the
mask. Columns are standardised one by one unless another scale is given, and models hand out values in the columns' own
units.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int, Real

from jaxgen import atomic, spelling
from jaxgen.data.arrays import from_arrays
from jaxgen.data.dataset import Dataset
from jaxgen.data.scale import Functions, Scale, Standardise

MISSING = ("", "na", "n/a", "nan", "null", "none", "?")
"""Texts of a cell that is missing, in any case."""

_EACH_COLUMN = Standardise(per_channel=True)
_LARGEST = float(np.finfo(np.float32).max)


def from_table(
    source: Any,
    *,
    label: str | None = None,
    without: Sequence[str] = (),
    name: str | None = None,
    valid: int | float | None = 0.1,
    test: int | float = 0.1,
    seed: int = 0,
    scale: Scale | Functions = _EACH_COLUMN,
) -> Dataset:
    """A data set of the columns of a table.

    Args:
        source: Path of a .csv file whose first row names the columns, a data frame (pandas, or any object with
            `columns` whose columns are `source[name]`), or a mapping of names to columns.
        label: Name of the column of classes: any texts or integers, numbered in their order.
        without: Names of columns that are left out.
        name: Name of the data set; that of the file unless given, "table" for others.
        valid: Fraction or number of the rows for the validation set, None for no such set.
        test: Fraction or number of the rows for the test set.
        seed: Seed of the shuffle behind the fractions.
        scale: How models see the values; each column standardised unless given, see `jaxgen.data.scale`.

    Returns:
        Rows as events [d] of float32, with the names in `spec.columns`, and a mask where a cell is missing.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A file that is no table, a cell that is no number, a name that no column has, or a column without
            two different values in the training set.
    """
    if isinstance(source, str | Path):
        path = Path(source).expanduser()
        columns, name = _read(path), name or path.stem
    else:
        columns, name = _of_frame(source), name or "table"
    for argument, wanted in (("label", [] if label is None else [label]), ("without", list(without))):
        for each in wanted:
            if each not in columns:
                raise ValueError(
                    f"{argument} must name a column, {', '.join(map(repr, columns))}, got {each!r}"
                    f"{spelling.guess(each, columns)}"
                )
    names = tuple(each for each in columns if each != label and each not in without)
    if not names:
        raise ValueError(f"the table must have a column of numbers, got {', '.join(columns) or 'none'}")
    values = [_numbers(each, columns[each]) for each in names]
    x = np.stack(values, axis=1)
    mask = np.isfinite(x)
    classes, class_names = (None, None) if label is None else _classes(label, columns[label])
    dataset = from_arrays(
        np.where(mask, x, 0).astype(np.float32),
        classes,
        mask=None if mask.all() else mask,
        class_names=class_names,
        name=name,
        valid=valid,
        test=test,
        seed=seed,
    )
    _require_spread(dataset, names)
    return replace(dataset, spec=replace(dataset.spec, columns=names)).scaled(scale)


def write_table(
    path: Path | str,
    x: Real[np.ndarray, "n d"],
    columns: Sequence[str],
    *,
    label: Sequence[str] | Int[np.ndarray, " n"] | None = None,
) -> Path:
    """Write rows as a .csv file that `from_table` reads to the same bits; the file appears whole or not at all.

    Args:
        path: The file.
        x: Values in their own units, as models sample and impute them. NaN is written as an empty cell.
        columns: Names of the columns.
        label: Class of each row, for a last column "label".

    Raises:
        ValueError: Names that are not one for each column, or labels that are not one for each row.
    """
    x = np.asarray(x)
    if x.ndim != 2 or len(columns) != x.shape[1]:
        raise ValueError(f"columns must be one name for each column of x, {len(columns)} for shape {x.shape}")
    if label is not None and len(label) != len(x):
        raise ValueError(f"label must be one for each of the {len(x)} rows, got {len(label)}")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, *([] if label is None else ["label"])])
    for i, row in enumerate(x):
        # `str` of a numpy float is the shortest text that is read as the same number.
        cells = ["" if np.isnan(value) else str(value) for value in row]
        writer.writerow([*cells, *([] if label is None else [label[i]])])
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, text.getvalue())
    return path


def _read(path: Path) -> dict[str, list[str]]:
    """The columns of a .csv file as texts by name."""
    if path.suffix != ".csv":
        raise ValueError(f"the table must be a file that ends in .csv, got {path}")
    if not path.is_file():
        raise FileNotFoundError(f"the table must be a file, there is none at {path}")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = list(csv.reader(file, strict=True)) or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} must be a table of comma-separated values in UTF-8: {error}") from None
    names = [cell.strip() for cell in header]
    for i, name in enumerate(names):
        if not name:
            raise ValueError(
                f"{path} must name every column in its first row, column {i + 1} has no name "
                "(pandas writes its index so unless to_csv is given index=False)"
            )
        if names.index(name) < i:
            raise ValueError(f"{path} must name every column once, got {name!r} twice")
    if all(_number(name) is not None for name in names):
        raise ValueError(f"{path} must name the columns in its first row, got {', '.join(names) or 'nothing'}")
    if len(names) == 1 and any(mark in names[0] for mark in ";\t"):
        raise ValueError(f"{path} must have its columns separated by commas, got the one name {names[0]!r}")
    while rows and not rows[-1]:  # blank lines at the end
        rows.pop()
    for number, row in enumerate(rows, start=2):
        if len(row) != len(names):
            raise ValueError(f"{path} must have {len(names)} cells in every row, got {len(row)} in row {number}")
    if not rows:
        raise ValueError(f"{path} must have a row below the names, got none")
    return {name: [row[i].strip() for row in rows] for i, name in enumerate(names)}


def _of_frame(source: Any) -> dict[str, Any]:
    """The columns of a data frame or a mapping, by name."""
    found = source if isinstance(source, Mapping) else getattr(source, "columns", None)
    if found is None:
        raise ValueError(
            f"the table must be a path, a data frame or a mapping of names to columns, got {type(source).__name__}"
        )
    columns = {str(name): list(source[name]) for name in found}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(columns) < len(list(found)):
        raise ValueError(f"the table must name every column once, got {', '.join(map(str, found))}")
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the table must have columns of one length, got {lengths}")
    if not columns or not next(iter(lengths.values())):
        raise ValueError("the table must have a row and a column, got none")
    return columns


def _numbers(name: str, cells: Sequence[Any]) -> np.ndarray:
    """A column as float64, NaN where a cell is missing; the first row below the names is row 2, as in a file."""
    values = np.empty(len(cells))
    for i, cell in enumerate(cells):
        if _is_missing(cell):
            values[i] = np.nan
            continue
        number = _number(cell)
        if number is None:
            raise ValueError(
                f"column {name!r} must hold finite numbers, got {cell!r} in row {i + 2}; take it as the label, "
                f"label={name!r}, or leave it out, without=[{name!r}] (on the command line FILE.csv:label={name} or "
                f"FILE.csv:without={name})"
            )
        values[i] = number
    return values


def _is_missing(cell: Any) -> bool:
    if isinstance(cell, str):
        return cell.strip().lower() in MISSING
    # NaN, and pandas' own marks of what is missing.
    return (
        cell is None or type(cell).__name__ in ("NAType", "NaTType") or (isinstance(cell, float) and math.isnan(cell))
    )


def _number(cell: Any) -> float | None:
    """A cell as a number that float32 can hold; None where it is none. True and 1_000 are no numbers here."""
    if isinstance(cell, bool | np.bool_) or (isinstance(cell, str) and "_" in cell):
        return None
    try:
        value = float(cell)
    except (TypeError, ValueError):
        return None
    return value if abs(value) <= _LARGEST else None


def _classes(name: str, cells: Sequence[Any]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Numbers of the classes, and their names: in the order of numbers where all are, of the alphabet otherwise."""
    for i, cell in enumerate(cells):
        if _is_missing(cell):
            raise ValueError(f"label {name!r} must be known of every row, it is missing in row {i + 2}")
    texts = [str(cell) for cell in cells]
    numbers = {text: _number(text) for text in dict.fromkeys(texts)}
    known = [text for text, number in numbers.items() if number is not None]
    order = sorted(numbers, key=lambda text: (numbers[text], text) if len(known) == len(numbers) else (0, text))
    if len(order) > max(100, len(texts) // 10):
        raise ValueError(f"label {name!r} must be a column of classes, got {len(order)} values in {len(texts)} rows")
    place = {text: i for i, text in enumerate(order)}
    return np.array([place[text] for text in texts], np.int32), tuple(order)


def _require_spread(dataset: Dataset, names: Sequence[str]) -> None:
    """Refuse a column that has one value, or none, in the training set: there is nothing to learn and no scale."""
    x, mask = dataset.train.x, dataset.train.mask
    for i, name in enumerate(names):
        seen = np.unique(x[:, i] if mask is None else x[mask[:, i], i])
        if len(seen) < 2:
            held = f"the one value {seen[0]:g}" if len(seen) else "no value at all"
            raise ValueError(
                f"column {name!r} must have different values in the training set, got {held}; leave it out, "
                f"without=[{name!r}]"
            )
