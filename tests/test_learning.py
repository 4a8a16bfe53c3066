"""From an objective to a model: what a step makes of a loss, and an objective of the user's own."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgen import data, inputs, learning, train, vae
from jaxgen.core import Aux, Objective, TrainState
from jaxgen.digest import flatten

KEY = jax.random.key(0)


def regression(collections=False) -> Objective:
    """x is to be near w, whose best value is the mean of x; counts its calls if asked to."""

    def init(key, batch):
        counted = {"counts": {"calls": jnp.zeros((), jnp.int32)}} if collections else {}
        return {"params": {"w": jnp.zeros(2, jnp.float32)}, **counted}

    def loss(variables, key, batch, step):
        error = jnp.square(batch["x"] - variables["params"]["w"][None]).sum(axis=-1)
        changed = {"counts": {"calls": variables["counts"]["calls"] + 1}} if collections else {}
        return error, Aux({"error": error, "step": step.astype(jnp.float32)}, changed)

    def evaluate(key, variables, batch):
        return {"error": loss(variables, key, batch, jnp.int32(0))[0]}

    def sample(key, variables, num, *, first=0, condition=None):
        return jnp.broadcast_to(variables["params"]["w"], (num, 2))

    return Objective(init, loss, evaluate, sample, None)


BATCH = {"x": jnp.arange(8, dtype=jnp.float32).reshape(4, 2)}


def test_a_step_descends_the_mean_of_the_losses():
    model = learning.model(regression(), optax.sgd(0.25))
    state = model.init(KEY, BATCH)
    assert state.variables == {"params": state.params} and state.ema is None
    after, metrics = model.step(KEY, state, BATCH)
    # The gradient at w = 0 is -2 mean(x) = -2 (3, 4).
    np.testing.assert_allclose(after.params["w"], [1.5, 2.0], rtol=1e-6)
    np.testing.assert_allclose(metrics["grad_norm"], 10.0, rtol=1e-6)
    np.testing.assert_allclose([metrics["loss"], metrics["error"]], np.square(np.arange(8)).sum() / 4, rtol=1e-6)
    assert int(after.step) == 1 and float(metrics["step"]) == 0
    np.testing.assert_array_equal(model.sample(KEY, after.variables, 3)[2], after.params["w"])


def test_collections_and_their_average_follow_the_loss():
    model = learning.model(regression(collections=True), optax.sgd(0.25), ema_decay=0.0)
    state = model.init(KEY, BATCH)
    for i in range(3):
        assert int(state.collections["counts"]["calls"]) == i
        state, _ = model.step(KEY, state, BATCH)
    # With the decay 0 the average is the network itself, its collections included.
    assert int(state.variables["counts"]["calls"]) == 3
    np.testing.assert_array_equal(state.variables["params"]["w"], state.params["w"])


def test_the_average_is_what_inference_reads():
    model = learning.model(regression(), optax.sgd(0.25), ema_decay=0.5)
    state, _ = model.step(KEY, model.init(KEY, BATCH), BATCH)
    # n = 0 updates were made before: keep = min(0.5, 1 / 10).
    np.testing.assert_allclose(state.variables["params"]["w"], 0.9 * state.params["w"], rtol=1e-6)


def test_an_added_term_is_a_function_around_the_loss():
    """A penalty 3 |w|^2 per example moves the minimum from the mean to a quarter of it."""
    plain = regression()

    def with_penalty(variables, key, batch, step):
        losses, aux = plain.loss(variables, key, batch, step)
        return losses + 3 * jnp.square(variables["params"]["w"]).sum(), aux

    model = learning.model(plain.replace(loss=with_penalty), optax.sgd(0.1))
    state = model.init(KEY, BATCH)
    for _ in range(100):
        state, _ = model.step(KEY, state, BATCH)
    np.testing.assert_allclose(state.params["w"], [0.75, 1.0], rtol=1e-5)


def test_it_trains_like_any_model():
    spec = data.from_arrays(np.asarray(np.random.default_rng(0).normal(size=(50, 2)), np.float32), valid=None)
    model = learning.model(regression(), optax.adam(0.1), ema_decay=0.9)
    batches = spec.train.batches(seed=0, batch_size=10)
    whole, _ = train.fit(model, batches, KEY, 20, progress=False)
    half, _ = train.fit(model, batches, KEY, 10, progress=False)
    resumed, _ = train.fit(model, batches, KEY, 20, state=half, progress=False)
    assert train.digest(whole) == train.digest(resumed)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (lambda losses: losses, r"loss must return \(losses \[B\], core.Aux"),
        (lambda losses: (losses, {}), r"loss must return \(losses \[B\], core.Aux.*got \(float32\[4\], dict\)"),
        (lambda losses: (losses.mean(), Aux()), r"one floating value per example, \[B\], got float32\[\]"),
        (lambda losses: (losses.astype(jnp.int32), Aux()), r"one floating value per example, \[B\], got int32\[4\]"),
        (lambda losses: (losses, Aux({"loss": losses})), 'without "loss" and "grad_norm"'),
    ],
)
def test_what_a_loss_must_return(returned, message):
    plain = regression()
    model = learning.model(plain.replace(loss=lambda *arguments: returned(plain.loss(*arguments)[0])), optax.sgd(0.1))
    with pytest.raises(ValueError, match=message):
        model.step(KEY, model.init(KEY, BATCH), BATCH)


def test_the_decay_of_the_average_is_a_share():
    for decay in (1.0, -0.1, np.nan):
        with pytest.raises(ValueError, match="ema_decay must be"):
            learning.model(regression(), optax.sgd(0.1), ema_decay=decay)


def test_states_have_the_names_of_earlier_checkpoints():
    """Digests and old run folders depend on them."""
    params, ema = {"w": jnp.zeros(2)}, {"params": {"w": jnp.ones(2)}, "batch_stats": {"mean": jnp.ones(1)}}
    plain = TrainState(jnp.int32(0), params, (), {"batch_stats": {"mean": jnp.zeros(1)}})
    names = ["step", "params/w", "variables/batch_stats/mean"]
    assert list(flatten(plain)) == names
    averaged = plain.replace(ema=ema)
    assert list(flatten(averaged)) == [
        *(f"train/{name}" for name in names),
        "ema_params/w",
        "ema_variables/batch_stats/mean",
    ]
    leaves, tree = jax.tree.flatten(averaged)
    back = jax.tree.unflatten(tree, leaves)
    assert back.variables == ema and back.collections == plain.collections
    assert jax.tree.structure(jax.tree.map(lambda _: None, averaged, is_leaf=lambda _: False)) is not None


@pytest.mark.slow
def test_a_training_loop_of_one_s_own_equals_the_model_s():
    """The losses of an objective with optax, nothing else of the library, come to the state of `fit`."""
    digits = data.load("digits")
    config = vae.Config(latent_dim=2, hidden=(8,))
    model = vae.model(config, digits.spec)
    tx, batches = config.optimizer.transformation(), digits.train.batches(seed=0, batch_size=16)

    def mean_loss(params, key, batch, step):
        return model.objective.loss({"params": params}, key, batch, step)[0].mean()

    start = model.init(KEY, batches(0))
    params, opt_state = start.params, start.opt_state
    for i in range(3):
        change = jax.grad(mean_loss)(params, jax.random.fold_in(KEY, i), batches(i), jnp.int32(i))
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            updates, opt_state = tx.update(change, opt_state, params)
        params = optax.apply_updates(params, updates)
    state, _ = train.fit(model, batches, KEY, 3, state=start, progress=False)
    for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(state.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("wrong", ["state", "params", "nothing"])
def test_what_reads_variables_refuses_a_state(wrong):
    state = learning.model(regression(), optax.sgd(0.1)).init(KEY, BATCH)
    given = {"state": state, "params": state.params, "nothing": {}}[wrong]
    with pytest.raises(ValueError, match=r'variables must be a mapping with "params", such as state\.variables, got'):
        inputs.checked_variables(given, "params")
    assert inputs.checked_variables(state.variables, "params") == state.variables
