"""Hooks, functions and loggers: when they are called, and how they end training."""

# Wrong arguments are given on purpose.
# pyright: reportArgumentType=false

import inspect

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest
from toy import Feed, counter

from jaxgen import data, train, vae
from jaxgen.train.program import same

KEY = jax.random.key(3)


def fit(num_steps, model=None, **options):
    return train.fit(model or counter(), Feed(), KEY, num_steps, progress=False, **options)


def raising(reason):
    def hook(step, state, window):
        if step >= 4:
            raise train.Stop(reason)

    return hook


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"hooks": [train.Hook(raising("enough"), every=2)]}, "enough"),
        ({"hooks": [train.Hook(lambda step, *_: train.Stop("enough") if step == 4 else None, every=2)]}, "enough"),
        ({"hooks": [train.Hook(lambda step, *_: train.Stop if step == 4 else None, every=2)]}, "a hook said so"),
        ({"hooks": [raising("enough")]}, "enough"),
        ({"loggers": [lambda record: train.Stop("enough") if record["step"] == 4 else None]}, "enough"),
    ],
)
@pytest.mark.parametrize("chunk_steps", [None, 1])
def test_stop_ends_training_with_state_and_history(options, reason, chunk_steps):
    ends = []
    options["hooks"] = [*options.get("hooks", ()), train.Hook(lambda step, *_: ends.append(step))]
    state, history = fit(100, log_every=2, chunk_steps=chunk_steps, **options)
    assert int(state.step) == 4 and ends == [4]
    assert list(history["step"]) == [2, 4] and list(history["x"]) == [0.5, 2.5]
    assert history.stopped == reason and history.interrupted is None
    assert train.digest(state) == train.digest(fit(4)[0])
    assert train.digest(fit(9, state=state)[0]) == train.digest(fit(9)[0])


def test_stop_before_the_first_step_and_at_the_last():
    state, history = fit(5, hooks=[train.Hook(lambda *_: train.Stop("no"), steps=(0,), at_end=False)])
    assert int(state.step) == 0 and history.stopped == "no"
    state, history = fit(5, hooks=[train.Hook(lambda *_: train.Stop("late"))])
    assert int(state.step) == 5 and history.stopped is None


def test_a_plain_function_is_called_at_every_record_with_its_metrics():
    seen = []
    _, history = fit(10, log_every=4, hooks=[lambda step, state, window: seen.append((step, window.means()["x"]))])
    assert seen == list(zip(history["step"], history["x"], strict=True)) == [(4, 1.5), (8, 5.5), (10, 8.5)]


def test_hooks_due_at_the_same_step_are_called_although_one_says_stop():
    calls = []
    hooks = [
        train.Hook(lambda *_: train.Stop("first"), every=3),
        train.Hook(lambda step, *_: calls.append(step), every=3),
        train.Hook(lambda *_: train.Stop("second"), every=3),
    ]
    _, history = fit(10, hooks=hooks)
    assert calls == [3] and history.stopped == "first"


@pytest.mark.parametrize("where", ["hook", "function", "logger", "data"])
def test_another_error_goes_on_after_the_hooks_for_the_end(where):
    """What saves is called first, so that nothing is lost; a hook that fails as well is told of."""

    def fails(*_):
        raise OSError("no picture")

    class Broken(Feed):
        def feed(self, first, num):
            if first >= 3:
                fails()
            return Feed()

    saved = []
    options = {"hook": {"hooks": [train.Hook(fails, every=3)]}, "function": {"hooks": [fails]}, "data": {}}
    options = options.get(where, {"loggers": [fails]})
    hooks = [
        *options.pop("hooks", ()),
        train.Hook(lambda step, state, window: saved.append((step, train.digest(state)))),
        train.Hook(lambda *_: 1 / 0),
    ]
    with pytest.raises(OSError, match="no picture") as error:
        batches = Broken() if where == "data" else Feed()
        train.fit(counter(), batches, KEY, 50, hooks=hooks, log_every=3, chunk_steps=3, progress=False, **options)
    step, digest = saved[0]
    assert len(saved) == 1 and step in (3, 6) and digest == train.digest(fit(step)[0])
    assert any("ZeroDivisionError" in note for note in error.value.__notes__)
    assert any(f"at step {step}" in note for note in error.value.__notes__)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_steps": 2.5}, r"num_steps must be an integer in 0\.\.2147483647, got 2.5"),
        ({"num_steps": True}, "num_steps must be an integer .*, got True"),
        ({"num_steps": 2**31}, "num_steps must be an integer .*, got 2147483648"),
        ({"num_steps": np.nan}, "num_steps must be an integer .*, got nan"),
        ({"log_every": 1.5}, "log_every must be an integer of at least 1, got 1.5"),
        ({"log_every": -1}, "log_every must be an integer of at least 1, got -1"),
        ({"chunk_steps": 2.0}, "chunk_steps must be an integer .*, got 2.0"),
        ({"key": 0}, "key must be one typed key"),
        ({"key": jax.random.PRNGKey(0)}, "key must be one typed key"),
        ({"key": jax.random.split(KEY)}, "key must be one typed key"),
        ({"loggers": print}, "loggers must be a sequence of functions, got <built-in"),
        ({"loggers": [None]}, "loggers must hold functions, got None"),
        ({"hooks": print}, "hooks must be a sequence of hooks and functions, got <built-in"),
        ({"hooks": train.Hook(print)}, "hooks must be a sequence of hooks and functions, got Hook"),
        ({"hooks": ["save"]}, "hooks must hold train.Hook.* or functions .*, got 'save'"),
        ({"hooks": [train.Hook]}, "hooks must hold train.Hook.* or functions .*, got <class"),
        ({"hooks": [train.Hook(print, every=2.5)]}, "every of a hook must be an integer of at least 0, got 2.5"),
        ({"hooks": [train.Hook(print, steps=(1.5,))]}, "steps of a hook must be an integer of at least 0, got 1.5"),
        ({"mesh": 4}, r"mesh must be as train.parallel.mesh\(num_devices\) makes it, or None, got 4"),
        ({"mesh": jax.make_mesh((4,), ("x",))}, "mesh must be as train.parallel.mesh"),
        ({"state": 3}, "state must be a state of this model, got int"),
        ({"batches": data.load("digits")}, r"got a data set: give digits.train.batches\(seed=0, batch_size=128\)"),
        ({"batches": data.load("digits").train}, r"got a split: give its .batches\(seed=0, batch_size=128\)"),
        (
            {"batches": {"x": np.zeros(3)}},
            "an iterable for data.from_iterator: .*one dictionary",
        ),
        ({"batches": lambda step: {}}, "batches must be a source of batches by step .*got function"),
        ({"batches": None}, "batches must be a source of batches by step .*got NoneType"),
    ],
)
def test_an_argument_is_refused_by_name(arguments, message):
    given = {"model": counter(), "batches": Feed(), "key": KEY, "num_steps": 3, "progress": False, **arguments}
    with pytest.raises(ValueError, match=message):
        inspect.unwrap(train.fit)(**given)  # as it is without the tests' checks of types


def test_a_state_without_its_step_is_refused():
    model = counter()._replace(init=lambda key, batch: {"w": np.zeros(())})
    with pytest.raises(ValueError, match=r"init must return a state with the number of its steps.*got dict"):
        train.fit(model, Feed(), KEY, 3, progress=False)


def small(latent_dim=2, lr=1e-3):
    config = vae.Config(latent_dim, (8,), optimizer=vae.Config().optimizer.__class__(lr))
    digits = data.load("digits")
    return vae.model(config, digits.spec), digits.train.batches(seed=0, batch_size=4)


def test_a_state_of_another_model_is_refused():
    model, batches = small()
    other, _ = small(latent_dim=3)
    state = other.init(KEY, batches(0))
    message = r"got another one: \d+ arrays differ, first opt_state/0/mu/decoder/.*: given float32\[3,8\], expected"
    with pytest.raises(ValueError, match=message):
        train.fit(model, batches, KEY, 3, state=state, progress=False)


def test_a_step_that_changes_a_dtype_or_returns_no_scalar_is_refused():
    model = counter()

    def widened(key, state, batch):
        after, metrics = model.step(key, state, batch)
        return after.replace(params={**after.params, "w": after.params["w"].astype("bfloat16")}), metrics

    with pytest.raises(ValueError, match=r"params/w was float32\[\], got bfloat16\[\]"):
        fit(3, model._replace(step=widened))
    with pytest.raises(ValueError, match=r"metric of step must be a scalar, got x of shape \(4, 1\)"):
        fit(3, model._replace(step=lambda key, state, batch: (model.step(key, state, batch)[0], {"x": batch["x"]})))


def test_metrics_of_any_dtype_are_recorded_as_float32():
    model = counter()

    def step(key, state, batch):
        after, _ = model.step(key, state, batch)
        return after, {"count": state.step, "coarse": batch["x"].mean().astype("bfloat16"), "flag": state.step > 1}

    _, history = fit(4, model._replace(step=step), log_every=4)
    assert (history["count"], history["coarse"], history["flag"]) == (1.5, 1.5, 0.5)


def test_what_is_the_same_step_is_told_by_code_and_values():
    """Over what the models of the library are made of: configs, networks, optimizers, tables, other functions."""

    def step(lr=1e-3, width=8, table=2.0, held=None, rest=()):
        config, network, tx = vae.Config(beta=table), nn.Dense(width), optax.chain(optax.clip(1.0), optax.adam(lr))
        numbers = np.full(3, table)

        def inner(x):
            return network, tx, numbers, x

        return jax.jit(lambda *arguments, option=rest: (config, held, inner(arguments), option))

    assert same(step(), step())
    for other in ({"lr": 2e-3}, {"width": 9}, {"table": 3.0}, {"held": []}, {"rest": (1,)}):
        assert not same(step(), step(**other))
    assert not same(step(held=[]), step(held=[]))  # a list may change: it cannot be told
    held = []
    assert same(step(held=held), step(held=held))


def test_a_model_that_is_built_again_is_compiled_again_and_says_so():
    def again(model):
        train.fit(model, Feed(), KEY, 1, progress=False)

    model = counter(value=0.0)
    again(model), again(model), again(counter(value=1.0))  # the same one, and another one: no word
    with pytest.warns(train.CompiledAgainWarning, match="counter.<locals>.step is compiled again.* Build the model"):
        again(counter(value=0.0))
    with pytest.warns(train.CompiledAgainWarning, match="lambda"):
        for _ in range(2):
            again(model._replace(step=lambda *arguments: model.step(*arguments)))


def test_a_feed_that_is_a_new_function_at_every_call_is_told_of():
    class New(Feed):
        def feed(self, first, num):
            return jax.tree_util.Partial(lambda step: Feed()(step))

    with pytest.warns(train.CompiledAgainWarning, match="the feed of batches for step 0 has another structure") as told:
        train.fit(counter(), New(), KEY, 3, chunk_steps=1, progress=False)
    assert len([one for one in told if "feed" in str(one.message)]) == 1  # and not at every call


def test_reprs_are_a_line():
    model, batches = small()
    state, history = train.fit(model, batches, KEY, 3, log_every=1, progress=False)
    window = []
    train.fit(model, batches, KEY, 3, hooks=[lambda step, state, w: window.append(repr(w))], progress=False)
    members = train.ensemble(model, 2).init(KEY, batches(0))
    texts = [repr(state), repr(history), window[0], repr(members), repr(jax.eval_shape(lambda: state))]
    assert all(len(text) < 300 and "\n" not in text for text in texts), texts
    assert texts[0].startswith("TrainState(step 3; 1,") and texts[0].endswith(" parameters)")
    assert texts[1].startswith("History(3 records; the last of step 3: ")
    assert texts[2].startswith("Window(3 steps, means: distortion ")
    assert texts[3].startswith("Members(step 0; ")
    assert repr(train.History()) == "History(0 records)"
