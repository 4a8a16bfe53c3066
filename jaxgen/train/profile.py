"""A trace of some steps for the viewers of jax's profiler: where a step's time goes, operation by operation."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxgen import require
from jaxgen.train.hooks import Hook

SKIPPED, TRACED = 20, 10
"""Steps that are let pass before the trace, while chunks find their length and early digests are taken; steps in it."""


class Profile(NamedTuple):
    """Hooks that trace some steps of a call of `fit`.

    Attributes:
        steps: First and last step in the trace.
        before: Hook that ends the trace; to be put before all other hooks, whose work is then in no trace.
        after: Hook that begins it; to be put after all others.
    """

    steps: tuple[int, int]
    before: Hook
    after: Hook


@contextlib.contextmanager
def profiled(folder: Path, first: int, last: int) -> Iterator[Profile]:
    """Hooks for a call of `fit` that write a trace into a folder, in the layout that TensorBoard reads.

        <folder>/plugins/profile/<time>/*.xplane.pb               TensorBoard's profiler, XProf
        <folder>/plugins/profile/<time>/perfetto_trace.json.gz    ui.perfetto.dev

    The trace begins `SKIPPED` steps after the program was compiled and holds `TRACED` steps, fewer where training ends
    earlier. It changes no bit of what is learned.

    Args:
        folder: Folder of the trace.
        first: Steps that the state has made.
        last: Steps that it will have made.

    Raises:
        ValueError: Fewer than two steps to make; when the trace begins: another trace is being written.
    """
    require.integer("steps", last, first + 2, note="two more than have been made: profile traces the second")
    begin = max(first + 1, min(first + SKIPPED, last - TRACED))
    end = min(begin + TRACED, last)
    tracing = False

    def start(_step: int, state: Any, _window: Any) -> None:
        nonlocal tracing
        jax.block_until_ready(state)
        try:
            jax.profiler.start_trace(folder, create_perfetto_trace=True)
        except RuntimeError as error:
            raise ValueError(f"profile must be off while another trace is written: {error}") from error
        tracing = True

    def stop(_step: int = 0, state: Any = None, _window: Any = None) -> None:
        nonlocal tracing
        if tracing:
            jax.block_until_ready(state)
            tracing = False
            jax.profiler.stop_trace()

    try:
        yield Profile((begin + 1, end), Hook(stop, steps=(end,)), Hook(start, steps=(begin,), at_end=False))
    finally:
        stop()
