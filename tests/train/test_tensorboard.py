"""Events for TensorBoard, and what must not stop training forever."""

import errno
import struct
import time

import pytest

pytest.importorskip("tensorboardX")

from tensorboardX.proto import event_pb2
from tensorboardX.record_writer import RecordWriter

from jaxgen.train.tensorboard import TensorBoard

EVENT = getattr(event_pb2, "Event")  # noqa: B009, a name made at run time


def events(folder):
    found = []
    for path in sorted((folder / "tensorboard").iterdir()):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("Q", content[:8])
            found.append(EVENT.FromString(content[12 : 12 + length]))
            content = content[12 + length + 4 :]
    return found


def scalars(folder):
    return [(e.step, v.tag, v.simple_value) for e in events(folder) for v in e.summary.value]


def test_records_are_scalars_and_a_later_process_takes_back_what_came_after_its_start(tmp_path):
    for first, loss in ((0, 3.0), (1, 2.0)):
        board = TensorBoard(tmp_path, first)
        board.write({"step": first + 1, "loss": loss, "valid/loss": 2 * loss})
        board.close()
    assert scalars(tmp_path) == [(1, "loss", 3.0), (1, "valid/loss", 6.0), (2, "loss", 2.0), (2, "valid/loss", 4.0)]
    assert [e.step for e in events(tmp_path) if e.HasField("session_log")] == [1, 2]


def test_nothing_is_written_before_the_first_record(tmp_path):
    TensorBoard(tmp_path, 0).close()
    assert list(tmp_path.iterdir()) == []


def test_a_clock_set_back_by_years_stops_nothing_and_keeps_the_order(tmp_path, monkeypatch):
    """tensorboardX's own thread dies of a time-out of years, and the queue to it fills up."""
    now = time.time()
    for first, clock in ((0, now), (100, now - 3e8), (200, now - 3e8), (300, 0.0)):
        board = TensorBoard(tmp_path, first)
        monkeypatch.setattr(time, "time", lambda clock=clock: clock)
        for step in range(first, first + 50):
            board.write({"step": step, "loss": float(step)})
        board.close()
    steps = [step for step, _, _ in scalars(tmp_path)]
    assert steps == sorted(steps) and len(steps) == 200


def test_a_full_disk_is_an_error_not_a_wait(tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    board = TensorBoard(tmp_path, 0)
    board.write({"step": 1, "loss": 1.0})
    monkeypatch.setattr(RecordWriter, "write", full)
    for step in range(2, 40):
        with pytest.raises(OSError, match="No space left"):
            board.write({"step": step, "loss": 1.0})
    board.close()
