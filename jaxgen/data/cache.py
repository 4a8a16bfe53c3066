"""Decoded arrays on disk, so that what takes long is done once.

    <cache>/<name>.npz      the arrays, uncompressed; "format", "source" and "digest" beside them

A file is written beside its place and moved there when it is whole, so that no reader meets half of one. It is
believed only if its format is this one's, its source (the checksums of what it was decoded from) the one asked
for and its digest that of its arrays; otherwise a warning says so and it is made again.
"""

import hashlib
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from jaxgen import atomic

FORMAT = 1
"""Raised by whoever changes what a cached array means."""


def folder(cache: str | Path | None) -> Path:
    """Where arrays are kept: the argument, $JAXGEN_CACHE_DIR, $XDG_CACHE_HOME/jaxgen or ~/.cache/jaxgen."""
    if cache is None:
        cache = os.environ.get("JAXGEN_CACHE_DIR")
    if cache:
        return Path(cache).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "jaxgen"


def cached(path: Path, source: str, decode: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The arrays at `path`, or what `decode` returns, which is then kept there.

    Args:
        path: A name ending in .npz.
        source: Checksum of the data that the arrays are made from.
        decode: Function that makes the arrays.

    Returns:
        The arrays by name. A cache that cannot be read or written costs time and a warning, nothing else.
    """
    try:
        return _read(path, source)
    except (FileNotFoundError, NotADirectoryError):
        pass
    # A flipped byte in a zip archive or in the header of an array raises nearly anything, a MemoryError too.
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        warnings.warn(f"the cache {path} is made anew: {reason[:200]}", stacklevel=2)
    arrays = dict(decode())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = {"format": FORMAT, "source": source, "digest": _digest(arrays)}
        atomic.write_arrays(path, {**{name: np.array(value) for name, value in beside.items()}, **arrays})
    except OSError as error:
        warnings.warn(
            f"nothing was cached, set JAXGEN_CACHE_DIR to a folder that can be written: {error}", stacklevel=2
        )
    return arrays


def _read(path: Path, source: str) -> dict[str, np.ndarray]:
    # Opened here: numpy would leave a file open that is no whole archive.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as content:
        if (found := int(content["format"])) != FORMAT:
            raise ValueError(f"its format is {found}, not {FORMAT}")
        if str(content["source"]) != source:
            raise ValueError("it was made from other files")
        arrays = {name: content[name] for name in content.files if name not in ("format", "source", "digest")}
        if str(content["digest"]) != _digest(arrays):
            raise ValueError("its digest is not that of its arrays")
    return arrays


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(array.data)
    return digest.hexdigest()
