"""Metrics for TensorBoard, where tensorboardX is installed."""

import importlib.util
from pathlib import Path
from typing import Any


class TensorBoard:
    """A writer of scalars, or nothing at all where tensorboardX is not installed."""

    def __init__(self, writer: Any):
        self._writer = writer

    @classmethod
    def where_installed(cls, folder: Path, first: int) -> "TensorBoard":
        """A writer into `folder`/tensorboard; what it holds after step `first` no longer counts."""
        if importlib.util.find_spec("tensorboardX") is None:
            return cls(None)
        from tensorboardX import SummaryWriter

        return cls(SummaryWriter(str(folder / "tensorboard"), purge_step=first + 1))

    def write(self, record: dict[str, Any]) -> None:
        """Every entry of a record but "step" as a scalar."""
        if self._writer is not None:
            for name, value in record.items():
                if name != "step":
                    self._writer.add_scalar(name, value, record["step"])

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
