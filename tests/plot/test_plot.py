import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from jaxgen import plot
from jaxgen.plot.images import tile


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def test_tile_puts_every_image_in_its_place():
    x = np.arange(1, 6, dtype=np.float32)[:, None, None, None] * np.ones((5, 2, 3, 1), np.float32) / 5
    canvas = tile(x, columns=3)
    assert canvas.shape == (2 * 3 + 1, 3 * 4 + 1, 1)
    np.testing.assert_allclose(canvas[1:3, 5:8, 0], 2 / 5)
    np.testing.assert_allclose(canvas[4:6, 1:4, 0], 4 / 5)


@pytest.mark.parametrize("shape", [(4, 8, 8), (4, 8, 8, 1), (4, 5, 9, 3)])
def test_images_of_any_size(tmp_path, shape):
    path = plot.save(plot.images(np.random.default_rng(0).random(shape), title="noise"), tmp_path / "sub" / "a.png")
    picture = plt.imread(path)
    assert picture.std() > 0.05
    assert plt.get_fignums() == []  # saving closes
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


@pytest.mark.parametrize("shape", [(4, 8), (4, 8, 8, 2), (0, 8, 8)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ValueError, match="images must be"):
        tile(np.zeros(shape), 2)


def test_the_title_says_what_is_shown():
    x = np.zeros((3, 4, 4))
    for figure in (
        plot.images(x, title="shown"),
        plot.rows({"real": x, "sampled": x}, title="shown"),
        plot.scatter({"data": np.eye(2), "samples": np.eye(2) * 3}, title="shown"),
        plot.fields(
            {"learnt": np.zeros((3, 4)), "true": np.ones((3, 4))}, (0.0, 4.0, 0.0, 3.0), title="shown", points=np.eye(2)
        ),
        plot.arrows({"score": np.ones((3, 4, 2))}, (0.0, 4.0, 0.0, 3.0), title="shown", points={"score": np.eye(2)}),
        plot.lines({"cost": {"": (np.arange(3), np.ones(3))}}, title="shown", x_label="t"),
        plot.curves([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "valid/loss": 3.0}], title="shown"),
    ):
        assert figure.get_suptitle() == "shown"


def test_groups_and_stray_points_are_named():
    figure = plot.scatter({"data": np.eye(2), "samples": np.array([[0.5, 0.5], [100.0, 0.0]])}, title="t")
    assert [axis.get_title() for axis in figure.axes] == ["data (n = 2)", "samples (n = 2, 1 outside)"]


def test_fields_share_their_colours_and_lie_where_the_box_says():
    learnt, true = np.linspace(-1, 1, 12).reshape(3, 4), np.zeros((3, 4))
    figure = plot.fields({"learnt": learnt, "true": true}, (-2.0, 2.0, 0.0, 3.0), title="t")
    images = [axis.get_images()[0] for axis in figure.axes[:2]]
    assert [image.get_clim() for image in images] == [(-1, 1), (-1, 1)]
    np.testing.assert_array_equal(images[0].get_array(), learnt)
    assert images[0].get_extent() == [-2, 2, 0, 3] and images[0].origin == "lower"
    with pytest.raises(ValueError, match=r"true must be \[h, w\], got shape \(3,\)"):
        plot.fields({"learnt": learnt, "true": np.zeros(3)}, (0.0, 1.0, 0.0, 1.0), title="")


def test_arrows_stand_where_the_box_says():
    field = np.stack(np.meshgrid(np.arange(4.0), np.arange(3.0)), axis=-1)
    figure = plot.arrows({"score": field}, (-2.0, 1.0, 0.0, 2.0), title="t")
    (quiver,) = figure.axes[0].collections
    np.testing.assert_allclose(quiver.get_offsets()[:4], [[-2, 0], [-1, 0], [0, 0], [1, 0]])
    np.testing.assert_array_equal(quiver.U[:4], [0, 1, 2, 3])
    np.testing.assert_array_equal(quiver.V[::4], [0, 1, 2])
    with pytest.raises(ValueError, match=r"score must be \[h, w, 2\], got shape \(3, 4\)"):
        plot.arrows({"score": np.zeros((3, 4))}, (0.0, 1.0, 0.0, 1.0), title="")


def test_lines_have_panels_names_and_scales():
    t = np.arange(1, 4)
    panels = {"cost": {"a": (t, t), "b": (t, 2 * t)}, "sum": {"": (t, t)}}
    figure = plot.lines(panels, title="t", x_label="step", log=("y",))
    assert [axis.get_title() for axis in figure.axes] == ["cost", "sum"]
    assert [line.get_label() for line in figure.axes[0].get_lines()] == ["a", "b"]
    assert (figure.axes[0].get_xscale(), figure.axes[0].get_yscale()) == ("linear", "log")
    with pytest.raises(ValueError, match="two arrays of one length"):
        plot.lines({"cost": {"a": (t, t[1:])}}, title="", x_label="")
    with pytest.raises(ValueError, match="at least one panel"):
        plot.lines({}, title="", x_label="")


def test_levels_are_drawn_in_the_panel_of_their_metric():
    records = [{"step": 1, "value": -2.0, "loss": 1.0}, {"step": 2, "value": -1.0, "loss": 0.0}]
    figure = plot.curves(records, title="t", levels={"value": ("-log 4", -np.log(4))})
    lines = {axis.get_title(): [line.get_label() for line in axis.get_lines()] for axis in figure.axes}
    assert "-log 4" in lines["value"] and "-log 4" not in lines["loss"]


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"data must be \[n, 2\], got shape \(3,\)"):
        plot.scatter({"data": np.zeros(3)}, title="")
    with pytest.raises(ValueError, match="records must hold at least one record"):
        plot.curves([], title="")


def test_models_are_compared_in_one_picture(tmp_path):
    x = np.random.default_rng(0).random((6, 4, 4, 1))
    figure = plot.comparison({"real": x, "a": x}, ["", "a"], [["recall", "0.5"], ["precision", "0.7"]], title="noise")
    assert len(figure.axes) == 3
    cells = {cell.get_text().get_text() for cell in figure.axes[-1].tables[0].get_celld().values()}
    assert cells == {"", "a", "recall", "0.5", "precision", "0.7"}
    plot.save(figure, tmp_path / "a.png")
    with pytest.raises(ValueError, match="groups must hold at least one set"):
        plot.comparison({}, [""], [], title="none")
    with pytest.raises(ValueError, match="numbers must have rows of 2 cells"):
        plot.comparison({"real": x}, ["", "a"], [["recall"]], title="none")


def test_a_page_holds_all_that_it_shows(tmp_path):
    figure = plot.images(np.ones((1, 2, 2)), title="one")
    picture = plot.page.picture(plot.save(figure, tmp_path / "a.png"), 'a "picture"')
    assert 'alt="a &quot;picture&quot;"' in picture and 'src="data:image/png;base64,' in picture
    rows = [["a < b", "1"], [plot.page.marked("good", good=True), plot.page.code("x & y")]]
    text = plot.page.page(
        "p < q", [plot.page.table(["what", "n"], rows, numbers=[1]), plot.page.items(["<i>"]), picture]
    )
    assert "<title>p &lt; q</title>" in text and "<td>a &lt; b</td>" in text and "<li>&lt;i&gt;</li>" in text
    assert '<td class="number">1</td>' in text and "<code>x &amp; y</code>" in text
    assert '<span class="good">good</span>' in text
    assert plot.page.write(text, tmp_path / "sub" / "page.html").read_text() == text
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["page.html"]


def test_error_bars_stand_alone():
    t = np.arange(1, 4)
    figure = plot.lines({"": {"theory": (t, t), "samples": (t, t, 0.1 * t)}}, title="t", x_label="k")
    axis = figure.axes[0]
    assert len(axis.containers) == 1 and axis.get_lines()[0].get_label() == "theory"
    with pytest.raises(ValueError, match="two arrays of one length, or three"):
        plot.lines({"": {"samples": (t, t, t[1:])}}, title="", x_label="")


def test_trajectories_beside_their_distribution():
    ways = plot.Ways(
        np.zeros((3, 4, 2)), np.zeros((4, 2)), np.tile(np.diag([1.0, 4.0]), (4, 1, 1)), {"goal": np.ones(2)}
    )
    figure = plot.trajectories({"one": ways}, title="t")
    axis = figure.axes[0]
    assert axis.get_title() == "one" and len(axis.patches) == 4 and len(axis.get_lines()) == 3 + 1 + 1
    np.testing.assert_allclose(np.abs(axis.patches[0].get_xy()).max(axis=0), [2, 4], rtol=1e-6)
    with pytest.raises(ValueError, match=r"one must be samples \[n, T, 2\], mean"):
        plot.trajectories({"one": ways._replace(mean=np.zeros((3, 2)))}, title="t")


def test_flow_lines_go_from_start_to_end_over_the_data():
    ways = np.stack([np.linspace([0, 0], [1, 2], 5), np.linspace([1, 1], [0, 1], 5)])
    figure = plot.flow_lines({"one path": ways}, title="ways", points=np.eye(2))
    axis = figure.axes[0]
    assert len(axis.lines) == 2 and axis.get_title() == "one path"
    np.testing.assert_allclose(axis.lines[0].get_xydata(), ways[0])
    points, starts, ends = (collection.get_offsets() for collection in axis.collections)
    np.testing.assert_allclose(points, np.eye(2))
    np.testing.assert_allclose((starts, ends), (ways[:, 0], ways[:, -1]))
    with pytest.raises(ValueError, match=r"ways must be \[n, T, 2\] with n > 0 and T > 1, got shape \(2, 2\)"):
        plot.flow_lines({"": np.eye(2)}, title="ways")


def test_a_few_values_on_a_logarithmic_axis_are_its_ticks():
    x = np.array([4, 8, 16])
    axis = plot.lines({"": {"error": (x, 1 / x)}}, title="t", x_label="steps", log=("x",)).axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["4", "8", "16"]
    assert not axis.get_xticks(minor=True).size
