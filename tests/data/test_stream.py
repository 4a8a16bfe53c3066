"""Data on disk give the batches that the same data in memory give, whenever training begins and whoever reads."""

import importlib.util
import os
import subprocess
import sys
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from pictures import noise, save

from jaxgen import train, vae
from jaxgen.core import Spec
from jaxgen.data import Examples, Split, from_folder, load, open_folder
from jaxgen.data.fields import measured

ROOT = Path(__file__).parents[2]
needs_grain = pytest.mark.skipif(importlib.util.find_spec("grain") is None, reason="grain is not installed")
N = 50


class Rows:
    """A split as a source that is read row by row, and what was read of it."""

    def __init__(self, split):
        self.split, self.read = split, []

    def __len__(self):
        return len(self.split)

    def __getitem__(self, i):
        self.read.append(i)
        return jax.tree.map(lambda array: array[i], self.split.arrays)


def split(n=N):
    x = np.arange(n * 6, dtype=np.uint8).reshape(n, 3, 2)
    near = {"low": x[..., 0] + np.uint8(1), "text": np.arange(n, dtype=np.int32)}
    return Split(x, label=np.arange(n) % 10, mask=x % 2 == 0, fields=near)


def examples(part):
    spec = Spec(part.x.shape[1:], "uint8", levels=256, num_classes=10, fields=measured([part.fields]))
    return Examples(Rows(part), spec)


def assert_same(actual, expected):
    jax.tree.map(np.testing.assert_array_equal, dict(actual), dict(expected))
    assert jax.tree.map(lambda leaf: leaf.dtype, dict(actual)) == jax.tree.map(lambda leaf: leaf.dtype, dict(expected))


@needs_grain
@pytest.mark.parametrize(("batch_size", "block_steps"), [(8, 1), (8, 5), (8, 16), (50, 3), (1, 7)])
def test_batches_are_those_of_memory_bit_for_bit(batch_size, block_steps):
    data = split()
    memory = data.batches(seed=4, batch_size=batch_size)
    stream = examples(data).batches(seed=4, batch_size=batch_size, block_steps=block_steps, num_threads=4)
    assert stream.batch_size == batch_size
    for step in range(20):
        assert_same(stream.feed(step, 1)(step), memory(step))


@needs_grain
@pytest.mark.parametrize("first", [3, 1000, 2**31 - 30])
def test_training_may_begin_at_any_step_and_go_back(first):
    data = split()
    memory, stream = data.batches(seed=4, batch_size=8), examples(data).batches(seed=4, batch_size=8, block_steps=4)
    for step in (*range(first, first + 6), 0, first):
        assert_same(stream.feed(step, 1)(step), memory(step))
        assert_same(stream(step), memory(step))


@needs_grain
def test_every_block_runs_in_one_program_and_the_number_of_threads_changes_nothing():
    data, traces = split(), []
    one, many = (examples(data).batches(seed=0, batch_size=8, block_steps=4, num_threads=t) for t in (1, 16))

    @jax.jit
    def total(block, step):
        traces.append(step)
        return block(step)["x"].astype(jnp.float32).sum()

    for step in range(10):
        assert total(one.feed(step, 1), step) == total(many.feed(step, 1), step)
    assert len(traces) == 1


@needs_grain
def test_a_block_is_read_once_and_ahead():
    source = Rows(split())
    stream = Examples(source, examples(split()).spec).batches(seed=0, batch_size=10, block_steps=5, num_threads=1)
    source.read.clear()
    block = stream.feed(0, 3)
    assert stream.feed(3, 2) is block
    assert [stream.reach(step) for step in range(6)] == [5, 4, 3, 2, 1, 5]
    # Nobody asks for the second block, and it comes.
    assert stream._next is not None
    assert stream._next[1].result(timeout=30).first == 5
    assert source.read[:100] == [int(i) for step in range(10) for i in split().batches(0, 10)(step)["index"]]


@needs_grain
def test_reading_goes_on_while_the_device_computes():
    """The second block is finished while the caller still holds the first."""
    going = threading.Event()

    class Slow(Rows):
        def __getitem__(self, i):
            going.wait(30)
            return super().__getitem__(i)

    going.set()
    stream = Examples(Slow(split()), examples(split()).spec).batches(seed=0, batch_size=10, block_steps=2)
    stream.feed(0, 2)
    going.clear()
    assert stream.feed(1, 1).first == 0  # does not wait for the second, which cannot be read
    going.set()
    assert stream.feed(2, 1).first == 2


@needs_grain
def test_an_array_on_disk(tmp_path):
    x = np.arange(N * 4, dtype=np.float32).reshape(N, 2, 2)
    np.save(tmp_path / "x.npy", x)
    source = np.load(tmp_path / "x.npy", mmap_mode="r")
    stream = Examples(source, Spec((2, 2))).batches(seed=1, batch_size=7)
    assert_same(stream.feed(0, 1)(0), Split(x).batches(seed=1, batch_size=7)(0))


@needs_grain
def test_a_folder_of_images(tmp_path):
    for i, image in enumerate(noise(40, 5, 4, 3)):
        save(tmp_path / "ab"[i % 2] / f"{i}.png", image)
    memory = from_folder(tmp_path).train.batches(seed=2, batch_size=6)
    stream = open_folder(tmp_path)["train"].batches(seed=2, batch_size=6, block_steps=3)
    for step in range(10):
        assert_same(stream.feed(step, 1)(step), memory(step))


@needs_grain
def test_four_devices_get_the_same_batch_in_parts():
    mesh = jax.make_mesh((4,), ("batch",), axis_types=(AxisType.Auto,))
    data = split()
    memory = data.batches(seed=2, batch_size=8)
    stream = examples(data).batches(seed=2, batch_size=8, block_steps=3).on(mesh)
    rows = NamedSharding(mesh, PartitionSpec(None, "batch"))
    for step in range(5):
        block = stream.feed(step, 1)
        assert all(array.sharding.is_equivalent_to(rows, array.ndim) for array in jax.tree.leaves(block.rows))
        assert_same(block(step), memory(step))
        assert_same(memory.on(mesh).feed(step, 1)(step), memory(step))
    with pytest.raises(ValueError, match="batch_size must be a multiple of the 4 devices, got 6"):
        examples(data).batches(seed=2, batch_size=6, mesh=mesh)


PROCESS = """
import os, sys
import jax
import numpy as np
from jax.sharding import AxisType
number = int(sys.argv[1])
jax.distributed.initialize(f"127.0.0.1:{sys.argv[2]}", 2, number)
from jaxgen.core import Spec
from jaxgen.data import Examples, Split

class Rows:
    read = []
    def __len__(self): return 50
    def __getitem__(self, i):
        self.read.append(i)
        return np.full((3,), i, np.float32)

mesh = jax.make_mesh((4,), ("batch",), axis_types=(AxisType.Auto,))
stream = Examples(Rows(), Spec((3,))).batches(seed=2, batch_size=8, block_steps=3, num_threads=1, mesh=mesh)
Rows.read.clear()
expected = Split(np.zeros((50, 3), np.float32)).batches(seed=2, batch_size=8)
own = []
for step in range(6):
    index = np.asarray(expected(step)["index"])
    batch = jax.jit(lambda block, step: block(step))(stream.feed(step, 1), step)
    assert batch["x"].shape == (8, 3)
    for shard in batch["x"].addressable_shards:
        np.testing.assert_array_equal(np.asarray(shard.data)[:, 0], index[shard.index[0]])
    own += index[4 * number : 4 * number + 4].tolist()
assert Rows.read[:24] == own, (Rows.read[:24], own)
print("read its rows only")
"""


@pytest.mark.slow  # seven seconds; hosts read their own rows in tests/runs/test_hosts.py too
@needs_grain
def test_each_process_reads_its_own_rows_only():
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(number), str(port)],
            cwd=ROOT,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for number in range(2)
    ]
    for process in processes:
        output, _ = process.communicate(timeout=120)
        assert process.returncode == 0, output
        assert "read its rows only" in output


@pytest.mark.slow
@needs_grain
def test_training_on_a_stream_gives_the_bits_of_training_in_memory():
    digits = load("digits")
    model = vae.model(vae.Config(latent_dim=2, hidden=(8,)), digits.spec)

    def fit(batches, num_steps=30, **options):
        return train.fit(model, batches, jax.random.key(0), num_steps, progress=False, **options)[0]

    def stream(block_steps):
        return Examples(Rows(digits.train), digits.spec).batches(seed=0, batch_size=32, block_steps=block_steps)

    memory = digits.train.batches(seed=0, batch_size=32)
    expected = fit(memory)
    jax.tree.map(np.testing.assert_array_equal, fit(stream(64)), expected)
    # Over several blocks, and from the middle of one, as if begun anew by another process.
    early = fit(memory, num_steps=10)
    resumed = fit(stream(7), state=early)
    jax.tree.map(np.testing.assert_array_equal, resumed, expected)
    devices = train.parallel.mesh(4)
    jax.tree.map(np.testing.assert_array_equal, fit(stream(7), mesh=devices), fit(memory, mesh=devices))


@needs_grain
def test_what_cannot_be_read_is_named_and_when_it_can_nothing_is_missing(tmp_path):
    for i, image in enumerate(noise(20, 4, 4)):
        save(tmp_path / f"{i:02}.png", image)
    files = open_folder(tmp_path)["train"]
    expected = files.decoded().batches(seed=0, batch_size=4)
    stream = files.batches(seed=0, batch_size=4, block_steps=2)
    assert_same(stream.feed(0, 1)(0), expected(0))
    stream.feed(2, 1)
    contents = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for path, content in contents.items():
        path.write_bytes(content[:50])
    with pytest.raises(ValueError, match=rf"{tmp_path}/\d\d.png must be a whole PNG or JPEG image"):
        stream.feed(40, 1)
    for path, content in contents.items():
        path.write_bytes(content)
    for step in (40, 41, 42):
        assert_same(stream.feed(step, 1)(step), expected(step))


@needs_grain
def test_the_length_of_a_block_unless_given():
    def steps(*shape):
        return Examples(np.zeros((4, *shape), np.uint8), Spec(shape, "uint8", levels=256)).batches(0, 4).block_steps

    assert steps(8, 8) == 128
    assert steps(1024, 1024) == 16
    assert steps(8192, 4096) == 1


@needs_grain
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": N + 1}, "batch_size must be at most the number of examples, 50, got 51"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
        ({"seed": -1}, "seed must be an integer in"),
        ({"block_steps": 0}, "block_steps must be an integer of at least 1, got 0"),
        ({"num_threads": 0}, "num_threads must be an integer of at least 1, got 0"),
    ],
)
def test_arguments_that_are_none(arguments, message):
    with pytest.raises(ValueError, match=message):
        examples(split()).batches(**{"seed": 0, "batch_size": 4, **arguments})


@needs_grain
def test_steps_beyond_a_block():
    stream = examples(split()).batches(seed=0, batch_size=4, block_steps=5)
    with pytest.raises(ValueError, match=r"num must be at most reach\(3\) = 2, got 3"):
        stream.feed(3, 3)
    with pytest.raises(ValueError, match=r"step must be an integer in 0\.\.2147483647, got -1"):
        stream(-1)


def test_without_grain(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"streaming needs grain: pip install 'jaxgen\[data\]'"):
        examples(split()).batches(seed=0, batch_size=4)


BAD = {
    "shape": (
        np.zeros((5, 3, 2), np.uint8),
        r"example 2: it must have the event_shape of the spec, \(2, 3\), got \(3, 2\)",
    ),
    "dtype": (np.zeros((5, 2, 3), np.float32), "example 2: it must have the dtype of the spec, uint8, got float32"),
    "levels": (np.full((5, 2, 3), 9, np.uint8), "example 2: it.x must lie below levels=9, got 9"),
    "64 bit": (np.zeros((5, 2, 3)), "example 2: x must be uint8 or float32, got float64"),
    "columns": ([{"image": 0}] * 5, r"example 2 must have x, and of x, label, .* what there is, got \['image'\]"),
}


@pytest.mark.parametrize("case", BAD)
def test_examples_that_are_not_what_the_spec_says(case):
    source, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        Examples(source, Spec((2, 3), "uint8", levels=9))[2]


def test_no_example():
    with pytest.raises(ValueError, match="source must hold at least one example, got none"):
        Examples(np.zeros((0, 2), np.float32), Spec((2,)))


@needs_grain
def test_reprs_are_of_one_line():
    stream = examples(split()).batches(seed=0, batch_size=4, block_steps=2)
    assert repr(stream) == f"Stream(4 of {N} examples, 2 steps a block)"
    assert repr(stream.feed(0, 1)) == "Block(uint8 [3, 2] with index, label, low, mask, text)"


def test_what_stands_behind_examples_is_named_not_shown(tmp_path):
    for i in range(20):
        save(tmp_path / f"{i}.png", noise(4, 4, seed=i))
    train = open_folder(tmp_path)["train"]
    assert repr(train) == "Examples(16, Spec(event_shape=(4, 4, 1), dtype='uint8', levels=256), from ImageFiles)"
    assert repr(train.source) == "ImageFiles(20 files, 8-bit grey)"
