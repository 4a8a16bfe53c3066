"""The files of a run folder: what is damaged, half written or not a run's costs no more than itself, and says so."""

import json
import threading

import numpy as np
import pytest

from jaxgen.runs import RunFolder, place
from jaxgen.runs import folder as run_folder

MANIFEST = {"config": {}, "environment": {}, "data": {}, "digests": {}}
RECORDS = [{"step": step, "loss": 1.0 / step} for step in (5, 10, 15, 20)]
LINES = [json.dumps(record) + "\n" for record in RECORDS]


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(tmp_path, MANIFEST)


def written(folder, text):
    path = folder.path / "metrics.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        "".join(LINES),
        "\n".join(LINES),
        "\n" + "".join(LINES) + "\n  \n",
        "".join(LINES).replace("\n", "\r\n"),
        "".join(LINES).rstrip("\n"),
    ],
    ids=["as written", "blank lines", "blank ends", "line ends of Windows", "no line feed at the end"],
)
def test_whole_records_are_all_kept_without_a_word(folder, text):
    path = written(folder, text)
    assert folder.records() == RECORDS
    folder.rewind(20)
    assert folder.records() == RECORDS
    folder.append({"step": 25})
    assert path.read_text().splitlines()[-1] == '{"step": 25}' and len(folder.records()) == 5


@pytest.mark.parametrize("end", [b'{"step": 25, "lo', b"\0" * 100, b'{"step": 25, "\xc3', b"[", b'{"loss": 1}'])
def test_only_a_last_line_that_was_cut_off_is_dropped_without_a_word(folder, end):
    path = written(folder, "".join(LINES).encode() + end)
    assert folder.records() == RECORDS
    folder.rewind(20)
    assert path.read_text() == "".join(LINES)
    assert not (folder.path / "metrics.jsonl.damaged").exists()


DAMAGED = {
    "cut in the middle": ('{"step": 10, "lo\n', "line 2: not JSON"),
    "no object": ("[1, 2]\n", "line 2: no JSON object"),
    "null": ("null\n", "line 2: no JSON object"),
    "no step": ('{"loss": 0.1}\n', 'line 2: no "step"'),
    "step is text": ('{"step": "10"}\n', """line 2: "step" is '10'"""),
    "step is true": ('{"step": true}\n', 'line 2: "step" is True'),
    "two in one line": (LINES[1].strip() + LINES[1], "line 2: not JSON"),
    "bytes": (b"\xff\xfe\n", "line 2: not JSON"),
    "deep": ("[" * 100_000 + "\n", "line 2: not JSON"),
}


@pytest.mark.parametrize("case", DAMAGED)
@pytest.mark.parametrize("first", [False, True])
def test_a_damaged_line_costs_no_other_record(folder, case, first):
    line, message = DAMAGED[case]
    line = line if isinstance(line, bytes) else line.encode()
    rest = [text.encode() for text in LINES]
    whole = b"".join([line, *rest[1:]] if first else [rest[0], line, *rest[2:]])
    kept = RECORDS[1:] if first else [RECORDS[0], *RECORDS[2:]]
    path = written(folder, whole)
    message = message.replace("line 2", "line 1") if first else message
    with pytest.warns(UserWarning, match=message) as caught:
        assert folder.records() == kept
    assert str(path) in str(caught[0].message)
    with pytest.warns(UserWarning, match=message):
        folder.rewind(15)
    assert folder.records() == kept[:-1]
    assert (folder.path / "metrics.jsonl.damaged").read_bytes() == whole


def test_what_was_damaged_twice_is_kept_twice(folder):
    for text in ("{\n", "[\n"):
        written(folder, text + LINES[0])
        with pytest.warns(UserWarning, match="is damaged"):
            folder.rewind(20)
    assert {p.read_text()[0] for p in folder.path.glob("metrics.jsonl.damaged*")} == {"{", "["}


def test_rewinding_what_is_whole_writes_nothing(folder, monkeypatch):
    """A finished run on a full disk."""
    written(folder, "".join(LINES))
    monkeypatch.setattr(run_folder.atomic, "write_text", lambda *_: pytest.fail("written"))
    folder.rewind(20)


def test_a_damaged_frame_is_left_out_by_name(folder):
    for step in (0, 10, 20):
        folder.add_frame(step, np.full((2, 3), step, np.float32))
    path = folder.path / "frames" / "step_0000000010.npy"
    (folder.path / "frames" / "step_notes.npy").write_text("not one of ours")
    for damage in (b"", path.read_bytes()[:-4], b"\x93NUMPY\x01\x00\x20\x00{'descr': [[[", b"no array"):
        path.write_bytes(damage)
        with pytest.warns(UserWarning, match=r"step_0000000010.npy is damaged and left out"):
            frames = folder.frames()
        assert list(frames) == ["step 0", "step 20"]
    folder.rewind(10)
    assert folder.has_frame(0) and path.exists() and not folder.has_frame(20)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"5", "it lacks config"),
        (b'"text"', "it lacks config"),
        (b"null", "it lacks config"),
        (b"\xff\xfe{}", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"", "is not JSON"),
        (json.dumps({**MANIFEST, "digests": [1]}).encode(), "digests must be a JSON object"),
        (json.dumps({**MANIFEST, "config": 3}).encode(), "config must be a JSON object"),
    ],
)
def test_a_damaged_manifest_is_named(folder, text, message):
    (folder.path / "manifest.json").write_bytes(text)
    with pytest.raises(ValueError, match=rf"manifest.json is not .*{message}|manifest.json {message}"):
        RunFolder(folder.path)


def test_a_kill_in_the_first_write_of_the_manifest_leaves_a_new_folder(tmp_path):
    for left in (".manifest.json-0123abcd.partial", "manifest.json.partial"):  # the second of earlier versions
        (tmp_path / left).write_text('{"conf')
    with place.lock(tmp_path):
        RunFolder.create(tmp_path, MANIFEST)
    assert {p.name for p in tmp_path.iterdir()} <= {"manifest.json", ".lock"}


def test_what_a_killed_process_was_writing_is_gone_and_what_others_write_is_not(folder):
    for name in ("pictures", "frames"):
        (folder.path / name).mkdir()
    gone = [
        "pictures/.final.png-0123abcd.partial",
        "frames/.step_0000000010.npy-0123abcd.partial",
        ".metrics.jsonl-0123abcd.partial",
    ]
    kept = ["pictures/.samples_seed1_0_3.png-0123abcd.partial", "thesis.pdf.partial"]
    for name in (*gone, *kept):
        (folder.path / name).touch()
    with place.lock(folder.path):
        pass
    assert not any((folder.path / name).exists() for name in gone)
    assert all((folder.path / name).exists() for name in kept)


def test_two_processes_at_once_on_a_new_folder(tmp_path):
    """One takes it and makes the run, the others are told that it is taken, or find the run: nothing else."""
    path, found, errors = tmp_path / "run", [], []
    gate = threading.Barrier(8)

    def start():
        gate.wait()
        try:
            with place.lock(path):
                if (path / "manifest.json").exists():
                    found.append("a run")
                else:
                    RunFolder.create(path, MANIFEST)
                    found.append("new")
        except OSError as error:
            errors.append(error)

    for _ in range(5):
        threads = [threading.Thread(target=start) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found.count("new") == 1
    assert {type(error) for error in errors} <= {BlockingIOError}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["thesis.tex"], r"holds something else \(thesis.tex\); give an empty or new one"),
        (["film.iso.partial"], "holds something else"),
        (["checkpoints", "metrics.jsonl"], r"parts of a run \(checkpoints, metrics.jsonl\) but no manifest.json"),
    ],
)
def test_what_is_no_run_is_told_apart_and_left_alone(tmp_path, names, message):
    for name in names:
        (tmp_path / name).mkdir() if name == "checkpoints" else (tmp_path / name).touch()
    with pytest.raises(FileExistsError, match=message):
        place.lock(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == set(names)


def test_a_file_in_the_folders_place(tmp_path):
    (tmp_path / "run").touch()
    with pytest.raises(NotADirectoryError, match="is a file; give an empty or new folder"):
        place.lock(tmp_path / "run")


def test_a_lost_manifest_is_missed_by_name(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no run in .* it has no manifest.json; it has been lost"):
        RunFolder(tmp_path)


def test_a_refused_folder_is_not_kept_locked(folder):
    (folder.path / "manifest.json").rename(folder.path / "elsewhere")
    with pytest.raises(FileExistsError):
        place.lock(folder.path)
    (folder.path / "elsewhere").rename(folder.path / "manifest.json")
    with place.lock(folder.path), pytest.raises(BlockingIOError, match="another process"):
        place.lock(folder.path)
