"""A progress bar where someone looks, plain lines where output goes to a file."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


def brief(record: dict[str, Any]) -> str:
    """The metrics of a record in one line, timing left out."""
    return "  ".join(f"{k} {v:.4g}" for k, v in record.items() if k not in ("step", "steps_per_second"))


@contextmanager
def activity(what: str, *, enabled: bool = True) -> Iterator[None]:
    """Say what is being done where no steps are counted: in a terminal with a clock, elsewhere in a line."""
    console = Console(stderr=True)
    if not enabled:
        yield
    elif console.is_terminal and not console.is_jupyter:
        columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as shown:
            shown.add_task(what, total=None)
            yield
    else:
        console.print(f"{what} ...", highlight=False, markup=False, soft_wrap=True)
        yield


class Bar:
    """Progress of a run from step `first` to step `last`.

    In a terminal a bar with rate, time left and metrics; elsewhere (a log file, a notebook without widgets) about
    ten lines.
    """

    def __init__(self, first: int, last: int, *, enabled: bool, compile_seconds: float):
        self._console = Console(stderr=True)
        self._enabled, self._first, self._last = enabled, first, last
        self._tenth = max((last - first) // 10, 1)
        self._printed = first
        self._progress: Progress | None = None
        self._start = time.perf_counter()
        if enabled:
            self._console.print(f"compiled in {compile_seconds:.1f} s", highlight=False)
            if self._console.is_terminal and not self._console.is_jupyter:
                self._progress = Progress(
                    BarColumn(bar_width=24),
                    MofNCompleteColumn(),
                    TextColumn("{task.fields[rate]:.0f} steps/s"),
                    TimeRemainingColumn(),
                    TextColumn("{task.fields[metrics]}"),
                    console=self._console,
                )
                self._task = self._progress.add_task("", total=last, completed=first, rate=0.0, metrics="")

    def __enter__(self) -> "Bar":
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if self._progress is not None:
            self._progress.stop()

    def advance(self, step: int) -> None:
        """The run has reached `step`."""
        if self._progress is not None:
            self._progress.update(self._task, completed=step)

    def record(self, record: dict[str, Any]) -> None:
        """Show a record."""
        if self._progress is not None:
            self._progress.update(self._task, rate=record["steps_per_second"], metrics=brief(record))
        elif self._enabled and (record["step"] - self._printed >= self._tenth or record["step"] == self._last):
            self._printed = record["step"]
            rate = record["steps_per_second"]
            self._console.print(
                f"step {record['step']}/{self._last}  {brief(record)}  {rate:.0f} steps/s",
                highlight=False,
                soft_wrap=True,
            )
