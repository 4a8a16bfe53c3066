"""Files that appear whole or not at all.

Each is written under a temporary name in its own folder, brought to the disk and then moved into place, so that no
reader meets half of one, whenever the process is killed and however full the disk is.

    .NAME-<random>.partial      the temporary name; one is left behind only where the process was killed
"""

import contextlib
import errno
import os
import re
import secrets
import types
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NO_SPACE_TEXTS = ("no space left on device", "disk quota exceeded")
"""Libraries that write through C++ tell of a full disk only in words."""


@contextlib.contextmanager
def writing(path: Path | str) -> Iterator[IO[bytes]]:
    """Open a file to write and read bytes, which takes its place when the block ends and leaves nothing if it raises.

    Args:
        path: Place of the file; what is there is replaced. Its folder must exist.

    Raises:
        OSError: The file cannot be written; ENOSPC where no space is left.
    """
    path = Path(path)
    # A random name, so that two processes that write the same file both finish and the later one stays. It is cut,
    # because a name may be at the limit of the file system already.
    partial = path.with_name(f".{path.name[:50]}-{secrets.token_hex(4)}.partial")
    try:
        with partial.open("x+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError) and disk_is_full(error):
            raise OSError(errno.ENOSPC, f"no space left to write {path}") from error
        raise
    _sync_folder(path.parent)


def write_bytes(path: Path | str, content: bytes) -> None:
    """Write bytes."""
    with writing(path) as file:
        file.write(content)


def write_text(path: Path | str, text: str) -> None:
    """Write text as UTF-8, line ends as they are."""
    write_bytes(path, text.encode())


def write_array(path: Path | str, array: np.ndarray) -> None:
    """Write an array as .npy."""
    with writing(path) as file:
        # Where numpy sees the file itself, its error for a full disk has no errno.
        stream: Any = types.SimpleNamespace(write=file.write)
        np.save(stream, array, allow_pickle=False)


def write_arrays(path: Path | str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by name as .npz, uncompressed."""
    content: dict[str, Any] = dict(arrays)
    with writing(path) as file:
        np.savez(file, **content)


def leftovers(folder: Path | str, names: str = ".*") -> list[Path]:
    """Temporary files in a folder that killed processes left behind.

    Args:
        folder: The folder; empty if it does not exist.
        names: Regular expression of the names of the files that they were to become.
    """
    # The second form is that of earlier versions.
    pattern = re.compile(rf"\.({names})-[0-9a-f]{{8}}\.partial|({names})\.partial")
    folder = Path(folder)
    return [path for path in sorted(folder.iterdir()) if pattern.fullmatch(path.name)] if folder.is_dir() else []


def disk_is_full(error: BaseException) -> bool:
    """Whether an error, or one that led to it, says that no space is left (or that a quota is used up)."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, OSError) and one.errno in _NO_SPACE:
            return True
        if any(text in str(one).lower() for text in _NO_SPACE_TEXTS):
            return True
        waiting += [one.__cause__, one.__context__, *(one.exceptions if isinstance(one, BaseExceptionGroup) else ())]
    return False


def _sync_folder(folder: Path) -> None:
    """Bring the new name to the disk as well, where the system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
