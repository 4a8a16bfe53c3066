"""The map from equations to functions, written from docs/equations.toml into the documentation and the docstrings.

    python notebooks/equation_map.py

It writes the tables of docs/equations.md, between its two markers, and the map in the docstring of each family's
package, below its line "equation   here". The page of the lecture (lecture_page.py) reads the same entries.
"""

import re
import textwrap
import tomllib
from itertools import zip_longest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "docs" / "equations.toml"
TABLES = ROOT / "docs" / "equations.md"
BEGIN, END = "<!-- written by `make equations` from equations.toml -->", "<!-- end of what `make equations` writes -->"

_NEEDED = {"chapter", "family", "says", "here"}
_ON_THE_PAGE = {"math", "tests", "picture"}
_KNOWN = _NEEDED | _ON_THE_PAGE | {"text", "also", "beyond"}
_NAME = re.compile(r"`([\w.]+)`")
_LINE, _FIRST_COLUMN, _INDENT = 120, 52, "    "


def entries(source=None):
    """Entries of the source in its order, each with the dotted names of its functions below jaxgen as `functions`.

    Args:
        source: Text in place of docs/equations.toml.

    Raises:
        ValueError: An entry with a field that is missing or unknown.
    """
    found = tomllib.loads(SOURCE.read_text() if source is None else source)["equation"]
    for entry in found:
        missing = _NEEDED - set(entry)
        if _ON_THE_PAGE & set(entry):
            missing |= _ON_THE_PAGE - set(entry)
        unknown = set(entry) - _KNOWN
        if missing:
            raise ValueError(f"the entry {entry.get('says')!r} must have {sorted(missing)}, got {sorted(entry)}")
        if unknown:
            raise ValueError(
                f"the entry {entry['says']!r} must have no field but {sorted(_KNOWN)}, got {sorted(unknown)}"
            )
        entry["functions"] = list(names(entry["here"]))
    return found


def on_the_page(found):
    """The entries that the page of the lecture shows: those with a formula, tests and a picture."""
    return [entry for entry in found if "math" in entry]


def where(entry):
    """All that an entry says of functions, in one line."""
    return "; ".join(" ".join(entry[field].split()) for field in ("here", "also") if field in entry)


def names(text):
    """Dotted names below jaxgen of the functions in backticks; one without a dot is in the module of the name before."""
    module = ""
    for name in _NAME.findall(text):
        module = name.rpartition(".")[0] or module
        yield f"{module}.{name.rpartition('.')[2]}"


def tables(found):
    """A table for each chapter, in Markdown."""
    parts = []
    for chapter in dict.fromkeys(entry["chapter"] for entry in found):
        rows = ["| equation | as text | function |", "|---|---|---|"]
        for entry in (e for e in found if e["chapter"] == chapter):
            says = ("(beyond) " if entry.get("beyond") else "") + entry["says"]
            text = f"`{entry['text']}`" if "text" in entry else ""
            # A bar would end the cell, in code as well.
            rows.append("| " + " | ".join(cell.replace("|", r"\|") for cell in (says, text, where(entry))) + " |")
        parts.append(f"### {chapter}\n\n" + "\n".join(rows))
    return "\n\n".join(parts)


def docstring(found, family):
    """The map of a family: two columns of plain text, as wide as a line of code may be."""
    rows = [("equation", "here")]
    rows += [(e.get("text", e["says"]), _plain(where(e), family)) for e in found if e["family"] == family]
    cells = [textwrap.wrap(text, _FIRST_COLUMN, break_on_hyphens=False) for text, _ in rows]
    wide = max(len(line) for cell in cells for line in cell) + 2
    lines = []
    for left, (_, text) in zip(cells, rows):
        right = textwrap.wrap(
            text, _LINE - len(_INDENT) - wide, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
        lines += [f"{_INDENT}{a:{wide}}{b}".rstrip() for a, b in zip_longest(left, right, fillvalue="")]
    return "\n".join(lines)


def _plain(text, family):
    """The same without backticks, by names as they are below the family's package."""
    module = ""

    def shorter(match):
        nonlocal module
        parent, _, name = match[1].rpartition(".")
        module = parent or module
        if module == family:
            return name
        return f"{module.removeprefix(family + '.')}.{name}" if parent else f".{name}"

    return _NAME.sub(shorter, text)


def renderings(found):
    """What each file must be, by its path.

    Raises:
        ValueError: A file without a place for its map.
    """
    text = TABLES.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{TABLES} must have the lines {BEGIN!r} and {END!r} around its tables")
    files = {TABLES: f"{before}{BEGIN}\n\n{tables(found)}\n\n{END}{after}"}
    for family in dict.fromkeys(entry["family"] for entry in found):
        path = ROOT / "jaxgen" / family / "__init__.py"
        # The map ends at the first line that is not indented.
        head, *parts = re.split(r"^    equation +here\n(?:    .*\n)*", path.read_text(), maxsplit=1, flags=re.M)
        if not parts:
            raise ValueError(f"{path} must have the line '    equation   here' in its docstring, where its map goes")
        files[path] = f"{head}{docstring(found, family)}\n{parts[0]}"
    return files


def outdated(found):
    """The files that say something else than the entries do, and what they must be."""
    return {path: text for path, text in renderings(found).items() if path.read_text() != text}


def main():
    for path, text in outdated(entries()).items():
        path.write_text(text)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
