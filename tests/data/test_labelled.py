"""Few labels: as many of each class, from a seed, and no other label anywhere in a batch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data, evaluate
from jaxgen.data.labelled import known, of_draw, of_draws

X = np.arange(60, dtype=np.float32)[:, None] * np.ones((1, 3), np.float32)
LABEL = np.arange(60) % 3


@pytest.fixture(scope="module")
def whole():
    return data.from_arrays(X, LABEL, fields={"spread": X + 1}, valid=None, test=12)


@pytest.fixture(scope="module")
def few(whole):
    return data.few_labels(whole, jax.random.key(0), per_class=2, draws=3)


def test_each_draw_is_balanced_and_belongs_to_the_key(whole, few):
    for s in range(3):
        assert np.bincount(few.train.known(s).label).tolist() == [2, 2, 2]
    again = data.few_labels(whole, jax.random.key(0), per_class=2, draws=5)
    np.testing.assert_array_equal(again.train.fields["labelled"][:, :3], few.train.fields["labelled"])
    other = data.few_labels(whole, jax.random.key(1), per_class=2, draws=3)
    assert (other.train.fields["labelled"] != few.train.fields["labelled"]).any()
    assert evaluate.balanced_choice is data.balanced_choice


def test_nothing_but_the_known_labels_is_there(whole, few):
    """With all other labels changed, data, fingerprint and batches are the same."""
    seen = few.train.fields["labelled"].any(axis=1)
    assert (few.train.label[~seen] == 0).all()
    np.testing.assert_array_equal(few.train.label[seen], whole.train.label[seen])
    batch = few.train.batches(seed=0, batch_size=8)(5)
    assert set(batch) == {"x", "spread", "index", "known_x", "known_spread", "known_label"}
    # The label of the row is a third of x away from nothing else than x itself.
    np.testing.assert_array_equal(batch["known_label"], batch["known_x"][..., 0].astype(int) % 3)
    np.testing.assert_array_equal(batch["known_spread"], batch["known_x"] + 1)


def test_test_and_validation_sets_keep_their_labels(whole, few):
    np.testing.assert_array_equal(few.test.label, whole.test.label)
    assert few.test.fields["labelled"].all() and few.spec.fields["labelled"].shape == (3,)
    held = set(few.test.x[:, 0])
    assert held.isdisjoint(few.train.x[:, 0])


@pytest.mark.parametrize("batch_size", [4, 6, 9])
def test_labelled_examples_take_turns(few, batch_size):
    batches = few.train.batches(seed=0, batch_size=batch_size)
    rows = np.concatenate([np.asarray(batches(step)["known_x"])[:, 1, 0] for step in range(6)])
    own = few.train.known(1).x[:, 0]
    np.testing.assert_array_equal(rows, np.resize(own, len(rows)))


def test_the_examples_without_labels_are_those_of_the_whole_data(whole, few):
    plain = data.Split(whole.train.x).batches(seed=4, batch_size=10)
    batches = few.train.batches(seed=4, batch_size=10)
    for step in (0, 7):
        np.testing.assert_array_equal(batches(step)["x"], plain(step)["x"])
    assert batches.batch_size == 10 and batches.feed(0, 3) is batches and batches.reach(2) > 10**9


def test_the_batches_of_the_draws(few):
    batch = few.train.batches(seed=0, batch_size=8)(2)
    each = of_draws(batch)
    for s in range(3):
        alone = of_draw(batch, s)
        assert alone.keys() == each.keys()
        for name, value in alone.items():
            np.testing.assert_array_equal(each[name][s], value)
    np.testing.assert_array_equal(of_draws({"x": batch["x"]}, 3)["x"][2], batch["x"])
    x, label = known(of_draw(batch, 1), few.spec)
    assert x.shape == (8, 3) and label.dtype == jnp.int32


def test_a_traced_step(few):
    batches = few.train.batches(seed=0, batch_size=8)
    traced = jax.jit(lambda b, step: b(step))(batches, 11)
    for name, value in batches(11).items():
        np.testing.assert_array_equal(traced[name], value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"per_class": 0}, r"per_class must be an integer in 1..\d+, the size of the smallest class, got 0"),
        ({"per_class": 40}, "per_class must be an integer in .* got 40"),
        ({"draws": 0}, "draws must be an integer of at least 1, got 0"),
    ],
)
def test_numbers_that_cannot_be(whole, options, message):
    with pytest.raises(ValueError, match=message):
        data.few_labels(whole, jax.random.key(0), **options)


def test_data_without_labels(few):
    with pytest.raises(ValueError, match="dataset must have labels, got arrays without"):
        data.few_labels(data.from_arrays(X), jax.random.key(0))
    with pytest.raises(ValueError, match=r"draw must be an integer in 0\.\.2, the draws of the labels, got 3"):
        few.train.known(3)
