"""Tables of a comparison: a line per metric, a column per run or per group of runs, the floor at the end."""

from collections.abc import Mapping, Sequence

from jaxgen import evaluate
from jaxgen.runs import seeds as over_seeds

METRICS = {
    "frechet_distance": (
        "Fréchet distance", "lower", "squared Fréchet distance of normal distributions fitted to the features",
    ),
    "kernel_distance": (
        "kernel distance", "lower", "squared maximum mean discrepancy of the features, cubic polynomial, unbiased",
    ),
    "precision": ("precision", "higher", "share of samples that lie among the data, in the space of the features"),
    "recall": ("recall", "higher", "share of the data that lie among the samples"),
    "density": ("density", "as real", "how densely samples lie among the data; about 1 for draws from the data"),
    "coverage": ("coverage", "higher", "share of the data with a sample near them"),
    "class_kl": ("class KL", "lower", "KL of the samples' classes from the data's, both by the classifier, in nats"),
    "nearest_train": (
        "nearest training image", "as real", "mean distance in pixels; that of real images is of held-out ones",
    ),
    "accuracy_score": (
        "accuracy score", "higher", "accuracy on real images of a classifier trained on labelled samples alone",
    ),
}  # fmt: skip
"""Name in tables, better direction and meaning, by metric."""


def rows(results: Mapping[str, evaluate.Fidelity]) -> tuple[list[str], list[list[str]]]:
    """Header and rows of the table: a line per metric, a column per model, the floor at the end.

    The best model of a metric has an asterisk, unless another is as good within the standard errors (`leader`).

    Raises:
        ValueError: Results that do not compare.
    """
    # Not all models have all metrics: one that takes no labels has no accuracy score.
    metrics = [name for name in METRICS if any(name in found.scores for found in results.values())]
    lines = []
    for metric in metrics:
        scores = {name: found.scores[metric] for name, found in results.items() if metric in found.scores}
        best = evaluate.leader(scores)
        cells = [scores[name].value.text + (" *" if name == best else "") if name in scores else "" for name in results]
        floor = next(iter(scores.values())).floor
        lines.append([*METRICS[metric][:2], *cells, floor.text])
    return ["", "better", *results, "real images"], lines


def rows_of_seeds(
    results: Mapping[str, evaluate.Fidelity], groups: Sequence[over_seeds.Group]
) -> tuple[list[str], list[list[str]]]:
    """The same with a column per group of runs: their mean with its standard error, and the standard deviation.

    The best group of a metric has an asterisk, unless another is as good within the spread of the seeds
    (`jaxgen.runs.seeds.best`).

    Raises:
        ValueError: Results that do not compare.
    """
    lines = []
    for metric in METRICS:
        scores = {
            group.name: [results[run].scores[metric] for run in group.runs]
            for group in groups
            if all(metric in results[run].scores for run in group.runs)
        }
        if not scores:
            continue
        best = over_seeds.best(scores)
        cells = {
            name: over_seeds.spread([score.value.value for score in each]).text + (" *" if name == best else "")
            for name, each in scores.items()
        }
        floor = next(iter(scores.values()))[0].floor
        lines.append([*METRICS[metric][:2], *(cells.get(group.name, "") for group in groups), floor.text])
    return ["", "better", *(group.heading for group in groups), "real images"], lines


def plain(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table as text."""
    widths = [max(len(row[i]) for row in [header, *lines]) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        cells = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        return "  ".join(cells).rstrip()

    return "\n".join([line(header), "  ".join("-" * width for width in widths), *(line(row) for row in lines)])
