# Wrong arguments are given on purpose.
# pyright: reportArgumentType=false
import gc
import os
import signal
import threading
import weakref

import jax
import pytest
from toy import Feed, counter

from jaxgen import train
from jaxgen.train.interruption import interruption

KEY = jax.random.key(3)


def send(number=signal.SIGINT):
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def handlers_are_as_before():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    yield
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_the_first_is_noted_and_the_second_has_its_usual_effect():
    with interruption() as received:
        assert received() is None
        send()
        assert received() == "SIGINT"
        with pytest.raises(KeyboardInterrupt):
            send()
    with pytest.raises(KeyboardInterrupt):
        send()


def test_an_inner_one_knows_what_came_before_it():
    with interruption() as outer:
        send(signal.SIGTERM)
        with interruption() as inner:
            assert outer() == inner() == "SIGTERM"
        assert outer() == "SIGTERM"
    with interruption() as outer:
        with interruption():
            send()
        assert outer() == "SIGINT"


def test_a_callback_cannot_swallow_it():
    """An exception in a weak reference's callback is printed and forgotten: so was the KeyboardInterrupt."""

    class Thing:
        pass

    with interruption() as received:
        thing = Thing()
        reference = weakref.ref(thing, lambda _: send())
        del thing
        gc.collect()
        assert reference() is None and received() == "SIGINT"


def test_a_signal_while_the_model_is_made_or_compiled_is_seen():
    """At every stage before the first step; what is returned is whole."""
    model = counter()

    def with_signal(function):
        def call(*arguments):
            send()
            return function(*arguments)

        return call

    class Slow(Feed):
        def feed(self, first, num):
            send()
            return Feed()

    for made, batches in (
        (model._replace(init=with_signal(model.init)), Feed()),
        (model._replace(step=with_signal(model.step)), Feed()),
        (model, Slow()),
    ):
        ends = []
        hooks = [train.Hook(lambda step, state, window, ends=ends: ends.append((step, window.means())))]
        state, history = train.fit(made, batches, KEY, 1000, hooks=hooks, progress=False)
        assert history.interrupted == "SIGINT"
        assert int(state.step) == 0 and history.records == []
        assert ends == [(0, {"noise": 0.0, "x": 0.0})]


def test_a_signal_in_a_hook_or_a_logger_is_seen():
    for options in ({"hooks": [train.Hook(lambda *_: send(), every=3, at_end=False)]}, {"loggers": [lambda _: send()]}):
        state, history = train.fit(counter(), Feed(), KEY, 1000, log_every=3, progress=False, chunk_steps=3, **options)
        assert history.interrupted == "SIGINT"
        assert 3 <= int(state.step) <= 9


def test_it_is_answered_in_a_line(capfd):
    with interruption(tell=True):
        send()
        assert "SIGINT: training ends as soon as" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            send()


def test_outside_the_main_thread_nothing_is_caught():
    seen = []

    def run():
        with interruption() as received:
            seen.append(received())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [None]
