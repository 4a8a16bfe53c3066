"""Conditions of a GAN by the names of fields, against data whose p(x | c) is known."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data, gan, train
from jaxgen.core import Spec
from jaxgen.gan.oracle import Mixture, box_quadrature, value_gap
from jaxgen.nn import Concat, CrossAttend, Embed
from jaxgen.optimizers import Adam, Cosine

KEY = jax.random.key(0)
MEANS = np.array([[-2.0, 0.0], [1.0, 1.5], [1.0, -1.5]], np.float32)
STD = 0.5
MIXING = np.array([[0.6, 0.4], [-0.5, 0.7]], np.float32)

FAST = gan.Config(
    latent_dim=2,
    network=gan.MLP((32, 32), (32, 32)),
    generator_optimizer=Adam(2e-3, b1=0.0, schedule=Cosine()),
    discriminator_optimizer=Adam(2e-3, b1=0.0, schedule=Cosine()),
    penalty=gan.ZeroCentred(r1=0.3),
    ema_decay=0.99,
)


def mixture(*names, num=20_000):
    """x | label, c ~ N(m_label + A c, s^2 I), a mixture of three Gaussians that a vector moves; one may be left out."""
    rng = np.random.default_rng(0)
    label, c = rng.integers(0, 3, num), rng.normal(size=(num, 2)).astype(np.float32)
    x = STD * rng.normal(size=(num, 2))
    x = x + (MEANS[label] if "label" in names else 0) + (c @ MIXING.T if "c" in names else 0)
    return data.from_arrays(x.astype(np.float32), label, fields={"c": c}, valid=None)


# Slow: both at once, by more steps of larger networks.
@pytest.mark.parametrize("names", [("c",), pytest.param(("label", "c"), marks=pytest.mark.slow)], ids="-".join)
def test_samples_have_the_mean_and_covariance_of_their_condition(names):
    width, steps, size = (32, 1000, 64) if len(names) == 1 else (64, 2500, 128)
    config = dataclasses.replace(
        FAST, network=gan.MLP((width, width), (width, width)), condition={name: Embed(0.0) for name in names}
    )
    dataset = mixture(*names)
    model = gan.model(config.lasting(steps), dataset.spec)
    batches = dataset.train.batches(seed=0, batch_size=size)
    variables = train.fit(model, batches, KEY, steps, progress=False)[0].variables
    for label, c in ((0, [0.0, 0.0]), (1, [1.0, -0.5]), (2, [-1.0, 1.0]), (2, [0.5, 1.0])):
        given = {name: value for name, value in (("label", label), ("c", np.asarray(c, np.float32))) if name in names}
        x = np.asarray(model.sample(KEY, variables, 2000, condition=given))
        # The Monte Carlo error of a mean is 0.011, that of a covariance 0.008; the rest is what the game has not found.
        mean = MIXING @ np.asarray(c, np.float32) + (MEANS[label] if "label" in names else 0)
        np.testing.assert_allclose(x.mean(axis=0), mean, atol=0.2)
        np.testing.assert_allclose(np.cov(x.T), STD**2 * np.eye(2), atol=0.12)


def constant(key, *inputs):
    return {"unused": jnp.zeros((), jnp.float32)}


def normal_log_prob(x, cov) -> Any:
    """log N(x | 0, cov), [n]."""
    precision = jnp.asarray(np.linalg.inv(cov), jnp.float32)
    log_volume = np.float32(0.5 * np.linalg.slogdet(2 * np.pi * cov)[1])
    return -0.5 * ((x @ precision) * x).sum(axis=-1) - log_volume


@pytest.mark.parametrize("name", ["label", pytest.param("c", marks=pytest.mark.slow)])
def test_the_discriminator_is_the_optimal_one_of_each_condition(name):
    """Against a generator of known density D* is known, with a condition and without: log p_d(x | c) - log p_g(x | c).

    Both densities change where the condition is withheld, so that D finds them only if G goes without it too.
    """
    dataset = mixture(name)

    def generate(params, z, forms):
        """z ~ N(0, I), wider where the condition is withheld."""
        withheld = forms["label"] == 3 if name == "label" else forms["c"][:, 2] == 1
        return jnp.where(withheld, 1.5, 1.0)[:, None] * z + 0 * params["unused"]

    steps = 1200
    config = dataclasses.replace(
        FAST,
        penalty=gan.NoPenalty(),
        condition={name: Embed(0.3)},
        discriminator_optimizer=Adam(5e-3, schedule=Cosine()),
    )
    model = gan.model(config.lasting(steps), dataset.spec, network={"generator": (constant, generate)})
    batches = dataset.train.batches(seed=0, batch_size=256)
    variables = train.fit(model, batches, KEY, steps, progress=False)[0].variables
    quadrature = box_quadrature((-6.0, -6.0), (6.0, 6.0), 41)

    def gap(given: Any, told: Any) -> float:
        """Value that D, when it is told a condition, falls short of D* for the one that is given."""
        if name == "label":
            log_p_data = Mixture.equal(MEANS if given is None else MEANS[[given]], STD).log_prob
        elif given is None:
            log_p_data = functools.partial(normal_log_prob, cov=MIXING @ MIXING.T + STD**2 * np.eye(2))
        else:
            log_p_data = Mixture.equal((MIXING @ given)[None], STD).log_prob
        log_p_model = Mixture.equal(np.zeros((1, 2), np.float32), 1.5 if given is None else 1.0).log_prob
        discriminate = functools.partial(model.parts.discriminate, variables, condition={name: told})
        return float(value_gap(discriminate, log_p_data, log_p_model, quadrature))

    cases: list[Any] = (
        [0, 1, 2, None] if name == "label" else [*np.array([[0, 0], [1, -0.5], [-1, 1]], np.float32), None]
    )
    for given in cases:
        assert gap(given, given) < 0.03  # D = 1/2 everywhere loses 0.2 to 1
    assert gap(cases[1], cases[2]) > 0.3  # and so does the condition of another example


def fields_of_all_kinds():
    rng = np.random.default_rng(0)
    digits = data.load("digits")
    x, label = digits.train.x[:64], np.asarray(digits.train.label)[:64]
    fields = {
        "low": x[:, ::2, ::2],
        "caption": rng.integers(0, 7, (64, 5)),
        "place": rng.normal(size=(64, 3)).astype(np.float32),
    }
    return data.from_arrays(x, label, levels=17, fields=fields, num_values={"low": 17}, valid=None)


ALL_KINDS = {
    "label": Embed(0.5),
    "low": Concat(0.0),
    "caption": CrossAttend(0.5, padding=0),
    "place": Embed(0.5),
}
LOW = np.zeros((4, 4, 1), np.uint8)
TINY = gan.Config(latent_dim=2, network=gan.MLP((8,), (8,)), condition=ALL_KINDS)
NETWORKS = [
    pytest.param(gan.MLP((8,), (8,), spectral=True), id="mlp"),
    pytest.param(gan.DCGAN(4, num_groups=2), id="dcgan", marks=pytest.mark.slow),
    pytest.param(gan.SNResNet((4, 4), (4, 4), 1), id="resnet", marks=pytest.mark.slow),
]


def random_variables(model, dataset):
    """Variables of the model without the time that it takes to compile `init`."""
    shapes = jax.eval_shape(model.init, KEY, dataset.train.batches(seed=0, batch_size=16)(0)).variables
    rng = np.random.default_rng(0)

    def leaf_of(path, leaf):
        draws = 0.3 * rng.normal(size=leaf.shape)
        return jnp.asarray(np.abs(draws) + 0.5 if path[-1].key == "var" else draws, leaf.dtype)

    return jax.tree.map_with_path(leaf_of, shapes)


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS)
def test_every_parameter_of_a_condition_is_trained(network):
    disturbed = gan.Augmentation(translation=0.2, brightness=0.1)
    dataset = fields_of_all_kinds()
    model = gan.model(dataclasses.replace(TINY, network=network, augmentation=disturbed), dataset.spec)
    batch = dataset.train.batches(seed=0, batch_size=16)(0)
    start = model.init(KEY, batch)
    state, metrics = model.step(KEY, start, batch)
    assert all(bool(jnp.isfinite(value)) for value in metrics.values())
    for before, after in zip(jax.tree.leaves(start.params), jax.tree.leaves(state.params), strict=True):
        assert (np.asarray(before) != np.asarray(after)).any()


@pytest.mark.parametrize("network", NETWORKS)
def test_both_networks_heed_conditions_of_all_kinds(network):
    dataset = fields_of_all_kinds()
    model = gan.model(dataclasses.replace(TINY, network=network), dataset.spec)
    variables = random_variables(model, dataset)
    z, x = model.parts.prior(KEY, jnp.arange(3)), jnp.asarray(dataset.test.x[:3] / np.float32(16))
    given = {"low": LOW, "caption": np.full(5, 2), "place": np.zeros(3, np.float32), "label": 1}
    others = {"low": LOW + np.uint8(9), "caption": np.full(5, 3), "place": np.ones(3, np.float32), "label": 2}
    for function, of in ((model.parts.generate, z), (model.parts.discriminate, x)):
        plain = np.asarray(function(variables, of, condition=given))
        for name, value in others.items():
            # One value for each example; the others stay as they were, and so do their results.
            values = np.stack([np.broadcast_to(np.asarray(c[name]), np.shape(value)) for c in (given, given, others)])
            found = np.asarray(function(variables, of, condition={**given, name: values}))
            np.testing.assert_allclose(found[:2], plain[:2], atol=1e-5)
            assert not np.allclose(found[2], plain[2], atol=1e-5), name
        without = np.asarray(function(variables, of, condition={"low": LOW}))
        assert not np.allclose(without, plain, atol=1e-5)


def test_samples_belong_to_their_condition():
    dataset = fields_of_all_kinds()
    model = gan.model(TINY, dataset.spec)
    variables = random_variables(model, dataset)
    low = np.arange(3 * 16, dtype=np.uint8).reshape(3, 4, 4, 1) % 17
    x = model.sample(KEY, variables, 3, label=1, condition={"low": low})
    assert x.shape == (3, 8, 8, 1)
    alone = model.sample(KEY, variables, 1, first=2, condition={"low": low[2], "label": 1})
    np.testing.assert_allclose(alone[0], x[2], atol=1e-5)
    # A label that is not spoken of is drawn, one that is None is withheld.
    drawn, withheld = (
        model.sample(KEY, variables, 3, condition=c) for c in ({"low": low}, {"low": low, "label": None})
    )
    assert not np.allclose(drawn, x) and not np.allclose(withheld, x) and not np.allclose(drawn, withheld)
    z = model.parts.prior(KEY, jnp.arange(3))
    np.testing.assert_allclose(model.parts.generate(variables, z, 1, {"low": low}), x, atol=1e-5)
    path = model.parts.interpolate(variables, z, z[::-1], 3, condition={"low": low, "label": 1})
    np.testing.assert_allclose(path[0], x, atol=1e-5)
    _, x_hat, error = model.parts.invert(
        KEY, variables, x, num_steps=3, num_starts=2, condition={"low": low, "label": 1}
    )
    np.testing.assert_allclose(np.square(x - x_hat).sum(axis=(1, 2, 3)), error, rtol=1e-3, atol=1e-6)
    batch = next(dataset.test.evaluation_batches(4))
    before = model.evaluate(KEY, variables, batch)["value"]
    changed = model.evaluate(KEY, variables, {**batch, "low": 16 - batch["low"]})["value"]
    assert before.shape == (4,) and not np.allclose(before, changed)


def shapes_of(config, spec=None):
    dataset = fields_of_all_kinds()
    batch = dataset.train.batches(seed=0, batch_size=4)(0)
    return jax.eval_shape(gan.model(config, spec or dataset.spec).init, KEY, batch).variables


def test_conditional_is_short_for_a_label_that_is_never_withheld():
    short, long = gan.Config(conditional=True), gan.Config(condition={"label": Embed(0.0)})
    assert short.conditions == long.conditions and hash(short) != hash(gan.Config())


@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_label_that_may_be_withheld_has_one_more_row(player):
    def rows(dropout):
        params: Any = shapes_of(dataclasses.replace(TINY, condition={"label": Embed(dropout)}))[player]["params"]
        [embedding] = [leaf for path, leaf in jax.tree.leaves_with_path(params) if "embedding" in str(path)]
        return embedding.shape[0]

    assert (rows(0.0), rows(0.1)) == (10, 11)


def test_a_pair_of_data_and_sample_has_the_same_condition_and_goes_without_the_same():
    """A discriminator that looks at the conditions alone says the same of both."""
    dataset = fields_of_all_kinds()

    def judge(params, x, forms):
        told = forms["label"].astype(jnp.float32) + forms["low"][..., 0].sum(axis=(1, 2)) + forms["place"].sum(axis=1)
        return 0.01 * told + 0 * params["unused"]

    game = gan.model(TINY, dataset.spec, network={"discriminator": (constant, judge)}).objective
    batch = dataset.train.batches(seed=0, batch_size=32)(0)
    variables, loss = game.init(KEY, batch), jax.jit(game.discriminator_loss)
    _, aux = loss(variables, KEY, batch, 0)
    np.testing.assert_array_equal(aux.metrics["d_real"], aux.metrics["d_fake"])
    assert len(np.unique(aux.metrics["d_real"])) > 20
    # Others are withheld in the next update.
    _, then = loss(variables, jax.random.key(1), batch, 0)
    assert (then.metrics["d_real"] != aux.metrics["d_real"]).any()


def test_an_image_that_is_given_is_disturbed_as_x_is():
    """A discriminator that compares the two finds no difference; the flag for "withheld" stays as it was."""
    x = data.load("digits").train.x[:32]
    dataset = data.from_arrays(x, levels=17, fields={"same": x}, num_values={"same": 17}, valid=None)

    def judge(params, x, forms):
        same, flag = forms["same"][..., :1], forms["same"][..., 1:]
        return jnp.abs(x - same).sum(axis=(1, 2, 3)) + jnp.abs(flag).sum(axis=(1, 2, 3)) + 0 * params["unused"]

    for disturbance, alike in (({"translation": 0.3, "cutout": 0.3}, True), ({"brightness": 0.5}, False)):
        config = dataclasses.replace(
            TINY, condition={"same": Concat(0.0)}, augmentation=gan.Augmentation(**disturbance), loss=gan.Relativistic()
        )
        game = gan.model(config, dataset.spec, network={"discriminator": (constant, judge)}).objective
        batch = dataset.train.batches(seed=0, batch_size=16)(0)
        _, aux = jax.jit(game.discriminator_loss)(game.init(KEY, batch), KEY, batch, 0)
        assert bool((aux.metrics["d_real"] == 0.5).all()) is alike
        assert not (aux.metrics["d_fake"] == 0.5).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"condition": {"colour": Embed()}}, "the data must have the field 'colour'"),
        ({"condition": {"low": Embed()}}, "low must be one value or a vector"),
        ({"condition": {"label": Concat()}}, "label must be"),
        ({"condition": {"label": Embed()}, "conditional": True}, "where conditional=True"),
    ],
)
def test_conditions_that_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        gan.model(dataclasses.replace(TINY, **changes), fields_of_all_kinds().spec)


def test_labels_that_the_data_do_not_have():
    with pytest.raises(ValueError, match="the data must have the field 'label'"):
        gan.model(dataclasses.replace(TINY, condition={"label": Embed()}), Spec((2,)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, 'condition must hold "low"'),
        ({"condition": {"high": 1}}, "got 'high'"),
        ({"condition": {"low": np.zeros((4, 4, 1), np.float32)}}, "must be uint8"),
        ({"condition": {"low": np.zeros((3, 3, 1), np.uint8)}}, "must have shape"),
        ({"condition": {"low": LOW + np.uint8(17)}}, r"must lie in 0\.\.16"),
        ({"condition": {"low": LOW, "label": 1}, "label": 1}, "got both"),
        ({"condition": {"low": LOW}, "label": 10}, r"label must lie in 0\.\.9"),
    ],
)
def test_samples_that_cannot_be(options, message):
    model = gan.model(TINY, fields_of_all_kinds().spec)
    variables = shapes_of(TINY)
    z, x = np.zeros((2, 2), np.float32), np.zeros((2, 8, 8, 1), np.float32)
    for call in (
        lambda: model.sample(KEY, variables, 2, **options),
        lambda: model.parts.generate(variables, z, **options),
        lambda: model.parts.discriminate(variables, x, **options),
        lambda: model.parts.interpolate(variables, z, z, 3, **options),
        lambda: model.parts.invert(KEY, variables, x, **options),
    ):
        with pytest.raises(ValueError, match=message):
            call()


def test_a_label_is_not_withheld_from_a_model_that_always_had_one():
    config = dataclasses.replace(TINY, condition={}, conditional=True)
    model, variables = gan.model(config, fields_of_all_kinds().spec), shapes_of(config)
    with pytest.raises(ValueError, match="label must be given"):
        model.sample(KEY, variables, 2, condition={"label": None})
    with pytest.raises(ValueError, match="label must be given"):
        model.parts.generate(variables, np.zeros((2, 2), np.float32))
