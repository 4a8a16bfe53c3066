"""A batch is a function of seed and step: the same alone, in a loop, on four devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxgen.data import Batches, Split
from jaxgen.data.permutation import permute, round_keys


def split(n, event_shape=(3, 2, 1)):
    size = int(np.prod(event_shape))
    x = (np.arange(n * size) % 251).astype(np.uint8).reshape(n, *event_shape)
    near = {"low": x[..., 0] + np.uint8(1), "text": np.arange(n, dtype=np.int32)}
    return Split(x, label=np.arange(n) % 10, mask=x % 2 == 0, fields=near)


def indices(batches, num_steps):
    return np.concatenate([batches(step)["index"] for step in range(num_steps)])


def assert_same(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, actual, expected)


def test_a_batch_holds_the_rows_at_its_index_in_storage_dtype():
    data = split(50)
    batch = data.batches(seed=0, batch_size=8)(3)
    index = np.asarray(batch["index"])
    assert set(batch) == {"x", "label", "mask", "low", "text", "index"}
    dtypes = jax.tree.map(lambda array: array.dtype.name, dict(batch))
    assert dtypes == {
        "x": "uint8",
        "label": "int32",
        "mask": "bool",
        "low": "uint8",
        "text": "int32",
        "index": "int32",
    }
    assert_same({**jax.tree.map(lambda array: array[index], data.arrays), "index": index}, dict(batch))


def test_a_batch_has_nothing_that_the_split_lacks():
    assert set(Split(np.zeros((5, 2), np.float32)).batches(0, 2)(0)) == {"x", "index"}


@pytest.mark.parametrize(("n", "batch_size"), [(10, 4), (7, 7), (7, 5), (1, 1)])
def test_epochs_are_permutations_and_nothing_is_dropped_between_them(n, batch_size):
    index = indices(split(n).batches(seed=1, batch_size=batch_size), 4 * n)
    epochs = index.reshape(-1, n)
    assert len(epochs) == 4 * batch_size
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.broadcast_to(np.arange(n), epochs.shape))


def test_seeds_and_epochs_have_orders_of_their_own():
    data = split(100)
    one, two = (
        indices(data.batches(seed=0, batch_size=50), 4),
        indices(data.batches(seed=1, batch_size=50), 4),
    )
    assert (one[:100] == one[100:]).mean() < 0.1
    assert (one == two).mean() < 0.1
    np.testing.assert_array_equal(one, indices(data.batches(seed=0, batch_size=25), 8))


@pytest.mark.parametrize(
    ("n", "batch_size"), [(60_000, 128), (1797, 100), pytest.param(65_537, 65_535, marks=pytest.mark.slow)]
)
def test_late_steps_agree_with_unbounded_integers(n, batch_size):
    batches = Split(np.zeros(n, np.uint8)).batches(seed=0, batch_size=batch_size)
    for step in (0, 1, n // batch_size, n - 1, n, 123_456_789, 2**31 - 1):
        position = step * batch_size + np.arange(batch_size)  # int64: exact up to 2^63
        epoch_of, within = position // n, jnp.asarray(position % n, jnp.uint32)
        index = batches(step)["index"]
        for epoch in np.unique(epoch_of).tolist():
            expected = permute(within, n, round_keys(batches.key, epoch))
            np.testing.assert_array_equal(index[epoch_of == epoch], expected[epoch_of == epoch])


def test_stepwise_scanned_and_looped_are_the_same():
    batches, num_steps = split(30).batches(seed=2, batch_size=8), 9
    stepwise = jax.tree.map(lambda *rows: np.stack(rows), *(dict(batches(step)) for step in range(num_steps)))

    @jax.jit
    def scanned(batches):
        return jax.lax.scan(lambda _, step: (None, batches(step)), None, jnp.arange(num_steps))[1]

    @jax.jit
    def looped(batches, num_steps, out):
        def body(step, out):
            return jax.tree.map(lambda rows, row: rows.at[step].set(row), out, dict(batches(step)))

        return jax.lax.fori_loop(0, num_steps, body, out)

    assert_same(dict(scanned(batches)), stepwise)
    assert_same(looped(batches, num_steps, jax.tree.map(jnp.zeros_like, stepwise)), stepwise)


@pytest.mark.parametrize("place_data", [False, True])
def test_four_devices_get_the_same_batch_in_parts(place_data):
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(AxisType.Auto,))
    rows, everywhere = NamedSharding(mesh, PartitionSpec("batch")), NamedSharding(mesh, PartitionSpec())
    batches = split(30).batches(seed=2, batch_size=8)
    placed = batches.on(mesh) if place_data else batches
    assert not place_data or placed.arrays["x"].sharding.is_equivalent_to(everywhere, 4)

    @jax.jit
    def sharded(batches, step):
        return jax.lax.with_sharding_constraint(dict(batches(step)), rows)

    for step in (0, 3, 17):
        batch = sharded(placed, step)
        assert all(array.sharding.is_equivalent_to(rows, array.ndim) for array in jax.tree.leaves(batch))
        assert_same(batch, dict(batches(step)))


def constants(jaxpr):
    """Sizes of all constants of a closed jaxpr and of those inside it."""
    yield from (np.size(const) for const in jaxpr.consts)
    for equation in jaxpr.eqns:
        for inner in jax.tree.leaves(equation.params, is_leaf=lambda p: hasattr(p, "consts")):
            if hasattr(inner, "consts"):
                yield from constants(inner)


def test_data_are_arguments_and_no_constants():
    batches = split(1000).batches(seed=0, batch_size=8)
    as_argument = jax.make_jaxpr(lambda batches, step: batches(step))(batches, 0)
    closed_over = jax.make_jaxpr(lambda step: batches(step))(0)
    assert max(constants(as_argument), default=0) < 1000
    assert max(constants(closed_over)) >= 1000  # the measure does see them


def test_steps_and_equal_seeds_share_one_trace():
    data, traces = split(20), []

    @jax.jit
    def index(batches, step):
        traces.append(step)
        return batches(step)["index"]

    for seed in (0, 1):
        for step in range(3):
            index(data.batches(seed=seed, batch_size=4), step)
    assert len(traces) == 1


def test_as_a_pytree_it_can_be_rebuilt_around_anything():
    batches = split(20).batches(seed=0, batch_size=4)
    leaves, structure = jax.tree.flatten(batches)
    assert len(leaves) == 6
    stand_in = jax.tree.unflatten(structure, [object()] * 6)
    assert (stand_in.batch_size, stand_in.n) == (4, 20)
    assert jax.eval_shape(lambda b, step: dict(b(step)), batches, 0)["x"].shape == (4, 3, 2, 1)


def test_a_feed_answers_for_its_steps():
    batches = split(20).batches(seed=0, batch_size=4)
    assert batches.reach(5) >= 3
    feed = batches.feed(first=5, num=3)
    for step in (5, 6, 7):
        assert_same(dict(feed(step)), dict(batches(step)))


def test_the_split_can_change_in_memory_without_changing_batches():
    x = np.zeros((64, 16), np.float32)
    batches = Split(x).batches(seed=0, batch_size=64)
    x[:] = 1
    np.testing.assert_array_equal(batches(0)["x"], np.zeros((64, 16)))


@pytest.mark.parametrize("batch_size", [0, -1, True, 21])
def test_a_batch_size_that_is_none(batch_size):
    with pytest.raises(ValueError, match=rf"batch_size must be .*got {batch_size}"):
        split(20).batches(seed=0, batch_size=batch_size)


def test_positions_beyond_32_bits():
    message = r"batch_size times the number of examples must be below 2\*\*32, got 65536 \* 65536 = 4294967296"
    with pytest.raises(ValueError, match=message):
        Batches({}, None, batch_size=2**16, n=2**16)
    with pytest.raises(ValueError, match="n must be an integer in"):
        Batches({}, None, batch_size=1, n=2**31)


@pytest.mark.parametrize("seed", [-1, 2**32, True])
def test_a_seed_that_is_none(seed):
    with pytest.raises(ValueError, match=rf"seed must be an integer in 0\.\.4294967295, got {seed}"):
        split(20).batches(seed=seed, batch_size=4)


@pytest.mark.parametrize("step", [-1, 2**31, False])
def test_a_step_that_is_none(step):
    batches = split(20).batches(seed=0, batch_size=4)
    with pytest.raises(ValueError, match=rf"step must be an integer in 0\.\.2147483647, got {step}"):
        batches(step)
