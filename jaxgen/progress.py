"""Progress of work that takes long and counts no training steps.

The caller names the work (`activity`); a loop deep inside says how far it is (`counted`), without knowing who
listens. Where nobody does, counting costs nothing and shows nothing.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

T = TypeVar("T")

LINE_SECONDS = 30.0
"""Where output goes to a file, so long is the least time between two lines about the same activity."""


Show = Callable[[str], None]
"""Shows how far a loop is, "" for no loop any more."""


class _Counts:
    """The loops that are under way, from the outermost to the innermost."""

    def __init__(self, show: Show):
        self._show, self._loops = show, dict[object, str]()

    def put(self, loop: object, count: str) -> None:
        self._loops[loop] = count
        self._show(", ".join(self._loops.values()))

    def remove(self, loop: object) -> None:
        self._loops.pop(loop, None)
        self._show(", ".join(self._loops.values()))


_COUNTS: ContextVar[_Counts | None] = ContextVar("counts", default=None)


@contextmanager
def listening(show: Show | None) -> Iterator[None]:
    """Have what is counted inside shown; None for not at all."""
    token = _COUNTS.set(None if show is None else _Counts(show))
    try:
        yield
    finally:
        _COUNTS.reset(token)


def counted(iterable: Iterable[T], what: str, total: int | None = None, each: int = 1) -> Iterator[T]:
    """The items, while whoever listens is told how many there have been.

    Args:
        iterable: Items of a loop that may take long.
        what: Name of what is counted, as in "examples".
        total: Number of them in all; None takes the length of the iterable where it has one.
        each: Number of them in an item, where that is a batch.
    """
    counts, loop = _COUNTS.get(), object()
    if total is None and isinstance(iterable, Sized):
        total = len(iterable) * each
    of = "" if total is None else f"/{total}"
    if counts is None or (total is not None and total <= each):  # one item is no loop
        yield from iterable
        return
    try:
        for done, item in enumerate(iterable):
            counts.put(loop, f"{what} {done * each}{of}")
            yield item
    finally:
        counts.remove(loop)


class _Lines:
    """Lines of a log file, one now and then."""

    def __init__(self, console: Console, what: str):
        self._console, self._what = console, what
        self._last = time.monotonic()

    def show(self, count: str) -> None:
        if count and time.monotonic() - self._last >= LINE_SECONDS:
            self._last = time.monotonic()
            line(self._console, f"{self._what}: {count}")


def line(console: Console, text: str) -> None:
    """A line as it stands: no colours, no markup, no breaks."""
    console.print(text, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def activity(what: str, *, enabled: bool = True, log: bool = True) -> Iterator[None]:
    """Say what is being done: in a terminal with a clock and counts, elsewhere in a line and a few more if it is long.

    Args:
        what: Name of what is done.
        enabled: Whether anything is shown.
        log: Whether it is worth a line where output goes to a file.
    """
    console = Console(stderr=True)
    if not enabled:
        with listening(None):
            yield
    elif console.is_terminal and not console.is_jupyter:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TextColumn("{task.fields[count]}", markup=False),
            TimeElapsedColumn(),
        )
        shown = Progress(*columns, console=console, transient=True)
        task = shown.add_task(what, total=None, count="")
        with shown, listening(lambda count: shown.update(task, count=count)):
            yield
    else:
        if log:
            line(console, f"{what} ...")
        with listening(_Lines(console, what).show if log else None):
            yield
