"""README and docs: every Python block runs as printed, every link leads somewhere, and the README stays short."""

import re
from pathlib import Path

import jax
import matplotlib
import pytest

matplotlib.use("Agg")

import matplotlib.pyplot as plt

from jaxgen import train

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), flags=re.M | re.S)


@pytest.mark.filterwarnings("ignore::jaxgen.evaluate.FewSamplesWarning")
@pytest.mark.parametrize("page", [pytest.param(page, id=page.stem) for page in PAGES if blocks(page)])
def test_the_blocks_of_a_page_run_one_after_the_other(page, monkeypatch, tmp_path):
    """As printed, but for the number of steps, of which a test makes twenty."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAXGEN_CACHE_DIR", str(tmp_path / "cache"))
    fit = train.fit

    def short(model, batches, key, num_steps, **options):
        return fit(model, batches, key, min(num_steps, 20), **{**options, "progress": False})

    monkeypatch.setattr(train, "fit", short)
    namespace = {"__name__": "__main__"}
    # A user's world, not the tests' strict one.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        for number, block in enumerate(blocks(page), start=1):
            exec(compile(block, f"{page.name}, block {number}", "exec"), namespace)
            plt.close("all")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_of_a_page_leads_to_a_file(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_the_readme_is_read_in_minutes():
    assert len((ROOT / "README.md").read_bytes()) <= 6000
