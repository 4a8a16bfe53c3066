"""Conditions of a diffusion model by the names of fields, against data whose p(x | c) is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data, ddpm, train
from jaxgen.nn import Concat, CrossAttend, Embed, Transformer
from jaxgen.optimizers import Adam, Cosine

KEY = jax.random.key(0)
MEANS = np.array([[-2.0, 0.0], [1.0, 1.5], [1.0, -1.5]], np.float32)
STD = 0.3
MIXING = np.array([[0.6, 0.4], [-0.5, 0.7]], np.float32)


def by_class(num=3000):
    """x | c ~ N(m_c, s^2 I), c uniform: a mixture of three Gaussians whose components are the classes."""
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, num)
    x = (MEANS[label] + STD * rng.normal(size=(num, 2))).astype(np.float32)
    return data.from_arrays(x, label, valid=None)


def by_vector(num=3000):
    """x | c ~ N(A c, s^2 I), c ~ N(0, I)."""
    rng = np.random.default_rng(0)
    c = rng.normal(size=(num, 2)).astype(np.float32)
    x = (c @ MIXING.T + STD * rng.normal(size=(num, 2))).astype(np.float32)
    return data.from_arrays(x, fields={"c": c}, valid=None)


def trained(dataset, condition, steps=1500):
    config = ddpm.Config(
        schedule=ddpm.Cosine(40),
        network=ddpm.MLP((64, 64), time_features=16),
        condition=condition,
        optimizer=Adam(3e-3, schedule=Cosine()),
        ema_decay=0.99,
    )
    model = ddpm.model(config.lasting(steps), dataset.spec)
    state, _ = train.fit(model, dataset.train.batches(seed=0, batch_size=256), KEY, steps, progress=False)
    return model, state.variables


@pytest.mark.slow
def test_a_class_has_its_component_and_none_the_mixture():
    model, variables = trained(by_class(), {"label": Embed(0.2)})
    num = 1500
    for c, mean in enumerate(MEANS):
        x = np.asarray(model.sample(KEY, variables, num, condition={"label": c}))
        # Monte Carlo errors are 0.008 and 2 %; the rest is what the network has not learned.
        np.testing.assert_allclose(x.mean(axis=0), mean, atol=0.08)
        np.testing.assert_allclose(x.std(axis=0), STD, rtol=0.2)
    x = np.asarray(model.sample(KEY, variables, num, condition={"label": None}))
    nearest = np.square(x[:, None] - MEANS).sum(axis=-1).argmin(axis=1)
    np.testing.assert_allclose(np.bincount(nearest, minlength=3) / num, 1 / 3, atol=0.08)
    np.testing.assert_allclose(x.mean(axis=0), MEANS.mean(axis=0), atol=0.15)
    # A label given by its short name, and the labels that are drawn where none is spoken of.
    short = model.sample(KEY, variables, 4, label=2)
    np.testing.assert_array_equal(short, model.sample(KEY, variables, 4, condition={"label": 2}))
    drawn = np.asarray(model.sample(KEY, variables, 200))
    assert len(np.unique(np.square(drawn[:, None] - MEANS).sum(axis=-1).argmin(axis=1))) == 3


@pytest.mark.slow
@pytest.mark.parametrize("way", [Embed, Concat])
def test_a_vector_moves_the_mean_by_its_matrix(way):
    model, variables = trained(by_vector(), {"c": way(0.1)})
    for c in ([1.0, 0.0], [-0.5, 1.5]):
        x = np.asarray(model.sample(KEY, variables, 1500, condition={"c": np.float32(c)}))
        np.testing.assert_allclose(x.mean(axis=0), MIXING @ np.float32(c), atol=0.1)
        np.testing.assert_allclose(x.std(axis=0), STD, rtol=0.2)
    # Withheld: the marginal, N(0, A A^T + s^2 I).
    x = np.asarray(model.sample(KEY, variables, 1500, condition={"c": None}))
    np.testing.assert_allclose(np.cov(x.T), MIXING @ MIXING.T + STD**2 * np.eye(2), atol=0.15)


def fields_of_all_kinds():
    rng = np.random.default_rng(0)
    digits = data.load("digits")
    x, label = digits.train.x[:200], digits.train.label[:200]
    fields = {
        "low": x[:, ::2, ::2],
        "caption": rng.integers(0, 7, (200, 5)),
        "place": rng.normal(size=(200, 3)).astype(np.float32),
        "vectors": rng.normal(size=(200, 3, 4)).astype(np.float32),
    }
    return data.from_arrays(x, label, levels=17, fields=fields, num_values={"low": 17}, valid=None)


ALL_KINDS = {
    "label": Embed(0.5),
    "low": Concat(0.0),
    "caption": CrossAttend(0.5, padding=0),
    "place": Embed(0.5),
    "vectors": CrossAttend(0.5, encoder=Transformer(num_layers=1, num_heads=2)),
}
UNET = ddpm.UNet(features=8, multipliers=(1, 1), num_groups=4, attention=(1,))


@pytest.mark.parametrize(
    "network",
    [pytest.param(UNET, id="unet", marks=pytest.mark.slow), pytest.param(ddpm.MLP((16,), time_features=8), id="mlp")],
)
def test_conditions_of_all_kinds_together(network):
    dataset = fields_of_all_kinds()
    config = ddpm.Config(schedule=ddpm.Cosine(6), network=network, condition=ALL_KINDS, flip=True, num_draws=2)
    model = ddpm.model(config, dataset.spec)
    batches = dataset.train.batches(seed=0, batch_size=16)
    state, _ = train.fit(model, batches, KEY, 3, progress=False)
    state = state.replace(ema=jax.tree.map(lambda p: p + 0.02, state.ema))  # the last layer starts at zero
    batch = next(dataset.test.evaluation_batches(4))
    before = model.evaluate(KEY, state.variables, batch)["negative_bound"]
    changes = {"label": (batch["label"] + 1) % 10, "low": 16 - batch["low"], "caption": (batch["caption"] % 6) + 1}
    for name, values in {**changes, "place": batch["place"] + 1, "vectors": -batch["vectors"]}.items():
        changed = model.evaluate(KEY, state.variables, {**batch, name: values})["negative_bound"]
        assert not np.allclose(before, changed), name
    low = batch["low"][:3]
    x = model.sample(KEY, state.variables, 3, label=1, condition={"low": low, "place": np.ones(3, np.float32)})
    assert x.shape == (3, 8, 8, 1)
    # Sample k is the same alone, given its own condition.
    alone = model.sample(
        KEY, state.variables, 1, first=2, label=1, condition={"low": low[2], "place": np.ones(3, np.float32)}
    )
    np.testing.assert_allclose(alone[0], x[2], atol=1e-4)
    guided = model.sample(KEY, state.variables, 3, label=1, condition={"low": low}, guidance=3.0)
    assert not np.allclose(guided, model.sample(KEY, state.variables, 3, label=1, condition={"low": low}))


@pytest.mark.slow
def test_guidance_one_is_the_conditional_and_zero_the_unconditional_model():
    dataset = fields_of_all_kinds()
    config = ddpm.Config(schedule=ddpm.Cosine(6), network=UNET, condition=ALL_KINDS)
    model = ddpm.model(config, dataset.spec)
    state = model.init(KEY, dataset.train.batches(seed=0, batch_size=4)(0))
    variables = jax.tree.map(lambda p: p + 0.02, state.variables)
    x_t, t = jnp.ones((2, 8, 8, 1), jnp.float32), jnp.array([2, 5])
    given, kept = {"low": dataset.test.x[:2, ::2, ::2], "caption": np.full(5, 3)}, {"low": dataset.test.x[:2, ::2, ::2]}
    for weight, condition in ((1.0, given), (0.0, kept)):  # low is never withheld, so that guidance keeps it
        guided = model.parts.bind(variables, condition=given, guidance=weight)(x_t, t)
        plain = model.parts.bind(variables, condition=condition)(x_t, t)
        np.testing.assert_allclose(guided.eps_hat, plain.eps_hat, rtol=1e-4, atol=1e-5)


def test_images_given_are_mirrored_with_x():
    """An image that is given turns with x: a network that copies it has no error, mirrored or not."""
    digits = data.load("digits")
    x = digits.train.x[:64]
    dataset = data.from_arrays(x, levels=17, fields={"same": x}, num_values={"same": 17}, valid=None)

    def init(key, x_t, t, forms):
        return {"unused": jnp.zeros((), jnp.float32)}

    def apply(params, x_t, t, forms):
        return forms["same"][..., :1] + 0 * params["unused"]

    config = ddpm.Config(schedule=ddpm.Cosine(6), prediction=ddpm.X0(), condition={"same": Concat(0.0)}, flip=True)
    objective = ddpm.model(config, dataset.spec, network=(init, apply)).objective
    batch = dataset.train.batches(seed=0, batch_size=32)(0)
    losses, _ = objective.loss(objective.init(KEY, batch), KEY, batch, jnp.int32(0))
    np.testing.assert_allclose(losses, 0, atol=1e-10)


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"colour": Embed()}, "the data must have the field 'colour'"),
        ({"low": Embed()}, "low must be one value or a vector"),
        ({"label": Concat()}, "label must be"),
    ],
)
def test_conditions_that_cannot_be(condition, message):
    with pytest.raises(ValueError, match=message):
        ddpm.model(ddpm.Config(condition=condition, network=UNET), fields_of_all_kinds().spec)


def test_the_label_is_not_asked_for_twice():
    with pytest.raises(ValueError, match="where conditional=True"):
        ddpm.Config(conditional=True, condition={"label": Embed()})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, 'condition must hold "low"'),
        ({"condition": {"high": 1}}, "got 'high'"),
        ({"condition": {"low": np.zeros((4, 4, 1), np.float32)}}, "must be uint8"),
        ({"condition": {"low": np.zeros((3, 3, 1), np.uint8)}}, "must have shape"),
        ({"condition": {"low": np.full((4, 4, 1), 17, np.uint8)}}, r"must lie in 0\.\.16"),
        ({"condition": {"low": np.zeros((4, 4, 1), np.uint8), "label": 1}, "label": 1}, "got both"),
        ({"condition": {"low": np.zeros((4, 4, 1), np.uint8)}, "label": 10}, r"label must lie in 0\.\.9"),
    ],
)
def test_samples_that_cannot_be(options, message):
    dataset = fields_of_all_kinds()
    model = ddpm.model(ddpm.Config(schedule=ddpm.Cosine(6), network=UNET, condition=ALL_KINDS), dataset.spec)
    variables = jax.eval_shape(model.init, KEY, dataset.train.batches(seed=0, batch_size=4)(0)).variables
    with pytest.raises(ValueError, match=message):
        model.sample(KEY, variables, 2, **options)
