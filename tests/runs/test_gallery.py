"""A page of runs: their pictures, figures and settings, from the files of their folders alone."""

import json
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jaxgen import cli, runs


class Page(HTMLParser):
    """Pictures of a page by their description, its text, and whether its tags close."""

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.pictures: list[str] = []
        self.sources: list[str] = []
        self.text = ""
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: Any):
        given = dict(attrs)
        self.sources += [given[name] for name in ("src", "href") if name in given]
        if tag == "img":
            self.pictures.append(given["alt"])
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str):
        assert self.open.pop() == tag

    def handle_data(self, data: str):
        self.text += data


@pytest.fixture
def folder(tmp_path):
    """A run of an experiment that is nowhere to be imported."""
    run = tmp_path / "mine"
    (run / "pictures").mkdir(parents=True)
    manifest = {
        "config": {"type": "experiment:Config", "seed": 3, "steps": 20, "model": {"type": "away.Net", "width": 7}},
        "experiment": {"name": "nowhere/own.py"},
        "environment": {"versions": {"jaxgen": "9"}, "device": {"count": 1, "kind": "abacus"}},
        "data": {"name": "beads", "fingerprint": "0"},
        "digests": {"5": "a" * 64, "20": "b" * 64},
        "results": {
            "valid": {"bound": {"value": 2.5, "standard_error": 0.25, "unit": "nats <per bead>"}},
            "test": {"bound": {"value": 3.0, "standard_error": None, "unit": "nats"}, "late": {"value": 1, "unit": ""}},
        },
    }
    (run / "manifest.json").write_text(json.dumps(manifest))
    for name in ("curves", "step_00000005", "film", "final", "about"):
        Image.fromarray(np.zeros((2, 3), np.uint8)).save(run / "pictures" / f"{name}.png")
    return run


def test_what_a_run_came_to_is_on_one_page(folder, tmp_path):
    page = Page(runs.gallery([folder], out=tmp_path / "out" / "page.html", title="beads & co").read_text())
    assert page.pictures == ["mine: final", "mine: about", "mine: film", "mine: curves"]
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)  # no network
    told = ("beads & co", "nowhere/own.py", "20 of 20, seed 3", "b" * 16, "abacus", "2.50 ± 0.25", "nats <per bead>")
    for part in (*told, "model.width", "7", "away.Net"):
        assert part in page.text
    assert "a" * 16 not in page.text


def test_a_run_that_has_only_begun(folder, tmp_path):
    for name in ("curves", "film", "final", "about"):
        (folder / "pictures" / f"{name}.png").unlink()
    assert Page(runs.gallery([folder], out=tmp_path / "a.html").read_text()).pictures == ["mine: step 00000005"]
    (folder / "pictures" / "step_00000005.png").unlink()
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "digests": {}, "results": 3}))
    page = Page(runs.gallery([folder], out=tmp_path / "b.html").read_text())
    assert not page.pictures and "There is no picture yet." in page.text and "0 of 20" in page.text


def test_what_is_wrong_is_said_before_a_page_is_written(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given, message in (
        ([], "gallery needs runs, each once, got none"),
        ([str(folder), str(folder)], "each once"),
        ([str(tmp_path)], "no run in"),
        ([str(folder), "--out", "page.txt"], "out must be a file that ends in .html, got page.txt"),
    ):
        assert cli.main(["gallery", *given]) == 2
        assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*.html"))
    assert cli.main(["gallery", str(folder)]) == 0
    assert "look at gallery.html" in capsys.readouterr().out
