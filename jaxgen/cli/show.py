"""Output of the commands: tables of results, and the end of a run."""

from typing import Any

from rich.console import Console
from rich.table import Table

from jaxgen.core import Estimate
from jaxgen.train.hosts import everyone


def line(text: str) -> None:
    """Print a line as it is, however long."""
    Console().print(text, highlight=False, soft_wrap=True, markup=False)


def results(found: dict[str, dict[str, Estimate]], title: str) -> Table:
    """Estimates by split, a row for each.

    Args:
        found: Estimates by split and name.
        title: Title of the table.
    """
    table = Table(title=title, title_justify="left")
    for column in ("", *found, "unit"):
        table.add_column(column, justify="left" if column in ("", "unit") else "right")
    # Slow estimates are measured on the test set alone.
    for name, unit in {name: e.unit for split in found.values() for name, e in split.items()}.items():
        table.add_row(name, *(split[name].text if name in split else "" for split in found.values()), unit)
    return table


def outcome(found: Any) -> int:
    """Say what became of a run; of several processes that trained together the first one says it.

    Args:
        found: A `jaxgen.runs.Outcome`.

    Returns:
        The exit code: 0, or that of the signal which ended the run.
    """
    folder, history = found.folder, found.history
    signal = {None: 0, "SIGINT": 130}.get(history.interrupted, 143)
    if not everyone().leads:
        return signal
    if history.interrupted:
        line(f"{history.interrupted}: saved at step {int(found.state.step)}; go on with: jaxgen resume {folder.path}")
        return signal
    Console().print(results(found.results, f"{folder.path.name}: mean ± standard error over examples"))
    if history.num_steps:
        line(
            f"compiled in {history.compile_seconds:.1f} s, {history.num_steps} steps in {history.run_seconds:.1f} s "
            f"({history.steps_per_second:.0f} steps/s)"
        )
    line(f"look at {folder.pictures / 'final.png'}")
    return 0


def report(found: Any) -> None:
    """Print what a verification found; of several processes that verified together the first one does.

    Args:
        found: A `jaxgen.runs.Report`.
    """
    if everyone().leads:
        line(str(found))


def fidelity(found: Any, title: str) -> None:
    """Print the metrics of samples, each beside that of real images.

    Args:
        found: A `jaxgen.evaluate.Fidelity`.
        title: Title of the table.
    """
    table = Table("", "samples", "real images", "expected bias", "better", title=title, title_justify="left")
    for name, score in found.scores.items():
        bias = "" if score.bias is None else f"{score.bias:.2g}"
        table.add_row(name.replace("_", " "), score.value.text, score.floor.text, bias, score.better)
    Console().print(table)
    conditions = next(iter(found.scores.values())).conditions
    for text in (str(conditions), *found.notes):
        line(text)
