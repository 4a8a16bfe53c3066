"""Networks, loops and losses of the user's own in a VAE: linen, equinox, flax nnx, plain functions."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from jaxgen import data, learning, train, vae
from jaxgen.nn import Embed, Network

KEY = jax.random.key(0)
CONFIG = vae.Config(latent_dim=2, hidden=(8,), likelihood=vae.Normal(0.5, learn=True))


def points():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 200)
    x = (0.3 * rng.normal(size=(200, 3)) + 2 * label[:, None] - 1).astype(np.float32)
    return data.from_arrays(x, label, valid=None)


def both(h):
    return h[:, :2], h[:, 2:]


class LinenEncoder(nn.Module):
    """With dropout and batch normalisation: all that a network may have."""

    @nn.compact
    def __call__(self, x, forms=None, train=False):
        h = nn.BatchNorm(use_running_average=not train)(nn.Dense(8)(x))
        if forms is not None:
            h = h + nn.Embed(3, 8)(forms["label"])
        return both(nn.Dense(4)(nn.Dropout(0.1, deterministic=not train)(nn.swish(h))))


class LinenDecoder(nn.Module):
    @nn.compact
    def __call__(self, z, forms=None, train=False):
        h = nn.BatchNorm(use_running_average=not train)(nn.Dense(8)(z))
        if forms is not None:
            h = h + nn.Embed(3, 8)(forms["label"])
        return nn.Dense(3)(nn.swish(h))


def of_equinox(size_in, size_out, split=False):
    def net(key):
        return eqx.nn.MLP(size_in, size_out, 8, 1, key=key)

    static = eqx.partition(net(KEY), eqx.is_array)[1]

    def apply(params, x):
        h = jax.vmap(eqx.combine(params, static))(x)
        return both(h) if split else h

    return lambda key, x: eqx.filter(net(key), eqx.is_array), apply


class Nnx(nnx.Module):
    def __init__(self, size_in, size_out, rngs):
        self.first, self.last = nnx.Linear(size_in, 8, rngs=rngs), nnx.Linear(8, size_out, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)

    def __call__(self, x):
        return self.last(nnx.swish(self.norm(self.first(x))))


def of_nnx(size_in, size_out, split=False):
    """As a `Network`, whose running statistics are a collection beside its parameters."""
    graph, *_ = nnx.split(Nnx(size_in, size_out, nnx.Rngs(0)), nnx.Param, nnx.BatchStat)

    def init(key, x):
        _, params, statistics = nnx.split(Nnx(size_in, size_out, nnx.Rngs(key)), nnx.Param, nnx.BatchStat)
        return {"params": params, "batch_stats": statistics}

    def apply(variables, x, train=False, key=None, learn=False):
        net = nnx.merge(graph, variables["params"], variables["batch_stats"], copy=True)
        net.norm.use_running_average = not train
        h = net(x)
        changed = {"batch_stats": nnx.state(net, nnx.BatchStat)} if learn else {}
        return both(h) if split else h, changed

    return Network(init, apply)


def by_hand(size_in, size_out, split=False):
    def init(key, x):
        return [0.1 * jax.random.normal(key, (size_in, size_out), jnp.float32)]

    def apply(params, x, key=None):
        h = x if key is None else x + 0.01 * jax.random.normal(key, x.shape, x.dtype)  # in training
        return both(h @ params[0]) if split else h @ params[0]

    return init, apply


def networks(name):
    if name == "linen":
        return {"encoder": LinenEncoder(), "decoder": LinenDecoder()}
    make = {"equinox": of_equinox, "nnx": of_nnx, "by hand": by_hand}[name]
    return {"encoder": make(3, 4, split=True), "decoder": make(2, 3)}


@pytest.mark.parametrize(
    "name", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("linen", "nnx")), "equinox", "by hand"]
)
def test_it_trains_resumes_from_a_checkpoint_and_samples(name, tmp_path):
    dataset = points()
    model = vae.model(CONFIG, dataset.spec, optax.adam(1e-2), network=networks(name))
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
    x = model.sample(KEY, whole.variables, 5)
    assert x.shape == (5, 3) and bool(jnp.isfinite(x).all())
    assert model.evaluate(KEY, whole.variables, next(dataset.test.evaluation_batches(4)))["rate"].shape == (4,)


def test_running_statistics_of_both_are_learned_and_used():
    dataset = points()
    model = vae.model(CONFIG, dataset.spec, network=networks("linen"))
    batches = dataset.train.batches(seed=0, batch_size=32)
    start = model.init(KEY, batches(0))
    state, _ = train.fit(model, batches, KEY, 3, progress=False)
    assert state.variables.keys() == {"params", "batch_stats"}
    assert state.params.keys() == {"encoder", "decoder", "log_scale"}
    for name in ("encoder", "decoder"):
        before, after = (jax.tree.leaves(s.collections["batch_stats"][name]) for s in (start, state))
        assert all(bool((a != b).any()) for a, b in zip(before, after, strict=True)), name
    # Inference reads them: it does not depend on the other examples of a batch, as moments of the batch would.
    x = dataset.test.x[:3]
    together, alone = (model.parts.reconstruct(state.variables, part) for part in (x, x[1:2]))
    np.testing.assert_allclose(together[1:2], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_one_network_alone_and_conditions_behind_its_input():
    """Of both, the other is the shipped one, whose bias starts at the mean of the data."""
    dataset = points()
    config = vae.Config(latent_dim=2, hidden=(8,), likelihood=vae.Normal(0.5), condition={"label": Embed(0.2)})
    batch = dataset.train.batches(seed=0, batch_size=32)(0)
    for name, network in (("encoder", LinenEncoder()), ("decoder", LinenDecoder())):
        model = vae.model(config, dataset.spec, network={name: network})
        state, _ = model.step(KEY, model.init(KEY, batch), batch)
        assert state.collections["batch_stats"].keys() == {name}
        assert ("bias" in state.params["decoder"]) == (name == "encoder")
        assert model.sample(KEY, state.variables, 4, label=1).shape == (4, 3)
        assert not np.allclose(*(model.sample(KEY, state.variables, 4, label=c) for c in (0, 1)))


@pytest.mark.slow
def test_several_draws_need_a_decoder_without_running_statistics():
    dataset = points()
    config = vae.Config(latent_dim=2, hidden=(8,), likelihood=vae.Normal(0.5), num_samples=3)
    batch = dataset.train.batches(seed=0, batch_size=8)(0)
    model = vae.model(config, dataset.spec, network={"decoder": LinenDecoder()})
    with pytest.raises(
        ValueError, match=r"num_samples must be 1 for a decoder with collections .*batch_stats\), got 3"
    ):
        model.step(KEY, model.init(KEY, batch), batch)
    # The encoder is called once; a decoder may draw, and draws anew for each z.
    drawn = {"encoder": LinenEncoder(), "decoder": by_hand(2, 3)}
    model = vae.model(config, dataset.spec, network=drawn)
    state, _ = model.step(KEY, model.init(KEY, batch), batch)
    assert state.collections["batch_stats"].keys() == {"encoder"}


def pair(apply):
    return lambda key, x: {}, apply


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (LinenEncoder(), 'network must be a mapping {"encoder": ..., "decoder": ...}, got LinenEncoder'),
        ({"encodr": LinenEncoder()}, "name of a network must be 'encoder' or 'decoder', got 'encodr'"),
        ({"encoder": LinenEncoder}, r"network\['encoder'\] must be a linen module or a pair of functions"),
        ({"encoder": pair(lambda p, x: x[:, :2])}, r"the encoder must return \(mu, log_var\), got one array"),
        ({"encoder": pair(lambda p, x: (x, x, x))}, r"the encoder must return \(mu, log_var\), got 3 values"),
        ({"encoder": pair(lambda p, x: (x, x))}, r"mu of the encoder must have shape \(4, 2\), got \(4, 3\)"),
        ({"encoder": pair(lambda p, x: (x[:, :2], x[:, :1]))}, r"log_var of the encoder must have shape \(4, 2\)"),
        ({"decoder": pair(lambda p, z: z)}, r"output of the decoder must have shape \(4, 3\), got \(4, 2\)"),
        ({"decoder": pair(lambda p, z: z.astype(jnp.int32))}, "output of the decoder must have a floating dtype"),
    ],
)
def test_networks_that_cannot_be(network, message):
    dataset = points()
    batch = dataset.train.batches(seed=0, batch_size=4)(0)
    with pytest.raises(ValueError, match=message):
        model = vae.model(CONFIG, dataset.spec, network=network)
        jax.eval_shape(model.step, KEY, model.init(KEY, batch), batch)


def test_a_vae_with_an_added_loss_term():
    """Labels of the training data pull the first latent to them: a term around the loss, which reads `parts`."""
    dataset = points()
    objective = vae.model(CONFIG, dataset.spec).objective

    def with_labels(variables, key, batch, step):
        losses, aux = objective.loss(variables, key, batch, step)
        error = jnp.square(
            objective.parts.encode(variables, batch["x"]).mu[:, 0] - (2 * batch["label"] - 1).astype(jnp.float32)
        )
        return losses + 30 * error, aux._replace(metrics={**aux.metrics, "label_error": error})

    model = learning.model(objective.replace(loss=with_labels), optax.adam(1e-2))
    batches = dataset.train.batches(seed=0, batch_size=32)
    state, history = train.fit(model, batches, KEY, 200, progress=False, log_every=100)
    assert history["label_error"][-1] < 0.1 < history["label_error"][0] + 1
    mu = np.asarray(model.parts.encode(state.variables, dataset.test.x).mu[:, 0])
    np.testing.assert_array_equal(mu > 0, dataset.test.label == 1)
