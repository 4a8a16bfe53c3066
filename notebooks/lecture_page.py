"""The lecture on one page: every equation, its function, what it is tested against with the result, and a picture.

    python notebooks/lecture_page.py --out lecture.html

The entries are in docs/equations.toml. The page is not made, and the command fails, if a public function that is an
equation has no entry or no test, if an entry names what does not exist, or if one of its tests does not pass.
"""

import argparse
import ast
import base64
import html
import importlib
import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "notebooks")]

import equation_map  # noqa: E402
import lecture_drawings  # noqa: E402

from jaxgen.plot import page  # noqa: E402

_STYLE = """<style>
body { max-width: 72rem; }
section { display: grid; grid-template-columns: 29rem minmax(0, 1fr) 22rem; gap: 1.2rem; padding: .8rem 0;
  border-bottom: 1px solid var(--line); }
section > div { min-width: 0; }
section p { margin: 0 0 .4rem; }
div.formula { overflow-x: auto; margin: .6rem 0; }
div.formula img { background: none; }
@media (max-width: 66rem) { section { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
  section > div:last-child { grid-column: 1 / -1; } div.formula img { max-width: none; } }
@media (max-width: 45rem) { section { grid-template-columns: minmax(0, 1fr); } body { margin: 1rem auto; } }
@media (prefers-color-scheme: dark) { div.formula img { filter: invert(0.9); } }
</style>"""
"""Three columns on a wide screen, two with the picture below them, one on a phone, where long formulas scroll."""

PAGES = ("objective", "penalties", "prediction", "process", "schedule", "sampler", "conditioning", "weighting")
"""Files of a family whose public functions with a source are equations."""


def entries():
    """The entries of docs/equations.toml that are on the page, in its order."""
    return equation_map.on_the_page(equation_map.entries())


def equations():
    """Dotted names below jaxgen of all public functions that are equations: those that name their source."""
    paths = [ROOT / "jaxgen" / "distributions.py"]
    paths += [path for name in PAGES for path in sorted((ROOT / "jaxgen").glob(f"*/{name}.py"))]
    for path in paths:
        module = ".".join(path.relative_to(ROOT / "jaxgen").with_suffix("").parts)
        for node in ast.parse(path.read_text()).body:
            if (
                isinstance(node, ast.FunctionDef)
                and node.name[0] != "_"
                and "Source:" in (ast.get_docstring(node) or "")
            ):
                yield f"{module}.{node.name}"


def faults(found, required):
    """What keeps the page from being made, one line each."""
    lines = []
    covered = {name for entry in found for name in entry["functions"]}
    for name in sorted(set(required) - covered):
        lines.append(f"{name} is an equation and has no entry in docs/equations.toml")
    for entry in found:
        if not entry["tests"]:
            lines.append(f"{', '.join(entry['functions'])} has no test")
        for name in entry["functions"]:
            module, _, attribute = name.rpartition(".")
            if not hasattr(importlib.import_module(f"jaxgen.{module}"), attribute):
                lines.append(f"{name} does not exist")
        for node in entry["tests"]:
            path, _, name = node.partition("::")
            names = [n.name for n in ast.parse((ROOT / path).read_text()).body if isinstance(n, ast.FunctionDef)]
            if name not in names:
                lines.append(f"{node} does not exist")
        try:
            source(entry["picture"])
        except ValueError as error:
            lines.append(str(error))
    return lines


def source(picture):
    """Where a picture comes from: a drawing's function, or the PNG of a notebook's cell.

    Raises:
        ValueError: There is none.
    """
    if isinstance(picture, str):
        if not hasattr(lecture_drawings, picture):
            raise ValueError(f"there is no drawing {picture!r}")
        return getattr(lecture_drawings, picture)
    notebook, words = picture
    path = ROOT / "notebooks" / f"{notebook}.ipynb"
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code" and words in "".join(cell["source"]):
            for output in cell["outputs"]:
                if "image/png" in output.get("data", {}):
                    encoded = output["data"]["image/png"]
                    return base64.b64decode(encoded if isinstance(encoded, str) else "".join(encoded))
    raise ValueError(f"no cell with {words!r} and a picture in {path.name}")


def results(nodes):
    """Run tests and say of each function: passed cases, cases that failed.

    Raises:
        RuntimeError: A test has not run.
    """
    with tempfile.TemporaryDirectory() as folder:
        junit = Path(folder) / "junit.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={junit}", *nodes]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if not junit.exists():
            raise RuntimeError(f"the tests have not run:\n{done.stdout}\n{done.stderr}")
        return counted(junit.read_text(), nodes)


def counted(junit, nodes):
    """(passed, failed) cases of each test function in a junit file.

    Raises:
        RuntimeError: A test is not in it.
    """
    cases = {node: [0, 0] for node in nodes}
    for case in ElementTree.fromstring(junit).iter("testcase"):
        name = f"{case.attrib['classname'].replace('.', '/')}.py::{case.attrib['name'].partition('[')[0]}"
        if name in cases and case.find("skipped") is None:
            cases[name][case.find("failure") is not None or case.find("error") is not None] += 1
    for node, (passed, failed) in cases.items():
        if not passed + failed:
            raise RuntimeError(f"{node} has not run")
    return cases


def drawn(figure, kind="png"):
    """A figure's bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=110, transparent=kind == "svg")
    plt.close(figure)
    return buffer.getvalue()


def formula(math):
    """An equation as a picture in the text's colour, light or dark."""
    with plt.rc_context({"mathtext.fontset": "cm", "svg.hashsalt": "lecture"}):
        figure = plt.figure(figsize=(0.1, 0.1))
        figure.text(0, 0, f"${math}$", fontsize=13)
        buffer = io.BytesIO()
        figure.savefig(
            buffer, format="svg", bbox_inches="tight", pad_inches=0.03, transparent=True, metadata={"Date": None}
        )
        plt.close(figure)
    encoded = base64.b64encode(buffer.getvalue()).decode()
    words = html.escape(f"formula: {math}", quote=True)
    # Too long for a narrow screen it scrolls by itself, not the page.
    return page.part(f'<div class="formula"><img alt="{words}" src="data:image/svg+xml;base64,{encoded}"></div>')


def picture(entry, shown):
    """An entry's picture, inside the page; where the page has it already, a link to it.

    Args:
        entry: The entry.
        shown: What entries showed each picture so far, by the picture: (anchor, words). This one is added.
    """
    place = repr(entry["picture"])
    if place in shown:
        anchor, words = shown[place]
        return page.part(f'<p>shown above: <a href="#{anchor}">{html.escape(words)}</a></p>')
    anchor = f"picture-{len(shown) + 1}"
    shown[place] = (anchor, entry["says"])
    found = source(entry["picture"])
    inside = page.picture(found if isinstance(found, bytes) else drawn(found()), f"picture: {entry['says']}")
    return page.part(f'<div id="{anchor}">{inside}</div>')


def tested(entry, cases):
    """A line for each test: its name and how many of its cases pass."""
    lines = []
    for node in entry["tests"]:
        passed, failed = cases[node]
        name = node.partition("::")[2].removeprefix("test_").replace("_", " ")
        word = f"{passed} of {passed + failed} cases pass" if passed + failed > 1 else "passes" if passed else "fails"
        lines.append(f"{name}: {page.marked(word, good=not failed)}")
    return page.part("<br>".join(lines))


def lecture(found, cases):
    """The whole page."""
    passed, failed = (sum(case[k] for case in cases.values()) for k in (0, 1))
    functions = {name for entry in found for name in entry["functions"]}
    parts = [
        _STYLE,
        page.paragraph(
            f"{len(found)} equations, {len(functions)} functions, {passed + failed} test cases, {passed} of them pass. "
            "Where the lecture's print differs from what is true, the equation here is the true one, and a test shows "
            "that the printed one is not."
        ),
    ]
    shown = {}
    for chapter in dict.fromkeys(entry["chapter"] for entry in found):
        parts.append(page.heading(chapter))
        for entry in (e for e in found if e["chapter"] == chapter):
            says = page.paragraph(("(beyond the lecture) " if entry.get("beyond") else "") + entry["says"])
            names = page.part("<br>".join(page.code(name) for name in entry["functions"]))
            cells = (says + formula(entry["math"]) + names, tested(entry, cases), picture(entry, shown))
            parts.append(f"<section>{''.join(f'<div>{cell}</div>' for cell in cells)}</section>")
    return page.page("Introduction to generative models, equation by equation", parts)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("lecture.html"), help="the page")
    options = parser.parse_args(arguments)
    found = entries()
    lines = faults(found, equations())
    cases = {}
    if not lines:
        cases = results(list(dict.fromkeys(node for entry in found for node in entry["tests"])))
        lines = [
            f"{node}: {failed} of {passed + failed} cases fail" for node, (passed, failed) in cases.items() if failed
        ]
    if lines:
        print("\n".join(lines), file=sys.stderr)
        return 1
    print(page.write(lecture(found, cases), options.out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
