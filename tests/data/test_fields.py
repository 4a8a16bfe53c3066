"""Further fields: by names of their own, from arrays and files to every batch."""

import dataclasses
import inspect

import jax
import numpy as np
import pytest

from jaxgen import data
from jaxgen.core import Field, Spec
from jaxgen.data.fields import measured

# Wrong arguments are given on purpose.
# pyright: reportArgumentType=false, reportIndexIssue=false

N = 20
X = (np.arange(N * 16) % 251).astype(np.uint8).reshape(N, 4, 4, 1)
LOW = X[:, ::2, ::2]
TOKENS = (np.arange(N * 5) % 7).reshape(N, 5)
VECTOR = np.linspace(-1, 1, N * 3, dtype=np.float32).reshape(N, 3)
FIELDS = {"low": LOW, "caption": TOKENS, "vector": VECTOR}
DESCRIBED = {
    "caption": Field((5,), "int32", 7),
    "low": Field((2, 2, 1), "uint8", 256),
    "vector": Field((3,), "float32"),
}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((0,), "uint8"), "shape must hold integers of at least 1, got"),
        (((), "int64"), "dtype must be 'uint8' or 'int32' or 'float32' or 'bool', got 'int64'"),
        (((), "int32"), "num_values must be an integer in 1.*for int32, got None"),
        (((), "float32", 3), "num_values must be None for float32, got 3"),
        (((), "uint8", 257), r"num_values must be an integer in 1\.\.256, for uint8, got 257"),
        (((), "bool", 3), "num_values must be an integer in 2"),
    ],
)
def test_a_field_that_is_none(arguments, message):
    with pytest.raises(ValueError, match=message):
        Field(*arguments)


def test_a_spec_with_fields_is_immutable_has_a_hash_and_is_equal_by_them():
    spec = Spec((4, 4, 1), "uint8", 256, fields=DESCRIBED)
    assert spec == Spec((4, 4, 1), "uint8", 256, fields=dict(reversed(DESCRIBED.items())))
    assert hash(spec) == hash(dataclasses.replace(spec))
    assert list(spec.fields) == ["caption", "low", "vector"]
    others = [dataclasses.replace(spec, fields=fields) for fields in ({}, {**DESCRIBED, "low": Field((), "uint8")})]
    assert len({spec, *others}) == 3
    with pytest.raises(ValueError, match="immutable"):
        spec.fields["low"] = Field((), "uint8")
    assert spec.field("caption") == Field((5,), "int32", 7)
    assert Spec((2,), num_classes=3).field("label") == Field((), "int32", 3)
    for name in ("label", "x", "past"):
        with pytest.raises(ValueError, match=f"the data must have the field '{name}', they have caption, low, vector"):
            spec.field(name)
    with pytest.raises(ValueError, match="the data must have the field 'low', they have x alone"):
        Spec((2,)).field("low")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"x": Field((), "uint8")}, "must be none of x, label, mask, index, got 'x'"),
        ({"a-b": Field((), "uint8")}, "must be an identifier, such as low, got 'a-b'"),
        ({"low": (2, 2)}, r"fields\['low'\] must be Field\(...\), got \(2, 2\)"),
        ("low", "fields must be a mapping of names to Field"),
    ],
)
def test_fields_of_a_spec_that_are_none(fields, message):
    # Unwrapped: in these tests beartype would be the first to refuse some of them.
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(Spec.__init__)(object.__new__(Spec), (2,), fields=fields)


def test_fields_are_at_the_top_of_every_batch_in_storage_dtype():
    dataset = data.from_arrays(X, fields=FIELDS)
    assert dataset.spec == Spec((4, 4, 1), "uint8", 256, fields=DESCRIBED)
    batch = dataset.train.batches(seed=0, batch_size=4)(1)
    rows = [int(np.flatnonzero((x == X).all(axis=(1, 2, 3)))[0]) for x in np.asarray(batch["x"])]
    for name, array in FIELDS.items():
        np.testing.assert_array_equal(batch[name], array[rows])
        assert batch[name].dtype == DESCRIBED[name].dtype
    (whole,) = dataset.test.evaluation_batches(2)
    assert {name: value.shape for name, value in whole.items()} == {
        "x": (2, 4, 4, 1), "low": (2, 2, 2, 1), "caption": (2, 5), "vector": (2, 3), "index": (2,)
    }  # fmt: skip
    assert repr(dataset.test) == "Split(2 of uint8 [4, 4, 1] with caption, low, vector)"
    with pytest.raises(ValueError, match="read-only"):
        dataset.train.fields["low"][0] = 0


def test_the_number_of_values_is_that_of_all_splits_unless_it_is_given():
    test = data.Split(X[:3], fields={**{name: array[:3] for name, array in FIELDS.items()}, "caption": TOKENS[:3] + 9})
    assert data.from_arrays(X, fields=FIELDS, test=test).spec.fields["caption"].num_values == 16
    known = data.from_arrays(X, fields=FIELDS, num_values={"caption": 50_000, "low": 251})
    assert (known.spec.fields["caption"].num_values, known.spec.fields["low"].num_values) == (50_000, 251)
    wide = {"caption": TOKENS * 1000}
    assert data.from_arrays(X, fields=wide, num_values={"caption": 6001}).spec.fields["caption"].num_values == 6001
    for arguments, message in [
        (
            {"fields": wide},
            "caption must hold .* 7 different values up to 6000: say .* num_values={'caption': 6001}",
        ),
        ({"fields": wide, "num_values": {"caption": 6000}}, "train.caption must lie below num_values=6000, got 6000"),
        (
            {"fields": FIELDS, "num_values": {"captoin": 9}},
            r"low, caption, vector, got 'captoin'; did you mean 'caption'",
        ),
        ({"fields": FIELDS, "num_values": {"vector": 9}}, "vector: num_values must be None for float32, got 9"),
        ({"fields": FIELDS, "num_values": {"low": 250}}, "train.low must lie below num_values=250, got 250"),
        ({"fields": FIELDS, "test": data.Split(X[:3])}, "test must have the fields of the spec, caption, .*, got none"),
        ({"fields": {"caption": np.full(N, 2**31 - 1)}}, "caption must lie below 2147483647"),
    ]:
        with pytest.raises(ValueError, match=message):
            data.from_arrays(X, **{"valid": None, **arguments})


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.int64, np.uint64])
def test_integers_of_any_width_become_int32_and_uint8_stays(dtype):
    assert data.Split(X, fields={"a": np.arange(N, dtype=dtype)}).fields["a"].dtype == np.int32
    assert data.Split(X, fields={"a": np.arange(N, dtype=np.uint8)}).fields["a"].dtype == np.uint8
    with pytest.raises(ValueError, match=r"a must hold integers in 0\.\.2147483647, .*, got 2147483648 at"):
        data.Split(X, fields={"a": np.full(N, 2**31)})


def test_a_file_with_further_fields(tmp_path):
    np.savez(tmp_path / "one.npz", x=X, **FIELDS)
    assert data.from_file(tmp_path / "one.npz").fingerprint == data.from_arrays(X, fields=FIELDS).fingerprint
    wide = data.from_file(tmp_path / "one.npz", num_values={"caption": 99})
    assert wide.spec.fields["caption"].num_values == 99
    splits = {"train": slice(8), "test": slice(8, N)}
    columns = {f"{split}_{name}": a[rows] for split, rows in splits.items() for name, a in {"x": X, **FIELDS}.items()}
    np.savez(tmp_path / "two.npz", **columns)
    dataset = data.from_file(tmp_path / "two.npz")
    for split, rows in splits.items():
        for name, array in FIELDS.items():
            np.testing.assert_array_equal(dataset.splits[split].fields[name], array[rows])
    columns["test_low"] = np.float64(columns["test_low"])
    np.savez(tmp_path / "bad.npz", **columns)
    with pytest.raises(ValueError, match=r"^test_low must be bool, integers or float32, got float64"):
        data.from_file(tmp_path / "bad.npz")


def test_keys_of_further_fields_are_mapped_and_others_are_left(tmp_path):
    np.savez(tmp_path / "a.npz", hr=X, lr=LOW, ids=np.arange(N), mask=X > 3)
    expected = data.from_arrays(X, mask=X > 3, fields={"low": LOW}).fingerprint
    assert data.from_file(tmp_path / "a.npz", keys={"x": "hr", "low": "lr"}).fingerprint == expected
    assert data.load(f"{tmp_path}/a.npz:x=hr,low=lr", valid=0.1).fingerprint == expected
    with pytest.raises(ValueError, match=r"keys must be given for x, label, mask .*got 'lable'; did you mean 'label'"):
        data.from_file(tmp_path / "a.npz", keys={"x": "hr", "lable": "ids"})
    with pytest.raises(ValueError, match=r"keys\['low'\] must be a key of .*got 'lo'"):
        data.from_file(tmp_path / "a.npz", keys={"x": "hr", "low": "lo"})


def test_examples_have_the_fields_of_their_spec():
    rows = [{"x": x, "low": low} for x, low in zip(X, LOW, strict=True)]
    spec = Spec((4, 4, 1), "uint8", 256, fields={"low": DESCRIBED["low"]})
    examples = data.Examples(rows, spec)
    np.testing.assert_array_equal(examples[3]["low"], LOW[3])
    np.testing.assert_array_equal(examples.decoded().fields["low"], LOW)
    last = list(examples.evaluation_batches(8))[-1]
    np.testing.assert_array_equal(last["low"], LOW[[16, 17, 18, 19, 0, 0, 0, 0]])
    with pytest.raises(ValueError, match="example 2: it must have the fields of the spec, low, got none"):
        data.Examples(X, spec)[2]
    with pytest.raises(ValueError, match=r"example 2 must have x, and of x, label, mask what there is, got"):
        data.Examples(rows, dataclasses.replace(spec, fields={}))[2]


def test_an_iterators_batches_have_them_too():
    batches = data.from_iterator([{"x": X, **FIELDS, "index": np.arange(N)}])
    assert jax.tree.map(lambda a: a.shape[1:], dict(batches(0))) == {
        "x": (4, 4, 1), "low": (2, 2, 1), "caption": (5,), "vector": (3,), "index": ()
    }  # fmt: skip
    with pytest.raises(ValueError, match="batch of step 0: low must hold one event for each of the 20 examples"):
        data.from_iterator([{"x": X, "low": LOW[:3]}])(0)


def test_measured_is_of_the_first_split_and_bool_has_two_values():
    assert measured([{"on": np.ones(3, bool)}]) == {"on": Field((), "bool", 2)}
    assert measured([{}]) == {}
