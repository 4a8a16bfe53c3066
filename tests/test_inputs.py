"""What every model refuses, in the same words: keys, numbers of draws and batches that are none."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import autoencoder, data, ddpm, evaluate, gan, vae
from jaxgen.core import Field, Spec
from jaxgen.inputs import checked_batch, checked_condition, checked_draws
from tests.models import MODELS, VARIANTS


class _Bare:
    """`jaxgen.evaluate` without the type checks that the import hook adds to its functions in tests."""

    def __getattr__(self, name):
        return inspect.unwrap(getattr(evaluate, name))


bare = _Bare()

KEY = jax.random.key(0)
USES_MASKS = {name for name in MODELS if name.split("-")[0] in ("vae", "autoencoder", "ensemble")}
CONDITIONAL = {"gan-convolutional", "ddpm-learned-variance"}


@pytest.fixture(params=[name for name in MODELS if name not in VARIANTS], scope="module")
def case(request):
    model, dataset = MODELS[request.param]()
    batch = {"x": dataset.train.x[:8], "label": dataset.train.label[:8]}
    return request.param, model, batch, jax.eval_shape(lambda: model.init(KEY, batch))


def traced(function, given, *arguments):
    """Trace a function of (key, state or variables, ...) without the type checks that the hook adds in tests."""
    return jax.eval_shape(lambda given: inspect.unwrap(function)(arguments[0], given, *arguments[1:]), given)


RAW = np.zeros(2, np.uint32)
BATCHES = {
    "a batch without x": (lambda b: {"label": b["label"]}, 'batch must hold "x", got label'),
    "an empty mapping": (lambda b: {}, 'batch must hold "x", got no field'),
    "an empty batch": (
        lambda b: {k: v[:0] for k, v in b.items()},
        r"x must have shape \[B, 8, 8, 1\], B >= 1, got \(0,",
    ),
    "flat features": (lambda b: {**b, "x": b["x"].reshape(8, -1)}, r"x must have shape \[B, 8, 8, 1\].*got \(\d, 64\)"),
    "features of rank 1": (lambda b: {**b, "x": b["x"][:, 0, 0, 0]}, r"x must have shape \[B, 8, 8, 1\].*got \(\d,\)"),
    "another size": (lambda b: {**b, "x": b["x"][:, :7]}, r"x must have shape \[B, 8, 8, 1\].*got \(\d, 7, 8, 1\)"),
    "floats for grey levels": (lambda b: {**b, "x": b["x"] / np.float32(16)}, "storage dtype uint8, got float32"),
    "a mask of floats": (lambda b: {**b, "mask": np.ones(b["x"].shape, np.float32)}, "mask"),
    "a mask of another shape": (lambda b: {**b, "mask": np.ones(b["x"].shape[:-1], bool)}, "mask"),
    "an index of floats": (lambda b: {**b, "index": np.arange(8, dtype=np.float32)}, "index must be integers"),
}


@pytest.mark.parametrize("what", BATCHES)
@pytest.mark.parametrize("function", ["init", "step", "evaluate"])
def test_a_batch_that_the_spec_does_not_describe_is_refused(case, function, what):
    _, model, batch, state = case
    change, message = BATCHES[what]
    f = getattr(model, function)
    with pytest.raises(ValueError, match=message):
        if function == "init":
            jax.eval_shape(lambda: inspect.unwrap(f)(KEY, change(batch)))
        else:
            traced(f, state if function == "step" else state.variables, KEY, change(batch))


@pytest.mark.parametrize("key", [0, RAW, None], ids=["an int", "raw words", "None"])
@pytest.mark.parametrize("function", ["init", "step", "evaluate", "sample"])
def test_what_is_no_typed_key_is_refused(case, function, key):
    _, model, batch, state = case
    f = inspect.unwrap(getattr(model, function))
    with pytest.raises(ValueError, match="key must be one typed key"):
        if function == "init":
            f(key, batch)
        else:
            given = state if function == "step" else state.variables
            traced(f, given, key, 2 if function == "sample" else batch)


@pytest.mark.parametrize(
    ("num", "first", "message"),
    [
        (0, 0, "num must be an integer of at least 1, got 0"),
        (-1, 0, "num must be an integer of at least 1, got -1"),
        (2.0, 0, r"num must be an integer of at least 1, got 2\.0"),
        (True, 0, "num must be an integer of at least 1, got True"),
        (2**31, 0, "num must be an integer of at most 2147483647"),
        (2, -1, r"first must be an integer in 0\.\.2147483646, .* got -1"),
        (2, 2**31 - 1, r"first must be an integer in 0\.\.2147483646, .* got 2147483647"),
        (2, 2**40, "first must be an integer in"),
        (2, 0.5, "first must be an integer in"),
    ],
)
def test_a_number_of_draws_that_is_none_is_refused(case, num, first, message):
    _, model, _, state = case
    with pytest.raises(ValueError, match=message):
        sample = inspect.unwrap(model.sample)
        jax.eval_shape(lambda variables: sample(KEY, variables, num, first=first), state.variables)


def test_a_mask_is_used_or_refused_by_name(case):
    name, model, batch, state = case
    masked = {**batch, "mask": np.ones(batch["x"].shape, bool)}
    if name in USES_MASKS:
        assert traced(model.evaluate, state.variables, KEY, masked)["observed"].shape == (8,)
        assert "observed" not in traced(model.evaluate, state.variables, KEY, batch)
        return
    for function, given in ((model.step, state), (model.evaluate, state.variables)):
        with pytest.raises(ValueError, match='batch must hold no "mask", got one'):
            traced(function, given, KEY, masked)
    with pytest.raises(ValueError, match='batch must hold no "mask", got one'):
        model.init(KEY, masked)


def test_a_conditional_model_needs_labels_of_the_right_kind(case):
    name, model, batch, state = case
    if name not in CONDITIONAL:
        traced(model.evaluate, state.variables, KEY, {"x": batch["x"]})
        return
    for label, message in [
        (None, 'batch must hold "label", got x'),
        (batch["label"][:4], r"label must be integers of shape \(8,\), got shape \(4,\)"),
        (batch["label"][:, None], r"label must be integers of shape \(8,\), got shape \(8, 1\)"),
        (batch["label"].astype(np.float32), r"label must be integers of shape \(8,\), got float32"),
    ]:
        for function, given in ((model.step, state), (model.evaluate, state.variables)):
            with pytest.raises(ValueError, match=message):
                traced(function, given, KEY, {**batch, "label": label})


def test_the_checks_return_what_a_model_reads():
    spec = Spec((2,), num_classes=3)
    x, mask = np.zeros((4, 2), np.float32), np.ones((4, 2), bool)
    fields = checked_batch({"x": x, "mask": mask, "label": np.arange(4), "caption": "ignored"}, spec)
    assert set(fields) == {"x", "mask", "index"}
    np.testing.assert_array_equal(fields["index"], np.arange(4))
    with pytest.raises(ValueError, match="batch must be a mapping"):
        checked_batch(x, spec)
    with pytest.raises(ValueError, match="x must be an array, got list"):
        checked_batch({"x": [[0.0, 1.0]]}, spec)
    assert checked_draws(KEY, 2, np.int64(5)) == 5
    jax.eval_shape(lambda first: checked_draws(KEY, 2, first), jnp.int32(0))


FIELDS = {"low": Field((1, 2), "uint8"), "tokens": Field((3,), "int32", 5), "on": Field((), "bool")}


def test_further_fields_are_returned_where_they_are_needed():
    spec = Spec((2,), num_classes=3, fields=FIELDS)
    given = {"low": np.zeros((4, 1, 2), np.uint8), "tokens": np.zeros((4, 3), np.int32), "on": np.ones(4, bool)}
    batch = {"x": np.zeros((4, 2), np.float32), "label": np.arange(4), **given}
    assert set(checked_batch(batch, spec)) == {"x", "index"}
    fields = checked_batch(batch, spec, needs=("low", "on", "label"))
    assert {name: value.dtype.name for name, value in fields.items()} == {
        "x": "float32", "index": "int32", "label": "int32", "low": "uint8", "on": "bool"
    }  # fmt: skip
    for name, value, message in [
        ("low", None, 'batch must hold "low", got x, label, tokens, on'),
        ("low", given["low"][:2], r"low must be uint8 of shape \(4, 1, 2\), got shape \(2, 1, 2\)"),
        ("low", given["low"].astype(np.float32), r"low must be uint8 of shape \(4, 1, 2\), got float32"),
        ("tokens", given["tokens"].astype(np.uint8), r"tokens must be int32 of shape \(4, 3\), got uint8"),
        ("on", [True] * 4, r"on must be bool of shape \(4,\), got <class 'list'>"),
    ]:
        with pytest.raises(ValueError, match=message):
            checked_batch({**batch, name: value}, spec, needs=(name,))
    with pytest.raises(ValueError, match="the data must have the field 'high', they have label, low, on, tokens"):
        checked_batch({**batch, "high": given["low"]}, spec, needs=("high",))


def test_conditions_are_given_to_all_samples_or_to_each():
    spec = Spec((2,), num_classes=3, fields=FIELDS, labels=(0, 2))
    names = ("label", "low", "tokens", "on")
    low = np.arange(8, dtype=np.uint8).reshape(4, 1, 2)
    found = checked_condition({"label": 2, "low": low, "tokens": [0, 1, 4], "on": True}, 4, names, spec)
    assert {name: (value.shape, value.dtype.name) for name, value in found.items()} == {
        "label": ((4,), "int32"), "low": ((4, 1, 2), "uint8"), "tokens": ((4, 3), "int32"), "on": ((4,), "bool")
    }  # fmt: skip
    np.testing.assert_array_equal(found["low"], low)
    np.testing.assert_array_equal(found["tokens"], [[0, 1, 4]] * 4)
    assert checked_condition(None, 4, names, spec) == {}
    jax.eval_shape(lambda tokens: checked_condition({"tokens": tokens}, 4, names, spec), jnp.zeros(3, jnp.int32))
    for condition, message in [
        (7, "condition must be a mapping of names to values, got int"),
        ({"high": 1}, "this model takes the conditions label, low, tokens, on, got 'high'"),
        ({"label": 1}, "label must be one that occurs in training"),
        (
            {"low": low[:2]},
            r"\['low'\] must have shape \(1, 2\), or \(4, 1, 2\) with one for each.*got \(2, 1, 2\)",
        ),
        ({"low": np.float32(low)}, r"condition\['low'\] must be uint8, got float32"),
        ({"tokens": [0, 1, 5]}, r"condition\['tokens'\] must lie in 0\.\.4, got \[0, 1, 5\]"),
        ({"tokens": [0, 1, -1]}, r"condition\['tokens'\] must lie in 0\.\.4"),
        ({"on": 1}, r"condition\['on'\] must be bool, got int64"),
    ]:
        with pytest.raises(ValueError, match=message):
            checked_condition(condition, 4, names, spec)
    with pytest.raises(ValueError, match="this model takes no condition, got 'label'"):
        checked_condition({"label": 1}, 4, (), spec)
    with pytest.raises(ValueError, match=r"condition\['past'\] must be finite"):
        checked_condition({"past": np.nan}, 4, ("past",), Spec((2,), fields={"past": Field((), "float32")}))


# What lies behind a mask


@pytest.fixture(scope="module")
def half():
    """Digits of which every second pixel is observed, and the same with other values behind the mask."""
    x = data.load("digits").train.x[:8]
    mask = np.indices(x.shape)[1:].sum(axis=0) % 2 == 0
    return x, np.where(mask, x, 16 - x).astype(np.uint8), mask


@pytest.mark.parametrize("family", [autoencoder, vae], ids=["autoencoder", "vae"])
def test_nothing_behind_a_mask_counts(half, family):
    x, other, mask = half
    spec = data.load("digits").spec
    model = family.model(family.Config(latent_dim=3, hidden=(16,)), spec)
    state = model.init(KEY, {"x": x, "mask": mask})
    parts = model.parts
    for function in (parts.encode, parts.reconstruct):
        seen, same = (jax.tree.leaves(function(state.variables, given, mask=mask)) for given in (x, other))
        for a, b in zip(seen, same, strict=True):
            np.testing.assert_array_equal(a, b)
        assert not np.allclose(
            jax.tree.leaves(function(state.variables, x))[0], jax.tree.leaves(function(state.variables, other))[0]
        )
        with pytest.raises(ValueError, match=r"mask must be bool of shape \(8, 8, 8, 1\), got"):
            inspect.unwrap(function)(state.variables, x, mask=mask[..., 0])
        with pytest.raises(ValueError, match=r"mask must be bool of shape \(8, 8, 8, 1\), got float32"):
            inspect.unwrap(function)(state.variables, x, mask=mask.astype(np.float32))
    values, others = (model.evaluate(KEY, state.variables, {"x": given, "mask": mask}) for given in (x, other))
    for name, column in values.items():
        np.testing.assert_array_equal(column, others[name])
    np.testing.assert_array_equal(values["observed"], np.full(8, 32.0))
    if family is vae:
        line, same = (parts.interpolate(state.variables, given, given[::-1], 3, mask=mask) for given in (x, other))
        np.testing.assert_array_equal(line[0], parts.reconstruct(state.variables, x, mask=mask))
        np.testing.assert_array_equal(line, same)


def test_a_diffusion_model_imputes_and_bounds_nothing_behind_a_mask(half):
    x, _, mask = half
    small = ddpm.Config(network=ddpm.MLP((8,), time_features=4), schedule=ddpm.Cosine(4))
    model = ddpm.model(small, data.load("digits").spec)
    state = model.init(KEY, {"x": x})
    imputed = model.parts.impute(KEY, state.variables, {"x": x, "mask": mask})
    np.testing.assert_allclose(np.asarray(imputed)[mask], x[mask] / 16, atol=1e-6)
    with pytest.raises(ValueError, match='batch must hold "mask", got x'):
        model.parts.impute(KEY, state.variables, {"x": x})
    for function in (model.parts.bound, model.parts.log_likelihood):
        with pytest.raises(ValueError, match='batch must hold no "mask"'):
            function(KEY, state.variables, {"x": x, "mask": mask})


def test_the_parts_of_a_game_check_their_arguments():
    model = gan.model(gan.Config(latent_dim=3, network=gan.MLP((8,), (8,)), conditional=True), data.load("digits").spec)
    train = data.load("digits").train.rows(np.arange(4))
    batch = train.arrays
    state = model.init(KEY, batch)
    z, x, parts = jnp.zeros((4, 3)), jnp.zeros((4, 8, 8, 1)), model.parts
    assert parts.generate(state.variables, z, 3).shape == (4, 8, 8, 1)
    for function, arguments, message in [
        (parts.generate, (z[:, :2], 3), r"z must have shape \[b, 3\], got \(4, 2\)"),
        (parts.generate, (z.astype(jnp.int32), 3), "z must have a floating dtype, got int32"),
        (parts.generate, (z,), "label must be given"),
        (parts.generate, (z, np.zeros(3, int)), "label must be an integer or 4 of them"),
        (parts.discriminate, (x.astype(jnp.uint8), 3), "x must have a floating dtype, got uint8"),
        (parts.discriminate, (x[..., 0], 3), r"x must have shape \(4, 8, 8, 1\), got \(4, 8, 8\)"),
        (parts.interpolate, (z, z[:2], 3, 3), "z_from and z_to must have equal shapes"),
    ]:
        with pytest.raises(ValueError, match=message):
            inspect.unwrap(function)(state.variables, *arguments)


def test_bits_per_dim_of_an_experiment_count_what_is_observed(half, tmp_path):
    """The same pixels, once with a mask over the others and once by themselves: a mask is no loss of bits."""
    from jaxgen.experiments import _images

    digits = data.load("digits")
    mask = np.zeros(digits.test.x.shape, bool)
    mask[:, :4] = True
    test = data.Split(digits.test.x, digits.test.label, mask)
    masked = data.Dataset("masked", digits.spec, digits.train, test)
    model = vae.model(vae.Config(latent_dim=3, hidden=(16,)), digits.spec)
    state = model.init(KEY, {"x": digits.train.x[:8]})
    found = _images.estimates(model, masked)(KEY, state.variables, test)
    assert found["observed"] == (32.0, 0.0, "observed dimensions")
    nats = found["negative_elbo"].value
    assert found["bits_per_dim"].value == pytest.approx(nats / (32 * np.log(2)), rel=1e-6)
    whole = _images.estimates(model, digits)(KEY, state.variables, digits.test)
    assert "observed" not in whole
    assert whole["bits_per_dim"].value == pytest.approx(whole["negative_elbo"].value / (64 * np.log(2)), rel=1e-6)
    figure = _images.reconstructed_and_sampled(model, masked, "VAE", 0)(KEY, state)
    assert figure is not None


def test_evaluations_of_whole_examples_refuse_data_with_a_mask():
    digits = data.load("digits")
    mask = np.ones(digits.train.x.shape, bool)
    train = data.Split(digits.train.x, digits.train.label, mask)
    masked = data.Dataset("masked", digits.spec, train, digits.test)
    features = evaluate.pixel_features(digits.spec)
    for call in (
        lambda: evaluate.trained_judge(masked),
        lambda: evaluate.reference(masked, features, num=4),
        lambda: evaluate.few_label_accuracy(KEY, lambda p, x: x, lambda key: {}, train, digits.test, 10),
    ):
        with pytest.raises(ValueError, match="train must have no mask, got one"):
            call()


@pytest.mark.parametrize(
    "call",
    [
        lambda x: bare.nearest(x, np.ones((3, 4))),
        lambda x: bare.moments(x),
        lambda x: bare.moments([x, x]),
        lambda x: bare.frechet_distance(x, np.ones((3, 4))),
        lambda x: bare.parzen_log_prob(np.ones((3, 4)), x, 0.1),
        lambda x: bare.estimate(x[:, 0]),
        lambda x: bare.kmeans_centroids(KEY, x.astype(np.float32), 2),
        lambda x: bare.linear_probe(x, np.arange(5), np.ones((3, 4)), np.arange(3)),
        lambda x: bare.mode_statistics(x.astype(np.float32), np.ones((2, 4), np.float32), 0.1),
    ],
)
def test_masked_arrays_are_refused_where_their_mask_would_be_lost(call):
    with pytest.raises(ValueError, match="must be a plain numpy array, got a masked array"):
        call(np.ma.masked_greater(np.arange(20.0).reshape(5, 4), 10))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bare.linear_probe(np.ones((4, 2)), np.arange(3), np.ones((4, 2)), np.arange(4)), "features_train"),
        (lambda: bare.linear_probe(np.ones(4), np.arange(4), np.ones((4, 2)), np.arange(4)), "features_train"),
        (
            lambda: bare.linear_probe(np.ones((4, 2)), np.arange(4), np.ones((4, 3)), np.arange(4)),
            "features_test must have as many features",
        ),
        (
            lambda: bare.fine_tune(lambda p, x: x, {}, jnp.ones((3, 2)), jnp.zeros((3, 1), jnp.int32), 2),
            r"labels must have shape \(3,\), got \(3, 1\)",
        ),
        (
            lambda: bare.fine_tune(lambda p, x: x[:1], {}, jnp.ones((3, 2)), jnp.zeros(3, jnp.int32), 2),
            r"features must have shape \(3, 2\), got \(1, 2\)",
        ),
        (lambda: bare.class_kl(np.ones(3, np.float32) / 3, np.ones((1,), np.float32)), "reference must have shape"),
        (lambda: bare.class_kl(np.ones(3, np.int32)), "shares must have a floating dtype"),
        (lambda: bare.class_histogram(np.ones(3, np.float32), 3), "classes must be integers"),
        (lambda: bare.class_histogram(np.ones((3, 1), np.int32), 3), "classes must be integers"),
        (lambda: bare.estimate(np.ones((3, 1), np.float32)), r"values must be numbers \[n\]"),
        (lambda: bare.balanced_choice(KEY, np.ones(3, np.float32), 1), "labels must be integers"),
        (lambda: bare.balanced_choice(KEY, np.zeros(3, int), 2.5), "per_class must be an integer"),
        (lambda: bare.nearest(np.ones((3, 2)), np.ones((3, 2)), 1.5), "k must be an integer"),
        (lambda: bare.precision_recall(np.eye(5), np.eye(5), True), "k must be an integer"),
        (lambda: bare.choose_sigma(np.ones((3, 2)), np.ones((3, 2)), [float("inf")]), "sigma must be a finite number"),
        (lambda: bare.kernel_distance(KEY, np.eye(5), np.eye(5), num_subsets=2.5), "num_subsets must be an integer"),
        (lambda: bare.frechet_bias(0, np.eye(5), np.eye(5)), "key must be one typed key"),
        (lambda: bare.moments(np.array([["a", "b"]])), r"features must be numbers \[n, d\]"),
    ],
)
def test_evaluations_check_their_arguments(call, message):
    with pytest.raises(ValueError, match=message):
        call()
