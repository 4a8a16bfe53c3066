"""Networks of the user's own in a GAN: linen, flax nnx, plain functions, one of them or both."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxgen import data, gan, train
from jaxgen.nn import Embed, SpectralDense

KEY = jax.random.key(0)
CONFIG = gan.Config(latent_dim=3, network=gan.MLP((8,), (8,)), penalty=gan.ZeroCentred(0.1), n_critic=2, ema_decay=0.9)


def points():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 200)
    x = (rng.normal(size=(200, 2)) + 3 * label[:, None]).astype(np.float32)
    return data.from_arrays(x, label, valid=None)


class LinenGenerator(nn.Module):
    """With batch normalisation, whose running statistics belong to the average."""

    @nn.compact
    def __call__(self, z, forms=None, train=False):
        h = nn.BatchNorm(use_running_average=not train)(nn.Dense(8)(z))
        if forms is not None:
            h = h + nn.Embed(3, 8)(forms["label"])
        return nn.Dense(2)(nn.relu(h))


class LinenDiscriminator(nn.Module):
    """With dropout, spectral norms and statistics of its own."""

    @nn.compact
    def __call__(self, x, forms=None, train=False):
        mean = self.variable("seen", "mean", lambda: jnp.zeros(2, jnp.float32))
        if train and self.is_mutable_collection("seen"):
            mean.value = x.mean(axis=0)
        h = nn.relu(SpectralDense(8)(x))
        if forms is not None:
            h = h + nn.Embed(3, 8)(forms["label"])
        return nn.Dense(1)(nn.Dropout(0.1, deterministic=not train)(h))[:, 0]


def linen():
    return {"generator": LinenGenerator(), "discriminator": LinenDiscriminator()}


def of_nnx():
    def pair(inputs, outputs, last):
        def made(rngs):
            return nnx.Sequential(nnx.Linear(inputs, 8, rngs=rngs), nnx.relu, nnx.Linear(8, outputs, rngs=rngs))

        graph, _ = nnx.split(made(nnx.Rngs(0)))
        return (
            lambda key, x: nnx.split(made(nnx.Rngs(key)))[1],
            lambda params, x: last(nnx.merge(graph, params)(x)),
        )

    return {"generator": pair(3, 2, lambda x: x), "discriminator": pair(2, 1, lambda h: h[:, 0])}


def by_hand():
    def pair(inputs, outputs, last):
        def init(key, x):
            return {"w": 0.1 * jax.random.normal(key, (inputs, outputs), jnp.float32)}

        def apply(params, x, key=None):
            if key is not None:  # in training
                x = x + 0.01 * jax.random.normal(key, x.shape, x.dtype)
            return last(x @ params["w"])

        return init, apply

    return {"generator": pair(3, 2, lambda x: x), "discriminator": pair(2, 1, lambda h: h[:, 0])}


NETWORKS = {
    "linen": linen,
    "nnx": of_nnx,
    "by hand": by_hand,
    "one's own discriminator": lambda: {"discriminator": by_hand()["discriminator"]},
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ("nnx", "by hand") else pytest.mark.slow) for name in NETWORKS]
)
def test_it_trains_resumes_from_a_checkpoint_and_samples(name, tmp_path):
    dataset = points()
    model = gan.model(CONFIG, dataset.spec, network=NETWORKS[name]())
    batches = dataset.train.batches(seed=0, batch_size=32)
    start = model.init(KEY, batches(0))
    whole, history = train.fit(model, batches, KEY, 10, progress=False)
    half, _ = train.fit(model, batches, KEY, 5, progress=False)
    with train.Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(5, half, {})
    with train.Checkpoints(tmp_path) as checkpoints:
        restored, _ = checkpoints.restore(jax.eval_shape(model.init, KEY, batches(0)))
    resumed, _ = train.fit(model, batches, KEY, 10, state=restored, progress=False)
    assert train.digest(resumed) == train.digest(whole)
    for before, after in zip(jax.tree.leaves(start.params), jax.tree.leaves(whole.params), strict=True):
        assert (np.asarray(before) != np.asarray(after)).any()
    assert np.isfinite(history["generator_loss"][-1])
    x = model.sample(KEY, whole.variables, 5)
    assert x.shape == (5, 2) and bool(jnp.isfinite(x).all())
    assert model.parts.discriminate(whole.variables, x).shape == (5,)
    values = model.evaluate(KEY, whole.variables, next(dataset.test.evaluation_batches(4)))
    assert values["value"].shape == (4,)


def test_collections_follow_the_update_of_their_own_player():
    dataset = points()
    model = gan.model(CONFIG, dataset.spec, network=linen())
    batch = dataset.train.batches(seed=0, batch_size=32)(0)
    state = model.init(KEY, batch)
    after, _ = model.step(KEY, state, batch)
    assert state.generator.collections.keys() == {"batch_stats"}
    assert state.discriminator.collections.keys() == {"seen", "spectral"}
    for player in ("generator", "discriminator"):
        before, now = (jax.tree.leaves(getattr(s, player).collections) for s in (state, after))
        assert all((np.asarray(a) != np.asarray(b)).any() for a, b in zip(before, now, strict=True))
    assert after.variables["generator"].keys() == {"params", "batch_stats"}
    # A loss tells of its own player's collections, and of no other's.
    game = model.objective
    of_discriminator, of_generator = (
        jax.eval_shape(loss, state.variables, KEY, batch, 0)[1]
        for loss in (game.discriminator_loss, game.generator_loss)
    )
    assert of_discriminator.collections.keys() == {"seen", "spectral"}
    assert of_generator.collections.keys() == {"batch_stats"}


@pytest.mark.slow
def test_conditions_come_last():
    dataset = points()
    config = gan.Config(latent_dim=3, condition={"label": Embed()})
    model = gan.model(config, dataset.spec, network=linen())
    batch = dataset.train.batches(seed=0, batch_size=32)(0)
    state, _ = model.step(KEY, model.init(KEY, batch), batch)
    with_one, without = (model.sample(KEY, state.variables, 4, condition={"label": c}) for c in (1, None))
    assert with_one.shape == (4, 2) and not np.allclose(with_one, without)


def test_a_network_of_the_config_is_not_asked_where_both_are_given():
    """Convolutions cannot make points, but none is built."""
    spec = points().spec
    with pytest.raises(ValueError, match="event_shape"):
        gan.model(gan.Config(network=gan.DCGAN()), spec, network={"generator": LinenGenerator()})
    gan.model(gan.Config(network=gan.DCGAN()), spec, network=linen())


def constant(key, x):
    return {"w": jnp.ones((), jnp.float32)}


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (LinenGenerator(), 'network must be {"generator": ..., "discriminator": ...}'),
        ({"critic": LinenDiscriminator()}, "either left out, got 'critic'"),
        ({"generator": LinenGenerator}, r'network\["generator"\] must be a linen module or a pair of functions'),
        ({"generator": (constant, lambda p, z: p["w"] * z)}, "x of the generator"),
        ({"generator": (constant, lambda p, z: z[:, :2].astype(jnp.int32))}, "x of the generator"),
        ({"discriminator": (constant, lambda p, x: p["w"] * x[:, :1])}, "logits of the discriminator"),
    ],
)
def test_networks_that_cannot_be(network, message):
    dataset = points()
    with pytest.raises(ValueError, match=message):
        model = gan.model(CONFIG, dataset.spec, network=network)
        batch = dataset.train.batches(seed=0, batch_size=4)(0)
        jax.eval_shape(lambda: model.step(KEY, model.init(KEY, batch), batch))
