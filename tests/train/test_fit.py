import os
import signal
import threading
import time

import jax
import numpy as np
import pytest
from toy import Feed, counter

from jaxgen import train
from jaxgen.train.progress import activity

KEY = jax.random.key(3)


def fit(num_steps, model=None, **options):
    return train.fit(model or counter(), Feed(), KEY, num_steps, progress=False, **options)


def test_keys_are_folded_from_the_step():
    state, _ = fit(3)
    draws = [float(jax.random.normal(jax.random.fold_in(KEY, i))) for i in range(3)]
    np.testing.assert_allclose(float(state.params["w"]), sum(draws), rtol=1e-6)


def test_records_are_exact_means_however_the_steps_are_chunked():
    for options in ({}, {"chunk_steps": 1}, {"chunk_steps": 3}, {"chunk_steps": 100}):
        _, history = fit(10, log_every=4, **options)
        assert list(history["step"]) == [4, 8, 10]
        assert list(history["x"]) == [1.5, 5.5, 8.5]


def test_logging_goes_to_every_logger():
    seen, also = [], []
    _, history = fit(4, log_every=2, loggers=[seen.append, also.append])
    assert seen == also == history.records


def test_hooks_are_called_when_due():
    calls = {"every": [], "steps": [], "end": [], "never": []}

    def note(name):
        return lambda step, state, window: calls[name].append((step, int(state.step)))

    fit(
        10,
        hooks=[
            train.Hook(note("every"), every=4, at_end=False),
            train.Hook(note("steps"), steps=(0, 1, 7, 99), at_end=False),
            train.Hook(note("end")),
            train.Hook(note("never"), at_end=False),
        ],
        log_every=5,
    )
    assert calls["every"] == [(4, 4), (8, 8)]
    assert calls["steps"] == [(0, 0), (1, 1), (7, 7)]
    assert calls["end"] == [(10, 10)]
    assert calls["never"] == []


def test_hooks_change_no_bit():
    plain, _ = fit(20)
    hooked, _ = fit(20, hooks=[train.Hook(lambda *_: None, every=3), train.Hook(lambda *_: None, steps=(1, 2))])
    assert train.digest(plain) == train.digest(hooked)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("chunk_steps", [1, 4, 50])
def test_a_metric_that_is_not_finite_stops_at_its_step(value, chunk_steps):
    saved = []
    hook = train.Hook(lambda step, *_: saved.append(step), every=5)
    with pytest.raises(train.NonFiniteError) as error:
        fit(40, counter(fail_at=13, value=value), chunk_steps=chunk_steps, hooks=[hook], log_every=2)
    assert error.value.step == 13
    assert error.value.metric == "noise"
    assert saved == [5, 10]  # the bad state reaches no hook


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_ends_training_and_nothing_is_lost(number):
    calls, model = [], counter()
    fit(1, model)  # what takes long in a short run is compilation

    def send():
        time.sleep(0.2)
        os.kill(os.getpid(), number)

    threading.Thread(target=send).start()
    begin = time.perf_counter()
    hooks = [train.Hook(lambda step, *_: calls.append(step))]
    state, history = fit(10**9, model, hooks=hooks, log_every=1000)
    assert time.perf_counter() - begin < 10
    assert history.interrupted == signal.Signals(number).name
    assert calls == [int(state.step)]
    assert 0 < int(state.step) < 10**9
    again, _ = fit(int(state.step), model)
    assert train.digest(again) == train.digest(state)


def test_steps_already_made_are_not_made_again():
    state, _ = fit(5)
    same, history = fit(5, state=state)
    assert train.digest(same) == train.digest(state)
    assert history.records == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_steps": -1}, "num_steps must be an integer in 0..2147483647, got -1"),
        ({"num_steps": 3, "log_every": 0}, "log_every must be an integer of at least 1, got 0"),
        ({"num_steps": 3, "chunk_steps": 0}, "chunk_steps must be an integer in 1..2147483647, got 0"),
        ({"num_steps": 3, "mesh": train.parallel.mesh(3)}, "batch_size must be a multiple of the 3 devices, got 4"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(**arguments)


def test_a_state_beyond_the_end_is_refused():
    state, _ = fit(5)
    with pytest.raises(ValueError, match="the state given is at step 5"):
        fit(3, state=state)


def test_the_history_names_what_it_has():
    _, history = fit(2)
    with pytest.raises(KeyError, match="no record has 'los'; there are"):
        history["los"]


def test_progress_in_a_log_is_lines(capsys):
    train.fit(counter(), Feed(), KEY, 100, log_every=5)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("compiled in")
    assert 8 <= len(lines) <= 14
    assert lines[-1].startswith("step 100/100")


def test_what_takes_long_is_said(capsys, monkeypatch):
    with activity("report on the test split"):
        pass
    assert capsys.readouterr().err == "report on the test split ...\n"
    with activity("report on the test split", enabled=False):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("FORCE_COLOR", "1")
    with activity("report on the [test] split"):
        pass
    assert "report on the [test] split" in capsys.readouterr().err


def test_more_devices_than_there_are():
    with pytest.raises(ValueError, match=r"num_devices must be an integer in 1\.\.4, the devices at hand"):
        train.parallel.mesh(5)


def test_pmap_refuses_an_uneven_batch():
    step = train.parallel.pmap_step(counter(), "batch")
    state = counter().init(KEY, None)
    with pytest.raises(ValueError, match="the batch must be a multiple of the 4 devices, got 6"):
        step(KEY, train.parallel.replicate(state, 4), {"x": np.zeros((6, 1), np.float32)})
