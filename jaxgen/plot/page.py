"""Pages that open without a network: one HTML file, its pictures inside, readable light and dark.

Parts are strings of HTML; all text put into them is escaped.
"""

import base64
import html
from collections.abc import Iterable, Sequence
from pathlib import Path

from jaxgen import atomic

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --faint: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem;
  color: #1b1b1b; background: #fdfdfb; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
td.number, th.number { text-align: right; white-space: nowrap; }
div.wide { overflow-x: auto; }
img { max-width: 100%; height: auto; background: white; border-radius: 4px; }
code { background: var(--faint); padding: 0 .2em; border-radius: 3px; overflow-wrap: anywhere; }
figure { margin: 1rem 0; } figcaption { font-size: .9rem; opacity: .8; }
.good { color: #17692f; } .bad { color: #b3261e; font-weight: bold; }
@media (prefers-color-scheme: dark) {
  body { color: #e6e6e3; background: #17181a; } .good { color: #7fd196; } .bad { color: #ff8a80; }
}
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole page.

    Args:
        title: Title of the page, also its first heading.
        parts: Parts that the functions of this file return.
    """
    name = html.escape(title)
    head = (
        f'<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{name}</title>\n<style>{_STYLE}</style>"
    )
    body = "\n".join([f"<h1>{name}</h1>", *parts])
    return f'<!doctype html>\n<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>\n'


def heading(text: str) -> str:
    """A heading under the title."""
    return f"<h2>{html.escape(text)}</h2>"


def paragraph(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{html.escape(text)}</p>"


def items(lines: Iterable[str]) -> str:
    """A list of plain lines."""
    return "<ul>\n" + "\n".join(f"<li>{html.escape(line)}</li>" for line in lines) + "\n</ul>"


def table(header: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    """A table of plain text.

    Args:
        header: One word per column.
        rows: Cells; one that is a part of its own (`part`) is left as it is.
        numbers: Indices of the columns of numbers, which are aligned to the right.
    """
    right = set(numbers)

    def cells(kind: str, row: Sequence[str]) -> str:
        starts = (f'{kind} class="number"' if i in right else kind for i in range(len(row)))
        return "".join(f"<{start}>{_escaped(cell)}</{kind}>" for start, cell in zip(starts, row, strict=True))

    head = f"<thead><tr>{cells('th', header)}</tr></thead>"
    body = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="wide"><table>\n{head}\n<tbody>\n{body}\n</tbody></table></div>'


class part(str):
    """HTML that a table does not escape."""


def code(text: str) -> part:
    """A name from the code."""
    return part(f"<code>{html.escape(text)}</code>")


def marked(text: str, *, good: bool) -> part:
    """A word in the colour of success or of failure."""
    return part(f'<span class="{"good" if good else "bad"}">{html.escape(text)}</span>')


def picture(png: Path | bytes, description: str) -> part:
    """A picture, inside the page.

    Args:
        png: The bytes of a PNG, or its path.
        description: Text for readers who do not see the picture.
    """
    content = png if isinstance(png, bytes) else Path(png).read_bytes()
    encoded = base64.b64encode(content).decode()
    return part(f'<img alt="{html.escape(description, quote=True)}" src="data:image/png;base64,{encoded}">')


def figure(image: str, caption: str) -> str:
    """A picture with the words under it."""
    return f"<figure>\n{image}\n<figcaption>{html.escape(caption)}</figcaption>\n</figure>"


def details(summary: str, content: str) -> str:
    """A part that is closed until it is clicked on."""
    return f"<details>\n<summary>{html.escape(summary)}</summary>\n{content}\n</details>"


def write(text: str, path: Path | str) -> Path:
    """Write text as UTF-8; the file appears whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(path, text)
    return path


def _escaped(cell: str) -> str:
    return cell if isinstance(cell, part) else html.escape(cell)
