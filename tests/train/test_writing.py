"""Files that several processes write: the error of one ends the waiting of all."""

import itertools
import threading

import pytest

from jaxgen.train import writing
from jaxgen.train.hosts import Processes


class Coordinator:
    """Values and meetings of two processes, which are two threads here."""

    def __init__(self):
        self.values, self.meetings = {}, {}

    def key_value_set(self, key, value):
        self.values[key] = value

    def key_value_dir_get(self, place):
        return [(key, value) for key, value in dict(self.values).items() if key.startswith(place)]

    def wait_at_barrier(self, key, timeout_ms):
        self.meetings.setdefault(key, threading.Barrier(2)).wait(timeout_ms / 1000)


@pytest.fixture
def pair(monkeypatch):
    coordinator = Coordinator()
    monkeypatch.setattr(writing, "client", lambda: coordinator)
    monkeypatch.setattr(writing, "_POLL_SECONDS", 0.001)
    pair = []
    for index in range(2):
        monkeypatch.setattr(writing, "_NUMBERS", itertools.count(5))
        pair.append(writing.Writing(Processes(2, index)))
    return pair


def fail():
    raise OSError("the disk is gone\nand more")


def test_all_have_written_when_each_has(pair):
    for one in pair:
        one.begin(lambda one=one: one.meet(key="written", timeout_ms=60_000))
    for one in pair:
        one.wait()
        assert one.failed() is None


@pytest.mark.parametrize("number", [0, 1])
def test_an_error_of_one_is_an_error_of_all_and_nobody_waits(pair, number):
    one, other = pair[number], pair[1 - number]
    waiting = threading.Event()
    other.begin(lambda: other.meet(key="written", timeout_ms=60_000))
    one.begin(fail)
    with pytest.raises(OSError, match="the disk is gone"):
        one.wait()
    for call in (other.wait, lambda: other.meet(key="another", timeout_ms=60_000)):
        with pytest.raises(OSError, match=rf"^process {number} of 2: the disk is gone$"):
            call()
    # Also where the writer waits for something of its own that cannot be ended.
    stuck = pair[1 - number]
    stuck.begin(waiting.wait)
    with pytest.raises(OSError, match=f"process {number} of 2"):
        stuck.wait()
    waiting.set()


def test_a_full_disk_is_told_as_one_and_an_echo_is_not_told(pair):
    with pytest.raises(OSError, match="x"):
        pair[1].telling(lambda: (_ for _ in ()).throw(OSError(28, "x" * 300)))
    with pytest.raises(OSError, match="the disk is gone"):
        pair[0].telling(fail)
    assert pair[0].failed() == pair[1].failed() == "process 1 of 2: no space left on device"
