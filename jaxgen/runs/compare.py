"""Runs side by side: a table, a picture and a page, of the same numbers under the same conditions."""

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxgen import evaluate, plot, require
from jaxgen.data import space
from jaxgen.runs import outside
from jaxgen.runs import seeds as over_seeds
from jaxgen.runs.comparison_tables import METRICS, plain, rows, rows_of_seeds
from jaxgen.runs.fidelity import Judged, judged, reference, same_data
from jaxgen.runs.folder import RunFolder
from jaxgen.train.progress import activity

_SHOWN = 20
"""Images in a row of the picture."""


class Comparison(NamedTuple):
    """Result of `compare`.

    Attributes:
        results: Metrics by name of the run.
        text: The table and the remarks on it.
        files: Paths of comparison.txt, comparison.png (where samples were drawn) and comparison.html.
    """

    results: Mapping[str, evaluate.Fidelity]
    text: str
    files: tuple[Path, ...]


def compare(
    paths: Sequence[Path | str],
    num: int | None = None,
    *,
    seed: int = 0,
    best: bool = False,
    split: str = "test",
    seeds: bool = False,
    features: evaluate.Features | None = None,
    experiment: outside.Source | Sequence[outside.Source] = (),
    out: Path | str = "comparison",
    progress: bool = True,
) -> Comparison:
    """Compare the samples of several runs on the same data.

    Args:
        paths: Folders of the runs.
        num: Number of samples of each run; None for as many as there are references, 10,000 at most. With `seeds`, 0
            compares what the runs reported alone.
        seed: Seed of the draws, and of the random choices in the metrics.
        best: Take the best checkpoints instead of the last.
        split: Split that the references are from, and that reported figures are of.
        seeds: Whether runs that differ in nothing but the seed are taken together (`jaxgen.runs.seeds`): mean, standard
            error and standard deviation of every metric, and of every figure that the runs reported at their end. Data
            that are no images have the latter alone.
        features: `evaluate.Features`; None for the library's own classifier, or pixels where there are no labels.
        experiment: Experiments outside jaxgen that runs are of, see `resume`: one, or several.
        out: Folder for the text, the picture and the page.
        progress: Whether to say what is being done.

    Raises:
        FileNotFoundError: There is no run, or no checkpoint yet.
        ValueError: No run, a run given twice, runs on different data, data that are no images, more samples than there
            are references, or `seeds` without two runs that differ in nothing else.
        OSError: A folder `out` that cannot be made.
    """
    folders = [Path(path) for path in paths]
    if not folders or len({path.resolve() for path in folders}) < len(folders):
        raise ValueError(f"compare needs runs, each once, got {', '.join(map(str, folders)) or 'none'}")
    require.seed("seed", seed)
    same_data(folders)
    named = [experiment] if isinstance(experiment, str | Path | type) else list(experiment)
    of = {path: outside.chosen(named, RunFolder(path).manifest.get("experiment")) for path in folders}
    for path in folders:
        _ = RunFolder(path, of[path]).config  # an experiment that is not named is missed here
    alone = len({path.name for path in folders}) == len(folders)
    names = {path: path.name if alone else str(path) for path in folders}
    named_folders = {names[path]: RunFolder(path) for path in folders}
    groups = over_seeds.groups(named_folders) if seeds else ()
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)  # what cannot be written is known before anything is drawn
    first = folders[0]
    data = RunFolder(first).data
    shape = data.get("spec", {}).get("event_shape", ())
    of_seeds = _of_seeds(named_folders, groups, split) if seeds else _OfSeeds([], [], [])
    if seeds and (num == 0 or len(shape) != 3):
        title = f"{data['name']}: {', '.join(group.name for group in groups)}"
        return _written({}, title, [("", of_seeds.header, of_seeds.lines)], of_seeds.notes, [], out)
    real = reference(first, num, split=split, features=features, experiment=of[first], progress=progress)
    found = {}
    for path, name in names.items():
        with warnings.catch_warnings(), activity(f"samples of {name}", enabled=progress):
            # It is said on the page.
            warnings.simplefilter("ignore", evaluate.FewSamplesWarning)
            found[name] = judged(path, real, seed=seed, best=best, experiment=of[path])
    results = {name: each.fidelity for name, each in found.items()}
    header, lines = rows_of_seeds(results, groups) if seeds else rows(results)
    notes = [str(real.conditions(seed))]
    notes += [
        f"{name}: drawn with {option} = {value}"
        for name, each in found.items()
        for option, value in each.sampling.items()
    ]
    notes += [*_notes(results, real, seeds), *of_seeds.notes]
    title = f"{real.dataset.name}: {', '.join(group.name for group in groups) if seeds else ', '.join(found)}"
    picture = plot.save(_figure(found, real, header, lines, title, neighbours=not seeds), out / "comparison.png")
    tables = [("", header, lines)]
    if of_seeds.lines:
        tables.append((f"What the runs reported ({split} split)", of_seeds.header, of_seeds.lines))
    return _written(results, title, tables, notes, _details(found, real, lines, title, picture), out, picture)


class _OfSeeds(NamedTuple):
    """The figures that runs reported, over their seeds, as a table, and what is to be said of the groups."""

    header: list[str]
    lines: list[list[str]]
    notes: list[str]


def _of_seeds(folders: Mapping[str, RunFolder], groups: Sequence[over_seeds.Group], split: str) -> _OfSeeds:
    notes = []
    for group in groups:
        settings = ", ".join(f"{name} {value}" for name, value in group.settings.items())
        notes.append(f"{group.name}: seeds {', '.join(map(str, group.seeds))}" + (f"; {settings}" if settings else ""))
    notes.append("mean ± its standard error over the seeds; sd, the standard deviation of a run")
    notes += [f"{name}: has not reported yet" for name, run in folders.items() if not run.manifest.get("results")]
    lines = [[figure, unit, *cells] for figure, *cells, unit in over_seeds.reported(folders, groups, split)]
    return _OfSeeds(["", "unit", *(group.heading for group in groups)], lines, notes)


def _written(
    results: Mapping[str, evaluate.Fidelity],
    title: str,
    tables: Sequence[tuple[str, list[str], list[list[str]]]],
    notes: Sequence[str],
    details: Sequence[str],
    out: Path,
    *pictures: Path,
) -> Comparison:
    """The text and the page: tables with their headings, remarks, and what the page alone has."""
    page = plot.page
    shown = [
        "\n\n".join([*([heading] if heading else []), plain(header, lines)])
        for heading, header, lines in tables
        if lines
    ]
    text = "\n".join([title, "", "\n\n".join(shown), "", *notes, ""])
    parts = []
    for heading, header, lines in tables:
        parts += [page.heading(heading)] if heading else []
        parts.append(page.table(header, lines, numbers=range(2, len(header))))
    parts += [page.items(notes), *details]
    files = (
        page.write(text, out / "comparison.txt"),
        *pictures,
        page.write(page.page(title, parts), out / "comparison.html"),
    )
    return Comparison(results, text, files)


def _notes(results: Mapping[str, evaluate.Fidelity], real: evaluate.Reference, seeds: bool) -> list[str]:
    notes = [f"{name}: {note}" for name, found in results.items() for note in found.notes[:-1]]
    notes.append(next(iter(results.values())).notes[-1])
    if real.judge is not None and real.real.label is not None:
        accuracy = real.judge.accuracy(real.real.images, real.real.label)
        notes.append(f"the classifier is right of {accuracy.value:.1%} of the references")
    elif real.features.name == "pixels":
        notes.append("the data have no labels, so that there is no classifier: the features are the pixels")
    least = (
        "the spread of the seeds, the standard deviation of the difference of two runs"
        if seeds
        else "the standard error of the difference where there is one"
    )
    notes.append(
        f"* the best of the models, by more than {least}; "
        "a difference that is small beside that to real images says nothing"
    )
    return notes


def _figure(
    found: Mapping[str, Judged],
    real: evaluate.Reference,
    header: list[str],
    lines: list[list[str]],
    title: str,
    *,
    neighbours: bool,
) -> object:
    groups = {f"real images ({real.real.name})": real.real.images[:_SHOWN]}
    for name, each in found.items():
        x = each.samples[:_SHOWN]
        groups[f"{name}, step {each.step}: samples as they come"] = x
        if neighbours:
            groups[f"{name}: nearest training images"] = real.train[evaluate.nearest(x, real.train).indices[:, 0]]
    return plot.comparison(
        groups, header, lines, title=title, columns=_SHOWN, **space.colours(space.for_metrics(real.dataset.spec))
    )


def _details(
    found: Mapping[str, Judged],
    real_images: evaluate.Reference,
    lines: list[list[str]],
    title: str,
    picture: Path,
) -> list[str]:
    """Parts of the page behind the tables: picture, classes, runs, meanings."""
    page = plot.page
    parts = [page.picture(picture, f"{title}: real images, samples, nearest training images")]
    class_name = real_images.dataset.spec.class_name
    shares = {name: each.fidelity.histogram for name, each in found.items() if each.fidelity.histogram is not None}
    if shares:
        real = next(iter(found.values())).fidelity.histogram_of_real
        columns = {**shares, "real images": real}
        classes = range(len(np.asarray(real)))
        table = [[class_name(k), *(f"{np.asarray(share)[k]:.3f}" for share in columns.values())] for k in classes]
        parts += [page.heading("Classes"), page.table(["class", *columns], table, numbers=range(1, len(columns) + 1))]
    parts += [page.heading("Runs"), page.table(["run", "experiment", "step", "seed", "state"], _runs(found))]
    used = {line[0] for line in lines}
    meanings = [[name, text] for name, _, text in METRICS.values()]
    parts += [page.heading("What the numbers are"), page.table(["", ""], [row for row in meanings if row[0] in used])]
    return parts


def _runs(found: Mapping[str, Judged]) -> list[list[str]]:
    table = []
    for name, each in found.items():
        manifest = each.folder.manifest
        config = manifest["config"]
        digest = manifest["digests"].get(str(each.step), "")[:16]
        table.append(
            [name, Path(each.folder.kind).name, str(each.step), str(config.get("seed", "")), plot.page.code(digest)]
        )
    return table
