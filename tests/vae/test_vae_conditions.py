"""Conditions of a VAE by the names of fields, against data whose p(x | c) is known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data, nn, train, vae
from jaxgen.core import Spec
from jaxgen.draws import example_labels
from jaxgen.nn import Concat, CrossAttend, Embed
from jaxgen.optimizers import Adam, Cosine
from jaxgen.vae.oracle import LinearGaussian

KEY = jax.random.key(0)
MIXING = np.array([[0.6, 0.4], [-0.5, 0.7], [0.3, 0.0], [0.0, -0.6]], np.float32)
TRUTH = LinearGaussian(
    weights=jnp.array([[0.9, 0.2], [0.1, -0.7], [0.5, 0.5], [-0.6, 0.4]]),
    bias=jnp.array([0.2, -0.1, 0.0, 0.3]),
    sigma=jnp.float32(0.5),
)


def linear(num):
    """x = W z + A c + b + sigma eps, with z and c ~ N(0, I)."""
    c = np.random.default_rng(0).normal(size=(num, 2)).astype(np.float32)
    x = np.asarray(TRUTH.sample(KEY, num)) + c @ MIXING.T
    return data.from_arrays(x, fields={"c": c}, valid=None, test=400 / num)


@pytest.fixture(scope="module")
def trained():
    """A linear VAE of these data, and test examples with x - A c, of which the oracle knows everything."""
    dataset = linear(8_400)
    config = vae.Config(
        latent_dim=2,
        hidden=(),
        likelihood=vae.Normal(0.5),
        condition={"c": Embed(0.0)},
        optimizer=Adam(1e-2, Cosine(1200)),
    )
    model = vae.model(config, dataset.spec)
    batches = dataset.train.batches(seed=0, batch_size=400)
    state, _ = train.fit(model, batches, KEY, 1200, progress=False, log_every=400)
    batch = next(dataset.test.evaluation_batches(400))
    return model, state.variables, batch, jnp.asarray(batch["x"] - batch["c"] @ MIXING.T)


def test_the_bound_is_log_p_of_x_given_c(trained):
    model, variables, batch, rest = trained
    exact = np.asarray(TRUTH.log_prob(rest))
    # Q can be the exact posterior; the draws' error of the mean is about 0.02.
    bound = -np.mean([model.evaluate(jax.random.key(s), variables, batch)["negative_elbo"] for s in range(8)], axis=0)
    assert abs((bound - exact).mean()) < 0.08
    found = np.asarray(model.parts.log_likelihood(KEY, variables, batch, 500))
    np.testing.assert_allclose(found, exact, atol=0.4)
    assert abs((found - exact).mean()) < 0.03
    by_prior = np.asarray(model.parts.monte_carlo(KEY, variables, batch, 5000, 500))
    assert abs((by_prior - exact).mean()) < 0.1
    # With the conditions of others it is another density.
    other = model.parts.log_likelihood(KEY, variables, {**batch, "c": batch["c"][::-1]}, 500)
    assert float(other.mean()) < exact.mean() - 1


def test_samples_given_c_have_its_mean_and_the_covariance_of_all(trained):
    model, variables, *_ = trained
    for c in ([1.0, 0.0], [-0.5, 1.5]):
        x = np.asarray(model.sample(KEY, variables, 4000, condition={"c": np.float32(c)}))
        np.testing.assert_allclose(x.mean(axis=0), MIXING @ np.float32(c) + TRUTH.bias, atol=0.08)
        np.testing.assert_allclose(np.cov(x.T), TRUTH.weights @ TRUTH.weights.T, atol=0.08)


def test_reconstruction_and_imputation_are_the_exact_means_given_c(trained):
    model, variables, batch, rest = trained
    x, c = batch["x"], batch["c"]
    mean, _ = TRUTH.posterior(rest)
    exact = mean @ TRUTH.weights.T + TRUTH.bias[None] + c @ MIXING.T
    np.testing.assert_allclose(model.parts.reconstruct(variables, x, condition={"c": c}), exact, atol=0.15)
    mask = np.tile(np.array([True, False, True, True]), (len(x), 1))
    imputed = model.parts.impute(KEY, variables, {**batch, "mask": mask}, 1000)
    exact = TRUTH.conditional(rest, jnp.asarray(mask)) + c @ MIXING.T
    np.testing.assert_allclose(imputed, exact, atol=0.3)
    assert float(jnp.abs(imputed - exact).mean()) < 0.03


@pytest.mark.slow
def test_samples_without_c_are_of_the_marginal():
    """Withheld: E[x | z] has the covariance W W^T + A A^T of p(x), less the noise."""
    dataset = linear(20_000)
    config = vae.Config(
        latent_dim=4,
        hidden=(64,),
        likelihood=vae.Normal(0.5),
        condition={"c": Embed(0.3)},
        optimizer=Adam(3e-3, Cosine(3000)),
    )
    model = vae.model(config, dataset.spec)
    state, _ = train.fit(model, dataset.train.batches(seed=0, batch_size=400), KEY, 3000, progress=False)
    x = np.asarray(model.sample(KEY, state.variables, 4000))
    exact = TRUTH.weights @ TRUTH.weights.T + MIXING @ MIXING.T
    np.testing.assert_allclose(np.cov(x.T), exact, atol=0.2)
    x = np.asarray(model.sample(KEY, state.variables, 4000, condition={"c": np.float32([1, 1])}))
    np.testing.assert_allclose(x.mean(axis=0), MIXING.sum(axis=1) + TRUTH.bias, atol=0.15)
    np.testing.assert_allclose(np.cov(x.T), TRUTH.weights @ TRUTH.weights.T, atol=0.2)


@pytest.mark.slow
def test_samples_of_a_class_look_like_it():
    digits = data.load("digits")
    config = vae.Config(latent_dim=4, hidden=(48,), condition={"label": Embed(0.1)}, optimizer=Adam(5e-3))
    model = vae.model(config, digits.spec)
    batches = digits.train.batches(seed=0, batch_size=128)
    variables = train.fit(model, batches, KEY, 400, progress=False, log_every=200)[0].variables
    means = np.stack([digits.train.x[digits.train.label == c].mean(axis=0) / 16 for c in range(10)])
    label = np.repeat(np.arange(10), 40)
    x = np.asarray(model.sample(KEY, variables, 400, label=label)).reshape(10, 40, 8, 8, 1).mean(axis=1)
    nearest = np.square(x[:, None] - means[None]).sum(axis=(2, 3, 4)).argmin(axis=1)
    np.testing.assert_array_equal(nearest, np.arange(10))
    # A label that is not spoken of is drawn for each sample, and condition={"label": None} withholds it.
    drawn = example_labels(jax.random.fold_in(KEY, 2**32 - 1), jnp.arange(20, dtype=jnp.int32), 10)
    assert len(np.unique(drawn)) > 5
    np.testing.assert_array_equal(
        model.sample(KEY, variables, 20), model.sample(KEY, variables, 20, condition={"label": np.asarray(drawn)})
    )
    without = model.sample(KEY, variables, 20, condition={"label": None})
    assert not np.allclose(without, model.sample(KEY, variables, 20), atol=0.05)
    z = jax.random.normal(KEY, (3, 4))
    np.testing.assert_array_equal(
        model.parts.decode(variables, z, label=7), model.parts.decode(variables, z, label=[7] * 3)
    )
    np.testing.assert_array_equal(
        model.parts.decode(variables, z), model.parts.decode(variables, z, condition={"label": None})
    )


def fields_of_all_kinds():
    rng = np.random.default_rng(0)
    digits = data.load("digits")
    x, label = digits.train.x[:200], digits.train.label[:200]
    fields = {
        "low": x[:, ::2, ::2],
        "caption": rng.integers(0, 7, (200, 5)),
        "place": rng.normal(size=(200, 3)).astype(np.float32),
    }
    return data.from_arrays(x, label, levels=17, fields=fields, num_values={"low": 17}, valid=None)


ALL_KINDS = {
    "label": Embed(0.0),
    "low": Concat(0.0),
    "caption": CrossAttend(0.5, padding=0),
    "place": Embed(0.5),
}
CONFIG = vae.Config(latent_dim=3, hidden=(16,), features=(8,), condition=ALL_KINDS)


@pytest.fixture(scope="module")
def mixed():
    """A convolutional model with conditions of all kinds, after a few steps."""
    dataset = fields_of_all_kinds()
    model = vae.model(CONFIG, dataset.spec)
    state, _ = train.fit(model, dataset.train.batches(seed=0, batch_size=16), KEY, 3, progress=False)
    return model, state.variables, next(dataset.test.evaluation_batches(4))


def test_encoder_and_decoder_see_every_condition(mixed):
    model, variables, batch = mixed
    given = {name: batch[name] for name in ALL_KINDS}
    changes = {
        "label": (batch["label"] + 1) % 10,
        "low": 16 - batch["low"],
        "caption": (batch["caption"] % 6) + 1,
        "place": batch["place"] + 1,
    }
    z = jnp.ones((4, 3))
    mu, x = (
        model.parts.encode(variables, batch["x"], condition=given).mu,
        model.parts.decode(variables, z, condition=given),
    )
    for name, values in changes.items():
        other = {**given, name: values}
        assert not np.allclose(mu, model.parts.encode(variables, batch["x"], condition=other).mu, atol=1e-5), name
        assert not np.allclose(x, model.parts.decode(variables, z, condition=other), atol=1e-5), name
    # Evaluation reads them from the batch, sampling from its arguments; sample k is the same alone.
    np.testing.assert_allclose(
        model.parts.reconstruct(variables, batch["x"], condition=given),
        model.parts.decode(variables, mu, condition=given),
        atol=1e-6,
    )
    line = model.parts.interpolate(variables, batch["x"], batch["x"][::-1], 3, condition=given)
    np.testing.assert_allclose(line[0], model.parts.decode(variables, mu, condition=given), atol=1e-6)
    samples = model.sample(KEY, variables, 4, condition=given)
    alone = model.sample(KEY, variables, 1, first=2, condition={name: values[2] for name, values in given.items()})
    np.testing.assert_allclose(alone[0], samples[2], atol=1e-6)


def test_a_withheld_condition_has_no_influence(mixed):
    """The loss of an example depends on the values of its condition exactly where they are not withheld."""
    model, variables, _ = mixed
    batch = fields_of_all_kinds().train.batches(seed=0, batch_size=32)(0)
    x = {name: jnp.asarray(values) for name, values in batch.items()}

    def losses(place):
        return model.objective.loss(variables, KEY, {**x, "place": place}, jnp.int32(0))[0].sum()

    slope = jnp.abs(jax.grad(losses)(x["place"])).sum(axis=-1)
    withheld = nn.conditions.withhold(jax.random.fold_in(KEY, 2), ALL_KINDS, 32)["place"]
    assert 5 < int(withheld.sum()) < 27
    np.testing.assert_array_equal(slope == 0, withheld)


@pytest.mark.parametrize("changes", [{"see_mask": True, "features": ()}, {"dtype": "bfloat16"}, {"num_samples": 3}])
def test_other_configs_take_conditions_too(changes):
    dataset = fields_of_all_kinds()
    model = vae.model(dataclasses.replace(CONFIG, **changes), dataset.spec)
    batch = dataset.train.batches(seed=0, batch_size=4)(0)
    state = model.init(KEY, batch)
    after, metrics = jax.eval_shape(model.step, KEY, state, batch)
    assert jax.tree.structure(after) == jax.tree.structure(state) and metrics["loss"].dtype == jnp.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, 'condition must hold "low"'),
        ({"condition": {"high": 1}}, "got 'high'"),
        ({"condition": {"low": np.zeros((4, 4, 1), np.float32)}}, "must be uint8"),
        ({"condition": {"low": np.zeros((3, 3, 1), np.uint8)}}, "must have shape"),
        ({"condition": {"low": np.full((4, 4, 1), 17, np.uint8)}}, r"must lie in 0\.\.16"),
        ({"condition": {"low": np.zeros((4, 4, 1), np.uint8), "label": 1}, "label": 1}, "got both"),
        ({"condition": {"low": np.zeros((4, 4, 1), np.uint8), "label": None}}, 'condition must hold "label"'),
        ({"condition": {"low": np.zeros((4, 4, 1), np.uint8)}, "label": 10}, r"label must lie in 0\.\.9"),
        ({"condition": np.zeros(2)}, "condition must be a mapping"),
    ],
)
def test_what_cannot_be_drawn(mixed, options, message):
    model, variables, _ = mixed
    with pytest.raises(ValueError, match=message):
        model.sample(KEY, variables, 2, **options)


def test_what_is_missing_is_named(mixed):
    model, variables, batch = mixed
    with pytest.raises(ValueError, match='batch must hold "caption"'):
        model.evaluate(KEY, variables, {name: batch[name] for name in ("x", "label", "low")})
    low = batch["low"]
    for function, x in ((model.parts.encode, batch["x"]), (model.parts.decode, jnp.ones((4, 3)))):
        with pytest.raises(ValueError, match='condition must hold "label"'):
            function(variables, x, condition={"low": low})  # never withheld in training
        with pytest.raises(ValueError, match='condition must hold "low"'):
            function(variables, x, label=3)
        function(variables, x, label=3, condition={"low": low})  # the others are withheld


def test_a_model_without_conditions_takes_none():
    model = vae.model(vae.Config(latent_dim=2, hidden=()), Spec((3,)))
    x = np.zeros((2, 3), np.float32)
    variables = model.init(KEY, {"x": x}).variables
    for call in (
        lambda **given: model.sample(KEY, variables, 2, **given),
        lambda **given: model.parts.encode(variables, x, **given),
        lambda **given: model.parts.decode(variables, np.zeros((2, 2), np.float32), **given),
        lambda **given: model.parts.interpolate(variables, x, x, 3, **given),
    ):
        with pytest.raises(ValueError, match="this model is unconditional: label must be None, got 3"):
            call(label=3)
        with pytest.raises(ValueError, match="this model takes no condition, got 'low'"):
            call(condition={"low": x})


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
        vae.model(vae.Config(condition=condition), fields_of_all_kinds().spec)
