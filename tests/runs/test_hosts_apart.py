"""Hosts that do not belong together or fail apart: other code, a folder that is not one for all, a full disk."""

import json
import shutil
import time

import pytest
from together import FLAGS, HEARTBEAT, ROOT, Together, assert_all_say, train

from jaxgen.runs import hosts
from jaxgen.runs.config import difference
from jaxgen.runs.folder import RunFolder
from jaxgen.train.hosts import Processes, agreed

MANIFEST = {"config": {}, "environment": {}, "data": {}, "digests": {}}


class Second(Processes):
    """The second of two processes, to which the first one has told something."""

    first_told = None

    def together(self, call, tell=lambda _: None):
        result = call()
        return result, [self.first_told, tell(result)]


def second(told):
    return type("Told", (Second,), {"first_told": told})(2, 1)


def test_a_changed_line_is_another_source_and_another_place_is_not(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    shutil.copytree(ROOT / "jaxgen" / "runs", here)
    shutil.copytree(here, there / "runs")
    assert hosts.source_digest(there / "runs") == hosts.source_digest(here)
    (here / "hosts.py").write_text((here / "hosts.py").read_text() + "\n# another line\n")
    hosts.source_digest.cache_clear()
    assert hosts.source_digest(there / "runs") != hosts.source_digest(here)


def test_differing_values_are_named_and_the_error_is_known_to_all():
    first = {"host": "one", "values": {"source of jaxgen": "abc", "devices": 1}}
    second(first).same({"source of jaxgen": "abc", "devices": 1}, difference)
    with pytest.raises(ValueError, match=r"differs from process 0 on one .source of jaxgen: 'abc' -> 'def'") as error:
        second(first).same({"source of jaxgen": "def", "devices": 1}, difference)
    assert agreed(error.value)


def test_a_folder_that_is_not_there_or_a_copy_is_not_the_first_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(hosts, "VISIBLE_SECONDS", 0)
    for name in ("shared", "other"):
        (tmp_path / name).mkdir()
    shared = RunFolder.create(tmp_path / "shared", MANIFEST).path
    first = hosts._identity(shared)
    shutil.copytree(shared, tmp_path / "copy")
    RunFolder.create(tmp_path / "other", {**MANIFEST, "data": {"name": "other"}})
    (shared / ".shared-1").touch()

    def opened(name):
        return hosts.opened(second([first, ".shared-1"]), tmp_path / name, lambda: RunFolder(tmp_path / name))

    assert isinstance(opened("shared"), hosts.FollowedFolder)
    for name in ("copy", "other", "nowhere"):
        with pytest.raises(FileNotFoundError, match=rf"{name} must be on a file system .*: process 1 on "):
            opened(name)
    assert hosts.begun(second([True, first]), tmp_path / "copy")
    assert not hosts.begun(second([False, None]), tmp_path / "other")
    for name in ("other", "nowhere"):
        with pytest.raises(FileNotFoundError, match=f"{name} must be on a file system"):
            hosts.begun(second([True, first]), tmp_path / name)


@pytest.mark.slow
def test_other_code_of_jaxgen_is_refused_by_every_process(tmp_path):
    shutil.copytree(ROOT / "jaxgen", tmp_path / "jaxgen", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "jaxgen" / "digest.py").open("a") as file:
        file.write("\n# another line\n")
    processes = train(tmp_path / "run", folder=lambda number: (ROOT, tmp_path)[number])
    assert_all_say(processes, "must run the same code, config and data: process 1 on ", "(source of jaxgen: '")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_folder_that_is_not_shared_is_refused_by_every_process(tmp_path):
    def refused(*command):
        processes = Together(
            *command, each=place, before=lambda _: "import jaxgen.runs.hosts as hosts; hosts.VISIBLE_SECONDS = 1"
        )
        assert_all_say(processes, "must be on a file system that all processes share: process 1 on ")

    def place(number):
        return ("--run", str(tmp_path / f"{number}"))

    begin = ("train", "digits_vae", "--steps", "4", *FLAGS)
    refused(*begin)
    assert not (tmp_path / "1").exists()
    # A run that the second process does not see, sees a copy of, or as it was before.
    codes, outputs = Together(*begin, "--run", str(tmp_path / "0")).ended()
    assert codes == [0, 0], outputs
    refused(*begin)
    shutil.copytree(tmp_path / "0", tmp_path / "1")
    refused(*begin)
    manifest = json.loads((tmp_path / "1" / "manifest.json").read_text())
    (tmp_path / "1" / "manifest.json").write_text(json.dumps({**manifest, "digests": {}}))
    refused(*begin)


FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (2000, -1))"
UNFINISHED = """
import orbax.checkpoint._src.checkpointers.async_checkpointer as checkpointer

def renamed(*_):
    raise OSError(5, "cannot rename")

checkpointer._on_commit_callback = renamed
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "fault", "said"),
    [(1, FULL, "process 1 of 2: "), (0, UNFINISHED, "cannot rename")],
    ids=["the second has no space", "the first cannot finish it"],
)
def test_a_checkpoint_that_one_process_cannot_write_ends_all(tmp_path, number, fault, said):
    processes = train(
        tmp_path / "run", "--shard-state", "--model.hidden", "64", before=lambda n: fault if n == number else ""
    )
    processes.until(tmp_path / "run" / "metrics.jsonl")
    begin = time.monotonic()
    assert_all_say(processes, "could not be written", said)
    assert time.monotonic() - begin < HEARTBEAT + 10
    assert not list((tmp_path / "run" / "checkpoints").iterdir())
    codes, outputs = Together("resume", str(tmp_path / "run")).ended()
    assert codes == [0, 0], outputs
