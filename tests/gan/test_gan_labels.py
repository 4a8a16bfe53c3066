"""A classifier as the discriminator: what its logits imply, feature matching, and the game that is composed of it."""

# Wrong arguments are given on purpose.
# pyright: reportArgumentType=false

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data, gan, train
from jaxgen.core import Spec
from jaxgen.data.labelled import of_draw, of_draws
from jaxgen.gan import feature_matching, labels
from jaxgen.nn import Embed
from jaxgen.optimizers import Adam


def test_the_classes_and_generated_are_one_softmax(key):
    """D = 1 - softmax([l, 0])_{K+1}, and p(y|x, real) = softmax([l, 0])_y / D."""
    logits = 3 * jax.random.normal(key, (20, 4))
    whole = jax.nn.softmax(jnp.concatenate([logits, jnp.zeros((20, 1))], axis=1))
    real = jax.nn.sigmoid(labels.real_logit(logits))
    np.testing.assert_allclose(real, 1 - whole[:, -1], rtol=1e-5)
    np.testing.assert_allclose(jax.nn.softmax(logits), whole[:, :-1] / real[:, None], rtol=1e-5)


def test_the_optimal_classes_of_known_densities_are_the_optimal_discriminator(key):
    """With l_k = log p(x, k) - log p_g(x) the implied D is p_d / (p_d + p_g)."""
    joint, of_g = jax.random.uniform(key, (30, 3), minval=0.1), jnp.full(30, 0.4)
    found = jax.nn.sigmoid(labels.real_logit(jnp.log(joint) - jnp.log(of_g)[:, None]))
    np.testing.assert_allclose(found, gan.objective.optimal_discriminator(joint.sum(axis=1), of_g), rtol=1e-5)


def test_features_are_matched_where_their_means_are():
    real, fake = jnp.asarray([[0.0, 1.0], [2.0, 3.0]]), jnp.asarray([[1.0, 2.0], [1.0, 2.0]])
    assert labels.feature_matching_loss(real, fake) == 0
    np.testing.assert_allclose(labels.feature_matching_loss(real, fake + jnp.asarray([[3.0, 4.0]])), 25.0)
    # The gradient of one sample is 2/n of the difference of the means.
    gradient = jax.grad(lambda f: labels.feature_matching_loss(real, f))(fake + 1.0)
    np.testing.assert_allclose(gradient, jnp.ones((2, 2)))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: labels.real_logit(x[:, 0]),
        lambda x: labels.feature_matching_loss(x, x[:, :1]),
        lambda x: labels.feature_matching_loss(x, x.astype(jnp.int32)),
    ],
)
def test_arrays_that_do_not_fit(call):
    with pytest.raises((ValueError, TypeError), match=r"logits|fake"):
        call(jnp.zeros((4, 2)))


OPTIMIZER = Adam(3e-3, b1=0.5)
CONFIG = feature_matching.Config(
    gan=gan.Config(latent_dim=2, generator_optimizer=OPTIMIZER, discriminator_optimizer=OPTIMIZER, ema_decay=0.9),
    generator=(8,),
    classifier=(16, 8),
    noise_input=0.1,
    noise_hidden=0.1,
)


@pytest.fixture(scope="module")
def two():
    """Few labels of two Gaussians, 4 standard deviations apart."""
    rng = np.random.default_rng(0)
    label = np.arange(1200) % 2
    x = rng.normal(size=(1200, 2)).astype(np.float32) + np.asarray([[-2, 0], [2, 0]], np.float32)[label]
    whole = data.from_arrays(x, label, valid=None, test=400, scale=data.Standardise())
    return data.few_labels(whole, jax.random.key(1), per_class=3)


@pytest.fixture(scope="module")
def model(two):
    return feature_matching.model(CONFIG, two.spec)


@pytest.mark.slow
def test_it_plays_and_classifies(two, model):
    alone = train.ensemble(model, 1, parts_of=of_draws)
    state, _ = train.fit(alone, two.train.batches(0, 40), jax.random.key(0), 150, progress=False)
    variables = alone.parts.member(state.variables, 0)
    wrong = np.asarray(model.parts.classify(variables, two.test.x)).argmax(axis=1) != two.test.label
    assert wrong.mean() < 0.06  # the Bayes error is Phi(-2) = 0.023
    values = model.evaluate(jax.random.key(0), variables, {"x": two.test.x[:5], "label": two.test.label[:5]})
    np.testing.assert_array_equal(values["error"], wrong[:5])
    assert set(values) == {"value", "d_real", "d_fake", "error"}
    assert "error" not in model.evaluate(jax.random.key(0), variables, {"x": two.test.x[:5]})
    assert model.sample(jax.random.key(0), variables, 3).shape == (3, 2)


@pytest.mark.slow
def test_the_classifier_learns_and_the_other_player_does_not(two, model):
    """Each loss has a gradient for its own player; running statistics are the generator's own."""
    batch = of_draw(two.train.batches(0, 6)(0))
    state = model.init(jax.random.key(0), batch)
    (losses, aux) = model.objective.generator_loss(state.variables, jax.random.key(1), batch, 0)
    assert losses.shape == (6,) and np.ptp(losses) == 0 and "batch_stats" in aux.collections
    losses, aux = model.objective.discriminator_loss(state.variables, jax.random.key(1), batch, 0)
    assert losses.shape == (6,) and not aux.collections and (aux.metrics["cross_entropy"] > 0).all()


def test_batches_without_what_is_known(two, model):
    batch = of_draw(two.train.batches(0, 4)(0))
    state = model.init(jax.random.key(0), batch)
    with pytest.raises(ValueError, match=r'batch must hold "known_x", as those of data.FewLabels do'):
        model.step(jax.random.key(0), state, {"x": batch["x"]})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"classifier": ()}, "classifier must hold 1 or more integers of at least 1"),
        ({"noise_hidden": -0.1}, "noise_hidden must be a finite number at least 0, got -0.1"),
        ({"gan": gan.Config(n_critic=2)}, "gan.n_critic must be 1: .* got 2"),
        ({"gan": gan.Config(condition={"label": Embed()})}, "gan must have no conditions, got label"),
    ],
)
def test_settings_that_cannot_be(fields, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(CONFIG, **fields)


def test_data_without_labels():
    with pytest.raises(ValueError, match="spec must have labels, got num_classes=None"):
        feature_matching.model(CONFIG, Spec((2,)))
