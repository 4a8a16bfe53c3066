"""Splits are checked, covered exactly once by evaluation, and known by their bytes."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxgen.core import Field, Spec
from jaxgen.data import Dataset, Examples, Split, digits
from jaxgen.data.checks import events, labels
from jaxgen.require import integer

ROOT = Path(__file__).parents[2]
SPEC = Spec((2, 3), "uint8", levels=17, num_classes=4)


def split(n=7, **changes):
    x = (np.arange(n * 6) % 17).astype(np.uint8).reshape(n, 2, 3)
    return Split(**{"x": x, "label": np.arange(n) % 4, **changes})


def dataset(**changes):
    return Dataset(**{"name": "d", "spec": SPEC, "train": split(9), "test": split(4), **changes})


@pytest.mark.parametrize("batch_size", [1, 3, 6, 7, 10])
def test_evaluation_covers_the_split_once_in_order_and_pads_with_row_0(batch_size):
    data = split(6, mask=np.ones((6, 2, 3), bool), fields={"c": np.arange(6, dtype=np.int32)})
    batches = list(data.evaluation_batches(batch_size))
    assert len(batches) == -(-6 // batch_size)
    assert all(leaf.shape[0] == batch_size for leaf in jax.tree.leaves(batches))
    index = np.concatenate([batch["index"] for batch in batches])
    assert index.dtype == np.int32
    np.testing.assert_array_equal(index[:6], np.arange(6))
    assert (index[6:] == -1).all()
    rows = np.where(index < 0, 0, index)
    for batch, row in zip(batches, rows.reshape(-1, batch_size), strict=True):
        jax.tree.map(np.testing.assert_array_equal, batch, {**split_rows(data, row), "index": batch["index"]})


def split_rows(data, rows):
    return jax.tree.map(lambda array: array[rows], data.arrays)


@pytest.mark.parametrize("batch_size", [0, -3, True])
def test_an_evaluation_batch_size_that_is_none_is_refused_at_the_call(batch_size):
    with pytest.raises(ValueError, match=f"batch_size must be an integer of at least 1, got {batch_size}"):
        split().evaluation_batches(batch_size)


def test_arrays_are_read_only_and_the_users_stay_writable():
    x = np.zeros((5, 2), np.float32)
    data = Split(x)
    with pytest.raises(ValueError, match="read-only"):
        data.x[0, 0] = 1
    x[0, 0] = 1
    assert len(data) == 5
    assert data.arrays.keys() == {"x"}


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint64])
def test_labels_of_any_integer_width_become_int32(dtype):
    label = split(label=np.arange(7, dtype=dtype) % 4).arrays["label"]
    assert label.dtype == np.int32


NAN = np.array([[0.0, 1.0], [np.nan, np.inf]], np.float32)
BAD_X = {
    "float64": (np.zeros((3, 2)), r"x must be uint8 or float32, got float64.* x\.astype\(np\.float32\)"),
    "big-endian": (np.zeros((3, 2), ">f4"), r"got >f4.*x\.astype\(np\.float32\)"),
    "int64": (np.zeros((3, 2), int), r"x must be uint8 or float32, got int64.* x\.astype\(np\.uint8\)"),
    "bool": (np.zeros((3, 2), bool), r"x must be uint8 or float32, got bool.* x\.astype\(np\.uint8\)"),
    "object": (np.array([None, 1]), "x must be uint8 or float32, got object$"),
    "text": (np.array(["a"]), "x must be uint8 or float32, got <U1$"),
    "NaN": (NAN, r"x must be finite, got 2 of 4 values NaN or infinite, the first nan at index \(1, 0\)"),
    "no axis": (
        np.array(1, np.float32),
        r"x must be \[N, \*event\] with no axis of length 0, got shape \(\)",
    ),
    "no example": (np.zeros((0, 2), np.float32), r"no axis of length 0, got shape \(0, 2\)"),
    "empty event": (np.zeros((3, 0), np.float32), r"no axis of length 0, got shape \(3, 0\)"),
}


@pytest.mark.parametrize("case", BAD_X)
def test_examples_that_are_none(case):
    x, message = BAD_X[case]
    with pytest.raises(ValueError, match=message):
        Split(x)


BAD_COLUMN = {
    "label, real": ({"label": np.zeros(7)}, "label must hold integers, got float64"),
    "label, bool": ({"label": np.zeros(7, bool)}, "label must hold integers, got bool"),
    "label, short": (
        {"label": np.zeros(6, int)},
        r"label must hold one label .* 7 examples, got shape \(6,\)",
    ),
    "label, one-hot": ({"label": np.zeros((7, 4), int)}, r"label must hold one label .*got shape \(7, 4\)"),
    "label, negative": ({"label": np.arange(7) - 2}, r"label must lie in 0\.\.2147483647, got -2 at index 0"),
    "label, huge": ({"label": np.arange(7) << 30}, r"label must lie in .*, got 2147483648 at index 2"),
    "mask, dtype": ({"mask": np.ones((7, 2, 3))}, "mask must be bool .*got float64"),
    "mask, shape": (
        {"mask": np.ones((7, 2), bool)},
        r"mask must have the shape of x, \(7, 2, 3\), got \(7, 2\)",
    ),
    "fields, none": ({"fields": np.ones(7)}, "fields must be a mapping of names to arrays, got ndarray"),
    "fields, number": ({"fields": {"a": 1.0}}, "a must be a numpy array, got float"),
    "fields, dtype": (
        {"fields": {"a": np.ones(7)}},
        r"a must be bool, .*got float64; if nothing is lost by it, pass a\.astype\(np\.float32\)",
    ),
    "fields, text": ({"fields": {"a": np.array(["b"] * 7)}}, "a must be bool, integers or float32, got <U1$"),
    "fields, reserved": (
        {"fields": {"index": np.arange(7)}},
        "the name of a further field must be none of x, label, mask, index, got 'index'",
    ),
    "fields, no name": ({"fields": {"a b": np.arange(7)}}, "the name of a field must be an identifier, .*'a b'"),
    "fields, negative": (
        {"fields": {"a": np.arange(7) - 1}},
        r"a must hold integers in 0\.\.2147483647, .*got -1 at index \(0,\); quantities are float32",
    ),
    "condition, several": (
        {"condition": {"a": np.arange(7)}},
        "condition must be one array, the field named condition, got several: give each a name",
    ),
    "condition, twice": (
        {"condition": np.arange(7), "fields": {"condition": np.arange(7)}},
        "condition must be given once, got it as an argument and in fields",
    ),
    "condition, short": (
        {"condition": np.ones((6, 2), np.float32)},
        r"condition must hold one event .* 7 examples, got shape \(6, 2\)",
    ),
    "condition, NaN": ({"condition": np.full(7, np.nan, np.float32)}, "condition must be finite, got 7 of 7"),
}


@pytest.mark.parametrize("case", BAD_COLUMN)
def test_columns_that_do_not_go_with_the_examples(case):
    columns, message = BAD_COLUMN[case]
    with pytest.raises(ValueError, match=message):
        split(**columns)


@pytest.mark.parametrize("value", [2.0, "2", None, np.float32(2), np.bool_(True)])
def test_what_is_no_whole_number(value):
    # Called directly: in these tests beartype would be the first to refuse it elsewhere.
    with pytest.raises(ValueError, match="num must be an integer of at least 1, got"):
        integer("num", value, 1)


@pytest.mark.parametrize("check", [lambda value: events("a", value), lambda value: labels("a", value, 2)])
def test_what_is_no_array(check):
    with pytest.raises(ValueError, match="a must be a numpy array, got list"):
        check([0, 1])


BAD_DATASET = {
    "event shape": (
        {"test": Split(np.zeros((4, 3, 2), np.uint8), np.zeros(4, int))},
        r"test must have the event_shape of the spec, \(2, 3\), got \(3, 2\)",
    ),
    "dtype": (
        {"test": Split(np.zeros((4, 2, 3), np.float32), np.zeros(4, int))},
        "test must have the dtype of the spec, uint8, got float32",
    ),
    "condition": (
        {"valid": split(condition=np.zeros(7, np.int32))},
        "valid must have the fields of the spec, none, got condition",
    ),
    "field missing": (
        {"spec": dataclasses.replace(SPEC, fields={"c": Field((2,), "float32")})},
        "train must have the fields of the spec, c, got none",
    ),
    "field, shape": (
        {
            "spec": dataclasses.replace(SPEC, fields={"c": Field((2,), "float32")}),
            "train": split(9, fields={"c": np.zeros((9, 3), np.float32)}),
        },
        r"train\.c must be float32 of shape \(2,\), as the spec has it, got float32 of shape \(3,\)",
    ),
    "field, dtype": (
        {
            "spec": dataclasses.replace(SPEC, fields={"c": Field((), "float32")}),
            "train": split(9, fields={"c": np.zeros(9, bool)}),
        },
        r"train\.c must be float32 of shape \(\), as the spec has it, got bool of shape \(\)",
    ),
    "field, values": (
        {
            "spec": dataclasses.replace(SPEC, fields={"c": Field((), "int32", 8)}),
            "train": split(9, fields={"c": np.arange(9)}),
        },
        r"train\.c must lie below num_values=8, got 8 at index \(8,\)",
    ),
    "label missing": ({"valid": split(label=None)}, r"valid\.label goes with num_classes .*label missing"),
    "label given": (
        {"spec": dataclasses.replace(SPEC, num_classes=None)},
        r"train\.label goes with num_classes .*num_classes=None",
    ),
    "classes": (
        {"test": split(label=np.arange(7))},
        r"test\.label must lie below num_classes=4, got 4 at index \(4,\)",
    ),
    "levels": (
        {"spec": dataclasses.replace(SPEC, levels=16)},
        r"train\.x must lie below levels=16, got 16 at index \(2, 1, 1\)",
    ),
}


@pytest.mark.parametrize("case", BAD_DATASET)
def test_splits_that_the_spec_does_not_describe(case):
    changes, message = BAD_DATASET[case]
    with pytest.raises(ValueError, match=message):
        dataset(**changes)


def test_the_fingerprint_sees_every_byte_and_its_meaning():
    x, condition = split(9).x, np.zeros((9, 2), np.float32)
    one_bit, order = x.copy(), np.asfortranarray(x)
    one_bit[8, 1, 2] ^= 1
    spec = dataclasses.replace(SPEC, fields={"c": Field((2,), "float32")})
    given = {"spec": spec, "test": split(9, fields={"c": condition})}
    tokens = {"c": np.zeros(9, np.int32)}
    different = [
        dataset(),
        dataset(train=split(9, x=one_bit)),
        dataset(train=split(9, label=np.zeros(9, int))),
        dataset(train=split(9, mask=np.ones((9, 2, 3), bool))),
        dataset(valid=split(4)),
        dataset(train=split(4), test=split(9)),
        dataset(spec=dataclasses.replace(SPEC, levels=18)),
        dataset(spec=dataclasses.replace(SPEC, num_classes=5)),
        dataset(train=split(9, fields={"c": condition}), **given),
        dataset(train=split(9, fields={"c": condition + np.float32(1)}), **given),
        *(
            dataset(
                train=split(9, fields=tokens),
                test=split(9, fields=tokens),
                spec=dataclasses.replace(SPEC, fields={"c": Field((), "int32", num)}),
            )
            for num in (10, 11)
        ),
        dataset(
            spec=Spec((3, 2), "uint8", levels=17, num_classes=4),
            train=split(9, x=x.reshape(9, 3, 2)),
            test=split(4, x=split(4).x.reshape(4, 3, 2)),
        ),
    ]
    fingerprints = [data.fingerprint for data in different]
    assert len(set(fingerprints)) == len(different)
    assert all(len(fingerprint) == 64 for fingerprint in fingerprints)
    # Neither the name nor the layout in memory is part of the data.
    assert dataset(name="other", train=split(9, x=order)).fingerprint == fingerprints[0]


def test_data_without_further_fields_keep_their_fingerprint():
    """As it was before there were any: manifests hold it."""
    plain = "d533b1141d3c4763042eb8e0816e75732d4a20a97b7142854f727f6657ed5180"
    assert dataset().fingerprint == plain


def test_the_digits_are_whole_disjoint_and_fixed():
    data = digits()
    assert data.spec == Spec((8, 8, 1), "uint8", levels=17, num_classes=10)
    assert [len(part) for part in data.splits.values()] == [1297, 200, 300]
    from sklearn.datasets import load_digits

    images, target = load_digits(return_X_y=True)
    x = np.concatenate([part.x for part in data.splits.values()]).reshape(-1, 64)
    label = np.concatenate([part.arrays["label"] for part in data.splits.values()])
    # The same rows, each as often as in the source: nothing lost, nothing in two splits.
    ours, theirs = np.column_stack([x, label]), np.column_stack([images, target])
    np.testing.assert_array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])
    np.testing.assert_array_equal(np.bincount(label), [178, 182, 177, 183, 181, 182, 181, 179, 174, 180])
    # The promise itself, with nothing to derive it from: this split is the same for ever. A change of this
    # line makes every published figure on the digits incomparable.
    assert data.fingerprint == "e02826abeb0a0cb1506306937afb2c27e84f3dc75ea5cbe0651b2618b387a662"


def test_another_process_agrees_and_importing_data_stays_light():
    program = """
import sys
import numpy as np
from jaxgen.core import Spec
from jaxgen.data import Dataset, Split
heavy = {"sklearn", "matplotlib", "tensorflow", "tensorflow_datasets"} & set(sys.modules)
assert not heavy, heavy
part = lambda n: Split((np.arange(n * 6) % 17).astype(np.uint8).reshape(n, 2, 3), label=np.arange(n) % 4)
print(Dataset("d", Spec((2, 3), "uint8", levels=17, num_classes=4), part(9), part(4)).fingerprint)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.strip() == dataset().fingerprint


def test_reprs_are_of_one_or_two_lines_and_hold_no_array():
    big = Spec((2,), num_classes=1000, class_names=tuple(f"name {i}" for i in range(1000)), labels=tuple(range(500)))
    data = dataset(train=split(9, mask=np.ones((9, 2, 3), bool)))
    batches = data.train.batches(seed=0, batch_size=4)
    examples = Examples(data.train.x, Spec((2, 3), "uint8", levels=17))
    known = {
        repr(data): "Dataset('d': train 9, test 4, Spec(event_shape=(2, 3), dtype='uint8', levels=17, num_classes=4))",
        repr(data.train): "Split(9 of uint8 [2, 3] with label, mask)",
        repr(batches): "Batches(4 of 9 examples, uint8 [2, 3] with label, mask)",
        repr(examples): "Examples(9, Spec(event_shape=(2, 3), dtype='uint8', levels=17), from ndarray)",
    }
    assert list(known) == list(known.values())
    for shown in (big, data, batches, jax.tree.map(lambda _: None, batches), jax.eval_shape(lambda: batches)):
        assert len(repr(shown)) < 240 and "\n" not in repr(shown)
    described = {"c": Field((2,), "float32"), "a": Field((), "int32", 9), "b": Field((3,), "uint8")}
    assert repr(Spec((2,), fields=described)) == (
        "Spec(event_shape=(2,), dtype='float32', fields={'a': 'int32[] below 9', 'b': 'uint8[3]', 'c': 'float32[2]'})"
    )
