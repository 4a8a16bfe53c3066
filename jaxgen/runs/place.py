"""The place of a run on the disk: whether a run can be there, and the lock under which one process trains at a time."""

import shutil
from pathlib import Path

from filelock import FileLock, Timeout

from jaxgen import atomic

_OURS = r"manifest\.json|metrics\.jsonl(\.damaged[.0-9]*)?|step_\d+\.npy|(?!samples_).*\.png"
"""Files that a training process writes; samples are drawn by others, perhaps at this moment."""

_PARTS = ("metrics.jsonl", "checkpoints", "pictures", "frames", "tensorboard", "start", "damaged")


def may_be_a_run(path: Path | str) -> None:
    """Refuse a place in which no run can be, as far as that is known without writing there.

    Raises:
        ValueError: No path.
        NotADirectoryError: There is a file in its place.
        PermissionError: There is one in the place of a folder above.
        FileExistsError: The folder holds something else, or a run that has lost its manifest.
    """
    if "\0" in str(path):
        raise ValueError(f"the run folder must be a path, got {str(path)!r}")
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"the run folder {path} is a file; give an empty or new folder")
    for place in path.parents:
        if place.exists() and not place.is_dir():
            raise PermissionError(f"the run folder {path} cannot be written: {place} is a file")
    if path.is_dir():
        _is_a_run_or_empty(path)


def lock(path: Path | str) -> FileLock:
    """Make the folder if need be and take it for this process.

    Args:
        path: The folder of a run.

    Returns:
        The lock, taken. The system frees it when the process ends, however it ends. What an earlier process was writing
        when it was killed is gone, and the folder holds a run or nothing.

    Raises:
        NotADirectoryError: There is a file in its place.
        PermissionError: The folder cannot be written.
        BlockingIOError: Another process is writing the run.
        FileExistsError: The folder holds something else, or a run that has lost its manifest.
    """
    may_be_a_run(path)  # before anything is written into what belongs to others
    path = Path(path)
    cannot = f"the run folder {path} cannot be written"
    try:
        path.mkdir(parents=True, exist_ok=True)
        taken = FileLock(path / ".lock")
        taken.acquire(timeout=0)
    except Timeout:
        raise BlockingIOError(f"another process is writing the run in {path}") from None
    except (OSError, NotImplementedError) as error:  # a file system without locks
        raise PermissionError(f"{cannot}: {getattr(error, 'strerror', None) or error}") from None
    try:
        _is_a_run_or_empty(path)
        try:
            probe = path / ".probe"
            probe.write_text("")
            probe.unlink()
        except OSError as error:
            raise PermissionError(f"{cannot}: {error.strerror or error}") from None
        for folder in (path, path / "pictures", path / "frames"):
            for left in atomic.leftovers(folder, _OURS):
                left.unlink(missing_ok=True)
    except BaseException:
        taken.release()
        raise
    return taken


def enough_space(path: Path | str, needed_bytes: int) -> None:
    """Raise OSError unless the disk of a folder has so much space left, roughly."""
    free = shutil.disk_usage(path).free
    if free < needed_bytes:
        raise OSError(
            f"the run folder {path} has {free / 2**20:.0f} MiB of space left, "
            f"the run needs about {needed_bytes / 2**20:.0f} MiB"
        )


def _is_a_run_or_empty(path: Path) -> None:
    left = set(atomic.leftovers(path, _OURS))
    others = sorted(p.name for p in path.iterdir() if not p.name.startswith(".") and p not in left)
    # Asked after the list was made: the manifest is a run's first file.
    if not others or (path / "manifest.json").exists():
        return
    if any(name in _PARTS for name in others):
        raise FileExistsError(
            f"the run folder {path} holds parts of a run ({', '.join(n for n in others if n in _PARTS)}) but no "
            "manifest.json; put that back, or give an empty or new folder"
        )
    raise FileExistsError(f"the run folder {path} holds something else ({others[0]}); give an empty or new one")
