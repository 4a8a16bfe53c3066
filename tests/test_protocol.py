"""What every model of the library keeps, on networks of a few thousand parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models import COARSE, MODELS, VARIANTS, num_parameters

from jaxgen import train
from jaxgen.train import parallel

BATCH = 8


@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.slow if name in VARIANTS else ()) for name in MODELS], scope="module"
)
def case(request):
    """A model with its data, built once for all tests of the file."""
    return MODELS[request.param]()


def fit(case, num_steps, **options):
    model, dataset = case
    batches = dataset.train.batches(seed=0, batch_size=BATCH)
    return train.fit(model, batches, jax.random.key(7), num_steps, progress=False, **options)


def initial(case):
    model, dataset = case
    return model.init(jax.random.key(0), dataset.train.batches(seed=0, batch_size=BATCH)(0))


def test_the_network_is_small(case):
    assert num_parameters(initial(case)) < 3 * 20_000  # parameters and two moments each


def test_one_trace_however_the_steps_are_called(case):
    model, dataset = case
    traces = []

    def counted(key, state, batch):
        traces.append(1)
        return model.step.__wrapped__(key, state, batch)

    counting = (model._replace(step=jax.jit(counted)), dataset)
    state, _ = fit(counting, 5, chunk_steps=2, log_every=3)
    fit(counting, 11, state=state, chunk_steps=4)
    assert len(traces) == 1


def test_repeatable_and_the_seed_matters(case):
    model, dataset = case
    first, again = (train.digest(fit(case, 4)[0]) for _ in range(2))
    other, _ = train.fit(model, dataset.train.batches(seed=0, batch_size=BATCH), jax.random.key(8), 4, progress=False)
    assert first == again != train.digest(other)


def test_resumed_equals_uninterrupted_to_the_bit(case, tmp_path):
    whole, history = fit(case, 10, log_every=4)
    saved = {}

    def save(step, state, window):
        with train.Checkpoints(tmp_path) as checkpoints:
            checkpoints.save(step, state, {})
        saved["window"] = jax.tree.map(jnp.copy, window)

    fit(case, 5, log_every=4, hooks=[train.Hook(save)])
    with train.Checkpoints(tmp_path) as checkpoints:
        state, _ = checkpoints.restore(jax.eval_shape(lambda: initial(case)))
    resumed, rest = fit(case, 10, log_every=4, state=state, window=saved["window"])
    assert train.digest(resumed) == train.digest(whole)

    def timeless(record):
        return {name: value for name, value in record.items() if name != "steps_per_second"}

    assert [timeless(r) for r in rest.records] == [timeless(r) for r in history.records[1:]]


@pytest.mark.parametrize("chunk_steps", [1, 3, 100])
def test_any_chunking_gives_the_same_bits(case, chunk_steps):
    assert train.digest(fit(case, 9, chunk_steps=chunk_steps)[0]) == train.digest(fit(case, 9)[0])


def test_the_loop_is_the_step(case):
    """fit is nothing but step called with fold_in(key, i) and batch i, up to how XLA fuses the two programs."""
    model, dataset = case
    batches = dataset.train.batches(seed=0, batch_size=BATCH)
    key = jax.random.key(7)
    state = start = initial(case)
    for i in range(3):
        state, _ = model.step(jax.random.fold_in(key, i), state, batches(i))
    looped, _ = fit(case, 3, state=start)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(looped), strict=True):
        np.testing.assert_allclose(np.float64(a), np.float64(b), rtol=1e-3, atol=1e-4)


def test_several_devices_agree_with_one(request, case):
    one, one_history = fit(case, 5, log_every=1)
    four, four_history = fit(case, 5, log_every=1, mesh=parallel.mesh(4))
    tolerance = 1e-2 if request.node.callspec.params["case"] in COARSE else 1e-5
    losses = [name for name in one_history.records[0] if name.endswith("loss")]
    assert losses
    for name in losses:
        np.testing.assert_allclose(one_history[name], four_history[name], rtol=tolerance)
    for a, b in zip(jax.tree.leaves(one.params), jax.tree.leaves(four.params), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


def test_pmap_replicas_are_identical(request, case):
    _, dataset = case
    model, _ = MODELS[request.node.callspec.params["case"]](axis_name="batch")
    step = parallel.pmap_step(model, "batch")
    batches = dataset.train.batches(seed=0, batch_size=BATCH)
    states = parallel.replicate(initial(case), 4)
    for i in range(3):
        states, metrics = step(jax.random.fold_in(jax.random.key(1), i), states, batches(i))
    for leaf in jax.tree.leaves((states, metrics)):
        values = np.asarray(leaf)
        assert all((values[0] == values[k]).all() for k in range(1, 4))
    changed = [
        bool((np.asarray(new)[0] != np.asarray(old)).any())
        for new, old in zip(jax.tree.leaves(states.params), jax.tree.leaves(initial(case).params), strict=True)
    ]
    assert all(changed)


def test_nothing_of_the_caller_is_consumed(case):
    model, dataset = case
    batch = dataset.train.batches(seed=0, batch_size=BATCH)(0)
    state = initial(case)
    before = train.digest(state)
    for _ in range(2):
        model.step(jax.random.key(0), state, batch)
    fit(case, 2, state=state)
    assert train.digest(state) == before


def test_evaluation_belongs_to_the_example_not_to_the_batch(case):
    model, dataset = case
    state = initial(case)
    batch = next(dataset.test.evaluation_batches(10))
    values = model.evaluate(jax.random.key(3), state.variables, batch)
    order = np.array([7, 1, 4])
    part = model.evaluate(jax.random.key(3), state.variables, jax.tree.map(lambda x: x[order], dict(batch)))
    assert values
    for name, column in values.items():
        assert column.shape == (10,)
        np.testing.assert_allclose(column[order], part[name], rtol=2e-4)


def test_evaluation_batches_need_one_trace(case):
    model, dataset = case
    state = initial(case)
    cache = model.evaluate._cache_size()  # pyright: ignore
    for batch in dataset.valid.evaluation_batches(64):
        model.evaluate(jax.random.key(3), state.variables, batch)
    assert model.evaluate._cache_size() - cache == 1  # pyright: ignore


def test_sample_k_does_not_depend_on_the_batch(request, case):
    model, dataset = case
    state = initial(case)
    many = np.asarray(model.sample(jax.random.key(5), state.variables, 16))
    assert many.shape == (16, *dataset.spec.event_shape)
    assert np.isfinite(many).all()
    tolerance = 1e-2 if request.node.callspec.params["case"] in COARSE else 1e-4
    for k in (0, 5, 15):
        np.testing.assert_allclose(
            model.sample(jax.random.key(5), state.variables, 1, first=k)[0], many[k], atol=tolerance
        )
    assert not np.allclose(many[0], many[1])
    if dataset.spec.levels:
        assert many.min() >= 0 and many.max() <= 1
