"""Exceptions in the words of the one who gave the command, and the exit code they end with."""

import errno
import os
import traceback
import zipfile
import zlib

USER, BUG, INTERRUPTED, TERMINATED, BROKEN_PIPE = 2, 1, 130, 143, 141
"""Exit codes: an error that the user can mend, one of jaxgen's own, and 128 + the number of a signal."""

TRACEBACK = "JAXGEN_TRACEBACK"
"""Name of the environment variable that shows tracebacks."""


def explained(error: BaseException) -> tuple[int, str]:
    """The exit code and one line: the argument, the rule and the value where the user can mend it.

    Args:
        error: Exception that a command raised.

    Returns:
        The code and the line, without "jaxgen: " in front.
    """
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    # Names that are not UTF-8 come as half surrogates, which no stream takes.
    said = " ".join(str(error).split()).encode(errors="backslashreplace").decode()
    name = type(error).__name__
    if isinstance(error, ImportError) and not (error.name or "").startswith("jaxgen"):
        # Where the data need a package, they say themselves which and how it is installed.
        missing = f"; pip install {error.name}" if error.name and "pip install" not in said else ""
        return USER, f"a package is missing: {said}{missing}"
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in said:
        return USER, f"not enough memory{f': {said}' if said else ''}; take a smaller batch, network or number"
    if isinstance(error, RuntimeError | AssertionError) and (lacking := _lacking_device()):
        return USER, lacking
    if isinstance(error, UnicodeError):
        return USER, f"text that is not UTF-8: {said}"
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return USER, f"a name is too long: {said[:200]}"
    if isinstance(error, ValueError | OSError | OverflowError | FloatingPointError):
        return USER, said or name
    if isinstance(error, zipfile.BadZipFile | zlib.error | EOFError):
        return USER, f"a file is damaged: {said or name}"
    from jaxgen.runs.loading import place_of

    if place := place_of(error):
        return USER, f"{name}: {said}{place}"
    return BUG, f"{name}: {said}; this is a fault of jaxgen's own, {TRACEBACK}=1 shows where"


def _lacking_device() -> str:
    """The reason why jax has no device; "" where it has one."""
    import jax

    try:
        jax.devices()
    except Exception as error:  # an AssertionError without words, for CUDA where only the CPU's jaxlib is installed
        said = " ".join(str(error).split()) or "it has no such device here"
        platforms = os.environ.get("JAX_PLATFORMS") or jax.config.jax_platforms  # pyright: ignore
        return f"jax cannot run on JAX_PLATFORMS={platforms}: {said}" if platforms else f"jax has no device: {said}"
    return ""
