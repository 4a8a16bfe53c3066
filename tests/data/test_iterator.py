import jax
import numpy as np
import pytest

from jaxgen import data, train, vae
from jaxgen.core import Spec

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 3)).astype(np.float32)
BATCHES = [{"x": X[i : i + 8]} for i in range(0, 40, 8)]


def values(block, step):
    return np.asarray(block(step)["x"])


def test_a_sequence_is_a_function_of_the_step():
    source = data.from_iterator(BATCHES)
    assert isinstance(source, data.BatchSource)
    assert source.batch_size == 8
    for step in (0, 4, 7, 2, 13):
        batch = source(step)
        np.testing.assert_array_equal(batch["x"], BATCHES[step % 5]["x"])
        np.testing.assert_array_equal(batch["index"], step * 8 + np.arange(8))
    block = source.feed(3, 4)
    for step in range(3, 7):
        np.testing.assert_array_equal(values(block, step), BATCHES[step % 5]["x"])


def test_a_generator_is_read_as_far_as_it_is_used_and_no_further():
    taken = []

    def endless():
        for i in range(10**9):
            taken.append(i)
            yield {"x": X[:4] + i}

    source = data.from_iterator(endless())
    source(0), source(0), source.feed(0, 1), source.reach(0)
    assert taken == [0]
    assert source.reach(0) > 3
    block = source.feed(0, 3)
    assert taken == [0, 1, 2]
    np.testing.assert_array_equal(values(block, 2), X[:4] + 2)
    np.testing.assert_array_equal(values(source.feed(3, 2), 4), X[:4] + 4)
    assert taken == [0, 1, 2, 3, 4]
    shapes = [jax.tree.map(lambda leaf: leaf.shape, source.feed(at, num).rows) for at, num in ((5, 1), (6, 4))]
    assert shapes[0] == shapes[1]  # or the loop would be compiled anew


def test_a_generator_ends_and_a_loader_begins_anew():
    class Loader:
        def __iter__(self):
            return iter(BATCHES)

    generator, loader = data.from_iterator(iter(BATCHES)), data.from_iterator(Loader())
    generator.feed(0, 4), loader.feed(0, 4)
    generator.feed(4, 3), loader.feed(4, 3)
    assert generator.reach(4) == 1 and loader.reach(4) > 1
    assert generator.reach(5) == 0
    with pytest.raises(ValueError, match="another batch for step 5, got 5 items in all"):
        generator.feed(5, 1)
    np.testing.assert_array_equal(values(loader.feed(5, 1), 5), BATCHES[0]["x"])


def test_single_examples_are_made_batches():
    examples = [{"x": X[i], "label": i % 3, "mask": X[i] > 0} for i in range(40)]
    for items in (examples, iter(examples)):
        source = data.from_iterator(items, batch_size=16)
        batch = source(0)
        assert {name: (v.shape, str(v.dtype)) for name, v in batch.items()} == {
            "x": ((16, 3), "float32"),
            "label": ((16,), "int32"),
            "mask": ((16, 3), "bool"),
            "index": ((16,), "int32"),
        }
        np.testing.assert_array_equal(values(source.feed(1, 1), 1), X[16:32])
    assert source.reach(2) == 0  # eight are left, no batch


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ({"x": X}, "got one dictionary with .'x'.; a list of it trains on this batch alone"),
        (X, r"got an array of shape \(40, 3\); data.from_arrays makes a data set of it"),
        (7, "got int"),
        ("abc", "got str"),
        (None, "got NoneType"),
    ],
)
def test_what_holds_no_batches_is_refused_at_once(items, message):
    with pytest.raises(ValueError, match=message):
        data.from_iterator(items)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "another batch for step 0, got 0 items in all"),
        ([X], r'must be a dictionary with "x", got an array'),
        ([{"y": X}], r'must be a dictionary with "x", got keys \[.y.\]'),
        ([{"x": X, "labels": X}], "further fields by names of their own, got labels: rename it label"),
        ([{"x": X.astype(np.float64)}], "batch of step 0: x must be uint8 or float32, got float64; if nothing is lost"),
        ([{"x": np.full((4, 2), np.nan, np.float32)}], "batch of step 0: x must be finite"),
        ([{"x": X, "label": np.zeros(3, np.int32)}], "batch of step 0: label must hold one label for each"),
        ([{"x": X[:0]}], "batch of step 0: x must be"),
    ],
)
def test_an_item_is_checked_as_a_split_is(items, message):
    with pytest.raises(ValueError, match=message):
        data.from_iterator(items)(0)


def test_a_smaller_last_batch_is_refused_by_name():
    source = data.from_iterator([{"x": X[:8]}, {"x": X[:5]}])
    with pytest.raises(ValueError, match=r"shapes of the first one, x .*8, 3.*, got .*5, 3.* at step 1; leave"):
        source.feed(0, 2)


def test_batch_size_must_be_one():
    with pytest.raises(ValueError, match="batch_size must be an integer of at least 1, got 0"):
        data.from_iterator(BATCHES, 0)


def test_a_model_trains_on_it_as_on_the_same_batches():
    model = vae.model(vae.Config(latent_dim=2, hidden=(8,), likelihood=vae.Normal()), Spec((3,)))
    key = jax.random.key(0)

    def fit(batches, num=7, **options):
        return train.fit(model, batches, key, num, progress=False, log_every=3, **options)

    state, history = fit(BATCHES)
    assert list(history["step"]) == [3, 6, 7] and history.stopped is None
    for again in (fit(BATCHES, chunk_steps=1), fit(data.from_iterator(BATCHES)), fit(iter(BATCHES * 2))):
        assert train.digest(again[0]) == train.digest(state)
    half, _ = fit(BATCHES, 4)
    assert train.digest(fit(BATCHES, state=half)[0]) == train.digest(state)
    source = data.from_iterator(iter(BATCHES * 2))  # it goes on where it stands
    half, _ = fit(source, 4)
    assert train.digest(fit(source, state=half)[0]) == train.digest(state)
    shared, _ = fit(BATCHES, mesh=train.parallel.mesh(4))
    for a, b in zip(jax.tree.leaves(shared.params), jax.tree.leaves(state.params), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_training_ends_where_a_generator_ends_and_says_so():
    model = vae.model(vae.Config(latent_dim=2, hidden=(8,), likelihood=vae.Normal()), Spec((3,)))
    ends = []
    state, history = train.fit(
        model,
        iter(BATCHES),
        jax.random.key(0),
        100,
        hooks=[train.Hook(lambda step, *_: ends.append(step))],
        progress=False,
    )
    assert int(state.step) == 5 and ends == [5]
    assert history.stopped == "the batches came to their end after step 5"


def test_grain_data_sets_are_iterables():
    grain = pytest.importorskip("grain")
    examples = grain.MapDataset.range(40).map(lambda i: {"x": X[i]})
    for items in (examples.batch(8), examples.batch(8).to_iter_dataset(), iter(examples.batch(8).to_iter_dataset())):
        np.testing.assert_array_equal(values(data.from_iterator(items).feed(0, 2), 1), X[8:16])
    np.testing.assert_array_equal(data.from_iterator(examples, 8)(4)["x"], X[32:])
