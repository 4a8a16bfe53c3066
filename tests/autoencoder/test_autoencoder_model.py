import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import autoencoder, data, train
from jaxgen.core import Spec
from jaxgen.optimizers import Adam


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


@pytest.fixture(scope="module")
def trained(digits):
    model = autoencoder.model(autoencoder.Config(latent_dim=8, hidden=(64,), optimizer=Adam(5e-3)), digits.spec)
    state, _ = train.fit(model, digits.train.batches(seed=0, batch_size=64), jax.random.key(0), 500, progress=False)
    return model, state


def small(spec, **changes):
    return autoencoder.model(autoencoder.Config(latent_dim=4, hidden=(32,), **changes), spec)


def test_it_reconstructs_what_it_has_not_seen(trained, digits):
    model, state = trained
    x = digits.test.x / np.float32(16)
    x_hat = np.asarray(model.parts.reconstruct(state.variables, digits.test.x))
    mean_alone = np.square(x - (digits.train.x / 16.0).mean(axis=0)).sum(axis=(1, 2, 3)).mean()
    assert np.square(x - x_hat).sum(axis=(1, 2, 3)).mean() < 0.3 * mean_alone
    assert x_hat.min() >= 0 and x_hat.max() <= 1


def test_what_it_decodes_from_the_normal_distribution_is_unlike_the_data(trained, digits):
    """The lecture's point: the space of z is unknown. A decoded draw of N(0, I) lies farther from all data than a
    reconstruction does from its original."""
    model, state = trained
    x = jnp.asarray(digits.train.x / np.float32(16)).reshape(-1, 64)

    def distance(images):
        return jnp.square(images.reshape(-1, 1, 64) - x[None]).sum(axis=2).min(axis=1).mean()

    z = np.asarray(model.parts.encode(state.variables, digits.test.x))
    assert np.abs(z.std(axis=0) - 1).max() > 0.5 or np.abs(z.mean(axis=0)).max() > 0.5
    real = distance(model.parts.reconstruct(state.variables, digits.test.x))
    assert distance(model.sample(jax.random.key(0), state.variables, 200)) > 1.5 * real


def test_it_starts_at_the_mean_of_the_data(digits, key):
    batch = digits.train.batches(seed=0, batch_size=32)(0)
    bias = small(digits.spec).init(key, batch).params["decoder"]["bias"]
    np.testing.assert_allclose(bias, (np.asarray(batch["x"]) / np.float32(16)).mean(axis=0), atol=1e-6)


def test_evaluate_is_the_loss_per_example(digits, key):
    model = small(digits.spec)
    batch = digits.train.batches(seed=0, batch_size=32)(0)
    state = model.init(key, batch)
    _, metrics = model.step(key, state, batch)
    np.testing.assert_allclose(
        model.evaluate(key, state.variables, batch)["reconstruction"].mean(), metrics["loss"], rtol=1e-5
    )


def test_encode_and_decode_fit_together(trained, digits):
    model, state = trained
    z = model.parts.encode(state.variables, digits.test.x[:10])
    assert z.shape == (10, 8)
    np.testing.assert_allclose(
        model.parts.decode(state.variables, z), model.parts.reconstruct(state.variables, digits.test.x[:10]), 1e-5
    )
    alone = state.replace(params={"encoder": state.params["encoder"]}, opt_state=())
    np.testing.assert_array_equal(z, model.parts.encode(alone.variables, digits.test.x[:10]))


def test_what_was_not_observed_matters_nowhere(key):
    """NaN where the mask is False changes neither the start, nor a step, nor the evaluation."""
    model = small(Spec((6,)))
    x = np.asarray(jax.random.normal(key, (16, 6)))
    mask = np.random.default_rng(0).random(x.shape) < 0.7
    mask[:, 2] = False  # never observed
    batches = [{"x": np.where(mask, x, hidden).astype(np.float32), "mask": mask} for hidden in (np.nan, 5.0)]
    states = [model.step(key, model.init(key, batch), batch)[0] for batch in batches]
    assert train.digest(states[0]) == train.digest(states[1])
    hidden_nan, hidden_five = (model.evaluate(key, states[0].variables, batch)["reconstruction"] for batch in batches)
    np.testing.assert_array_equal(hidden_nan, hidden_five)
    assert np.isfinite(hidden_nan).all()


def test_the_encoder_may_see_what_was_not_observed(key):
    """A zero that was observed and one that was not are the same to an encoder that is not shown the mask."""
    x, mask = np.zeros((1, 6), np.float32), np.ones((1, 6), bool)
    holes = mask.copy()
    holes[:, :3] = False
    for see_mask in (False, True):
        model = small(Spec((6,)), see_mask=see_mask)
        state = model.init(key, {"x": np.ones((4, 6), np.float32)})
        # On the dimensions that count in both.
        whole = model.evaluate(key, state.variables, {"x": x, "mask": mask})["reconstruction"]
        missing = model.evaluate(key, state.variables, {"x": x, "mask": holes})["reconstruction"]
        x_hat = model.parts.reconstruct(state.variables, x)
        np.testing.assert_allclose(whole, np.square(x_hat).sum(), rtol=1e-5)
        same = np.allclose(missing, np.square(x_hat[:, 3:]).sum(), rtol=1e-5)
        assert same is not see_mask


def test_convolutions_need_space():
    with pytest.raises(ValueError, match="features need events of shape"):
        autoencoder.model(autoencoder.Config(features=(8,)), Spec((6,)))


def test_real_values_are_not_cut_off(key):
    model = small(Spec((6,)))
    state = model.init(key, {"x": np.full((4, 6), 7, np.float32)})
    np.testing.assert_allclose(model.parts.decode(state.variables, jnp.zeros((1, 4))), 7)


def test_bfloat16_computes_in_bfloat16_and_keeps_float32(digits, key):
    model = small(digits.spec, dtype="bfloat16")
    batch = digits.train.batches(seed=0, batch_size=8)(0)
    state = model.init(key, batch)
    after, _ = jax.eval_shape(model.step, key, state, batch)
    assert {leaf.dtype for leaf in jax.tree.leaves(after.params)} == {jnp.dtype("float32")}
    assert "bf16" in str(jax.make_jaxpr(model.step)(key, state, batch))
    assert jax.eval_shape(model.evaluate, key, state.variables, batch)["reconstruction"].dtype == jnp.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_dim": 0}, "latent_dim must be an integer of at least 1, got 0"),
        ({"hidden": (5, 0)}, r"hidden must hold integers of at least 1, got \(5, 0\)"),
        ({"features": (12,)}, r"features must hold multiples of 8 of at least 8, got \(12,\)"),
        ({"dtype": "float16"}, "dtype must be"),
    ],
)
def test_what_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        autoencoder.Config(**changes)


def test_an_unconditional_model_takes_no_label(trained):
    model, state = trained
    with pytest.raises(ValueError, match="unconditional"):
        model.sample(jax.random.key(0), state.variables, 2, label=jnp.zeros(2, jnp.int32))
