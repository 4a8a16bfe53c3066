"""The folder of a run.

    manifest.json   experiment and config, versions, device, flags, data fingerprint, digests by step, results
    metrics.jsonl   one record per line
    checkpoints/    by orbax
    pictures/       PNG
    frames/         samples of the same draws over the run, one .npy for each moment
    damaged/        checkpoints that could not be read, set aside

Every file appears whole or not at all, and one process writes at a time, so that a run that was killed at any moment
can be resumed.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from jaxgen.runs.config import from_json


class RunFolder:
    """A run's folder, open for reading.

    Args:
        path: The folder.

    Raises:
        FileNotFoundError: There is no run.
        ValueError: Its manifest is no JSON, or not a manifest.
    """

    def __init__(self, path: Path | str):
        self.path = Path(path)
        try:
            text = (self.path / "manifest.json").read_text()
        except (FileNotFoundError, NotADirectoryError):
            raise FileNotFoundError(f"no run in {self.path}: it has no manifest.json") from None
        try:
            self.manifest: dict[str, Any] = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"{self.path / 'manifest.json'} is not JSON: {error}") from None
        missing = [name for name in ("config", "environment", "data", "digests") if name not in dict(self.manifest)]
        if missing:
            raise ValueError(f"{self.path / 'manifest.json'} is not a run's manifest: it lacks {', '.join(missing)}")

    @classmethod
    def create(cls, path: Path | str, manifest: dict[str, Any]) -> "RunFolder":
        """Write the manifest of a new run; `lock` first."""
        _write(Path(path) / "manifest.json", manifest)
        return cls(path)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def pictures(self) -> Path:
        return self.path / "pictures"

    @property
    def _frames(self) -> Path:
        return self.path / "frames"

    def add_frame(self, step: int, samples: np.ndarray) -> None:
        """Keep the samples of one moment."""
        self._frames.mkdir(exist_ok=True)
        path = self._frames / f"step_{step:010d}.npy"
        partial = path.with_name(path.name + ".partial")
        with partial.open("wb") as file:
            np.save(file, samples, allow_pickle=False)
        partial.replace(path)

    def frames(self) -> dict[str, np.ndarray]:
        """Samples by moment ("step 100"), in order."""
        paths = sorted(self._frames.glob("step_*.npy"))
        return {f"step {_step_of(path)}": np.load(path, allow_pickle=False) for path in paths}

    @property
    def config(self) -> Any:
        """The config of the run, rebuilt from the manifest."""
        try:
            return from_json(self.manifest["config"])
        except (TypeError, ValueError) as error:
            raise ValueError(f"the config in {self.path / 'manifest.json'} is not valid: {error}") from None

    def update(self, **entries: Any) -> None:
        """Change entries of the manifest, on disk as well."""
        self.manifest = {**self.manifest, **entries}
        _write(self.path / "manifest.json", self.manifest)

    def records(self) -> list[dict[str, Any]]:
        """The records of metrics.jsonl; a last line that was cut off is left out."""
        records = []
        path = self.path / "metrics.jsonl"
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                records.append(json.loads(line))
            except json.JSONDecodeError:
                break
        return records

    def rewind(self, step: int) -> None:
        """Drop the records and frames after a step: they will be made again."""
        for path in self._frames.glob("step_*.npy"):
            if _step_of(path) > step:
                path.unlink()
        lines = [json.dumps(record) + "\n" for record in self.records() if record["step"] <= step]
        _replace(self.path / "metrics.jsonl", "".join(lines))

    def append(self, record: dict[str, Any]) -> None:
        """Add a record to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(record) + "\n")


def lock(path: Path | str, needed_bytes: int = 0) -> FileLock:
    """Make the folder if need be and take it for this process.

    Args:
        path: The folder of a run.
        needed_bytes: Space that the run will take, roughly.

    Returns:
        The lock, taken. The system frees it when the process ends, however it ends.

    Raises:
        PermissionError: The folder cannot be written.
        OSError: Too little space.
        BlockingIOError: Another process is writing the run.
        FileExistsError: The folder holds something else.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / ".probe"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise PermissionError(f"the run folder {path} cannot be written: {error.strerror or error}") from None
    strange = [p.name for p in path.iterdir() if not p.name.startswith(".")]
    if strange and not (path / "manifest.json").exists():
        raise FileExistsError(f"the run folder {path} holds something else ({strange[0]}); give an empty or new one")
    free = shutil.disk_usage(path).free
    if free < needed_bytes:
        raise OSError(
            f"the run folder {path} has {free / 2**20:.0f} MiB of space left, "
            f"the run needs about {needed_bytes / 2**20:.0f} MiB"
        )
    taken = FileLock(path / ".lock")
    try:
        taken.acquire(timeout=0)
    except Timeout:
        raise BlockingIOError(f"another process is writing the run in {path}") from None
    return taken


def _step_of(frame: Path) -> int:
    return int(frame.stem.removeprefix("step_"))


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(path.name + ".partial")
    with partial.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _write(path: Path, tree: dict[str, Any]) -> None:
    _replace(path, json.dumps(tree, indent=2) + "\n")
