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
        plot.curves([{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "valid/loss": 3.0}], title="shown"),
    ):
        assert figure.get_suptitle() == "shown"


def test_groups_and_stray_points_are_named():
    figure = plot.scatter({"data": np.eye(2), "samples": np.array([[0.5, 0.5], [100.0, 0.0]])}, title="t")
    assert [axis.get_title() for axis in figure.axes] == ["data (n = 2)", "samples (n = 2, 1 outside)"]


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"data must be \[n, 2\], got shape \(3,\)"):
        plot.scatter({"data": np.zeros(3)}, title="")
    with pytest.raises(ValueError, match="records must hold at least one record"):
        plot.curves([], title="")
