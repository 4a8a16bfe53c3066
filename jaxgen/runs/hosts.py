"""A run of several processes: what they must have in common, and its folder as those see it that do not write it."""

import dataclasses
import functools
import hashlib
import secrets
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxgen
from jaxgen.core import Estimate
from jaxgen.runs import environment, outside
from jaxgen.runs.config import difference, without
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.settings import Settings
from jaxgen.train.hosts import Processes

VISIBLE_SECONDS = 60
"""Time after which a file that one host has written must be seen by the others: network file systems take a while."""


class FollowedFolder(RunFolder):
    """A run's folder that another process writes: what is changed here is changed in memory alone."""

    def update(self, **entries: Any) -> None:
        self.manifest = {**self.manifest, **entries}

    def append(self, record: dict[str, Any]) -> None:
        del record

    def rewind(self, step: int) -> None:
        del step

    def add_frame(self, step: int, samples: np.ndarray) -> None:
        del step, samples


def on_all_devices(config: Settings, processes: Processes) -> Settings:
    """The config with all devices of all processes where it names none.

    Args:
        config: The config.
        processes: Processes of the run.

    Raises:
        ValueError: Another number of devices than all, where there are several processes.
    """
    if processes.count == 1:
        return config
    count = jax.device_count()
    if config.devices not in (type(config).devices, count):
        raise ValueError(
            f"devices must be all {count} devices of the {processes.count} processes, or left out, got {config.devices}"
        )
    return dataclasses.replace(config, devices=count)


def same_program(processes: Processes, config: Settings) -> None:
    """Raise ValueError, in every process, unless all run the same code with the same config.

    Args:
        processes: Processes of the run.
        config: The config of this one.
    """
    if processes.count == 1:
        return
    own = outside.entry_of(type(config))
    here = environment.describe()
    values = {
        "config": without(config.described(), config.paths),  # where data lie is each host's own business
        "experiment": None if own is None else own["sha256"],
        "source of jaxgen": source_digest()[:16],
        "versions": here["versions"],
        "flags": {name: value for name, value in here["flags"].items() if name != "XLA_FLAGS"},
        "devices of each process": jax.local_device_count(),
    }
    processes.same(values, difference)


def same_data(processes: Processes, dataset: Any) -> None:
    """Raise ValueError, in every process, unless all have the same data.

    Args:
        processes: Processes of the run.
        dataset: The data of this one.
    """
    if processes.count > 1:
        processes.same({"data": {"name": dataset.name, "fingerprint": dataset.fingerprint[:16]}}, difference)


@functools.cache
def source_digest(root: Path = Path(jaxgen.__file__).parent) -> str:
    """SHA-256 over the Python files of a folder, wherever it lies, in hex.

    Args:
        root: The folder; that of jaxgen unless given.
    """
    sha = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        sha.update(f"{file.relative_to(root).as_posix()}\n".encode())
        sha.update(file.read_bytes())
    return sha.hexdigest()


def begun(processes: Processes, path: Path | str) -> bool:
    """Whether a folder holds a run, which is then the same one for every process.

    Args:
        processes: Processes of the run.
        path: The folder.

    Raises:
        FileNotFoundError: The folder is not on a file system that all processes share.
    """
    there, manifest = processes.first(lambda: [(Path(path) / "manifest.json").exists(), _identity(path)])
    processes.together(lambda: there and _wait_for(processes, path, manifest))
    return there


def opened(processes: Processes, path: Path | str, write: Callable[[], RunFolder]) -> RunFolder:
    """The folder of a run, which the first process writes and all others follow.

    Args:
        processes: Processes of the run.
        path: The folder.
        write: Function that opens or creates the folder in the first process.

    Raises:
        FileNotFoundError: The folder is not on a file system that all processes share.
    """
    if processes.count == 1:
        return write()
    sign = Path(path) / f".shared-{secrets.token_hex(8)}"  # a copy of the folder has the same manifest, but not this

    def written() -> RunFolder | None:
        if not processes.leads:
            return None
        folder = write()
        sign.touch()
        return folder

    own, told = processes.together(written, lambda folder: None if folder is None else [_identity(path), sign.name])

    def followed() -> RunFolder:
        if own is not None:
            return own
        _wait_for(processes, path, *told[0])
        return FollowedFolder(path)

    try:
        return processes.together(followed)[0]
    finally:
        sign.unlink(missing_ok=True)


def _wait_for(processes: Processes, path: Path | str, manifest: str | None, name: str = "") -> None:
    """Wait until this process sees the manifest that the first one has, and another file beside it."""
    end = time.monotonic() + VISIBLE_SECONDS
    while _identity(path) != manifest or not (Path(path) / name).exists():
        if time.monotonic() > end:
            raise FileNotFoundError(
                f"the run folder {path} must be on a file system that all processes share: process "
                f"{processes.index} on {socket.gethostname()} does not see there what process 0 has written"
            )
        time.sleep(0.2)


def _identity(path: Path | str) -> str | None:
    """SHA-256 of the manifest in a folder; None where there is none."""
    try:
        return hashlib.sha256((Path(path) / "manifest.json").read_bytes()).hexdigest()
    except OSError:
        return None


def led(
    processes: Processes,
    reached: Callable[[], tuple[Any, Any]],
    followed: Callable[[int | None], tuple[Any, Any]],
) -> tuple[Any, Any]:
    """The state that a run goes on from, in every process.

    Args:
        processes: Processes of the run.
        reached: () -> state or None and window, called in the first process, which may put the folder in order.
        followed: (step of that state or None) -> the same state and window, called in all others.
    """
    own, told = processes.together(
        lambda: reached() if processes.leads else None,
        lambda found: None if found is None or found[0] is None else int(found[0].step),
    )
    return processes.together(lambda: followed(told[0]) if own is None else own)[0]


def results(
    processes: Processes, finish: Callable[[], dict[str, dict[str, Estimate]]]
) -> dict[str, dict[str, Estimate]]:
    """The results of a run, which the first process measures, in every process.

    Args:
        processes: Processes of the run.
        finish: Function of the first process.
    """
    own, told = processes.together(
        lambda: finish() if processes.leads else None,
        lambda found: {
            split: {name: estimate._asdict() for name, estimate in values.items()}
            for split, values in (found or {}).items()
        },
    )
    if own is not None:
        return own
    return {split: {name: Estimate(**entry) for name, entry in values.items()} for split, values in told[0].items()}
