"""Few labels: the bounds where everything is known, and the model that is composed of them."""

# Wrong arguments are given on purpose.
# pyright: reportArgumentType=false

import dataclasses
from statistics import NormalDist

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data, learning, train, vae
from jaxgen.core import Spec
from jaxgen.data.labelled import of_draw, of_draws
from jaxgen.distributions import categorical_log_prob, multivariate_normal_kl
from jaxgen.nn import Embed
from jaxgen.optimizers import Adam
from jaxgen.vae import labels, semi_supervised
from jaxgen.vae.oracle import Labelled

K, X, Z = 3, 4, 2


@pytest.fixture(scope="module")
def mixture():
    rng = np.random.default_rng(0)
    weights, bias = rng.normal(size=(K, X, Z)).astype(np.float32), rng.normal(size=(K, X)).astype(np.float32)
    return Labelled(weights, bias, jnp.float32(0.7), jnp.log(jnp.asarray([0.5, 0.3, 0.2], jnp.float32)))


def negative_elbos(mixture, x, shift=0.0):
    """-ELBO of log P(X|y) for every label, Q(z|X, y) the posterior with its mean shifted; exact, [b, k]."""
    columns = []
    for label in range(K):
        model = mixture.given(label)
        mu, cov = model.posterior(x)
        mu, covs = mu + shift, jnp.broadcast_to(cov[None], (len(x), Z, Z))
        prior = (jnp.zeros_like(mu), jnp.broadcast_to(jnp.eye(Z), covs.shape))
        kl = multivariate_normal_kl(mu, covs, *prior)
        columns.append(kl - model.expected_log_likelihood(x, mu, covs))
    return jnp.stack(columns, axis=1)


def test_with_the_exact_posteriors_the_bounds_are_the_likelihoods(mixture):
    x, label = mixture.sample(jax.random.key(0), 50)
    bounds, prior = negative_elbos(mixture, x), mixture.log_prior
    joint = mixture.log_joint(x)
    known = labels.labelled_bound(bounds[jnp.arange(50), label], prior, label)
    np.testing.assert_allclose(known, -joint[jnp.arange(50), label], rtol=1e-4, atol=1e-4)
    summed = labels.summed_out_bound(bounds, prior, mixture.log_posterior(x))
    np.testing.assert_allclose(summed, -mixture.log_prob(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_with_any_classifier_the_gap_is_its_divergence(mixture, shift):
    """U - min U = KL(Q(y|X) || softmax(-L)), and min U lies above -log P(X) wherever Q(z|X, y) is off."""
    x, _ = mixture.sample(jax.random.key(1), 50)
    bounds, prior = negative_elbos(mixture, x, shift), mixture.log_prior
    log_q = jax.nn.log_softmax(jax.random.normal(jax.random.key(2), (50, K)))
    best = jax.nn.log_softmax(prior[None] - bounds)
    gap = labels.summed_out_bound(bounds, prior, log_q) - labels.summed_out_bound(bounds, prior, best)
    np.testing.assert_allclose(gap, (jnp.exp(log_q) * (log_q - best)).sum(axis=1), rtol=1e-3, atol=1e-4)
    above = labels.summed_out_bound(bounds, prior, best) + mixture.log_prob(x)
    assert (above > -1e-4).all() and (shift == 0) == bool((above < 1e-3).all())


def test_a_classifier_that_is_certain_counts_one_label_and_has_finite_gradients():
    bounds, prior = jnp.asarray([[1.0, 50.0]]), jnp.log(jnp.asarray([0.25, 0.75]))
    log_q = jnp.asarray([[0.0, -jnp.inf]])
    np.testing.assert_allclose(labels.summed_out_bound(bounds, prior, log_q), [1.0 + np.log(4)], rtol=1e-6)
    gradient = jax.grad(lambda b: labels.summed_out_bound(b, prior, log_q).sum())(bounds)
    np.testing.assert_allclose(gradient, [[1.0, 0.0]])


def test_the_bayes_error_of_two_gaussians():
    """Two labels, equal covariances: Phi(-d / 2), d the Mahalanobis distance of the means."""
    bias = jnp.asarray([[0.0, 0.0], [1.5, 0.0]], jnp.float32)
    two = Labelled(jnp.zeros((2, 2, 1), jnp.float32), bias, jnp.float32(1.0), jnp.log(jnp.full(2, 0.5)))
    found = two.bayes_error(jax.random.key(0), 20_000)
    expected = NormalDist().cdf(-0.75)
    assert abs(float(found.mean()) - expected) < 4 * float(found.std()) / np.sqrt(20_000)
    x, label = two.sample(jax.random.key(1), 20_000)
    wrong = (two.log_posterior(x).argmax(axis=1) != label).astype(jnp.float32)
    assert abs(float(wrong.mean()) - expected) < 4 * np.sqrt(expected * (1 - expected) / 20_000)


@pytest.mark.parametrize(
    "call",
    [
        lambda b, p, q: labels.summed_out_bound(b[:, :2], p, q),
        lambda b, p, q: labels.summed_out_bound(b, p[:2], q),
        lambda b, p, q: labels.labelled_bound(b[:, 0], p, jnp.zeros(4)),
        lambda b, p, q: labels.labelled_bound(b[:, 0], p, jnp.zeros(3, jnp.int32)),
        lambda b, p, q: categorical_log_prob(jnp.zeros(3, jnp.int32), b),
    ],
)
def test_arrays_that_do_not_fit(call):
    with pytest.raises((ValueError, TypeError), match=r"bounds|label|log_prior|log_q|negative_elbo"):
        call(jnp.zeros((4, 3)), jnp.zeros(3), jnp.zeros((4, 3)))


# The model

CONFIG = semi_supervised.Config(
    vae=vae.Config(latent_dim=2, hidden=(8,), likelihood=vae.Normal(1.0), optimizer=Adam(3e-3)),
    classifier=(8,),
    alpha=1.0,
)


@pytest.fixture(scope="module")
def two():
    """Few labels of two Gaussians whose centres are 3 standard deviations apart, and the Bayes error."""
    bias = jnp.asarray([[-1.5, 0.0], [1.5, 0.0]], jnp.float32)
    known = Labelled(jnp.zeros((2, 2, 1), jnp.float32), bias, jnp.float32(1.0), jnp.log(jnp.full(2, 0.5)))
    x, label = (np.asarray(a) for a in known.sample(jax.random.key(0), 3000))
    whole = data.from_arrays(x, label, valid=None, test=2000)
    return data.few_labels(whole, jax.random.key(1), per_class=10), known


@pytest.fixture(scope="module")
def model(two):
    return semi_supervised.model(CONFIG, two[0].spec)


@pytest.mark.slow
def test_the_loss_is_composed_of_the_public_parts(two, model):
    """U of the conditional VAE's own losses, the same draws for every label, with the labelled example's terms."""
    few, _ = two
    batch = of_draw(few.train.batches(0, 6)(0))
    variables = model.init(jax.random.key(0), batch).variables
    losses, aux = model.objective.loss(variables, jax.random.key(1), batch, 0)
    given = dataclasses.replace(CONFIG.vae, condition={"label": Embed(dropout=0.0)})
    conditional = vae.model(given, few.spec).objective
    key = jax.random.split(jax.random.key(1), 4)[0]
    each = [conditional.loss(variables, key, {**batch, "label": jnp.full(6, y, jnp.int32)}, 0)[0] for y in range(2)]
    log_q = model.parts.classify(variables, batch["x"])
    expected = labels.summed_out_bound(jnp.stack(each, axis=1), jnp.log(jnp.full(2, 0.5)), log_q)
    np.testing.assert_allclose(aux.metrics["negative_bound"], expected, rtol=1e-5)
    whole = expected + CONFIG.labelled * aux.metrics["labelled_bound"] + aux.metrics["cross_entropy"]
    np.testing.assert_allclose(losses, whole, rtol=1e-5)


def test_labels_that_are_not_known_change_nothing(two):
    """The batches of a data set whose other labels are all wrong are the same to the bit."""
    few, _ = two
    seen = few.train.fields["labelled"][:, 0]
    assert (few.train.label[~seen] == 0).all() and set(few.train.known().label) == {0, 1}
    batch = few.train.batches(0, 8)(3)
    assert set(batch) == {"x", "index", "known_x", "known_label"}


@pytest.mark.slow
def test_it_learns_to_the_bayes_error_from_few_labels(two, model):
    few, known = two
    alone = train.ensemble(model, 1, parts_of=of_draws)
    state, _ = train.fit(alone, few.train.batches(0, 50), jax.random.key(2), 400, progress=False)
    variables, test = alone.parts.member(state.variables, 0), few.test
    wrong = np.asarray(model.parts.classify(variables, test.x)).argmax(axis=1) != test.label
    best = float(known.bayes_error(jax.random.key(3), 4000).mean())
    assert abs(best - NormalDist().cdf(-1.5)) < 0.01
    assert wrong.mean() < best + 4 * np.sqrt(best * (1 - best) / len(test)) + 0.01
    values = model.evaluate(jax.random.key(0), variables, {"x": test.x[:5], "label": test.label[:5]})
    np.testing.assert_array_equal(values["error"], wrong[:5])
    assert values.keys() == {"negative_bound", "error", "error_by_bound"}
    assert set(model.evaluate(jax.random.key(0), variables, {"x": test.x[:5]})) == {"negative_bound"}
    drawn = model.sample(jax.random.key(0), variables, 6, label=1)
    assert drawn.shape == (6, 2) and not np.allclose(drawn, model.sample(jax.random.key(0), variables, 6, label=0))


class Linear(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(2, use_bias=False)(x)


@pytest.mark.slow
def test_a_classifier_of_ones_own(two):
    few, _ = two
    own = semi_supervised.objective(CONFIG, few.spec, classifier=Linear())
    variables = own.init(jax.random.key(0), {"x": few.train.x[:2]})
    kernel = variables["params"]["classifier"]["Dense_0"]["kernel"]
    np.testing.assert_allclose(
        own.parts.classify(variables, few.test.x[:3]), jax.nn.log_softmax(few.test.x[:3] @ kernel), rtol=1e-5
    )
    assert learning.model(own, CONFIG.vae.optimizer.transformation()).objective is own


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"known_x": None}, 'batch must hold "known_x", as those of data.FewLabels do'),
        ({"known_x": np.zeros((3, 2), np.float32)}, r"label must be integers of shape \(3,\)"),
    ],
)
def test_batches_without_what_is_known(two, model, change, message):
    batch = {**of_draw(two[0].train.batches(0, 4)(0))}
    state = model.init(jax.random.key(0), batch)
    batch = {name: value for name, value in {**batch, **change}.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        model.step(jax.random.key(0), state, batch)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"alpha": -1.0}, "alpha must be a finite number at least 0, got -1.0"),
        ({"labelled": float("nan")}, "labelled must be a finite number"),
        ({"dropout": 1.0}, "dropout must be a finite number at least 0 and below 1, got 1.0"),
        ({"classifier": (0,)}, "classifier must hold integers of at least 1"),
    ],
)
def test_settings_that_cannot_be(fields, message):
    with pytest.raises(ValueError, match=message):
        semi_supervised.Config(**fields)


def test_data_without_labels():
    with pytest.raises(ValueError, match="spec must have labels, got num_classes=None"):
        semi_supervised.model(CONFIG, Spec((2,)))
