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
