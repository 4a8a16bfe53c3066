"""A page of runs: what each was, its pictures, its figures, its settings, in an HTML file that opens without a network.

Only files of the runs' folders are read, and no code that they name, so that runs of experiments outside jaxgen and of
models that this machine could not load are shown as well.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxgen import number, plot
from jaxgen.runs.config import flat
from jaxgen.runs.folder import RunFolder

_LAST = ("curves",)  # behind all others: how training went, not what came of it
_STEP = "step_"


def gallery(paths: Sequence[Path | str], *, out: Path | str = "gallery.html", title: str | None = None) -> Path:
    """Write a page that shows runs.

    Args:
        paths: Folders of the runs, in the order of the page.
        out: The page, an HTML file; pictures are inside it, those that move too.
        title: Title of the page; the names of the runs unless given.

    Returns:
        The path of the page.

    Raises:
        FileNotFoundError: There is no run.
        ValueError: No run, a run given twice, a damaged manifest, or a page that would not end in .html.
        OSError: A page that cannot be written.
    """
    folders = [Path(path) for path in paths]
    if not folders or len({path.resolve() for path in folders}) < len(folders):
        raise ValueError(f"gallery needs runs, each once, got {', '.join(map(str, folders)) or 'none'}")
    out = Path(out)
    if out.suffix != ".html":
        raise ValueError(f"out must be a file that ends in .html, got {out}")
    runs = [RunFolder(path) for path in folders]
    parts = [part for run in runs for part in _shown(run)]
    return plot.page.write(plot.page.page(title or ", ".join(path.name for path in folders), parts), out)


def _shown(run: RunFolder) -> Iterator[str]:
    page, manifest, name = plot.page, run.manifest, run.path.name
    yield page.heading(name)
    yield page.table(["", ""], _facts(run))
    pictures = _pictures(run)
    if not pictures:
        yield page.paragraph("There is no picture yet.")
    for picture in pictures:
        label = picture.stem.replace("_", " ")
        yield page.figure(page.picture(picture, f"{name}: {label}"), label)
    results = manifest.get("results")
    if isinstance(results, dict) and results:
        yield page.table(["", *results, "unit"], _results(results), numbers=range(1, 1 + len(results)))
    settings = [[key, text] for key, text in flat(manifest["config"]) if key]
    yield page.details("All settings", page.table(["setting", "value"], settings))


def _facts(run: RunFolder) -> list[list[str]]:
    manifest, page = run.manifest, plot.page
    config, environment = manifest["config"], manifest["environment"]
    digests = {int(step): digest for step, digest in manifest["digests"].items() if step.isdecimal()}
    step = max(digests, default=0)
    versions, device = (environment.get(each, {}) for each in ("versions", "device"))
    machine = " ".join(str(device[each]) for each in ("count", "kind", "machine") if each in device)
    return [
        ["experiment", page.code(run.kind)],
        ["data", str(manifest["data"].get("name", ""))],
        ["step", f"{step} of {config.get('steps', '?')}, seed {config.get('seed', '?')}"],
        ["state", page.code(str(digests.get(step, ""))[:16])],
        [
            "made with",
            ", ".join(f"{each} {versions[each]}" for each in ("jaxgen", "jax", "python") if each in versions),
        ],
        ["on", machine],
    ]


def _pictures(run: RunFolder) -> list[Path]:
    """The pictures of a run: the last one, then those of its own, then the curves; of moments before, none."""
    found = sorted(path for path in run.pictures.glob("*.png") if not path.stem.startswith(_STEP))
    found = found or sorted(run.pictures.glob("*.png"))[-1:]
    return sorted(found, key=lambda path: (path.stem in _LAST, path.stem != "final", path.stem))


def _results(results: Mapping[str, Any]) -> list[list[str]]:
    """A row for each figure: its value with its standard error for every split, and the unit."""
    splits = [split if isinstance(split, dict) else {} for split in results.values()]
    names: dict[str, Any] = {}
    for split in splits:
        for name, each in split.items():
            if isinstance(each, dict):
                names.setdefault(name, each)
    return [
        [name, *(_estimate(split.get(name)) for split in splits), str(each.get("unit", ""))]
        for name, each in names.items()
    ]


def _estimate(found: Any) -> str:
    value, error = (found.get(each) if isinstance(found, dict) else None for each in ("value", "standard_error"))
    if not isinstance(value, int | float):
        return ""
    return number.text(float(value), float(error) if isinstance(error, int | float) else None)
