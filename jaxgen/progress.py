"""What is said while something takes long and counts no training steps.

Whoever starts it says what it is (`activity`); a loop deep inside says how far it is (`counted`), without knowing who
listens. Where nobody does, counting costs nothing and shows nothing.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

T = TypeVar("T")

LINE_SECONDS = 30.0
"""Where output goes to a file, so long is the least time between two lines about the same activity."""


Listener = Callable[[str], None]
"""Shows a count, "" for none any more."""

_LISTENER: ContextVar[Listener | None] = ContextVar("listener", default=None)


@contextmanager
def listening(listener: Listener | None) -> Iterator[None]:
    """Have what is counted inside shown by a listener; None for nobody."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def counted(iterable: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """The items, while whoever listens is told how many there have been.

    Args:
        iterable: Items of a loop that may take long.
        what: Name of the items, as in "batches".
        total: Number of items; None takes its length where it has one.
    """
    listener = _LISTENER.get()
    if total is None and hasattr(iterable, "__len__"):
        total = len(iterable)  # pyright: ignore[reportArgumentType]
    of = "" if total is None else f"/{total}"
    try:
        for done, item in enumerate(iterable):
            if listener is not None:
                listener(f"{what} {done}{of}")
            yield item
    finally:
        if listener is not None:
            listener("")


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
