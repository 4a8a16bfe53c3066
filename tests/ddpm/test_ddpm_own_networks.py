"""Networks of the user's own in a diffusion model: linen, equinox, flax nnx, plain functions."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import data, ddpm, train
from jaxgen.nn import Embed, sinusoidal_embedding

KEY = jax.random.key(0)


def points(num_classes=None):
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 200)
    x = (rng.normal(size=(200, 2)) + 3 * label[:, None]).astype(np.float32)
    return data.from_arrays(x, label if num_classes else None, valid=None)


class Linen(nn.Module):
    """With dropout and batch normalisation: all that a network may have."""

    @nn.compact
    def __call__(self, x, t, forms=None, train=False):
        h = nn.Dense(16)(jnp.concatenate([x, sinusoidal_embedding(t, 8)], axis=-1))
        h = nn.BatchNorm(use_running_average=not train)(h)
        if forms is not None:
            h = h + nn.Embed(3, 16)(forms["label"])
        return nn.Dense(2)(nn.Dropout(0.1, deterministic=not train)(nn.swish(h)))


class Equinox(eqx.Module):
    layers: list

    def __init__(self, key):
        keys = jax.random.split(key, 2)
        self.layers = [eqx.nn.Linear(10, 16, key=keys[0]), eqx.nn.Linear(16, 2, key=keys[1])]

    def __call__(self, x, t):
        h = jnp.concatenate([x, sinusoidal_embedding(t[None], 8)[0]])
        return self.layers[1](jax.nn.swish(self.layers[0](h)))


def of_equinox():
    _, static = eqx.partition(Equinox(KEY), eqx.is_array)
    return (
        lambda key, x_t, t: eqx.filter(Equinox(key), eqx.is_array),
        lambda params, x_t, t: jax.vmap(eqx.combine(params, static))(x_t, t),
    )


class Nnx(nnx.Module):
    def __init__(self, rngs):
        self.first, self.last = nnx.Linear(10, 16, rngs=rngs), nnx.Linear(16, 2, rngs=rngs)

    def __call__(self, x, t):
        return self.last(nnx.swish(self.first(jnp.concatenate([x, sinusoidal_embedding(t, 8)], axis=-1))))


def of_nnx():
    graph, _ = nnx.split(Nnx(nnx.Rngs(0)))
    return (
        lambda key, x_t, t: nnx.split(Nnx(nnx.Rngs(key)))[1],
        lambda params, x_t, t: nnx.merge(graph, params)(x_t, t),
    )


def by_hand():
    def init(key, x_t, t):
        return {"w": 0.1 * jax.random.normal(key, (10, 2), jnp.float32)}

    def apply(params, x_t, t, key=None):
        h = jnp.concatenate([x_t, sinusoidal_embedding(t, 8)], axis=-1)
        if key is not None:  # in training
            h = h + 0.01 * jax.random.normal(key, h.shape, h.dtype)
        return h @ params["w"]

    return init, apply


NETWORKS = {"linen": Linen, "equinox": of_equinox, "nnx": of_nnx, "by hand": by_hand}
CONFIG = ddpm.Config(schedule=ddpm.Cosine(8), network=ddpm.MLP((8,), time_features=8), ema_decay=0.9)


@pytest.mark.parametrize("name", NETWORKS)
def test_it_trains_resumes_from_a_checkpoint_and_samples(name, tmp_path):
    dataset = points()
    model = ddpm.model(CONFIG, dataset.spec, network=NETWORKS[name]())
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
    assert x.shape == (5, 2) and bool(jnp.isfinite(x).all())
    values = model.evaluate(KEY, whole.variables, next(dataset.test.evaluation_batches(4)))
    assert values["negative_bound"].shape == (4,)


def test_running_statistics_are_learned_averaged_and_used():
    dataset = points()
    model = ddpm.model(CONFIG, dataset.spec, network=Linen())
    batches = dataset.train.batches(seed=0, batch_size=32)
    state, _ = train.fit(model, batches, KEY, 5, progress=False)
    start = model.init(KEY, batches(0))
    before, after = (jax.tree.leaves(s.collections["batch_stats"]) for s in (start, state))
    assert all(bool((a != b).any()) for a, b in zip(before, after, strict=True))
    assert state.variables.keys() == {"params", "batch_stats"}
    # A prediction reads them: it does not depend on the other examples of a batch, as moments of the batch would.
    x_t, t = jnp.ones((3, 2), jnp.float32) * jnp.arange(3, dtype=jnp.float32)[:, None], jnp.array([1, 4, 8])
    together = model.parts.denoise(state.variables, x_t, t).eps_hat
    alone = model.parts.denoise(state.variables, x_t[1:2], t[1:2]).eps_hat
    np.testing.assert_allclose(together[1:2], alone, rtol=1e-5, atol=1e-6)


def test_conditions_come_last():
    dataset = points(num_classes=2)
    config = ddpm.Config(schedule=ddpm.Cosine(8), condition={"label": Embed()})
    model = ddpm.model(config, dataset.spec, network=Linen())
    state, _ = train.fit(model, dataset.train.batches(seed=0, batch_size=32), KEY, 3, progress=False)
    assert model.sample(KEY, state.variables, 4, label=1, guidance=2.0).shape == (4, 2)


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (Linen, "network must be a linen module or a pair of functions"),
        (lambda params, x_t, t: x_t, "network must be a linen module or a pair of functions"),
        ((lambda key, x_t, t: {}, lambda params, x_t, t: x_t[:, :1]), "prediction of the network"),
        ((lambda key, x_t, t: {}, lambda params, x_t, t: (x_t, x_t)), "the network must return one array"),
        ((lambda key, x_t, t: {}, lambda params, x_t, t: x_t.astype(jnp.int32)), "prediction of the network"),
    ],
)
def test_networks_that_cannot_be(network, message):
    dataset = points()
    with pytest.raises(ValueError, match=message):
        model = ddpm.model(CONFIG, dataset.spec, network=network)
        batch = dataset.train.batches(seed=0, batch_size=4)(0)
        model.step(KEY, model.init(KEY, batch), batch)
