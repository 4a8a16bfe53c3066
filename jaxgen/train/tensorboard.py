"""Metrics for TensorBoard, where tensorboardX is installed."""

import importlib
import importlib.util
import re
import socket
import time
from pathlib import Path
from typing import Any

_FLUSH_SECONDS = 30


class TensorBoard:
    """A writer of scalars into `folder`/tensorboard, or nothing at all where tensorboardX is not installed.

    Records are written at once. tensorboardX's own writer leaves that to a thread, which dies silently when the
    disk is full or the clock is set back by weeks; training would then wait for it forever.

    Args:
        folder: Folder of the run.
        first: Step at which this process begins; records of earlier processes after it no longer count.
    """

    def __init__(self, folder: Path, first: int):
        self._folder, self._first = folder / "tensorboard", first
        self._installed = importlib.util.find_spec("tensorboardX") is not None
        self._writer: Any = None

    def write(self, record: dict[str, Any]) -> None:
        """Write every entry of a record but "step" as a scalar; the first record makes the file.

        Raises:
            OSError: The file cannot be written.
        """
        if not self._installed:
            return
        from tensorboardX.summary import scalar

        if self._writer is None:
            self._writer = self._opened()
        for name, value in record.items():
            if name != "step":
                self._writer.write(_event(step=record["step"], summary=scalar(name, value)))
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._flush()

    def close(self) -> None:
        """Write everything to the disk and close the file."""
        if self._writer is not None:
            writer = self._writer
            try:
                self._flush()
            finally:
                self._writer = None
                writer.close()

    def _opened(self) -> Any:
        from tensorboardX.record_writer import RecordWriter

        self._folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads files in the order of their names, which hold the time; a clock may have been set back.
        names = (re.match(r"events\.out\.tfevents\.(\d+)", path.name) for path in self._folder.iterdir())
        number = max([int(time.time()), *(int(name[1]) + 1 for name in names if name)])
        writer = RecordWriter(str(self._folder / f"events.out.tfevents.{number:010d}.{socket.gethostname()}"))
        writer.write(_event(file_version="brain.Event:2"))
        writer.write(_event(step=self._first + 1, session_log={"status": 1}))  # 1: START
        writer.flush()
        self._flushed = time.monotonic()
        return writer

    def _flush(self) -> None:
        self._writer.flush()
        self._flushed = time.monotonic()


def _event(**fields: Any) -> bytes:
    events: Any = importlib.import_module("tensorboardX.proto.event_pb2")  # its names are made at run time
    return events.Event(wall_time=time.time(), **fields).SerializeToString()
