"""The page of the lecture: it cannot be made with an equation left out, untested or failing."""

import importlib.util
import re
import sys
from html import unescape
from pathlib import Path

import pytest

PATH = Path(__file__).parents[1] / "notebooks" / "lecture_page.py"


@pytest.fixture(scope="module")
def made():
    spec = importlib.util.spec_from_file_location("lecture_page", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def test_every_public_equation_has_an_entry_and_a_test(made):
    assert made.faults(made.entries(), made.equations()) == []


def test_all_pages_with_equations_are_looked_at(made):
    found = set(made.equations())
    for name in (
        "distributions.kl_divergence",
        "vae.objective.negative_elbo",
        "gan.penalties.r1_penalty",
        "ddpm.process.posterior",
        "ddpm.schedule.linear",
        "ddpm.sampler.ancestral",
    ):
        assert name in found
    assert "ddpm.process.sample_keys" not in found  # no source, no equation


def test_what_is_missing_is_named(made):
    entry = {
        "says": "a",
        "functions": ["distributions.normal_kl", "distributions.none"],
        "tests": ["tests/test_distributions.py::test_none"],
        "picture": "nothing",
    }
    assert made.faults([entry], ["distributions.normal_kl", "gan.objective.value"]) == [
        "gan.objective.value is an equation and has no entry in docs/equations.toml",
        "distributions.none does not exist",
        "tests/test_distributions.py::test_none does not exist",
        "there is no drawing 'nothing'",
    ]
    untested = {**entry, "functions": ["distributions.normal_kl"], "tests": [], "picture": "normal_kl"}
    assert made.faults([untested], []) == ["distributions.normal_kl has no test"]
    unknown = {**untested, "tests": ["tests/test_draws.py::test_none"], "picture": ["02_gan", "not in any cell"]}
    assert made.faults([unknown], [])[-1] == "no cell with 'not in any cell' and a picture in 02_gan.ipynb"


JUNIT = """<testsuites><testsuite>
<testcase classname="tests.a.test_b" name="test_c[1]"/><testcase classname="tests.a.test_b" name="test_c[2]"/>
<testcase classname="tests.a.test_b" name="test_d"><failure>no</failure></testcase>
</testsuite></testsuites>"""


def test_results_are_those_of_the_tests(made):
    nodes = ["tests/a/test_b.py::test_c", "tests/a/test_b.py::test_d"]
    cases = made.counted(JUNIT, nodes)
    assert cases == {nodes[0]: [2, 0], nodes[1]: [0, 1]}
    said = made.tested({"tests": nodes}, cases)
    assert '<span class="good">2 of 2 cases pass</span>' in said and '<span class="bad">fails</span>' in said
    with pytest.raises(RuntimeError, match="test_e has not run"):
        made.counted(JUNIT, ["tests/a/test_b.py::test_e"])


def test_a_failing_test_is_no_page(made, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(made, "results", lambda nodes: {node: [1, 0] for node in nodes} | {nodes[0]: [1, 2]})
    assert made.main(["--out", str(tmp_path / "page.html")]) == 1
    assert "2 of 3 cases fail" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_the_page_needs_no_network(made):
    entry = next(e for e in made.entries() if e["picture"] == "schedules")
    html = made.lecture([entry], {node: [1, 0] for node in entry["tests"]})
    assert "http://" not in html and "https://" not in html
    assert html.count("data:image/svg+xml") == 1 and html.count("data:image/png") == 1
    for name in entry["functions"]:
        assert f"<code>{name}</code>" in html


def test_a_picture_is_shown_once_and_then_linked_to(made):
    found = [e for e in made.entries() if e["picture"] == "noising"][:1]
    found += [{**found[0], "says": "the same again"}]
    html = made.lecture(found, {node: [1, 0] for node in found[0]["tests"]})
    assert html.count("data:image/png") == 1
    assert f'shown above: <a href="#picture-1">{found[0]["says"]}</a>' in html and 'id="picture-1"' in html


def test_neighbouring_equations_have_pictures_of_their_own(made):
    """Not one picture three times running."""
    pictures = [repr(entry["picture"]) for entry in made.entries()]
    assert not any(len(set(pictures[i : i + 3])) == 1 for i in range(len(pictures) - 2))


def test_those_who_do_not_see_the_page_have_words_for_all_of_it(made):
    entry = next(e for e in made.entries() if e["picture"] == "schedules")
    html = made.lecture([entry], {node: [1, 0] for node in entry["tests"]})
    words = [unescape(alt) for alt in re.findall(r'<img[^>]*?alt="([^"]*)"', html)]
    assert len(words) == html.count("<img") == 2
    assert words[0] == "formula: " + entry["math"] and words[1] == "picture: " + entry["says"]


def test_a_phone_has_one_column(made):
    """No table, no fixed width beyond a screen of 390 pixels, and formulas that scroll by themselves."""
    entry = next(e for e in made.entries() if e["picture"] == "schedules")
    html = made.lecture([entry], {node: [1, 0] for node in entry["tests"]})
    assert "<table" not in html
    assert "@media (max-width: 45rem) { section { grid-template-columns: minmax(0, 1fr); }" in html
    assert "div.formula { overflow-x: auto;" in html
