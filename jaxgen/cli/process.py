"""The process whose only work is one command: how it speaks, is interrupted, and ends."""

import io
import os
import signal
import sys
import tempfile
import threading
import warnings
from pathlib import Path
from typing import Any


def speak_plainly() -> None:
    """Make a warning one line, and print what the terminal has no letter for (± in ASCII) rather than raise."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def show(message: Warning | str, *_: Any) -> None:
        print(f"jaxgen: warning: {' '.join(str(message).split())}", file=sys.stderr)

    warnings.showwarning = show


def insist() -> None:
    """Let an interruption come again where it was lost.

    Where Python raises it inside a callback (of the garbage collector, of a weak reference), it is printed and
    forgotten, and the command would run on.
    """
    told = sys.unraisablehook

    def hook(lost: Any) -> None:
        if not issubclass(lost.exc_type, KeyboardInterrupt) or not hasattr(signal, "setitimer"):
            told(lost)
            return
        signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
        signal.setitimer(signal.ITIMER_REAL, 0.02)  # when the callback has ended

    sys.unraisablehook = hook


def keep_programs() -> None:
    """Keep compiled programs for the next command, if the environment asks for it: JAXGEN_COMPILATION_CACHE=1.

    They lie in compiled/ of jaxgen's cache folder, or in the folder that the variable names; 0 or nothing is for no
    cache. XLA compiles for the number of cores at hand, of which JAX's key of a program knows nothing: each number has
    a folder of its own, so that a command has the bits that it has without the cache.

    Raises:
        ValueError: A folder that cannot be written.
    """
    given = os.environ.get("JAXGEN_COMPILATION_CACHE", "")
    if given in ("", "0"):
        return
    import jax

    from jaxgen.data import cache
    from jaxgen.runs import environment

    folder = cache.folder(None) / "compiled" if given == "1" else Path(given).expanduser()
    folder = folder.absolute() / f"{environment.cores()}-cores"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ValueError(
            f"JAXGEN_COMPILATION_CACHE must be 0, 1 or a folder that can be written, got {given!r}: {error}"
        ) from None
    jax.config.update("jax_compilation_cache_dir", str(folder))
    # JAX keeps what takes a second. A run has a hundred small programs, and together they take longer than its loop.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def import_all() -> None:
    """Import what takes long. An interruption leaves the process: inside an import it may become any other error."""

    def leave_at_once(_number: int, _frame: object) -> None:
        os.write(2, b"jaxgen: interrupted\n")
        os._exit(130)

    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, leave_at_once)
    try:
        import tyro  # noqa: F401

        import jaxgen.experiments
        import jaxgen.runs  # noqa: F401
    finally:
        signal.signal(signal.SIGINT, before)


def leave(code: int) -> None:
    """Write what is still to be written; where a signal ended the command, leave the process.

    Threads of XLA that still compile crash a process which ends the usual way (segmentation fault), after all is saved.

    Args:
        code: The exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BrokenPipeError:  # nobody reads; Python would say so again at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    if code > 128 or (code and (_connected() or _writing())):
        os._exit(code)


def _connected() -> bool:
    """Whether other processes of a run still count on this one: those that are left would be waited for at the end."""
    jax = sys.modules.get("jax")
    return jax is not None and jax.distributed.is_initialized()


def _writing() -> bool:
    """Whether a thread of orbax still waits to write a checkpoint with processes that have failed."""
    return any(thread.name == "async_save" for thread in threading.enumerate())
