import errno
import json
import os
import shutil
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen.train import Checkpoints, DamagedCheckpointWarning, digest


def state(fill=1.0):
    params = {"a": jnp.full((3, 4), fill), "b": {"c": jnp.zeros(())}}
    return {"params": params, "opt_state": optax.adam(1e-3).init(params), "variables": {}, "step": jnp.int32(3)}


def like():
    return jax.eval_shape(state)


def truncate(folder):
    largest = max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])


def test_what_is_saved_comes_back_to_the_bit(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        identity = checkpoints.save(7, state(0.1), {"config": {"a": [1, None, "x"]}})
    with Checkpoints(tmp_path) as checkpoints:
        restored, meta = checkpoints.restore(like())
    assert identity == meta["digest"] == digest(restored) == digest(state(0.1))
    assert meta["config"] == {"a": [1, None, "x"]}
    assert jax.tree.structure(restored) == jax.tree.structure(state())


def test_the_last_k_and_the_best_are_kept(tmp_path):
    losses = {1: 5.0, 2: 1.0, 3: 4.0, 4: 3.0, 5: 2.0}
    with Checkpoints(tmp_path, keep=2, best="loss") as checkpoints:
        for step, loss in losses.items():
            checkpoints.save(step, state(), {}, {"loss": loss})
        checkpoints.wait()
        assert checkpoints.steps() == [2, 4, 5]
        assert checkpoints.best_step() == 2
    with Checkpoints(tmp_path, keep=2, best="loss") as checkpoints:
        assert checkpoints.best_step() == 2
        checkpoints.save(6, state(), {})  # without a metric, as after a signal
        checkpoints.wait()
        assert checkpoints.steps() == [2, 5, 6]


def test_the_buffers_may_be_reused_while_files_are_written(tmp_path):
    donated = jax.jit(lambda x: x * 0, donate_argnums=0)
    x = jnp.arange(100_000.0)
    expected = digest({"x": x})
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, {"x": x}, {})
        donated(x)
    with Checkpoints(tmp_path) as checkpoints:
        restored, _ = checkpoints.restore({"x": jax.ShapeDtypeStruct((100_000,), jnp.float32)})
    assert digest(restored) == expected


def test_a_damaged_newest_one_falls_back_and_says_so(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state(float(step)), {})
    truncate(tmp_path / "2" / "state")
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.warns(DamagedCheckpointWarning, match="checkpoint 2 in .* is damaged"):
            restored, _ = checkpoints.restore(like())
        assert digest(restored) == digest(state(1.0))
        checkpoints.set_aside(after=1)
        assert checkpoints.steps() == [1]
        checkpoints.save(2, state(2.0), {})
    assert (tmp_path.parent / "damaged" / "2").exists()


def test_one_changed_byte_is_noticed(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state(1.0), {})
        checkpoints.save(2, state(2.0), {})
        checkpoints.wait()
        wrong = dict(checkpoints.meta(2), digest="0" * 64)
        (tmp_path / "2" / "meta" / "metadata").write_text(__import__("json").dumps(wrong))
        with pytest.warns(DamagedCheckpointWarning, match="digest differs"):
            restored, _ = checkpoints.restore(like())
    assert digest(restored) == digest(state(1.0))


def test_none_whole_is_an_error(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state(), {})
        checkpoints.wait()
        truncate(tmp_path / "1" / "meta")
        with pytest.warns(DamagedCheckpointWarning), pytest.raises(FileNotFoundError, match="no whole checkpoint"):
            checkpoints.restore(like())


def test_another_model_is_named_not_damaged(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state(), {})
        other = jax.eval_shape(lambda: {**state(), "params": {"a": jnp.zeros((3, 5)), "b": {"c": jnp.zeros(())}}})
        with pytest.raises(ValueError, match=r"another model: 1 arrays differ, first params/a: saved float32\[3,4\]"):
            checkpoints.restore(other)


def test_a_step_that_is_not_there(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state(), {})
        checkpoints.wait()
        with pytest.raises(FileNotFoundError, match=r"no checkpoint of step 9 .* there are \[1\]"):
            checkpoints.restore(like(), 9)


def test_a_state_that_is_not_finite_is_not_saved(tmp_path):
    with Checkpoints(tmp_path) as checkpoints:
        with pytest.raises(FloatingPointError, match="params/a holds values that are not finite at step 4"):
            checkpoints.save(4, state(np.nan), {})
        checkpoints.wait()
        assert checkpoints.steps() == []


def test_keep_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="keep must be at least 1, got 0"):
        Checkpoints(tmp_path, keep=0)


def test_a_digest_tells_every_difference():
    base = {"a": np.zeros(2, np.float32), "b": np.zeros((2, 1), np.float32)}
    others = [
        {"a": np.zeros(2, np.float32), "c": np.zeros((2, 1), np.float32)},
        {"a": np.zeros(2, np.float32), "b": np.zeros((1, 2), np.float32)},
        {"a": np.zeros(2, np.int32), "b": np.zeros((2, 1), np.float32)},
        {"a": np.array([0.0, -0.0], np.float32), "b": np.zeros((2, 1), np.float32)},
        {"a": np.nextafter(base["a"], np.float32(1)), "b": np.zeros((2, 1), np.float32)},
    ]
    assert len({digest(base), *map(digest, others)}) == 6
    assert digest(base) == digest(jax.tree.map(jnp.asarray, base))


def flip(path, old, new):
    """Changes bytes so that the JSON stays JSON."""
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))


def change(path, function):
    tree = json.loads(path.read_text())
    function(tree)
    path.write_text(json.dumps(tree))


META, METRICS = "meta/metadata", "metrics/metrics"
DAMAGES = {
    "empty metrics": (METRICS, lambda p: p.write_bytes(b"")),
    "no metrics": (METRICS, lambda p: p.unlink()),
    "other metrics": (METRICS, lambda p: flip(p, b"2.0", b"9.0")),
    "metrics without the key": (METRICS, lambda p: flip(p, b"loss", b"lost")),
    "metrics are a list": (METRICS, lambda p: p.write_text("[2.0]")),
    "empty meta": (META, lambda p: p.write_bytes(b"")),
    "no meta": (META, lambda p: p.unlink()),
    "meta is null": (META, lambda p: p.write_text("null")),
    "meta is deep": (META, lambda p: p.write_text("[" * 100_000)),
    "meta of other bytes": (META, lambda p: p.write_bytes(b"\xff\xfe")),
    "a flipped digit in the window": (META, lambda p: flip(p, b'"count": 17', b'"count": 16')),
    "a flipped letter in a key": (META, lambda p: flip(p, b'"count"', b'"cound"')),
    "a flipped dtype": (META, lambda p: flip(p, b"float32[3,4]", b"float32[3,5]")),
    "no structure": (META, lambda p: change(p, lambda tree: tree.pop("structure"))),
    "no digest": (META, lambda p: change(p, lambda tree: tree.pop("digest"))),
    "no window": (META, lambda p: change(p, lambda tree: tree.pop("window"))),
    "orbax's own": ("_CHECKPOINT_METADATA", lambda p: p.write_bytes(b"")),
    "orbax's own, of the state": ("state/_METADATA", lambda p: p.write_text("{")),
}


@pytest.fixture(scope="module")
def two_saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoints")
    with Checkpoints(folder, best="loss") as checkpoints:
        for step in (1, 2):
            meta = {"config": {"seed": 0}, "window": {"count": 15 + step}}
            checkpoints.save(step, state(float(step)), meta, {"loss": 4.0 - step})
    return folder


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_small_file_costs_its_own_checkpoint_and_is_named(two_saved, tmp_path, case, read_only):
    name, damage = DAMAGES[case]
    folder = tmp_path / "checkpoints"
    shutil.copytree(two_saved, folder)
    damage(folder / "2" / name)
    with Checkpoints(folder, best="loss", read_only=read_only) as checkpoints:
        with pytest.warns(DamagedCheckpointWarning, match=rf"checkpoint 2 in .* is damaged \(.*{name}"):
            restored, meta = checkpoints.restore(like())
        assert digest(restored) == digest(state(1.0)) and meta["window"] == {"count": 16}
        with pytest.warns(DamagedCheckpointWarning, match=rf"checkpoint 2 in .* is damaged \(.*{name}"):
            assert checkpoints.best_step() == 1
        with pytest.warns(DamagedCheckpointWarning), pytest.raises(FileNotFoundError, match="no whole checkpoint"):
            checkpoints.restore(like(), 2)
        if not read_only:
            checkpoints.set_aside(after=1)
            checkpoints.save(2, state(2.0), {"config": {}}, {"loss": 2.0})
            assert checkpoints.best_step() == 2
    assert (tmp_path / "damaged" / "2").exists() == (not read_only)


def test_a_damaged_older_one_disturbs_nobody(two_saved, tmp_path):
    folder = tmp_path / "checkpoints"
    shutil.copytree(two_saved, folder)
    (folder / "1" / METRICS).write_bytes(b"")
    (folder / "1" / "_CHECKPOINT_METADATA").write_bytes(b"")
    with Checkpoints(folder, keep=2, best="loss") as checkpoints:
        assert digest(checkpoints.restore(like())[0]) == digest(state(2.0))
        for step in (3, 4, 5):
            checkpoints.save(step, state(3.0), {}, {"loss": 9.0})
        assert checkpoints.steps() == [2, 4, 5]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # orbax's event loop, on a bad file
def test_a_damaged_best_state_falls_back_to_the_next_best(two_saved, tmp_path):
    folder = tmp_path / "checkpoints"
    shutil.copytree(two_saved, folder)
    (folder / "2" / "state" / "manifest.ocdbt").write_bytes(b"")
    with Checkpoints(folder, best="loss", read_only=True) as checkpoints:
        assert checkpoints.best_step() == 2
        with pytest.warns(DamagedCheckpointWarning, match="checkpoint 2 in .* is damaged"):
            restored, _ = checkpoints.restore(like(), best=True)
    assert digest(restored) == digest(state(1.0))


def test_checkpoints_of_earlier_versions_load(two_saved, tmp_path):
    """Without a digest of the JSON and without the metrics in it; the files of orbax are the same."""
    folder = tmp_path / "checkpoints"
    shutil.copytree(two_saved, folder)
    for step in ("1", "2"):
        change(folder / step / META, lambda tree: [tree.pop(name) for name in ("meta_digest", "metrics")])
    with Checkpoints(folder, best="loss") as checkpoints:
        assert digest(checkpoints.restore(like())[0]) == digest(state(2.0)) and checkpoints.best_step() == 2
        flip(folder / "2" / METRICS, b"loss", b"lost")
        with pytest.warns(DamagedCheckpointWarning, match="metrics/metrics has no number 'loss'"):
            assert checkpoints.best_step() == 1
        flip(folder / "2" / META, b"float32[3,4]", b"float32[3,5]")
        with pytest.warns(DamagedCheckpointWarning, match="checkpoint 2 .* another model"):
            assert digest(checkpoints.restore(like())[0]) == digest(state(1.0))


def test_what_is_set_aside_twice_is_kept_twice(two_saved, tmp_path):
    folder = tmp_path / "checkpoints"
    for _ in range(2):
        shutil.copytree(two_saved, folder, dirs_exist_ok=True)
        with Checkpoints(folder) as checkpoints:
            checkpoints.set_aside(after=1)
    assert {path.name for path in (tmp_path / "damaged").iterdir()} == {"2", "2.1"}


FULL = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EDQUOT, "Disk quota exceeded"),
    ValueError("RESOURCE_EXHAUSTED: Error writing local file [OS error 28: ENOSPC No space left on device]"),
]


@pytest.mark.parametrize("error", FULL, ids=["errno", "quota", "in words"])
@pytest.mark.parametrize("where", ["before", "in the background"])
def test_a_full_disk_is_told_as_one_and_leaves_the_others(tmp_path, monkeypatch, error, where):
    import orbax.checkpoint as ocp

    def full(*_, **__):
        raise error

    name = "save" if where == "before" else "wait_until_finished"
    with (
        pytest.raises(OSError, match="no space left for a checkpoint in") as caught,
        Checkpoints(tmp_path) as checkpoints,
    ):
        checkpoints.save(1, state(), {})
        checkpoints.wait()
        with monkeypatch.context() as patched:
            patched.setattr(ocp.AsyncCheckpointer, name, full)
            checkpoints.save(2, state(), {})
            checkpoints.wait()
    assert caught.value.errno == errno.ENOSPC
    with Checkpoints(tmp_path) as checkpoints:
        assert 1 in checkpoints.steps()
        checkpoints.save(3, state(), {})


def test_what_else_orbax_raises_is_an_os_error(tmp_path, monkeypatch):
    import orbax.checkpoint as ocp

    def gone(*_, **__):
        raise RuntimeError("the device is gone")

    with Checkpoints(tmp_path) as checkpoints:
        monkeypatch.setattr(ocp.AsyncCheckpointer, "save", gone)
        with pytest.raises(OSError, match="could not be written: the device is gone"):
            checkpoints.save(1, state(), {})


def test_a_second_error_does_not_hide_the_first(tmp_path, monkeypatch):
    with pytest.raises(ZeroDivisionError) as caught, Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, state(), {})
        monkeypatch.setattr(type(checkpoints), "wait", lambda self: (_ for _ in ()).throw(OSError("second")))
        raise ZeroDivisionError
    assert caught.value.__notes__ == ["second"]


@pytest.mark.parametrize(
    "jump", [3600, -3600, 3e8, -6e8, 1.8e9], ids=["hour", "back", "years", "years back", "from 1970"]
)
def test_a_clock_that_is_set_while_files_are_written(tmp_path, monkeypatch, jump):
    clock = time.time
    shift = [0.0]
    monkeypatch.setattr(time, "time", lambda: clock() + shift[0])
    monkeypatch.setattr(time, "time_ns", lambda: int((clock() + shift[0]) * 1e9))
    with Checkpoints(tmp_path) as checkpoints:
        for step in (1, 2):
            checkpoints.save(step, state(float(step)), {})
            shift[0] += jump * (-1) ** (step + 1)
        checkpoints.wait()
        assert checkpoints.steps() == [1, 2]
        assert digest(checkpoints.restore(like())[0]) == digest(state(2.0))


def test_the_age_of_files_means_nothing(tmp_path):
    with Checkpoints(tmp_path, keep=2) as checkpoints:
        for step, age in ((1, 4e9), (2, 0.0), (3, 1e8)):
            checkpoints.save(step, state(float(step)), {})
            checkpoints.wait()
            os.utime(tmp_path / str(step), (age, age))
        assert checkpoints.steps() == [2, 3]
        assert digest(checkpoints.restore(like())[0]) == digest(state(3.0))


def test_what_a_kill_left_half_written_or_half_deleted_is_cleaned_up(tmp_path):
    for name in ("7.orbax-checkpoint-tmp", "8.orbax-checkpoint-tmp-123", "3.deleted"):
        (tmp_path / name / "state").mkdir(parents=True)
    with Checkpoints(tmp_path, read_only=True) as checkpoints:
        assert checkpoints.steps() == []
        with pytest.raises(PermissionError, match="read only"):
            checkpoints.save(1, state(), {})
    assert len(list(tmp_path.iterdir())) == 3
    with Checkpoints(tmp_path):
        assert list(tmp_path.iterdir()) == []
