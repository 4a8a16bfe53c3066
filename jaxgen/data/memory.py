"""Whether data will fit into memory, asked before they are read.

A process that takes more memory than there is gets killed without a word, so the sizes that headers speak of are
held against what is available.
"""

import contextlib
import os
from pathlib import Path

from jaxgen.require import integer

_MEMINFO = Path("/proc/meminfo")
# A container's limit: Linux's two kinds of control groups.
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def available() -> int | None:
    """Bytes of memory that can be had at this moment; None where the system does not say."""
    found = []
    try:
        line = next(line for line in _MEMINFO.read_text().splitlines() if line.startswith("MemAvailable:"))
        found.append(1024 * int(line.split()[1]))
    except (OSError, StopIteration, ValueError, IndexError):  # not Linux
        with contextlib.suppress(AttributeError, ValueError, OSError):  # not Unix
            found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in _LIMITS:
        with contextlib.suppress(OSError, ValueError):  # no container, or "max"
            found.append(int(path.read_text()))
    return min(found, default=None)


def require_room(what: str, num_bytes: int, way_out: str, limit: int | None = None) -> None:
    """Refuse what would fill the memory.

    Args:
        what: Name of what would be read.
        num_bytes: Memory that it takes.
        way_out: Advice at the end of the message.
        limit: The most bytes that are allowed; None for those that are available.

    Raises:
        ValueError: More bytes than that, or a limit that is no number of bytes.
    """
    if limit is not None:
        most, rule = integer("limit", limit, 1), f"limit={limit} bytes"
    elif (most := available()) is not None:
        rule = f"the {_size(most)} of memory that are available"
    if most is not None and num_bytes > most:
        raise ValueError(f"{what} must fit into {rule}, got {_size(num_bytes)}: {way_out}")


def _size(num_bytes: int) -> str:
    gib = num_bytes / 2**30
    return f"{gib:,.1f} GiB" if gib >= 0.1 else f"{gib:.2g} GiB ({num_bytes} bytes)"
