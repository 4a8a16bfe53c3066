"""The mask's own distribution: exact where all is linear and Gaussian, and what it changes and what it leaves alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgen import train, vae
from jaxgen.core import Spec
from jaxgen.vae import missingness

KEY = jax.random.key(0)
SIGMA = 0.6
X = np.array([[0.4, -1.0, 0.0], [2.0, 0.3, 0.0], [-0.5, 0.8, 0.0]], np.float32)
MASK = np.array([[True, True, False]] * 3)
SLOPE, OFFSET = np.array([0.5, 1.0, 2.0]), np.array([-1.0, 0.2, -0.5])


@pytest.fixture(scope="module")
def known():
    """A VAE without hidden layers, whose third entry hides itself, and the exact posterior of that entry.

    p(x_m | x_o, s) ~ sigmoid(w x_m + b) N(x_m | mean, variance), on a grid.
    """
    config = vae.Config(latent_dim=2, hidden=(), likelihood=vae.Normal(SIGMA), missing=vae.SelfMasking())
    model = vae.model(config, Spec((3,)))
    batch = {"x": X, "mask": MASK}
    params = dict(model.init(KEY, batch).params)
    rng = np.random.default_rng(1)
    weights, bias = rng.normal(size=(3, 2)).astype(np.float32), rng.normal(size=3).astype(np.float32)
    params["decoder"] = {"Dense_0": {"kernel": jnp.asarray(weights.T)}, "bias": jnp.asarray(bias)}
    params["missing"] = {"weight": jnp.float32(SLOPE), "bias": jnp.float32(OFFSET)}
    covariance = weights @ weights.T + SIGMA**2 * np.eye(3)
    line = np.linspace(-15, 15, 20_001)
    log_p, moments = [], []
    for x in np.float64(X[:, :2]):
        gain = covariance[2, :2] @ np.linalg.inv(covariance[:2, :2])
        mean, variance = bias[2] + gain @ (x - bias[:2]), covariance[2, 2] - gain @ covariance[:2, 2]
        density = stats.norm.pdf(line, mean, variance**0.5) / (1 + np.exp(-(SLOPE[2] * line + OFFSET[2])))
        total = np.trapezoid(density, line)
        seen = -np.log1p(np.exp(SLOPE[:2] * x + OFFSET[:2])).sum()
        log_p.append(stats.multivariate_normal.logpdf(x, bias[:2], covariance[:2, :2]) + seen + np.log(total))
        first = np.trapezoid(density * line, line) / total
        moments.append((first, np.trapezoid(density * (line - first) ** 2, line) / total, mean))
    return model, {"params": params}, batch, np.array(log_p), np.array(moments)


def test_estimates_reach_the_exact_value_of_what_is_observed_and_of_the_mask(known):
    model, variables, batch, exact, _ = known
    for name in ("log_likelihood", "monte_carlo"):
        found = getattr(model.parts, name)(KEY, variables, batch, num_samples=40_000, chunk=1000)
        np.testing.assert_allclose(found, exact, atol=0.03)
    bounds = [-model.evaluate(jax.random.key(s), variables, batch)["negative_elbo"] for s in range(200)]
    assert (np.mean(bounds, axis=0) < exact).all()


def test_imputations_know_why_the_entry_is_missing(known):
    """Its mean and its spread are those of the posterior given the mask; without the mask it would be lower."""
    model, variables, batch, _, moments = known
    mean, variance, without = moments.T
    assert (mean > without + 0.05).all()
    found = model.parts.impute(KEY, variables, batch, num_samples=40_000, chunk=1000)
    np.testing.assert_array_equal(found[:, :2], X[:, :2])
    np.testing.assert_allclose(found[:, 2], mean, atol=0.03)
    num = 1000
    drawn = np.asarray(model.parts.imputations(KEY, variables, batch, num, num_samples=20_000, chunk=1000))
    np.testing.assert_array_equal(drawn[:, :, :2], np.broadcast_to(X[None, :, :2], (num, 3, 2)))
    assert (np.abs(drawn[:, :, 2].mean(axis=0) - mean) < 4 * np.sqrt(variance / num)).all()
    assert (np.abs(drawn[:, :, 2].var(axis=0) - variance) < 4 * variance * np.sqrt(2 / num)).all()


@pytest.mark.parametrize(
    ("likelihood", "x", "values"),
    [
        (vae.Normal(0.3), np.array([[0.5, -1.0]], np.float32), None),
        (vae.Bernoulli(), np.array([[0.0, 1.0]], np.float32), (0.0, 1.0)),
        (vae.DiscretizedNormal(0.4), np.array([[1, 3]], np.uint8), (0.0, 1 / 3, 2 / 3, 1.0)),
    ],
)
@pytest.mark.slow
def test_imputations_are_draws_of_every_likelihood(likelihood, x, values):
    """For a decoder that says nothing of z the draws of what is missing are those of the likelihood."""
    spec = Spec((2,), "uint8", 4) if x.dtype == np.uint8 else Spec((2,))
    model = vae.model(vae.Config(latent_dim=1, hidden=(2,), likelihood=likelihood), spec)
    batch = {"x": x, "mask": np.array([[True, False]])}
    variables = model.init(KEY, batch).variables
    params = jax.tree.map(jnp.zeros_like, variables["params"]["decoder"])
    variables = {"params": {**variables["params"], "decoder": {**params, "bias": jnp.array([0.0, 0.2])}}}
    num = 500
    drawn = np.asarray(model.parts.imputations(KEY, variables, batch, num, num_samples=4000, chunk=1000))[:, 0, 1]
    mean, spread = float(model.parts.decode(variables, jnp.zeros((1, 1)))[0, 1]), drawn.std()
    assert spread > 0.1 and len(np.unique(drawn)) > 1
    assert values is None or set(np.round(drawn, 4)) <= set(np.round(np.float32(values), 4))
    if values != (0.0, 1 / 3, 2 / 3, 1.0):  # (whose mean is not that of the rounded draws)
        assert abs(drawn.mean() - mean) < 4 * spread / np.sqrt(num)


@pytest.mark.slow
def test_batches_and_chunks_do_not_matter_to_imputations(known):
    model, variables, batch, *_ = known
    whole = model.parts.imputations(KEY, variables, batch, 3, num_samples=100, chunk=50)
    np.testing.assert_allclose(
        whole, model.parts.imputations(KEY, variables, batch, 3, num_samples=100, chunk=20), rtol=1e-5, atol=1e-6
    )
    one = {name: values[1:2] for name, values in batch.items()} | {"index": jnp.array([1], jnp.int32)}
    np.testing.assert_allclose(
        whole[:, 1:2], model.parts.imputations(KEY, variables, one, 3, num_samples=100), rtol=1e-5, atol=1e-6
    )


def test_probabilities_of_masks(key):
    """All masks of three dimensions have probabilities that sum to one; a known sign is kept."""
    x = jnp.broadcast_to(jnp.array([[0.3, -2.0, 5.0]]), (8, 3))
    masks = jnp.asarray(np.indices((2, 2, 2)).reshape(3, -1).T.astype(bool))
    for choice in (vae.SelfMasking(), vae.SelfMasking(1), vae.SelfMasking(-1), vae.Agnostic((5,))):
        module = choice.module(Spec((3,)), jnp.float32)
        params = jax.tree.map(lambda p: p + jax.random.normal(key, p.shape), module.init(key, x)["params"])
        logits = module.apply({"params": params}, x)
        np.testing.assert_allclose(jnp.exp(missingness.mask_log_prob(masks, logits)).sum(), 1, rtol=1e-5)
        slopes = np.asarray(jax.jacobian(lambda x, m=module, p=params: m.apply({"params": p}, x[None])[0])(x[0]))
        if isinstance(choice, vae.SelfMasking):
            assert (slopes == np.diag(np.diag(slopes))).all()
            assert not choice.sign or (np.sign(np.diag(slopes)) == choice.sign).all()
        else:
            assert np.abs(slopes).min() > 0


def test_a_vae_without_such_a_choice_has_the_parameters_of_before():
    config = vae.Config(latent_dim=2, hidden=(3,), likelihood=vae.Normal(1.0))
    batch = {"x": X, "mask": MASK}
    assert set(vae.model(config, Spec((3,))).init(KEY, batch).params) == {"encoder", "decoder"}
    with_it = vae.model(vae.Config(2, (3,), likelihood=vae.Normal(1.0), missing=vae.Agnostic((4,))), Spec((3,)))
    state = with_it.init(KEY, batch)
    assert set(state.params) == {"encoder", "decoder", "missing"}
    assert with_it.parts.measure == "density and of the mask"
    after, _ = with_it.step(KEY, state, batch)
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), state.params["missing"], after.params["missing"])
    assert any(jax.tree.leaves(changed))


def test_what_is_behind_the_mask_does_not_count(known):
    model, _, batch, *_ = known
    others = [{**batch, "x": np.where(MASK, X, np.float32(fill))} for fill in (3.0, np.nan)]
    states = [model.step(KEY, model.init(KEY, each), each)[0] for each in (batch, *others)]
    assert len({train.digest(state) for state in states}) == 1


def test_what_cannot_be_is_refused(known):
    model, variables, batch, *_ = known
    with pytest.raises(
        ValueError, match=r'batch must hold "mask", whose distribution is SelfMasking\(sign=0\), got no'
    ):
        model.init(KEY, {"x": X})
    with pytest.raises(ValueError, match=r"missing must be None unless the likelihood is Normal\(\), got SelfMasking"):
        vae.Config(missing=vae.SelfMasking())
    with pytest.raises(ValueError, match=r"sign must be an integer in -1\.\.1, got 2"):
        vae.SelfMasking(2)
    with pytest.raises(ValueError, match="num_samples must be a positive multiple of chunk=50, got 10"):
        model.parts.imputations(KEY, variables, batch, num_samples=10)
    with pytest.raises(ValueError, match="num must be an integer of at least 1, got 0"):
        model.parts.imputations(KEY, variables, batch, num=0)
