"""Labels that never occur: warned of, never sampled, refused where they are many; names of classes are kept."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from pictures import noise, save

from jaxgen import ddpm, evaluate, gan
from jaxgen.core import Spec
from jaxgen.data import Dataset, Split, digits, from_arrays, from_folder, open_folder
from jaxgen.draws import example_labels

X = np.random.default_rng(0).normal(size=(60, 2)).astype(np.float32)
FROM_ONE = np.arange(60) % 10 + 1
SMALL = {
    "gan": lambda spec: gan.model(gan.Config(latent_dim=2, network=gan.MLP((4,), (4,)), conditional=True), spec),
    "ddpm": lambda spec: ddpm.model(
        ddpm.Config(schedule=ddpm.Cosine(2), network=ddpm.MLP((4,)), conditional=True), spec
    ),
}


def counted_from_one():
    with pytest.warns(UserWarning, match=r"1 of the 11 classes have no example in the training set \(0\)"):
        return from_arrays(X, FROM_ONE, valid=None, test=5)


def test_labels_that_count_from_one_are_warned_of():
    data = counted_from_one()
    assert data.spec.num_classes == 11
    assert data.spec.labels == tuple(range(1, 11))
    # What makes two data sets one has not changed: runs of before go on.
    everything = dataclasses.replace(data.spec, labels=None)
    assert everything == data.spec
    assert Dataset("d", everything, data.train, data.test).fingerprint == data.fingerprint


@pytest.mark.parametrize("family", SMALL)
def test_samples_are_of_classes_that_occur(family, key):
    data = counted_from_one()
    model = SMALL[family](data.spec)
    state = model.init(key, data.train.batches(seed=0, batch_size=4)(0))
    # Off the zeros that a network ends in at the start, which see no label.
    state = jax.tree.map(lambda v: v + 0.1 if v.dtype == np.float32 else v, state)
    index = jnp.arange(60, dtype=jnp.int32)
    label = example_labels(jax.random.fold_in(key, 2**32 - 1), index, 11, tuple(range(1, 11)))
    assert set(np.asarray(label).tolist()) == set(range(1, 11))
    # Another label would make another sample.
    np.testing.assert_allclose(
        model.sample(key, state.variables, 60), model.sample(key, state.variables, 60, label=label), atol=1e-5
    )
    assert evaluate.takes_labels(model, state.variables)
    for wrong in (0, jnp.int32(0), [3, 0]):
        with pytest.raises(
            ValueError, match=r"label must be one that occurs in training, \(1, 2, 3, 4, 5, 6, ...\), got 0"
        ):
            model.sample(key, state.variables, 2, label=wrong)
    given = data.test.arrays
    asked = {
        "gan": lambda label: model.parts.generate(state.variables, jnp.zeros((5, 2)), label=label),
        "ddpm": lambda label: model.parts.impute(key, state.variables, {**given, "mask": given["x"] > 1}, label=label),
    }[family]
    for wrong, message in (
        (0, "label must be one that occurs in training"),
        (99, r"label must lie in 0\.\.10, got 99"),
    ):
        with pytest.raises(ValueError, match=message):
            asked(wrong)
    assert asked(3).shape == (5, 2)
    assert not np.allclose(
        model.sample(key, state.variables, 2, label=10), model.sample(key, state.variables, 2, label=1), atol=1e-5
    )


def test_the_draws_are_the_old_ones_where_all_occur(key):
    index = jnp.arange(50, dtype=jnp.int32)
    old = jax.vmap(lambda k: jax.random.randint(jax.random.fold_in(key, k), (), 0, jnp.int32(10)))(index)
    np.testing.assert_array_equal(example_labels(key, index, 10, digits().spec.labels), old)
    some = np.asarray(example_labels(key, index, 10, (2, 5, 9)))
    assert set(some.tolist()) == {2, 5, 9}


@pytest.mark.parametrize("label", [(5, 900_000), (0, 100), (2**31 - 1, 2**31 - 1)])
def test_labels_far_beyond_those_that_occur_are_refused(label):
    with pytest.raises(
        ValueError, match=r"label must number the classes 0, 1, .*np\.unique\(label, return_inverse=True\)"
    ):
        from_arrays(X, np.array(label)[np.arange(60) % 2])


def test_many_classes_are_none_too_many_if_they_occur():
    with pytest.warns(UserWarning, match=r"90 of the 101 classes .*\(1, 2, 3, 4, 5, 6, 7, 8, 9, 11, \.\.\.\)"):
        assert from_arrays(X, np.arange(60) % 11 * 10, valid=None, test=1).spec.num_classes == 101


def test_a_class_without_an_example_to_train_on():
    label = np.zeros(20, int)
    with pytest.warns(UserWarning, match=r"1 of the 2 classes have no example in the training set \(dog\)"):
        data = from_arrays(
            X[:20], label, class_names=["cat", "dog"], test=Split(X[:3], np.array([0, 1, 1])), valid=None
        )
    assert data.spec.labels == (0,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": (2, 1)}, "labels must be ascending, at least one, and below num_classes=3"),
        ({"labels": (0, 3)}, "labels must be ascending"),
        ({"labels": ()}, "labels must be ascending"),
        ({"num_classes": None, "labels": (0,)}, "labels must be ascending, .*below num_classes=None"),
        ({"class_names": ("a", "b")}, "class_names must be one for each of num_classes=3, got 2"),
    ],
)
def test_specs_that_are_none(changes, message):
    with pytest.raises(ValueError, match=message):
        Spec(**{"event_shape": (2,), "num_classes": 3, **changes})


def test_all_labels_are_no_selection():
    assert Spec((2,), num_classes=3, labels=(0, 1, 2)).labels is None
    assert Spec((2,), num_classes=3, class_names=("a", "b", "c")).class_name(1) == "b"
    assert Spec((2,), num_classes=3).class_name(1) == "1"


def test_a_training_set_beyond_the_labels_of_its_spec():
    split = Split(X[:4], np.array([0, 1, 2, 2]))
    with pytest.raises(ValueError, match=r"train\.label must be one of spec\.labels, \(0, 1\), got 2"):
        Dataset("d", Spec((2,), num_classes=3, labels=(0, 1)), split, split)


def test_folders_keep_the_names_of_their_classes(tmp_path):
    for name in ("Zebra", "ant", "cat"):
        for i in range(8):
            save(tmp_path / name / f"{i}.png", noise(4, 4, seed=i))
    assert from_folder(tmp_path).spec.class_names == ("Zebra", "ant", "cat")
    for path in (tmp_path / "ant").glob("*.png"):
        if path.stem != "0":
            path.unlink()
    seeds = range(20)
    missing = 0
    for seed in seeds:  # the only ant is in the training set or not
        try:
            open_folder(tmp_path, test=0.4, seed=seed)
        except UserWarning as warning:
            assert "(ant)" in str(warning)
            missing += 1
    assert 0 < missing < len(seeds)
