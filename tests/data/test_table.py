"""Tables: numbers as they are written, missing cells as the mask, refusals by column and row, samples and back."""

# Wrong arguments are given on purpose.
# pyright: reportArgumentType=false

import dataclasses
from types import SimpleNamespace
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import cli, data, plot, runs, vae
from jaxgen.data import Identity, Standardise
from jaxgen.experiments import digits_vae
from jaxgen.optimizers import Adam
from jaxgen.runs import described
from jaxgen.runs.sampling import draw
from jaxgen.runs.use import Trained

TEXT = """name,alcohol,ash,magnesium
red,13.25,2.5,100
white,12.125,,90
red,13.5,2.375,?
white,11.75,1.875,85.5
red,14.25,NA,121
white,12.625,2.25,8.8e1
"""


@pytest.fixture
def wine(tmp_path):
    path = tmp_path / "wine.csv"
    path.write_text(TEXT)
    return path


def whole(dataset):
    """All rows in the order of their first column."""
    x, mask = (np.concatenate([getattr(s, a) for s in dataset.splits.values()]) for a in ("x", "mask"))
    order = x[:, 0].argsort()
    return x[order], mask[order]


def test_values_names_classes_and_the_mask(wine):
    dataset = data.from_table(wine, label="name", valid=1, test=1)
    assert dataset.name == "wine" and dataset.spec.event_shape == (3,)
    assert dataset.spec.columns == ("alcohol", "ash", "magnesium") and dataset.spec.class_names == ("red", "white")
    x, mask = whole(dataset)
    np.testing.assert_array_equal(x[:, 0], [11.75, 12.125, 12.625, 13.25, 13.5, 14.25])
    np.testing.assert_array_equal(mask[:, 1], [True, False, True, True, True, False])
    np.testing.assert_array_equal(mask[:, 2], [True, True, True, True, False, True])
    np.testing.assert_array_equal(x[:, 2], [85.5, 90, 88, 100, 0, 121])
    assert (dataset.train.label == (dataset.train.x[:, 0] < 13)).all()


def test_columns_are_standardised_one_by_one_on_what_is_observed(wine):
    dataset = data.from_table(wine, without=["name"], valid=None, test=1)
    x, mask = dataset.train.x, dataset.train.mask
    assert isinstance(dataset.spec.scale, Standardise) and mask is not None
    u = np.asarray(dataset.spec.scale.forward(jnp.asarray(x)))
    for i in range(3):
        assert u[mask[:, i], i].mean() == pytest.approx(0, abs=1e-5)
        assert u[mask[:, i], i].std() == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(dataset.spec.scale.inverse(jnp.asarray(u)), x, rtol=1e-5, atol=1e-5)
    assert data.from_table(wine, without=["name"], scale=Identity()).spec.scale is None


def test_by_name_from_the_command_line_and_from_a_manifest(wine, monkeypatch):
    dataset = data.load(f"{wine}:label=name,without=ash+magnesium")
    assert dataset.spec.columns == ("alcohol",) and dataset.train.mask is None
    assert isinstance(data.load(f"{wine}:label=name", scale=data.ToRange()).spec.scale, data.ToRange)
    monkeypatch.chdir(wine.parent)
    assert data.located("wine.csv:label=name") == f"{wine}:label=name"
    spec = data.load("wine.csv:label=name").spec
    again = described.rebuild(described.describe(spec))
    assert again == spec and again.columns == spec.columns


def test_frames_and_mappings_are_the_same_table(wine):
    columns = {
        "name": ["red", "white", "red", "white", "red", "white"],
        "alcohol": np.array([13.25, 12.125, 13.5, 11.75, 14.25, 12.625]),
        "ash": [2.5, None, 2.375, 1.875, float("nan"), 2.25],
        "magnesium": [100, 90, None, 85.5, 121, 88],
    }

    class Frame:
        def __init__(self):
            self.columns = tuple(columns)

        def __getitem__(self, name):
            return columns[name]

    of_file = data.from_table(wine, label="name").fingerprint
    assert data.from_table(columns, label="name").fingerprint == of_file
    assert data.from_table(Frame(), label="name").fingerprint == of_file


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (TEXT, {}, "column 'name' must hold finite numbers, got 'red' in row 2; take it as the label, label='name'"),
        (TEXT, {"label": "nam"}, "label must name a column, 'name', .*, got 'nam'; did you mean 'name'"),
        (TEXT, {"without": ["names"]}, "without must name a column, .*, got 'names'"),
        ("a,b\n1,2\n3\n", {}, "must have 2 cells in every row, got 1 in row 3"),
        ("a,b\n1,2\n\n3,4\n", {}, "must have 2 cells in every row, got 0 in row 3"),
        ("a,a\n1,2\n", {}, "must name every column once, got 'a' twice"),
        (",a\n0,2\n", {}, "column 1 has no name .pandas writes its index so"),
        ("1.5,2\n3,4\n", {}, "must name the columns in its first row, got 1.5, 2"),
        ("a;b\n1;2\n", {}, "must have its columns separated by commas, got the one name 'a;b'"),
        ("a,b\n", {}, "must have a row below the names, got none"),
        ("", {}, "must name the columns in its first row, got nothing"),
        ("a,b\n1,2\n1_000,4\n", {}, "column 'a' must hold finite numbers, got '1_000' in row 3"),
        ('a,b\n1,2\n"1,5",4\n', {}, "column 'a' must hold finite numbers, got '1,5' in row 3"),
        ("a,b\n1,2\ninf,4\n", {}, "column 'a' must hold finite numbers, got 'inf' in row 3"),
        ("a,b\n1,2\n1e39,4\n", {}, "column 'a' must hold finite numbers, got '1e39' in row 3"),
        ("a,b\n1,2\n1,3\n1,4\n1,5\n", {}, "column 'a' must have different values in the training set, got the one"),
        ("a,b\n,2\n,3\n,4\n,5\n", {}, "column 'a' must have different values in the training set, got no value"),
        ("a,b\n1,x\n2,\n", {"label": "b"}, "label 'b' must be known of every row, it is missing in row 3"),
        ("a\nx\n", {"label": "a"}, "the table must have a column of numbers, got a"),
    ],
)
def test_what_is_no_table_is_refused_by_name_row_and_value(tmp_path, text, options, message):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        data.from_table(path, **options)


def test_other_sources_are_refused(tmp_path, wine):
    with pytest.raises(FileNotFoundError, match="there is none at"):
        data.from_table(tmp_path / "none.csv")
    with pytest.raises(ValueError, match=r"must be a file that ends in .csv, got"):
        data.from_table(tmp_path / "x.txt")
    with pytest.raises(ValueError, match="must be a path, a data frame or a mapping of names to columns, got list"):
        data.from_table([[1.0]])
    with pytest.raises(ValueError, match="must have columns of one length, got"):
        data.from_table({"a": [1.0, 2.0], "b": [1.0]})
    with pytest.raises(ValueError, match="label 'a' must be a column of classes, got 150 values in 150 rows"):
        data.from_table({"a": np.arange(150), "b": np.arange(150.0)}, label="a")
    with pytest.raises(ValueError, match=r"keys must be label and without for .*, got lable"):
        data.load(f"{wine}:lable=name")
    with pytest.raises(ValueError, match="columns must be one name for each value of event_shape"):
        dataclasses.replace(data.from_table(wine, label="name").spec, columns=("a",))


def test_classes_that_are_numbers_keep_their_order():
    found = data.from_table({"c": [10, 9, 10, 2, 9, 2], "x": np.arange(6.0)}, label="c")
    assert found.spec.class_names == ("2", "9", "10")


def test_rows_are_written_to_the_bit_and_read_back(tmp_path):
    x = np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32) * np.float32(1e-3)
    x[3, 1] = np.nan
    path = data.write_table(tmp_path / "new" / "x.csv", x, ("a, b", "c"), label=["u", "v"] * 10)
    dataset = data.from_table(path, label="label", scale=Identity())
    assert dataset.spec.columns == ("a, b", "c") and dataset.spec.class_names == ("u", "v")
    parts: list[Any] = list(dataset.splits.values())
    found = np.concatenate([np.where(part.mask, part.x, np.nan) for part in parts])
    assert {row.tobytes() for row in found} == {row.tobytes() for row in x}
    with pytest.raises(ValueError, match="columns must be one name for each column of x, 1 for shape"):
        data.write_table(path, x, ("a",))
    with pytest.raises(ValueError, match="label must be one for each of the 20 rows, got 1"):
        data.write_table(path, x, ("a", "b"), label=["u"])


def test_samples_are_written_under_the_names_of_the_columns(wine, tmp_path):
    spec = data.load(f"{wine}:label=name").spec

    def drawn(key, variables, num, *, first=0, label=None):
        return first + jnp.arange(3.0 * num, dtype=jnp.float32).reshape(num, 3) / 7

    model = vae.model(vae.Config(likelihood=vae.Normal()), spec)._replace(sample=drawn)
    nothing: Any = None
    trained = Trained(model, SimpleNamespace(variables={}, step=2), nothing, spec, nothing)
    options: dict[str, Any] = {"seed": 1, "first": 0, "best": False, "trained": trained}
    file = tmp_path / "x.csv"
    x = draw(tmp_path, 4, out=file, label=np.array([0, 1, 1, 0]), **options).x
    header, *rows = (line.split(",") for line in file.read_text().splitlines())
    assert header == ["alcohol", "ash", "magnesium", "label"]
    np.testing.assert_array_equal(np.array([row[:3] for row in rows], np.float32), x)
    assert [row[3] for row in rows] == ["red", "white", "white", "red"]
    # The same events that are no rows of a table.
    options["trained"] = trained._replace(spec=dataclasses.replace(spec, columns=None))
    with pytest.raises(ValueError, match=r"out must end in .npy, .npz or .png, got .*: the samples are no rows of a"):
        draw(tmp_path, 4, out=file, **options)


@pytest.mark.slow
def test_a_run_on_a_table(wine, tmp_path, capsys):
    config = digits_vae.Config(
        data=f"{wine}:label=name", steps=2, batch_size=2, log_every=2,
        model=vae.Config(latent_dim=2, hidden=(4,), likelihood=vae.Normal(), optimizer=Adam(1e-2)),
    )  # fmt: skip
    runs.train(config, tmp_path / "run", progress=False)
    assert cli.main(["sample", str(tmp_path / "run"), "--num", "5"]) == 0
    assert "5 samples in" in capsys.readouterr().out
    (file,) = (tmp_path / "run" / "samples").iterdir()
    assert file.read_text().startswith("alcohol,ash,magnesium\n") and len(file.read_text().splitlines()) == 6
    assert (tmp_path / "run" / "pictures" / "samples_seed1_0_4.png").stat().st_size > 1000


def test_marginals():
    x = np.array([[0.0, 1.0], [1.0, np.nan], [2.0, 3.0]])
    figure = plot.marginals({"data": x, "samples": x + 10}, ("a", "b"), title="two")
    assert [axis.get_title() for axis in figure.axes[:2]] == ["a", "b"]
    assert "samples, 100.0% outside" in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    for wrong, message in (({"": x[:, :1]}, r"rows must be \[n, 2\] with n > 0, got shape \(3, 1\)"), ({}, "groups")):
        with pytest.raises(ValueError, match=message):
            plot.marginals(wrong, ("a", "b"), title="")
