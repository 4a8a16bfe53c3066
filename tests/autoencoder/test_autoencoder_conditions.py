"""An autoencoder with conditions by the names of fields, and with networks of the user's own."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgen import autoencoder, data, evaluate, train
from jaxgen.core import Spec
from jaxgen.draws import example_labels
from jaxgen.nn import Concat, CrossAttend, Embed
from jaxgen.optimizers import Adam, Cosine

KEY = jax.random.key(0)


def test_given_c_the_linear_one_has_the_principal_components_of_what_c_leaves():
    """x = W z + A c + noise: the best error is what two components leave of x - A c, whose A is the regression's."""
    rng = np.random.default_rng(0)
    c = rng.normal(size=(2000, 2)).astype(np.float32)
    scales = np.array([1.0, 0.7, 0.3, 0.2, 0.2])
    x = (rng.normal(size=(2000, 5)) * scales + c @ rng.normal(size=(2, 5))).astype(np.float32)
    dataset = data.from_arrays(x, fields={"c": c}, valid=None, test=0.0005)
    config = autoencoder.Config(
        latent_dim=2, hidden=(), condition={"c": Embed(0.0)}, optimizer=Adam(1e-2, Cosine(1000))
    )
    model = autoencoder.model(config, dataset.spec)
    batches = dataset.train.batches(seed=0, batch_size=500)
    state, _ = train.fit(model, batches, KEY, 1000, progress=False, log_every=500)
    inputs = np.concatenate([dataset.train.fields["c"], np.ones((len(dataset.train.x), 1))], axis=1)
    rest = dataset.train.x - inputs @ np.linalg.lstsq(inputs, dataset.train.x, rcond=None)[0]
    exact = np.linalg.eigvalsh(np.cov(rest.T, bias=True))[:3].sum()
    found = evaluate.per_example(model, KEY, state.variables, dataset.train)["reconstruction"].mean()
    assert 0.999 * exact < found < 1.03 * exact


def fields_of_all_kinds():
    rng = np.random.default_rng(0)
    digits = data.load("digits")
    x, label = digits.train.x[:200], digits.train.label[:200]
    fields = {"low": x[:, ::2, ::2], "caption": rng.integers(0, 7, (200, 5))}
    return data.from_arrays(x, label, levels=17, fields=fields, num_values={"low": 17}, valid=None)


ALL_KINDS = {"label": Embed(0.5), "low": Concat(0.0), "caption": CrossAttend(0.5, padding=0)}


@pytest.fixture(scope="module")
def mixed():
    dataset = fields_of_all_kinds()
    config = autoencoder.Config(latent_dim=3, hidden=(16,), features=(8,), condition=ALL_KINDS)
    model = autoencoder.model(config, dataset.spec)
    state, _ = train.fit(model, dataset.train.batches(seed=0, batch_size=16), KEY, 3, progress=False)
    return model, state.variables, next(dataset.test.evaluation_batches(4))


def test_encoder_and_decoder_see_every_condition(mixed):
    model, variables, batch = mixed
    given = {name: batch[name] for name in ALL_KINDS}
    changes = {
        "label": (batch["label"] + 1) % 10,
        "low": 16 - batch["low"],
        "caption": (batch["caption"] % 6) + 1,
    }
    z = jnp.ones((4, 3))
    code, x = (
        model.parts.encode(variables, batch["x"], condition=given),
        model.parts.decode(variables, z, condition=given),
    )
    for name, values in changes.items():
        other = {**given, name: values}
        assert not np.allclose(code, model.parts.encode(variables, batch["x"], condition=other), atol=1e-5), name
        assert not np.allclose(x, model.parts.decode(variables, z, condition=other), atol=1e-5), name
    x_hat = model.parts.reconstruct(variables, batch["x"], condition=given)
    np.testing.assert_allclose(x_hat, model.parts.decode(variables, code, condition=given), atol=1e-6)
    samples = model.sample(KEY, variables, 4, condition=given)
    alone = model.sample(KEY, variables, 1, first=2, condition={name: values[2] for name, values in given.items()})
    np.testing.assert_allclose(alone[0], samples[2], atol=1e-6)
    drawn = np.asarray(example_labels(jax.random.fold_in(KEY, 2**32 - 1), jnp.arange(4, dtype=jnp.int32), 10))
    low = {"low": batch["low"]}
    np.testing.assert_array_equal(
        model.sample(KEY, variables, 4, condition=low), model.sample(KEY, variables, 4, label=drawn, condition=low)
    )


def test_what_is_missing_is_named(mixed):
    model, variables, batch = mixed
    with pytest.raises(ValueError, match='batch must hold "caption"'):
        model.evaluate(KEY, variables, {name: batch[name] for name in ("x", "label", "low")})
    for call in (
        lambda: model.sample(KEY, variables, 2),
        lambda: model.parts.encode(variables, batch["x"], label=3),
        lambda: model.parts.decode(variables, jnp.ones((4, 3))),
        lambda: model.parts.reconstruct(variables, batch["x"], condition={"low": None}),
    ):
        with pytest.raises(ValueError, match='condition must hold "low"'):
            call()


def test_a_model_without_conditions_takes_none():
    model = autoencoder.model(autoencoder.Config(latent_dim=2, hidden=()), Spec((3,)))
    x = np.zeros((2, 3), np.float32)
    variables = model.init(KEY, {"x": x}).variables
    for call in (
        lambda **given: model.sample(KEY, variables, 2, **given),
        lambda **given: model.parts.reconstruct(variables, x, **given),
    ):
        with pytest.raises(ValueError, match="this model is unconditional: label must be None, got 3"):
            call(label=3)
        with pytest.raises(ValueError, match="this model takes no condition, got 'low'"):
            call(condition={"low": x})


class OwnEncoder(nn.Module):
    @nn.compact
    def __call__(self, x, forms=None, train=False):
        h = nn.BatchNorm(use_running_average=not train)(nn.Dense(8)(x))
        if forms is not None:
            h = h + nn.Embed(3, 8)(forms["label"])
        return nn.Dense(2)(nn.Dropout(0.1, deterministic=not train)(nn.swish(h)))


OWN_DECODER = (
    lambda key, z, *forms: {"w": 0.1 * jax.random.normal(key, (2, 3), jnp.float32)},
    lambda params, z, *forms: z @ params["w"],
)


@pytest.mark.parametrize(
    "condition",
    [pytest.param({}, marks=pytest.mark.slow, id="plain"), pytest.param({"label": Embed(0.2)}, id="conditional")],
)
def test_networks_of_the_users_own_train_and_resume(condition, tmp_path):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 200)
    x = (0.3 * rng.normal(size=(200, 3)) + label[:, None]).astype(np.float32)
    dataset = data.from_arrays(x, label, valid=None)
    config = autoencoder.Config(latent_dim=2, condition=condition, optimizer=Adam(1e-2))
    model = autoencoder.model(config, dataset.spec, network={"encoder": OwnEncoder(), "decoder": OWN_DECODER})
    batches = dataset.train.batches(seed=0, batch_size=32)
    whole, history = train.fit(model, batches, KEY, 20, progress=False, log_every=10)
    half, _ = train.fit(model, batches, KEY, 10, progress=False)
    with train.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(10, half, {})
    with train.Checkpoints(tmp_path) as checkpoints:
        restored, _ = checkpoints.restore(jax.eval_shape(model.init, KEY, batches(0)))
    resumed, _ = train.fit(model, batches, KEY, 20, state=restored, progress=False)
    assert train.digest(resumed) == train.digest(whole)
    assert history["loss"][-1] < history["loss"][0]
    start = model.init(KEY, batches(0)).collections["batch_stats"]["encoder"]
    after = whole.collections["batch_stats"]["encoder"]
    assert all(bool((a != b).any()) for a, b in zip(*map(jax.tree.leaves, (start, after)), strict=True))
    assert model.sample(KEY, whole.variables, 5).shape == (5, 3)
    # Inference reads the running statistics: an example's code does not depend on the others.
    code = model.parts.encode(whole.variables, dataset.test.x[:3])
    np.testing.assert_allclose(code[1:2], model.parts.encode(whole.variables, dataset.test.x[1:2]), rtol=1e-5)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        ((1, 2), 'network must be a mapping {"encoder": ..., "decoder": ...}, got tuple'),
        ({"encoder": OwnEncoder}, r"network\['encoder'\] must be a linen module or a pair of functions"),
        ({"encoder": (lambda key, x: {}, lambda p, x: x)}, r"output of the encoder must have shape \(4, 2\)"),
        ({"encoder": (lambda key, x: {}, lambda p, x: (x, x))}, "output of the encoder must be an array of"),
        ({"decoder": (lambda key, z: {}, lambda p, z: z)}, r"output of the decoder must have shape \(4, 3\)"),
    ],
)
def test_networks_that_cannot_be(network, message):
    batch = {"x": np.zeros((4, 3), np.float32)}
    with pytest.raises(ValueError, match=message):
        model = autoencoder.model(autoencoder.Config(latent_dim=2), Spec((3,)), network=network)
        jax.eval_shape(model.step, KEY, model.init(KEY, batch), batch)
