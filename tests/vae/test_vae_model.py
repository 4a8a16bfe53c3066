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
        return evaluate.per_example(model, jax.random.key(1), state, digits.test)["negative_elbo"].mean()

    # A model that knows only each pixel's mean needs about 27 nats, and the bias starts there.
    assert bound(state) < 25 < 27 < bound(start) < 44
    x = digits.test.x[:50]
    error = np.square(np.asarray(model.parts.reconstruct(state, x)) - x / 16.0).mean()
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
    assert model.sample(key, state, 5).shape == (5, 2)
    assert model.parts.measure == "density"


def test_a_learned_scale_moves_to_the_residual(digits):
    """At the optimum sigma^2 is the mean squared residual: the derivative of the Gaussian log-likelihood."""
    model = small(digits.spec, likelihood=vae.Normal(1.0, learn=True), optimizer=Adam(2e-2, schedule=Cosine(600)))
    state, _ = train.fit(model, digits.train.batches(seed=0, batch_size=256), jax.random.key(0), 600, progress=False)
    sigma = float(jnp.exp(state.params["log_scale"]))
    values = evaluate.per_example(model, jax.random.key(1), state, digits.train)
    # distortion = D/2 log(2 pi sigma^2) + ||x - f||^2 / (2 sigma^2)
    square = 2 * sigma**2 * (values["distortion"].mean() - 32 * np.log(2 * np.pi * sigma**2)) / 64
    np.testing.assert_allclose(square, sigma**2, rtol=0.05)


def test_encode_and_decode_fit_together(digits, key):
    model = small(digits.spec)
    state = model.init(key, digits.train.batches(seed=0, batch_size=8)(0))
    mu, log_var = model.parts.encode(state, digits.test.x[:10])
    assert mu.shape == log_var.shape == (10, 4)
    np.testing.assert_allclose(
        model.parts.decode(state, mu), model.parts.reconstruct(state, digits.test.x[:10]), rtol=1e-5
    )


def test_beta_weighs_the_rate_in_training_only(digits, key):
    plain, weighted = small(digits.spec), small(digits.spec, beta=10.0)
    batch = digits.train.batches(seed=0, batch_size=32)(0)
    state = plain.init(key, batch)
    _, a = plain.step(key, state, batch)
    _, b = weighted.step(key, state, batch)
    np.testing.assert_allclose(b["loss"] - a["loss"], 9 * a["rate"], rtol=1e-3)
    np.testing.assert_array_equal(
        plain.evaluate(key, state, batch)["negative_elbo"], weighted.evaluate(key, state, batch)["negative_elbo"]
    )


def test_masked_pixels_do_not_count(digits, key):
    model = small(digits.spec, likelihood=vae.Normal())
    batch = dict(next(digits.test.evaluation_batches(4)))
    state = model.init(key, batch)
    full = model.evaluate(key, state, {**batch, "mask": np.ones((4, 8, 8, 1), bool)})
    none = model.evaluate(key, state, {**batch, "mask": np.zeros((4, 8, 8, 1), bool)})
    np.testing.assert_allclose(full["distortion"], model.evaluate(key, state, batch)["distortion"], rtol=1e-6)
    np.testing.assert_array_equal(none["distortion"], 0)


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
        (lambda: vae.Config(latent_dim=0), "latent_dim must be at least 1, got 0"),
        (lambda: vae.Config(hidden=(5, 0)), r"hidden must hold widths of at least 1, got \(5, 0\)"),
        (lambda: vae.Config(beta=-1.0), "beta must not be negative, got -1"),
        (lambda: vae.Config(dtype="float16"), "dtype must be"),
        (lambda: vae.Normal(0.0), "sigma must be positive, got 0"),
        (lambda: vae.DiscretizedNormal(-1.0), "sigma must be positive, got -1"),
        (
            lambda: vae.model(vae.Config(likelihood=vae.DiscretizedNormal()), Spec((2,))),
            "needs discrete data, got a spec with levels=None",
        ),
        (lambda: Adam(0.0), "learning_rate must be positive, got 0"),
        (lambda: Adam(b1=1.0), "b1 must lie in"),
        (lambda: Adam(clip_norm=0.0), "clip_norm must be positive or None, got 0"),
        (lambda: Adam(accumulate=0), "accumulate must be at least 1, got 0"),
        (lambda: Adam(schedule=Cosine()).transformation(), "decay_steps must be known to train, got None"),
        (lambda: Cosine(10, warmup_steps=10), "decay_steps must be larger than warmup_steps=10, got 10"),
        (lambda: Spec((0,)), "event_shape must hold sizes of at least 1"),
        (lambda: Spec((1,), "float64"), "dtype must be"),
        (lambda: Spec((1,), "uint8", 1), r"levels must lie in 2\.\.256, got 1"),
        (lambda: Spec((1,), "uint8"), "levels goes with dtype uint8"),
        (lambda: Spec((1,), num_classes=0), "num_classes must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_an_unconditional_model_takes_no_label(digits, key):
    model = small(digits.spec)
    state = model.init(key, digits.train.batches(seed=0, batch_size=8)(0))
    with pytest.raises(ValueError, match="unconditional"):
        model.sample(key, state, 2, label=jnp.zeros(2, jnp.int32))
