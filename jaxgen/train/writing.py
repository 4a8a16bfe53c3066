"""Files that several processes write together in the background: an error of one is an error of all.

A writer such as orbax meets itself in all processes, in threads of its own. Where it fails in one of them, the others
would wait for minutes. Here each process tells the others of its error, through the coordinator of `jax.distributed`,
and nobody waits for what will not come.
"""

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from jaxgen.atomic import disk_is_full
from jaxgen.train.hosts import Processes, client

_POLL_SECONDS = 0.2
_NUMBERS = itertools.count()
"""Numbers of what is written: all processes write the same in the same order."""


class Writing:
    """One thing that all processes write; each makes an object of this class for it.

    Args:
        processes: The processes.
    """

    def __init__(self, processes: Processes):
        self._processes, self._place = processes, f"jaxgen-writing/{next(_NUMBERS)}/"
        self._done: Future[None] | None = None

    def begin(self, finish: Callable[[], Any]) -> None:
        """Wait, in a thread, for this process to have written, and tell the others where it could not.

        Args:
            finish: Function that returns when all is written, or raises.
        """
        self._done = _in_thread(lambda: self.telling(finish))

    def telling(self, call: Callable[[], Any]) -> None:
        """Call a function, and tell the other processes of its error."""
        try:
            call()
        except BaseException as error:
            reason = "no space left on device" if disk_is_full(error) else _first_line(error)
            said = f"process {self._processes.index} of {self._processes.count}: {reason}"
            if self.failed() is None:  # an error may be but the echo of another's
                client().key_value_set(f"{self._place}{self._processes.index:06}", said)
            raise

    def failed(self) -> str | None:
        """Message of the first process that could not write; None where all could so far."""
        return next((said for _, said in sorted(client().key_value_dir_get(self._place))), None)

    def wait(self) -> None:
        """Wait until every process has written.

        Raises:
            OSError: Another process could not.
            Exception: The error of this one.
        """
        if self._done is not None:
            self._until(self._done)

    def meet(self, *, key: str, timeout_ms: int) -> None:
        """Wait, in a thread of the writer, for the same thread of all other processes.

        Args:
            key: Name of the meeting.
            timeout_ms: Longest time to wait, in milliseconds.

        Raises:
            OSError: Another process could not write, and will not come.
            Exception: Another process has ended, or the time is over.
        """
        place = f"{self._place}{key}"
        self._until(_in_thread(lambda: client().wait_at_barrier(place, timeout_ms)))

    def _until(self, done: "Future[None]") -> None:
        while not done.done():
            if (said := self.failed()) is not None:
                raise OSError(said)
            time.sleep(_POLL_SECONDS)
        done.result()


def _in_thread(call: Callable[[], Any]) -> "Future[None]":
    """The result of a call in a thread that the process need not wait for when it ends."""
    done: Future[None] = Future()

    def run() -> None:
        try:
            done.set_result(call())
        except BaseException as error:
            done.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return done


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
