"""VAEs on real values in physical units: densities in these units, samples too, and likelihoods that do not fit."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import autoencoder, vae
from jaxgen.core import Spec
from jaxgen.data import Arcsinh, Standardise, ToRange, from_arrays, space
from jaxgen.distributions import bernoulli_log_prob, discretized_normal_log_prob
from jaxgen.train import NonFiniteError, fit
from jaxgen.vae.oracle import LinearGaussian

SMALL = {"latent_dim": 2, "hidden": (8,)}
NORMAL = vae.Config(likelihood=vae.Normal(0.5), **SMALL)


def fluxes(num=64, shape=(4, 4, 1), seed=0):
    return np.random.default_rng(seed).exponential(500, (num, *shape)).astype(np.float32)


def trained(config, dataset, steps=3):
    model = vae.model(config, dataset.spec)
    batches = dataset.train.batches(seed=0, batch_size=16)
    return model, fit(model, batches, jax.random.key(0), steps, progress=False)


@pytest.mark.slow
def test_standardising_leaves_the_exact_log_likelihood_of_a_linear_gaussian_model(key):
    # The scaled values are W z + b + sigma eps, the data therefore s W z + (m + s b) + s sigma eps.
    mean, std, sigma = 300.0, 40.0, 0.6
    spec = Spec((5,), scale=Standardise(mean, std))
    model = vae.model(vae.Config(latent_dim=2, hidden=(), likelihood=vae.Normal(sigma)), spec)
    plain = vae.model(vae.Config(latent_dim=2, hidden=(), likelihood=vae.Normal(sigma)), Spec((5,)))
    state = model.init(key, {"x": np.full((4, 5), mean, np.float32)})
    weights, bias = state.params["decoder"]["Dense_0"]["kernel"].T, state.params["decoder"]["bias"]
    known = LinearGaussian(weights=std * weights, bias=mean + std * bias, sigma=jnp.float32(std * sigma))
    x = np.asarray(known.sample(key, 6))
    found = model.parts.monte_carlo(key, state.variables, {"x": x}, num_samples=20_000, chunk=1000)
    np.testing.assert_allclose(found, known.log_prob(jnp.asarray(x)), atol=0.2)
    # And exactly, draw by draw: minus five log std of what the same model says of the scaled values.
    u = np.asarray(space.to_model(x, spec))
    for part in ("log_likelihood", "monte_carlo"):
        both = [
            getattr(m.parts, part)(key, state.variables, {"x": v}, num_samples=100) for m, v in ((model, x), (plain, u))
        ]
        np.testing.assert_allclose(both[0], both[1] - 5 * np.log(std), rtol=1e-5)
    values, of_u = model.evaluate(key, state.variables, {"x": x}), plain.evaluate(key, state.variables, {"x": u})
    for term, shift in (("negative_elbo", 5 * np.log(std)), ("distortion", 5 * np.log(std)), ("rate", 0)):
        np.testing.assert_allclose(values[term], of_u[term] + shift, rtol=1e-5)
    # Where dimensions are missing, only the slopes of the observed ones count.
    mask = np.arange(30).reshape(6, 5) % 3 > 0
    both = [m.evaluate(key, state.variables, {"x": v, "mask": mask}) for m, v in ((model, x), (plain, u))]
    shift = np.log(std) * mask.sum(axis=1)
    np.testing.assert_allclose(both[0]["negative_elbo"], both[1]["negative_elbo"] + shift, rtol=1e-5)
    _, metrics = model.step(key, state, {"x": x, "mask": mask})
    _, of_u = plain.step(key, state, {"x": u, "mask": mask})
    np.testing.assert_allclose(metrics["loss"], of_u["loss"] + shift.mean(), rtol=1e-5)
    assert model.parts.measure == "density of the data in their own units" and plain.parts.measure == "density"


@pytest.mark.parametrize(
    "scale",
    [Standardise(), pytest.param(ToRange(), marks=pytest.mark.slow), Arcsinh()],
    ids=lambda s: type(s).__name__,
)
@pytest.mark.parametrize(
    "options", [{"path_gradient": True}, pytest.param({"num_samples": 3}, marks=pytest.mark.slow)], ids=str
)
def test_what_is_handed_out_is_in_the_units_of_the_data(scale, options, key):
    dataset = from_arrays(fluxes(), scale=scale)
    config = vae.Config(likelihood=vae.Normal(0.5, learn=True), **SMALL, **options)
    model, (state, history) = trained(config, dataset)
    assert abs(history.records[-1]["loss"]) < 500  # 16 dimensions, a few nats each
    x = dataset.test.x
    real = dataset.train.x.mean()
    shown = {
        "samples": model.sample(key, state.variables, 40),
        "reconstructed": model.parts.reconstruct(state.variables, x),
        "interpolated": model.parts.interpolate(state.variables, x, x[::-1], 3),
    }
    for name, values in shown.items():
        assert 0.2 * real < np.asarray(values).mean() < 5 * real, name
    mask = np.arange(x.size).reshape(x.shape) % 2 == 0
    imputed = np.asarray(model.parts.impute(key, state.variables, {"x": x, "mask": mask}, num_samples=50))
    np.testing.assert_array_equal(imputed[mask], x[mask])
    assert 0.2 * real < imputed[~mask].mean() < 5 * real


def test_an_autoencoder_is_in_the_units_of_the_data(key):
    dataset = from_arrays(fluxes(), scale=Arcsinh())
    with pytest.warns(UserWarning, match="an autoencoder expects real values"):
        autoencoder.model(autoencoder.Config(**SMALL), from_arrays(fluxes()).spec)
    model = autoencoder.model(autoencoder.Config(**SMALL), dataset.spec)
    state = model.init(key, {"x": dataset.train.x})
    reconstructed = np.asarray(model.parts.reconstruct(state.variables, dataset.test.x))
    error = np.square(space.to_seen(dataset.test.x, dataset.spec) - space.seen(reconstructed, dataset.spec))
    found = model.evaluate(key, state.variables, {"x": dataset.test.x})["reconstruction"]
    np.testing.assert_allclose(error.sum(axis=(1, 2, 3)), found, rtol=1e-3)
    assert reconstructed.mean() > 100


BEYOND = {"above": fluxes(), "below": -fluxes() / 1000}


@pytest.mark.parametrize("x", BEYOND.values(), ids=BEYOND)
def test_bernoulli_outside_the_unit_interval_is_refused_before_training(x, key):
    config = vae.Config(likelihood=vae.Bernoulli(), **SMALL)
    with pytest.raises(ValueError, match=r"data must lie in \[0, 1\] for the likelihood Bernoulli.*Normal\(\) fits"):
        vae.model(config, from_arrays(x).spec)
    with pytest.raises(ValueError, match="scale must be None for the likelihood Bernoulli"):
        vae.model(config, from_arrays(x, scale=Standardise()).spec)
    # Where nothing is known of the data, the first batch is looked at; a mask hides what does not count.
    model = vae.model(config, Spec((4, 4, 1)))
    with pytest.raises(ValueError, match=r"x must lie in \[0, 1\], got .*Normal\(\) fits"):
        model.init(key, {"x": jnp.asarray(x)})
    model.init(key, {"x": x, "mask": (x >= 0) & (x <= 1)})
    # What comes later has no probability, and training stops.
    state = model.init(key, {"x": np.clip(x, 0, 1)})
    assert np.isinf(model.evaluate(key, state.variables, {"x": x})["negative_elbo"]).all()
    assert np.isnan(model.evaluate(key, state.variables, {"x": np.full_like(x, np.nan)})["negative_elbo"]).all()

    with pytest.raises(NonFiniteError):
        fit(model, itertools.chain([{"x": np.clip(x, 0, 1)}], itertools.repeat({"x": x})), key, 3, progress=False)


def test_bernoulli_takes_floats_in_the_unit_interval():
    x = np.random.default_rng(0).uniform(size=(32, 4, 4, 1)).astype(np.float32)
    _, (_, history) = trained(vae.Config(likelihood=vae.Bernoulli(), **SMALL), from_arrays(x))
    assert 0 < history.records[-1]["loss"] < 50


def test_discrete_likelihoods_have_no_probability_off_their_support():
    x = jnp.array([[0.0, 1.0], [0.5, 1.0], [-0.1, 1.0], [0.0, 5000.0], [jnp.nan, 1.0]])
    logits = jnp.ones((5, 2))
    found = bernoulli_log_prob(x, logits)
    assert np.isfinite(found[:2]).all() and np.isneginf(found[2:4]).all() and np.isnan(found[4])
    mask = jnp.array([[True, True], [True, True], [False, True], [True, False], [False, True]])
    assert np.isfinite(bernoulli_log_prob(x, logits, mask)).all()
    gradient = jax.grad(lambda logits: bernoulli_log_prob(x[:4], logits)[:2].sum())(logits[:4])
    assert np.isfinite(gradient).all()
    gradient = jax.grad(lambda logits: bernoulli_log_prob(x[:4], logits).sum())(logits[:4])
    np.testing.assert_allclose(gradient[:2], x[:2] - jax.nn.sigmoid(1.0), rtol=1e-5)  # others are not touched
    assert np.isfinite(gradient).all()

    grid = jnp.array([[-1.0, 1.0], [0.5, 1.0], [-1.0, 0.1], [-1.0, 1.01], [3.0, 1.0], [jnp.nan, 1.0]])
    zeros = jnp.zeros_like(grid)
    log_prob = jax.jit(discretized_normal_log_prob, static_argnames="levels")
    found = log_prob(grid, zeros, jnp.zeros(()), levels=5)
    assert np.isfinite(found[:2]).all() and np.isneginf(found[2:5]).all() and np.isnan(found[5])
    for levels in (2, 17, 256):
        every = 2 * jnp.arange(levels, dtype=jnp.float32)[:, None] / (levels - 1) - 1
        assert np.isfinite(log_prob(every, jnp.zeros_like(every), jnp.zeros(()), levels=levels)).all()
    gradient = jax.grad(lambda mu: log_prob(grid[:5], mu, jnp.zeros(()), levels=5).sum())(zeros[:5])
    assert np.isfinite(gradient).all()


def test_grey_levels_beyond_those_of_the_spec_are_refused(key):
    x = np.full((8, 4, 4, 1), 255, np.uint8)
    for likelihood in (vae.Bernoulli(), vae.Normal(), vae.DiscretizedNormal()):
        model = vae.model(vae.Config(likelihood=likelihood, **SMALL), Spec((4, 4, 1), "uint8", levels=2))
        with pytest.raises(ValueError, match=r"x must lie in \[0, 1\], got 255 to 255; the spec has levels=2"):
            model.init(key, {"x": x})
    model = autoencoder.model(autoencoder.Config(**SMALL), Spec((4, 4, 1), "uint8", levels=17))
    with pytest.raises(ValueError, match=r"x must lie in \[0, 16\], got 255"):
        model.init(key, {"x": jnp.asarray(x)})


def test_values_beyond_a_declared_range_are_refused(key):
    model = vae.model(NORMAL, Spec((4, 4, 1), scale=ToRange(0.0, 10.0)))
    with pytest.raises(ValueError, match="x on its scale must lie in"):
        model.init(key, {"x": fluxes()})
