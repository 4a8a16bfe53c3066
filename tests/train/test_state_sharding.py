"""A state divided among the devices: less memory on each, the same numbers, the same bytes in checkpoints."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import MODELS
from processes import xla_flags

from jaxgen import data, train, vae
from jaxgen.digest import flatten
from jaxgen.train import compiled, parallel
from jaxgen.train.program import program
from jaxgen.train.window import empty_window

BATCH = 8


def fit(case, num_steps, **options):
    model, dataset = case
    batches = dataset.train.batches(seed=0, batch_size=BATCH)
    return train.fit(model, batches, jax.random.key(7), num_steps, progress=False, **options)


def axis_of(shape, num_devices=4):
    """The axis that is divided, None for none."""
    leaf = jax.ShapeDtypeStruct(shape, jnp.float32)
    spec = parallel.state_sharding(parallel.mesh(num_devices), leaf).spec
    return next((axis for axis, name in enumerate(spec) if name is not None), None)


def bytes_per_device(tree):
    return sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize(
    ("shape", "axis"),
    [
        ((), None),
        ((64, 128), 1),
        ((128, 64), 0),
        ((64, 64), 0),  # the first of the largest
        ((3, 3, 16, 32), 3),
        ((1021, 8), 1),  # the largest axis that 4 divides
        ((1021, 7), None),
        ((1023,), None),
        ((1024,), 0),
        ((4, 255), None),  # too small
        ((0, 4096), None),
    ],
)
def test_the_largest_axis_that_the_devices_share_evenly_is_divided(shape, axis):
    assert axis_of(shape) == axis


def test_one_device_holds_all():
    shardings = parallel.state_sharding(parallel.mesh(1), {"w": jnp.zeros((64, 64))})
    assert shardings["w"].is_fully_replicated


@pytest.mark.parametrize(
    "name",
    [
        "vae-bernoulli",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("gan-convolutional", "ddpm-learned-variance")),
    ],
)
def test_a_new_state_begins_divided_with_the_bits_of_one_that_is_not(name):
    model, dataset = MODELS[name]()
    key, batch, over = jax.random.key(7), dataset.train.batches(seed=0, batch_size=BATCH)(0), parallel.mesh(4)
    whole, divided = model.init(key, batch), parallel.begun(model.init, key, batch, over, True)
    assert train.digest(divided) == train.digest(whole)
    assert jax.tree.map(lambda leaf: leaf.sharding, divided) == parallel.state_sharding(over, whole)
    assert any(not leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(divided))


def test_a_new_state_lies_whole_on_no_device():
    one = 2**20  # bytes of one of the two large arrays

    def init(key, _batch):
        return {"w": jax.random.normal(key, (512, 512)), "moments": jnp.zeros((512, 512)), "u": jnp.zeros(4096)}

    with pytest.MonkeyPatch.context() as patch:
        programs, jit = [], jax.jit

        def noted(function, **options):
            compiled_by = jit(function, **options)

            def call(*arguments):
                programs.append(compiled_by.lower(*arguments).compile().memory_analysis())
                return compiled_by(*arguments)

            return call

        patch.setattr(jax, "jit", noted)
        parallel.begun(init, jax.random.key(0), {"x": jnp.zeros((BATCH, 2))}, parallel.mesh(4), True)
    assert max(used.output_size_in_bytes for used in programs) < 2.1 * one / 4
    assert max(used.temp_size_in_bytes for used in programs) < one


@pytest.mark.parametrize(
    "name",
    [
        *("vae-bernoulli", "gan"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("autoencoder", "ddpm-learned-variance", "ensemble-of-vaes", "vae-accumulate-clip")
        ),
    ],
)
def test_the_same_numbers_as_on_one_device_and_a_part_of_the_memory(name):
    case = MODELS[name]()
    one, one_history = fit(case, 5, log_every=1)
    four, four_history = fit(case, 5, log_every=1, mesh=parallel.mesh(4), shard_state=True)
    for metric in one_history.records[0]:
        if metric.endswith("loss"):
            np.testing.assert_allclose(one_history[metric], four_history[metric], rtol=1e-5)
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(four.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5)
    expected = parallel.state_sharding(parallel.mesh(4), four)
    for leaf, sharding in zip(jax.tree.leaves(four), jax.tree.leaves(expected), strict=True):
        assert leaf.sharding.is_equivalent_to(sharding, leaf.ndim)
    assert bytes_per_device(four) < 0.75 * bytes_per_device(one)  # small networks: much of it is small arrays


def test_a_divided_state_has_the_digest_and_the_checkpoint_of_the_whole_one(tmp_path):
    case = MODELS["vae-bernoulli"]()
    state, _ = fit(case, 2, mesh=parallel.mesh(4), shard_state=True)
    whole = jax.tree.map(np.array, state)
    assert train.digest(state) == train.digest(whole) == train.digest(parallel.gathered(state))
    with train.Checkpoints(tmp_path) as checkpoints:
        assert checkpoints.save(2, state, {}) == train.digest(whole)
    with train.Checkpoints(tmp_path, read_only=True) as checkpoints:
        restored, _ = checkpoints.restore(jax.eval_shape(lambda: state))
    assert train.digest(restored) == train.digest(whole)
    # From the host to other devices, whole and divided.
    for devices, shard_state in ((1, False), (2, True), (4, False)):
        placed = parallel.placed(restored, parallel.mesh(devices), shard_state)
        assert train.digest(placed) == train.digest(whole)
        assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(placed)} == {devices}


def test_gathered_leaves_the_memory_of_the_optimizer_divided():
    case = MODELS["gan"]()
    state = parallel.placed(case[0].init(jax.random.key(0), case[1].train.batches(seed=0, batch_size=BATCH)(0)),
                            parallel.mesh(4), True)  # fmt: skip
    seen = parallel.gathered(state)
    divided = {path for path, leaf in flatten(seen).items() if not leaf.sharding.is_fully_replicated}
    assert divided and all("opt_state" in path for path in divided)
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(seen.variables))
    plain = jax.tree.map(np.array, state)
    assert all(a is b for a, b in zip(jax.tree.leaves(parallel.gathered(plain)), jax.tree.leaves(plain), strict=True))


def test_training_goes_on_from_a_divided_state_and_leaves_it_alone():
    case = MODELS["vae-bernoulli"]()
    options = {"mesh": parallel.mesh(4), "shard_state": True}
    half, _ = fit(case, 3, **options)
    before = train.digest(half)
    whole, _ = fit(case, 6, chunk_steps=4, **options)
    for start in (half, jax.tree.map(np.array, half)):
        assert train.digest(fit(case, 6, state=start, **options)[0]) == train.digest(whole)
    assert train.digest(half) == before


def compiled_loop(case, num_devices, shard_state):
    """The compiled loop, made for shapes alone, and the bytes of the data among its arguments."""
    model, dataset = case
    mesh = parallel.mesh(num_devices)
    batches = dataset.train.batches(seed=0, batch_size=BATCH)
    key = jax.random.key(0)
    state = jax.eval_shape(model.init, key, batches(0))
    window = empty_window(model, key, state, batches(0))
    home = parallel.state_sharding(mesh, state)
    if not shard_state:
        home = jax.tree.map(lambda _: parallel.replicated(mesh), home)
    state = jax.tree.map(lambda leaf, at: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=at), state, home)
    feed = batches.on(mesh)
    loop = program(model.step, mesh, shard_state).lower(key, state, window, feed, 1).compile()
    return loop, bytes_per_device(feed)


def wide_vae(*hidden):
    digits = data.load("digits")
    return vae.model(vae.Config(latent_dim=8, hidden=hidden), digits.spec), digits


def state_bytes(case, num_devices, shard_state):
    """Bytes per device of the loop's state, and how many of them are updated in place."""
    loop, data_bytes = compiled_loop(case, num_devices, shard_state)
    analysis = loop.memory_analysis()
    return analysis.argument_size_in_bytes - data_bytes, analysis.alias_size_in_bytes


@pytest.mark.parametrize(
    "name",
    [
        *("vae-bernoulli", "gan"),
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("ddpm-learned-variance", "gan-convolutional")),
    ],
)
def test_the_devices_gather_parameters_and_exchange_sums(name):
    loop, _ = compiled_loop(MODELS[name](), 4, True)
    found = {one.kind for one in compiled.collectives(loop)}
    # The gradient's sum of which each device needs a part is a reduce-scatter on compilers that know it.
    assert "all-gather" in found and found <= {"all-gather", "all-reduce", "reduce-scatter"}


def test_bytes_per_device_of_the_compiled_loop_fall():
    case = wide_vae(256)
    (whole, _), (divided, reused) = (state_bytes(case, 4, shard_state) for shard_state in (False, True))
    assert 0.25 < divided / whole < 0.27
    assert reused > 0.99 * divided - 1024  # the loop updates the state in place


@pytest.mark.slow
def test_bytes_per_device_fall_near_an_eighth_on_eight_devices():
    script = """
        import sys
        sys.path[:0] = ["tests", "tests/train"]
        from test_state_sharding import state_bytes, wide_vae
        case = wide_vae(512, 512)
        (whole, _), (divided, _) = (state_bytes(case, 8, shard_state) for shard_state in (False, True))
        assert 0.125 < divided / whole < 0.135, (divided, whole)
    """
    flags = f"{xla_flags()} --xla_force_host_platform_device_count=8"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=Path(__file__).parents[2], env={**os.environ, "XLA_FLAGS": flags}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
