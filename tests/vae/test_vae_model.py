import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import data, evaluate, train, vae
from jaxgen.core import Spec
from jaxgen.optimizers import Adam, Cosine


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def small(spec, **changes):
    return vae.model(vae.Config(latent_dim=4, hidden=(32,), **changes), spec)


def test_training_lowers_the_bound_and_reconstructs(digits):
    model = small(digits.spec, optimizer=Adam(5e-3))
    batches = digits.train.batches(seed=0, batch_size=64)
    start, _ = train.fit(model, batches, jax.random.key(0), 0, progress=False)
    state, _ = train.fit(model, batches, jax.random.key(0), 400, progress=False)

    def bound(state):
        return evaluate.per_example(model, jax.random.key(1), state.variables, digits.test)["negative_elbo"].mean()

    # A model that knows only each pixel's mean needs about 27 nats, and the bias starts there.
    assert bound(state) < 25 < 27 < bound(start) < 44
    x = digits.test.x[:50]
    error = np.square(np.asarray(model.parts.reconstruct(state.variables, x)) - x / 16.0).mean()
    assert error < 0.6 * np.square(x / 16.0 - (digits.train.x / 16.0).mean(axis=0)).mean()


def test_the_three_likelihoods_measure_different_things(digits):
    measures = {
        small(digits.spec, likelihood=likelihood).parts.measure
        for likelihood in (vae.Bernoulli(), vae.Normal(), vae.DiscretizedNormal())
    }
    assert measures == {"binarised", "density of pixels in [0, 1]", "17 grey levels"}


def test_a_normal_likelihood_on_the_plane(key):
    ring = data.load("ring", num=(2000, 10, 10))
    model = small(ring.spec, likelihood=vae.Normal(0.1))
    state, history = train.fit(model, ring.train.batches(seed=0, batch_size=64), key, 300, progress=False)
    assert history["loss"][-1] < history["loss"][0]
    assert model.sample(key, state.variables, 5).shape == (5, 2)
    assert model.parts.measure == "density"


def test_a_learned_scale_moves_to_the_residual(digits):
    """At the optimum sigma^2 is the mean squared residual: the derivative of the Gaussian log-likelihood."""
    model = small(digits.spec, likelihood=vae.Normal(1.0, learn=True), optimizer=Adam(2e-2, schedule=Cosine(600)))
    state, _ = train.fit(model, digits.train.batches(seed=0, batch_size=256), jax.random.key(0), 600, progress=False)
    sigma = float(jnp.exp(state.params["log_scale"]))
    values = evaluate.per_example(model, jax.random.key(1), state.variables, digits.train)
    # distortion = D/2 log(2 pi sigma^2) + ||x - f||^2 / (2 sigma^2)
    square = 2 * sigma**2 * (values["distortion"].mean() - 32 * np.log(2 * np.pi * sigma**2)) / 64
    np.testing.assert_allclose(square, sigma**2, rtol=0.05)


def test_encode_and_decode_fit_together(digits, key):
    model = small(digits.spec)
    state = model.init(key, digits.train.batches(seed=0, batch_size=8)(0))
    mu, log_var = model.parts.encode(state.variables, digits.test.x[:10])
    assert mu.shape == log_var.shape == (10, 4)
    np.testing.assert_allclose(
        model.parts.decode(state.variables, mu), model.parts.reconstruct(state.variables, digits.test.x[:10]), rtol=1e-5
    )


def test_beta_weighs_the_rate_in_training_only(digits, key):
    plain, weighted = small(digits.spec), small(digits.spec, beta=10.0)
    batch = digits.train.batches(seed=0, batch_size=32)(0)
    state = plain.init(key, batch)
    _, a = plain.step(key, state, batch)
    _, b = weighted.step(key, state, batch)
    np.testing.assert_allclose(b["loss"] - a["loss"], 9 * a["rate"], rtol=1e-3)
    np.testing.assert_array_equal(
        plain.evaluate(key, state.variables, batch)["negative_elbo"],
        weighted.evaluate(key, state.variables, batch)["negative_elbo"],
    )


def test_masked_pixels_do_not_count(digits, key):
    model = small(digits.spec, likelihood=vae.Normal())
    batch = dict(next(digits.test.evaluation_batches(4)))
    state = model.init(key, batch)
    full = model.evaluate(key, state.variables, {**batch, "mask": np.ones((4, 8, 8, 1), bool)})
    none = model.evaluate(key, state.variables, {**batch, "mask": np.zeros((4, 8, 8, 1), bool)})
    np.testing.assert_allclose(full["distortion"], model.evaluate(key, state.variables, batch)["distortion"], rtol=1e-6)
    np.testing.assert_array_equal(none["distortion"], 0)


@pytest.mark.parametrize("shape", [pytest.param((8, 8, 1), marks=pytest.mark.slow), (13, 6, 3)])
def test_convolutions_for_images_of_any_size(key, shape):
    x = np.random.default_rng(0).integers(0, 256, (4, *shape), dtype=np.uint8)
    model = vae.model(vae.Config(latent_dim=2, hidden=(16,), features=(8, 16)), Spec(shape, "uint8", 256))
    state = model.init(key, {"x": x})
    after, metrics = model.step(key, state, {"x": x})
    assert np.isfinite(metrics["loss"]) and metrics["grad_norm"] > 0
    assert model.sample(key, after.variables, 3).shape == (3, *shape)


def test_one_importance_sample_is_the_bound_on_average(digits, key):
    """With k = 1 the importance-weighted bound is the ELBO with the rate sampled too: equal means."""
    model = small(digits.spec, likelihood=vae.Normal())
    batch = next(digits.test.evaluation_batches(20))
    state = model.init(key, batch)
    keys = jax.random.split(key, 400)
    weighted = jnp.stack([model.parts.log_likelihood(k, state.variables, batch, 1, chunk=1) for k in keys])
    bounds = jnp.stack([-model.evaluate(k, state.variables, batch)["negative_elbo"] for k in keys])
    error = jnp.sqrt((weighted.var(axis=0) + bounds.var(axis=0)) / 400)
    assert (jnp.abs(weighted.mean(axis=0) - bounds.mean(axis=0)) < 4.5 * error).all()


def test_more_importance_samples_tighten_the_training_loss(digits, key):
    losses = {}
    batch = digits.train.batches(seed=0, batch_size=256)(0)
    state = small(digits.spec).init(key, batch)
    for k in (1, 2, 20):
        _, metrics = small(digits.spec, num_samples=k).step(key, state, batch)
        losses[k] = float(metrics["loss"])
    assert losses[1] > losses[2] > losses[20]


def test_warm_up_raises_the_weight_of_the_rate(digits, key):
    model = small(digits.spec, warmup_steps=10)
    batch = digits.train.batches(seed=0, batch_size=32)(0)
    state = model.init(key, batch)
    for step, beta in ((0, 0.0), (5, 0.5), (10, 1.0), (50, 1.0)):
        _, metrics = model.step(key, state.replace(step=jnp.int32(step)), batch)
        np.testing.assert_allclose(metrics["loss"], metrics["distortion"] + beta * metrics["rate"], rtol=1e-5)


def test_interpolation_goes_from_one_reconstruction_to_the_other(digits, key):
    model = small(digits.spec)
    state = model.init(key, digits.train.batches(seed=0, batch_size=8)(0))
    a, b = digits.test.x[:3], digits.test.x[3:6]
    path = model.parts.interpolate(state.variables, a, b, 5)
    assert path.shape == (5, 3, 8, 8, 1)
    np.testing.assert_allclose(path[0], model.parts.reconstruct(state.variables, a), atol=1e-5)
    np.testing.assert_allclose(path[4], model.parts.reconstruct(state.variables, b), atol=1e-5)


def test_bfloat16_computes_in_bfloat16_and_keeps_float32(digits, key):
    model = small(digits.spec, dtype="bfloat16")
    batch = digits.train.batches(seed=0, batch_size=8)(0)
    state = model.init(key, batch)
    after, _ = model.step(key, state, batch)
    assert {leaf.dtype for leaf in jax.tree.leaves(after.params)} == {jnp.dtype("float32")}
    assert "bf16" in str(jax.make_jaxpr(model.step)(key, state, batch))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: vae.Config(latent_dim=0), "latent_dim must be an integer of at least 1, got 0"),
        (lambda: vae.Config(hidden=(5, 0)), r"hidden must hold integers of at least 1, got \(5, 0\)"),
        (lambda: vae.Config(features=(12,)), r"features must hold multiples of 8 of at least 8, got \(12,\)"),
        (lambda: vae.model(vae.Config(features=(8,)), Spec((2,))), "features need events of shape"),
        (lambda: vae.Config(warmup_steps=-1), "warmup_steps must be an integer of at least 0, got -1"),
        (lambda: vae.Config(num_samples=0), "num_samples must be an integer of at least 1, got 0"),
        (lambda: vae.Config(num_samples=5, path_gradient=True), "path_gradient needs num_samples=1, got 5"),
        (lambda: vae.Config(beta=-1.0), "beta must be a finite number at least 0, got -1"),
        (lambda: vae.Config(dtype="float16"), "dtype must be"),
        (lambda: vae.Normal(0.0), "sigma must be a finite number above 0, got 0"),
        (lambda: vae.DiscretizedNormal(-1.0), "sigma must be a finite number above 0, got -1"),
        (
            lambda: vae.model(vae.Config(likelihood=vae.DiscretizedNormal()), Spec((2,))),
            "needs discrete data, got a spec with levels=None",
        ),
        (lambda: Adam(0.0), "learning_rate must be a finite number above 0, got 0"),
        (lambda: Adam(b1=1.0), "b1 must be a finite number at least 0 and below 1"),
        (lambda: Adam(clip_norm=0.0), "clip_norm must be a finite number above 0, got 0"),
        (lambda: Adam(accumulate=0), "accumulate must be an integer of at least 1, got 0"),
        (lambda: Adam(schedule=Cosine()).transformation(), "decay_steps must be known to train, got None"),
        (lambda: Cosine(10, warmup_steps=10), "decay_steps must be larger than warmup_steps=10, got 10"),
        (lambda: Spec((0,)), "event_shape must hold integers of at least 1"),
        (lambda: Spec((1,), "float64"), "dtype must be"),
        (lambda: Spec((1,), "uint8", 1), r"levels must be an integer in 2\.\.256, got 1"),
        (lambda: Spec((1,), "uint8"), "levels goes with dtype uint8"),
        (lambda: Spec((1,), num_classes=0), "num_classes must be an integer of at least 1, got 0"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_unconditional_model_takes_no_label(digits, key):
    model = small(digits.spec)
    state = model.init(key, digits.train.batches(seed=0, batch_size=8)(0))
    with pytest.raises(ValueError, match="unconditional"):
        model.sample(key, state.variables, 2, label=jnp.zeros(2, jnp.int32))
