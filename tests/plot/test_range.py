"""Pictures of values in any range: the range is stated, nothing clips without a word, and bad arguments are named."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from jaxgen import plot

UNIT = np.random.default_rng(0).random((6, 4, 5))
WIDE = 5000 * UNIT - 300


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def shown(figure):
    """The images of a figure, without those of colour bars."""
    return [image for axis in figure.axes for image in axis.get_images()]


def test_images_in_the_unit_range_look_as_ever():
    figure = plot.rows({"real": UNIT, "sampled": UNIT / 2}, title="t")
    assert len(figure.axes) == 2  # no colour bar
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["real", "sampled"]
    assert [image.get_clim() for image in shown(figure)] == [(0, 1), (0, 1)]
    assert [image.get_cmap().name for image in shown(figure)] == ["gray_r", "gray_r"]


@pytest.mark.parametrize("draw", [plot.images, lambda x, **rest: plot.rows({"a": x}, **rest)])
def test_others_have_their_own_range_and_a_colour_bar(draw):
    figure = draw(WIDE, title="t")
    (image,) = shown(figure)
    assert image.get_clim() == (pytest.approx(WIDE.min()), pytest.approx(WIDE.max()))
    assert len(figure.axes) == 2
    figure = draw(WIDE, title="t", vmin=-300, vmax=1000, cmap="viridis")
    (image,) = shown(figure)
    assert image.get_clim() == (-300, 1000) and image.get_cmap().name == "viridis"
    share = f"{100 * (WIDE > 1000).mean():.1f} % of the values outside -300..1000"
    assert share in figure.axes[0].get_title(loc="left").replace("\n", " ")


def test_one_range_for_all_groups_and_for_a_comparison():
    both = shown(plot.rows({"real": UNIT, "sampled": WIDE}, title="t"))
    assert len({image.get_clim() for image in both}) == 1
    assert both[0].get_clim() == (pytest.approx(WIDE.min()), pytest.approx(WIDE.max()))
    figure = plot.comparison({"real": UNIT, "a": WIDE}, ["", "a"], [["recall", "1"]], title="t", vmin=0, vmax=2)
    assert [image.get_clim() for image in shown(figure)] == [(0, 2), (0, 2)]
    assert "outside 0..2" in figure.axes[1].get_title(loc="left")


def test_a_constant_and_rounding():
    (image,) = shown(plot.images(np.full((1, 2, 2), 7.0), title="t"))
    assert image.get_clim() == (6.5, 7.5)
    figure = plot.images(np.array([[[0.0, 1.0 + 1e-7]]]), title="t")
    assert shown(figure)[0].get_clim() == (0, 1) and len(figure.axes) == 1


def test_colours_are_mapped_and_the_range_is_in_words():
    x = np.stack([np.full((2, 2), value) for value in (-1.0, 1.0, 3.0)], axis=-1)[None]
    figure = plot.images(x, title="t")
    np.testing.assert_allclose(shown(figure)[0].get_array()[1, 1], [0, 0.5, 1])
    assert figure.axes[0].get_title(loc="left") == "colours from -1 to 3"
    with pytest.raises(ValueError, match="cmap is for images of one channel, got cmap='viridis'"):
        plot.images(x, title="t", cmap="viridis")


def test_what_is_not_finite_is_red_and_counted():
    x = UNIT.copy()
    x[0, 0, 0], x[0, 0, 1] = np.nan, np.inf
    figure = plot.images(x, title="t")
    assert "1.7 % not finite (red)" in figure.axes[0].get_title(loc="left")
    (image,) = shown(figure)
    assert image.get_clim() == (0, 1)
    np.testing.assert_array_equal(image.to_rgba(image.get_array())[1, 1], [1, 0, 0, 1])
    colour = np.stack([x] * 3, axis=-1)
    np.testing.assert_array_equal(shown(plot.images(colour, title="t"))[0].get_array()[1, 1], [1, 0, 0])
    hidden = np.ma.masked_array(UNIT, UNIT < 0.5)
    assert "not finite" in plot.images(hidden, title="t").axes[0].get_title(loc="left")


def test_tile_clips_nothing():
    canvas = plot.tile(WIDE, 3)
    assert canvas.max() == WIDE.max() and canvas.min() == WIDE.min()
    line = canvas[0, 0, 0]
    assert line == pytest.approx(WIDE.min() + 0.15 * (WIDE.max() - WIDE.min()))
    assert plot.tile(WIDE, 3, vmin=0, vmax=2)[0, 0, 0] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("groups", "options", "message"),
    [
        ({}, {}, "groups must hold at least one set of images, got none"),
        ({"a": UNIT[:0]}, {}, r"'a' must be \[n, h, w\].*got shape \(0, 4, 5\)"),
        ({"a": np.zeros((2, 4, 5, 2))}, {}, r"'a' must be \[n, h, w\].*got shape \(2, 4, 5, 2\)"),
        ({"a": np.zeros((2, 4, 5), complex)}, {}, "'a' must be an array of real numbers, got complex128"),
        ({"a": np.array([["x"]])}, {}, "'a' must be an array of real numbers"),
        ({"a": UNIT}, {"vmin": 2, "vmax": 1}, "vmin must be below vmax, got vmin=2, vmax=1"),
        ({"a": UNIT}, {"vmin": 1}, "vmin must be below vmax, got vmin=1, vmax=1"),
        ({"a": UNIT}, {"vmax": float("nan")}, "vmax must be a finite number, got nan"),
        ({"a": UNIT}, {"cmap": "no map"}, "cmap must be the name of a colour map of matplotlib, got 'no map'"),
        ({"a": UNIT}, {"columns": 0}, "columns must be an integer of at least 1, got 0"),
    ],
)
def test_bad_images_are_refused_by_name(groups, options, message):
    with pytest.raises(ValueError, match=message):
        plot.rows(groups, title="t", **options)


@pytest.mark.parametrize("shape", [(0, 4, 4), (3, 4), (3, 4, 4, 2), (3, 0, 4), ()])
def test_what_is_no_image_is_refused_whole(shape):
    with pytest.raises(ValueError, match=r"images must be \[n, h, w\]"):
        plot.images(np.zeros(shape), title="t")


def test_examples_of_any_shape():
    points = plot.examples({"data": np.eye(2), "samples": np.eye(2)}, title="t")
    assert [axis.get_title() for axis in points.axes] == ["data (n = 2)", "samples (n = 2)"]
    assert [i.get_array().shape for i in shown(plot.examples({"a": np.zeros(7), "b": np.ones(3)}, title="t"))] == [
        (1, 7), (1, 3),
    ]  # fmt: skip
    (image,) = shown(plot.examples({"a": np.arange(12.0).reshape(4, 3)}, title="t"))
    assert image.get_array().shape == (3, 4) and image.get_clim() == (0, 11)
    two = np.stack([np.zeros((2, 3, 4)), np.ones((2, 3, 4))], axis=-1)
    figure = plot.examples({"a": two}, title="t", columns=2)
    assert figure.get_suptitle() == "t; 2 channels side by side"
    np.testing.assert_array_equal(shown(figure)[0].get_array()[1, 1:9], [0, 0, 0, 0, 1, 1, 1, 1])
    volume = plot.examples({"a": np.zeros((2, 5, 4, 4, 1))}, title="t")
    assert volume.get_suptitle() == "t; the middle slice of each"
    for groups, message in (
        ({}, "groups must hold at least one set of examples"),
        ({"a": np.zeros((0, 2))}, "a must be"),
        ({"a": np.zeros((3, 2)), "b": np.zeros((3, 3))}, r"b must have events of shape \(2,\), got \(3,\)"),
    ):
        with pytest.raises(ValueError, match=message):
            plot.examples(groups, title="t")


def test_long_titles_are_wrapped_and_many_panels_too(tmp_path):
    cloud = np.random.default_rng(0).normal(size=(20, 2))
    title = "a title that says a great deal about what is shown, more than one line of the figure can ever hold, " * 2
    figure = plot.scatter(
        {f"samples, seed {s}, and more words than a panel has room for": cloud for s in range(6)}, title=title
    )
    path = plot.save(figure, tmp_path / "a.png")
    assert plt.imread(path).shape[1] <= 1600  # was 3,060
    assert "\n" in figure.get_suptitle() and all("\n" in axis.get_title() for axis in figure.axes[:6])
    figure = plot.images(UNIT, title=title)
    figure.draw_without_rendering()
    box = figure._suptitle.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1


def test_axes_have_labels():
    t = np.arange(1.0, 4.0)
    for figure in (
        plot.scatter({"data": np.eye(2)}, title="t"),
        plot.fields({"a": np.zeros((3, 4))}, (0.0, 1.0, 0.0, 1.0), title="t"),
        plot.arrows({"a": np.ones((3, 4, 2))}, (0.0, 1.0, 0.0, 1.0), title="t"),
        plot.lines({"a": {"": (t, t)}}, title="t", x_label="t", y_label="nats"),
        plot.curves([{"step": 1, "loss": 1.0}], title="t"),
        plot.examples({"a": np.zeros((3, 5))}, title="t"),
    ):
        axis = figure.axes[0]
        assert axis.get_xlabel() and axis.get_ylabel()


def test_negative_values_are_seen_on_a_logarithmic_axis():
    t = np.arange(1.0, 6.0)
    terms = {"denoising": (t[1:], 1 / t[1:]), "reconstruction": (t[:1], np.array([-3.0]))}
    figure = plot.lines({"cost": terms, "sum": {"": (t, t)}}, title="t", x_label="t", y_label="nats", log=("x", "y"))
    cost, total = figure.axes
    assert (cost.get_yscale(), cost.get_xscale(), total.get_yscale()) == ("symlog", "log", "log")
    low, high = cost.get_ylim()
    assert low < -3 and high > 0.5
    assert "linear within" in cost.get_ylabel() and total.get_ylabel() == "nats"
    assert plot.lines({"a": {"": (t, 0 * t)}}, title="t", x_label="t", log=("y",)).axes[0].get_yscale() == "linear"
    with pytest.raises(ValueError, match='log must hold "x" or "y", got \'z\''):
        plot.lines({"a": {"": (t, t)}}, title="t", x_label="t", log=("z",))
    with pytest.raises(ValueError, match=r"panels\['a'\] must hold at least one set of lines"):
        plot.lines({"a": {}}, title="t", x_label="t")


def test_validation_stands_beside_training_where_the_names_differ():
    records = [
        {"step": 5, "loss": 3.0, "rate": 1.0},
        {"step": 5, "valid/negative_elbo": 4.0, "valid/rate": 1.0, "valid/bits_per_dim": 2.0},
    ]
    figure = plot.curves(
        records, title="t", beside={"negative_elbo": "loss", "bits_per_dim": "none"}, units={"loss": "nats"}
    )
    labels = {axis.get_title(): [line.get_label() for line in axis.get_lines()] for axis in figure.axes}
    assert labels == {
        "loss": ["train", "valid: negative elbo"], "rate": ["train", "valid"], "bits_per_dim": ["valid"]
    }  # fmt: skip
    assert [axis.get_ylabel() for axis in figure.axes] == ["nats", "rate", "bits_per_dim"]


@pytest.mark.parametrize(
    ("records", "names", "message"),
    [
        ([], None, "records must hold at least one record, got none"),
        ([{"loss": 1.0}], None, 'records must have a "step" each, got one with loss'),
        ([{"step": 1}], None, "at least one metric to draw, got records of none"),
        ([{"step": 1, "loss": 1.0}], [], "at least one metric to draw, got records of loss"),
        ([{"step": 1, "loss": 1.0}], ["los"], r"names must be metrics of the records \(loss\), got 'los'"),
    ],
)
def test_bad_records_are_refused_by_name(records, names, message):
    with pytest.raises(ValueError, match=message):
        plot.curves(records, title="t", names=names)


def test_bad_points_and_fields_are_refused_by_name():
    box = (0.0, 1.0, 0.0, 1.0)
    for draw, message in (
        (lambda: plot.scatter({}, title="t"), "groups must hold at least one set of points, got none"),
        (
            lambda: plot.scatter({"a": np.zeros((0, 2))}, title="t"),
            r"a must be \[n, 2\] with n > 0, got shape \(0, 2\)",
        ),
        (lambda: plot.scatter({"a": np.zeros((3, 3))}, title="t"), r"a must be \[n, 2\], got shape \(3, 3\)"),
        (lambda: plot.scatter({"a": np.eye(2)}, title="t", columns=0), "columns must be an integer of at least 1"),
        (lambda: plot.fields({}, box, title="t"), "values must hold at least one set of fields"),
        (lambda: plot.arrows({}, box, title="t"), "values must hold at least one set of fields"),
        (lambda: plot.fields({"a": np.zeros((0, 3))}, box, title="t"), r"a must be \[h, w\], got shape \(0, 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            draw()


def test_points_that_are_not_finite_are_counted():
    figure = plot.scatter({"data": np.eye(2), "samples": np.array([[np.nan, 0.0], [0.5, 0.5]])}, title="t")
    assert figure.axes[1].get_title() == "samples (n = 2, 1 not finite)"
    assert np.isfinite(figure.axes[0].get_xlim()).all()
    plot.fields({"a": np.array([[np.nan, 1.0]])}, (0.0, 1.0, 0.0, 1.0), title="t")
