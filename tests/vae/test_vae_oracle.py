"""The linear-Gaussian VAE, where both sides of the lecture's identity are known."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgen import data, train, vae
from jaxgen.distributions import multivariate_normal_kl, normal_log_prob, reparameterise_full, standard_normal_kl
from jaxgen.optimizers import Adam, Cosine
from jaxgen.vae import objective
from jaxgen.vae.oracle import LinearGaussian


def double(x) -> Any:
    return np.asarray(x, np.float64)


@pytest.fixture
def oracle(key):
    weights = jax.random.normal(key, (5, 3))
    return LinearGaussian(weights=weights, bias=jnp.arange(5.0) / 5, sigma=jnp.float32(0.7))


def gaussian_q(key, num, dim):
    """Some Q(z|X), nothing like the posterior."""
    key_mu, key_factor = jax.random.split(key)
    factor = jnp.tril(jax.random.normal(key_factor, (num, dim, dim)), -1) * 0.4 + 0.8 * jnp.eye(dim)[None]
    return jax.random.normal(key_mu, (num, dim)), factor @ factor.transpose(0, 2, 1)


def test_log_prob_is_the_marginal(oracle, key):
    x = oracle.sample(key, 10)
    covariance = double(oracle.weights) @ double(oracle.weights).T + 0.49 * np.eye(5)
    exact = stats.multivariate_normal.logpdf(double(x), double(oracle.bias), covariance)
    np.testing.assert_allclose(oracle.log_prob(x), exact, rtol=2e-5)


def test_posterior_is_bayes_rule(oracle, key):
    """log P(X|z) + log P(z) - log P(z|X) is log P(X), whatever z."""
    x = oracle.sample(key, 4)
    mean, covariance = oracle.posterior(x)
    for seed in range(3):
        z = jax.random.normal(jax.random.key(seed), (4, 3))
        likelihood = normal_log_prob(x, z @ oracle.weights.T + oracle.bias[None], 2 * jnp.log(oracle.sigma))
        prior = normal_log_prob(z, jnp.zeros_like(z), jnp.zeros(()))
        posterior = [stats.multivariate_normal(double(mean[i]), double(covariance)).logpdf(z[i]) for i in range(4)]
        np.testing.assert_allclose(
            likelihood + prior - np.asarray(posterior, np.float32), oracle.log_prob(x), rtol=1e-4
        )


def test_the_identity_holds_for_any_q(oracle, key):
    """log P(X) - KL[Q || P(z|X)] = E_Q log P(X|z) - KL[Q || P(z)]: lecture, "VAE Objective Function"."""
    x = oracle.sample(key, 6)
    mu, covariance = gaussian_q(jax.random.key(9), 6, 3)
    mean, posterior = oracle.posterior(x)
    eye = jnp.broadcast_to(jnp.eye(3), (6, 3, 3))
    gap = multivariate_normal_kl(mu, covariance, mean, jnp.broadcast_to(posterior, (6, 3, 3)))
    rate = multivariate_normal_kl(mu, covariance, jnp.zeros((6, 3)), eye)
    elbo = oracle.expected_log_likelihood(x, mu, covariance) - rate
    assert (gap > 0.1).all()  # not only the exact posterior, for which it is trivial
    np.testing.assert_allclose(oracle.log_prob(x) - gap, elbo, rtol=1e-4)


def test_the_printed_step_of_the_derivation_is_not_an_identity(oracle, key):
    """The lecture's underbrace: -KL[Q || P(z)] is not E_Q[-log Q + log P(X|z)], it is E_Q[-log Q + log P(z)]."""
    x = oracle.sample(key, 6)
    mu, covariance = gaussian_q(jax.random.key(9), 6, 3)
    eye = jnp.broadcast_to(jnp.eye(3), (6, 3, 3))
    minus_kl = -multivariate_normal_kl(mu, covariance, jnp.zeros((6, 3)), eye)
    entropy = 0.5 * (3 * (1 + jnp.log(2 * jnp.pi)) + jnp.linalg.slogdet(covariance)[1])
    square = jnp.square(mu).sum(axis=1) + jnp.trace(covariance, axis1=1, axis2=2)
    expected_log_prior = -0.5 * (3 * jnp.log(2 * jnp.pi) + square)
    np.testing.assert_allclose(entropy + expected_log_prior, minus_kl, rtol=1e-4, atol=1e-4)
    printed = entropy + oracle.expected_log_likelihood(x, mu, covariance)
    assert (jnp.abs(printed - minus_kl) > 0.5).all()


def test_importance_weights_of_the_exact_posterior_are_constant(oracle, key):
    """With Q = P(z|X) one draw gives log P(X) exactly; with another Q, k draws come from below and close in."""
    x = oracle.sample(key, 5)
    mean, covariance = oracle.posterior(x)
    exact = oracle.log_prob(x)

    def bound(mu, cov, k, seed):
        factor = jnp.linalg.cholesky(cov)
        z = jnp.stack([reparameterise_full(jax.random.key(seed + i), mu, factor) for i in range(k)])
        likelihood = jnp.stack(
            [normal_log_prob(x, zi @ oracle.weights.T + oracle.bias[None], 2 * jnp.log(oracle.sigma)) for zi in z]
        )
        prior = jnp.stack([normal_log_prob(zi, jnp.zeros_like(zi), jnp.zeros(())) for zi in z])
        log_q = jnp.stack(
            [
                jnp.stack([jax.scipy.stats.multivariate_normal.logpdf(zi[b], mu[b], cov[b]) for b in range(5)])
                for zi in z
            ]
        )
        return objective.importance_weighted_bound(likelihood, prior, log_q)

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        posterior = jnp.broadcast_to(covariance, (5, 3, 3))
        np.testing.assert_allclose(bound(mean, posterior, 1, 0), exact, rtol=1e-4)
        wide = 2 * posterior
        one = np.mean([bound(mean, wide, 1, 100 * s).mean() for s in range(20)])
        many = np.mean([bound(mean, wide, 20, 100 * s).mean() for s in range(20)])
    assert one < many < exact.mean() + 0.05


def test_monte_carlo_from_the_prior_is_right_in_the_limit_and_low_before(oracle, key):
    x = oracle.sample(key, 8)
    z = jax.random.normal(jax.random.key(1), (40_000, 1, 3))
    mean = jnp.einsum("nbz,xz->nbx", z, oracle.weights) + oracle.bias[None, None]
    log_likelihood = jax.vmap(lambda m: normal_log_prob(x, jnp.broadcast_to(m, x.shape), 2 * jnp.log(oracle.sigma)))(
        mean
    )
    many = objective.monte_carlo_log_likelihood(log_likelihood)
    np.testing.assert_allclose(many, oracle.log_prob(x), atol=0.4)
    # Few draws: too low on average (Jensen), as P(X|z) is nearly zero for most z.
    few = jnp.stack([objective.monte_carlo_log_likelihood(log_likelihood[i : i + 4]) for i in range(0, 4000, 4)])
    assert (few.mean(axis=0) < oracle.log_prob(x)).all()


def test_conditional_is_that_of_the_joint_normal(oracle, key):
    x = oracle.sample(key, 4)
    mask = jnp.array([[1, 1, 1, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 0]], bool)
    covariance = double(oracle.weights) @ double(oracle.weights).T + 0.49 * np.eye(5)
    bias, found = double(oracle.bias), oracle.conditional(x, mask)
    for row in range(4):
        o, m = np.flatnonzero(mask[row]), np.flatnonzero(~mask[row])
        regression = covariance[np.ix_(m, o)] @ np.linalg.inv(covariance[np.ix_(o, o)]) if len(o) else np.zeros((5, 0))
        np.testing.assert_allclose(found[row][m], bias[m] + regression @ (double(x[row])[o] - bias[o]), atol=1e-4)
        np.testing.assert_array_equal(found[row][o], x[row][o])


@pytest.fixture(scope="module")
def trained():
    """A linear VAE, trained on draws of a linear-Gaussian oracle with the oracle's sigma."""
    weights = jax.random.normal(jax.random.key(4), (6, 2))
    truth = LinearGaussian(weights=weights, bias=jnp.linspace(-1, 1, 6), sigma=jnp.float32(0.5))
    x = np.asarray(truth.sample(jax.random.key(5), 22_000))
    dataset = data.from_arrays(x, valid=None, test=2_000 / 22_000)
    config = vae.Config(latent_dim=2, hidden=(), likelihood=vae.Normal(0.5), optimizer=Adam(2e-2, Cosine(4000)))
    model = vae.model(config, dataset.spec)
    batches = dataset.train.batches(seed=0, batch_size=500)
    state, _ = train.fit(model, batches, jax.random.key(0), 4000, progress=False)
    return truth, dataset, model, state


def test_training_reaches_the_oracle(trained):
    """The mean bound, its expectation over z in closed form, comes within 0.01 nats of the mean of log P(X)."""
    truth, dataset, model, state = trained
    x = jnp.asarray(dataset.test.x)
    mu, log_var = model.parts.encode(state.variables, dataset.test.x)
    decoder = state.params["decoder"]
    learnt = LinearGaussian(weights=decoder["Dense_0"]["kernel"].T, bias=decoder["bias"], sigma=jnp.float32(0.5))
    covariance = jax.vmap(jnp.diag)(jnp.exp(log_var))
    bound = learnt.expected_log_likelihood(x, mu, covariance) - standard_normal_kl(mu, log_var)
    assert abs(float(truth.log_prob(x).mean() - bound.mean())) < 0.01


@pytest.mark.slow
def test_trained_with_holes_imputation_reaches_the_exact_conditional():
    """Trained on data of which 30 % are missing, the imputed mean is within 1 % of the exact one (root mean square).

    One latent dimension, so that the exact posterior, whatever is observed, is in the encoder's family.
    """
    weights = jax.random.normal(jax.random.key(4), (6, 1))
    truth = LinearGaussian(weights=weights, bias=jnp.linspace(-1, 1, 6), sigma=jnp.float32(0.5))
    x = np.asarray(truth.sample(jax.random.key(8), 100_300))
    mask = np.asarray(jax.random.bernoulli(jax.random.key(6), 0.7, x.shape))
    holes = np.where(mask, x, np.float32(0))
    dataset = data.from_arrays(holes, mask=mask, valid=None, test=300 / 100_300)
    config = vae.Config(
        latent_dim=1, hidden=(64,), likelihood=vae.Normal(0.5), see_mask=True, optimizer=Adam(1e-2, Cosine(6000))
    )
    model = vae.model(config, dataset.spec)
    batches = dataset.train.batches(seed=0, batch_size=500)
    state, _ = train.fit(model, batches, jax.random.key(0), 6000, progress=False)
    test = {"x": dataset.test.x, "mask": dataset.test.mask}
    found = np.asarray(model.parts.impute(jax.random.key(7), state.variables, test, num_samples=20_000, chunk=500))
    exact = np.asarray(truth.conditional(jnp.asarray(test["x"]), jnp.asarray(test["mask"])))
    np.testing.assert_array_equal(found[test["mask"]], test["x"][test["mask"]])
    missing = ~test["mask"]
    assert np.sqrt(np.square(found - exact)[missing].mean()) < 0.01 * np.sqrt(np.square(exact[missing]).mean())


def test_missing_values_may_be_anything(trained):
    _, dataset, model, state = trained
    x, mask = dataset.test.x[:5], np.arange(30).reshape(5, 6) % 3 > 0
    batches = [{"x": np.where(mask, x, np.float32(fill)), "mask": mask} for fill in (0.0, 1e6, np.nan)]
    for use in (model.parts.impute, model.parts.log_likelihood):
        values = [np.asarray(use(jax.random.key(0), state.variables, batch, 50)) for batch in batches]
        np.testing.assert_array_equal(values[0], values[1])
        np.testing.assert_array_equal(values[0], values[2])
    after = [model.step(jax.random.key(0), state, batch)[0] for batch in batches]
    assert len({train.digest(a) for a in after}) == 1
    assert len({train.digest(model.init(jax.random.key(0), batch)) for batch in batches}) == 1
