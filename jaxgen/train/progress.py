"""The progress of a run: a bar in a terminal, plain lines where output goes to a file."""

import contextlib
import math
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn, Task
from rich.progress_bar import ProgressBar
from rich.text import Text

from jaxgen.progress import LINE_SECONDS, activity, line, listening

__all__ = ["Bar", "activity", "brief", "status"]

ELLIPSIS = " ..."


def brief(record: dict[str, Any]) -> str:
    """The metrics of a record in one line, timing left out."""
    return "  ".join(_metrics(record))


def _metrics(record: dict[str, Any]) -> list[str]:
    return [f"{k} {v:.4g}" for k, v in record.items() if k not in ("step", "steps_per_second")]


def status(step: int, last: int, rate: float, said: list[str], width: int) -> str:
    """Line of step, rate, time left and as many whole entries of `said` as fit into a width.

    Args:
        step: Steps made.
        last: Steps to make.
        rate: Steps per second; 0 or less where unknown.
        said: Texts of metrics, or of the progress of something else, the most important first.
        width: Number of columns.
    """
    known = rate > 0 and math.isfinite(rate)
    left = _clock((last - step) / rate) if known else "-:--:--"
    parts = [f"{step}/{last}", f"{rate:.0f} steps/s" if rate >= 10 else f"{rate:.2g} steps/s" if known else "- steps/s"]
    found = "  ".join([*parts, left])
    if len(found) > width:  # the time left goes before the rate, the rate before the step
        return next((text for text in ("  ".join(parts), parts[0]) if len(text) <= width), parts[0][:width])
    for i, metric in enumerate(said):
        more = f"{found}  {metric}"
        if len(more) > width - (0 if i + 1 == len(said) else len(ELLIPSIS)):
            return found + ELLIPSIS if len(found) + len(ELLIPSIS) <= width else found
        found = more
    return found


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


class _Line(ProgressColumn):
    """The text beside the bar, fitted to the terminal as it is now."""

    def __init__(self, console: Console):
        super().__init__()
        self._console = console

    def render(self, task: Task) -> Text:
        width = self._console.width - _bar_width(self._console.width) - 1
        said = [task.fields["count"]] if task.fields["count"] else task.fields["metrics"]
        text = status(int(task.completed), int(task.total or 0), task.fields["rate"], said, width)
        return Text(text, no_wrap=True, overflow="crop")


class _BarOf(ProgressColumn):
    """The bar itself, shorter in a narrow terminal."""

    def __init__(self, console: Console):
        super().__init__()
        self._console = console

    def render(self, task: Task) -> ProgressBar:
        return ProgressBar(total=task.total, completed=task.completed, width=_bar_width(self._console.width))


def _bar_width(columns: int) -> int:
    return min(max((columns - 40) // 2, 4), 24)


class Bar:
    """Progress of a run from step `first` to step `last`.

    In a terminal it is a bar with step, rate, time left and metrics, on one line however narrow; elsewhere (a log
    file, a notebook without widgets) it is about ten lines.
    """

    def __init__(self, first: int, last: int, *, enabled: bool, compile_seconds: float, console: Console | None = None):
        self._console = console or Console(stderr=True)
        self._enabled, self._first, self._last = enabled, first, last
        self._tenth = max((last - first) // 10, 1)
        self._printed, self._said = first, time.monotonic()
        self._rate = 0.0
        self._progress: Progress | None = None
        self._open = contextlib.ExitStack()
        self._start = time.perf_counter()
        if enabled:
            line(self._console, f"compiled in {compile_seconds:.1f} s")
            if self._console.is_terminal and not self._console.is_jupyter:
                self._progress = Progress(_BarOf(self._console), _Line(self._console), console=self._console)
                self._task = self._progress.add_task("", total=last, completed=first, rate=0.0, metrics=[], count="")

    def __enter__(self) -> "Bar":
        if self._progress is not None:
            self._open.enter_context(self._progress)
        self._open.enter_context(listening(self.show if self._enabled else None))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self._open.close()

    def show(self, count: str) -> None:
        """Show the progress of a hook in place of the metrics."""
        if self._progress is not None:
            self._progress.update(self._task, count=count)
        elif count and time.monotonic() - self._said >= LINE_SECONDS:
            self._said = time.monotonic()
            line(self._console, count)

    def advance(self, step: int) -> None:
        """Show that the run has reached `step`."""
        if self._progress is not None:
            if self._rate == 0:  # no record yet: the mean rate so far
                rate = (step - self._first) / (time.perf_counter() - self._start)
                self._progress.update(self._task, rate=rate)
            self._progress.update(self._task, completed=step)

    def record(self, record: dict[str, Any]) -> None:
        """Show a record."""
        self._rate = record["steps_per_second"]
        if self._progress is not None:
            self._progress.update(self._task, rate=self._rate, metrics=_metrics(record))
        elif self._enabled and (record["step"] - self._printed >= self._tenth or record["step"] == self._last):
            self._printed, self._said = record["step"], time.monotonic()
            rate = f"{self._rate:.0f}" if self._rate >= 10 else f"{self._rate:.2g}"
            line(self._console, f"step {record['step']}/{self._last}  {brief(record)}  {rate} steps/s")
