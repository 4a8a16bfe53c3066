"""Ctrl-C and SIGTERM as a question that the training loop asks, instead of an exception somewhere inside it.

An exception that Python raises for a signal appears wherever the main thread happens to be. Where that is a callback of
jax, of the garbage collector or of a weak reference, it is printed and forgotten, and the run goes on. A handler that
only takes a note cannot be lost in this way.
"""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

MESSAGE = "\n{}: training ends as soon as what is under way is done; the same signal again ends it at once\n"


class _Note:
    """A handler that notes the first signal, and restores the earlier handlers when a second comes."""

    def __init__(self, *, tell: bool):
        self.received: str | None = None
        self._tell, self._previous = tell, {}

    def install(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self)

    def restore(self) -> None:
        while self._previous:
            number, handler = self._previous.popitem()
            # A handler that was not installed from Python is given back as None, and cannot be installed again.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def __call__(self, number: int, _frame: object) -> None:
        if self.received is not None:
            self.restore()
            signal.raise_signal(number)
            return
        self.received = signal.Signals(number).name
        if self._tell:
            with contextlib.suppress(OSError, ValueError):  # an exception here would be raised anywhere in the run
                os.write(sys.stderr.fileno(), MESSAGE.format(self.received).encode())


@contextlib.contextmanager
def interruption(*, tell: bool = False) -> Iterator[Callable[[], str | None]]:
    """Catch the first SIGINT or SIGTERM.

    One may be inside another: a signal that came before the inner one began is seen there too.

    Args:
        tell: Whether a line on stderr answers the first signal.

    Yields:
        A function that returns the name of the signal that came, or None. A second signal has its usual effect.
        Outside the main thread signals cannot be caught; the function then always returns None.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    outer = signal.getsignal(signal.SIGINT)
    if isinstance(outer, _Note):
        yield lambda: outer.received
        return
    note = _Note(tell=tell)
    try:
        note.install()
        yield lambda: note.received
    finally:
        note.restore()
