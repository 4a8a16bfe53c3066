"""Pictures of a few dots: what a picture shows is tested where it is made."""

import functools

import pytest


@pytest.fixture(autouse=True, scope="session")
def small_pictures():
    """Figures are written coarsely, in the layout that they have: a fifth of a short run's time goes into them."""
    from matplotlib.figure import Figure

    savefig = Figure.savefig

    @functools.wraps(savefig)
    def coarse(figure, *args, dpi=None, **options):
        figure.set_layout_engine("none")
        return savefig(figure, *args, dpi=30, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", coarse)
        yield
