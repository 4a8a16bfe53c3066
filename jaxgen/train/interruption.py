"""Ctrl-C and SIGTERM as a question that the training loop asks, instead of an exception somewhere inside it."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def interruption() -> Iterator[Callable[[], str | None]]:
    """Catch the first SIGINT or SIGTERM.

    Yields:
        A function that returns the name of the signal that came, or None. A second signal has its usual effect.
        Outside the main thread signals cannot be caught; the function then always returns None.
    """
    received: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    previous: dict[signal.Signals, object] = {}

    def restore() -> None:
        while previous:
            number, handler = previous.popitem()
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]

    def receive(number: int, _frame: object) -> None:
        received.append(signal.Signals(number).name)
        restore()

    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            previous[number] = signal.signal(number, receive)
        yield lambda: received[0] if received else None
    finally:
        restore()
