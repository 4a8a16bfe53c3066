"""The training loop: one compiled function, many steps per call, no host in between.

The program advances a traced number of steps in a while loop, so that the length of a chunk changes no bit of the
result. The host looks in between chunks only: it keeps one chunk in flight while it reads the metrics of the chunk
before, and sizes the chunks to about half a second, so that a signal is answered soon.
"""

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxgen import data, require
from jaxgen.core import GenerativeModel, PRNGKey
from jaxgen.data.spread import spread
from jaxgen.progress import activity
from jaxgen.train import hosts, parallel
from jaxgen.train.history import History, NonFiniteError
from jaxgen.train.hooks import Calls, Hook, sorted_out
from jaxgen.train.interruption import interruption
from jaxgen.train.program import program, tell_of_another_feed
from jaxgen.train.progress import Bar
from jaxgen.train.window import Window, described, empty_window

INIT = 2**32 - 1
"""Number folded into the root key for `init`; each step folds in its own number, which is always smaller."""

CHUNK_SECONDS = 0.5


def fit(
    model: GenerativeModel,
    batches: Any,
    key: PRNGKey,
    num_steps: int,
    *,
    state: Any = None,
    window: Window | None = None,
    hooks: Sequence[Hook | Callable[[int, Any, Window], Any]] = (),
    loggers: Iterable[Callable[[dict[str, Any]], Any]] = (),
    log_every: int = 50,
    mesh: Mesh | None = None,
    shard_state: bool = False,
    progress: bool = True,
    chunk_steps: int | None = None,
) -> tuple[Any, History]:
    """Train until the state has made `num_steps` steps.

    The key of step i is `fold_in(key, i)` and its batch `batches(i)`, so that training that continues from a state
    equals training that never stopped, bit for bit. Ctrl-C and SIGTERM end it after the chunk in flight (or before the
    first one, where they come earlier); the state reached is returned.

    Args:
        model: Any model of the contract. Build it once for all calls: the compiled program belongs to its `step`.
        batches: Source of batches by step: `jaxgen.data.Batches`, a `Stream` for data that do not fit into memory, or
            any `data.BatchSource`. An iterable of dictionaries (a list, a generator, a loader) is taken through
            `data.from_iterator`, whose docstring says what is lost.
        key: Root key of all randomness of the steps (and of the initial state, if none is given).
        num_steps: Number of steps, counted from the initial state, at most 2^31 - 1.
        state: State to continue from; None for a new one. It is copied, not consumed.
        window: Metrics since the last record of the run that is continued.
        hooks: `Hook`s, called when they are due, and plain functions f(step, state, window), called after each record
            with the metrics of that record in the window. One that returns or raises `Stop` ends training.
        loggers: Functions of a record, called with every record; they may end training in the same way.
        log_every: Steps per record.
        mesh: Devices to train on, see `parallel.mesh`; None for jax's default device. With devices of several
            processes (see `hosts`), all call this with the same arguments, and as many hooks, which are called in all.
        shard_state: Whether parameters, their average and the optimizer's memory are divided among the devices of the
            mesh, see `parallel.state_sharding`, rather than whole on each. Hooks get, and `fit` returns, such a state;
            `parallel.gathered` makes it one to evaluate and to sample from. On one device it changes nothing.
        progress: Whether to show a progress bar.
        chunk_steps: Steps per call of the compiled program; None adapts to half a second. It changes no bit of the
            result.

    Returns:
        The state and the history, which says in `stopped` why training ended early.

    Raises:
        ValueError: An argument outside its range, of another kind or of another model; a batch that the devices cannot
            share evenly.
        NonFiniteError: A metric became NaN or infinite.
        hosts.HostError: Another process has failed, or has ended.
        Exception: Any other error of a hook, a logger or the data, after the hooks for the end have been called.
    """
    num_steps = require.integer("num_steps", num_steps, 0, 2**31 - 1)
    log_every = require.integer("log_every", log_every, 1)
    chunk_steps = None if chunk_steps is None else require.integer("chunk_steps", chunk_steps, 1, 2**31 - 1)
    require.typed_key("key", key)
    require.one_of("shard_state", shard_state, (True, False))
    hooks, at_record = sorted_out(hooks)
    loggers = _functions("loggers", loggers)
    batches = _source(batches)
    _divisible(batches, mesh)
    processes = hosts.of(mesh)
    with interruption(tell=progress and sys.stderr.isatty()) as received, processes.agreeing():

        def signal() -> str | None:
            return processes.any(received())

        if state is None:
            state = parallel.begun(model.init, jax.random.fold_in(key, INIT), batches(0), mesh, shard_state)
            if not hasattr(state, "step"):
                raise ValueError(
                    f"init must return a state with the number of its steps, state.step (int32 []), such as "
                    f"core.TrainState, got {type(state).__name__}"
                )
        elif not hasattr(state, "step"):
            raise ValueError(f"state must be a state of this model, got {type(state).__name__}")
        elif int(state.step) < num_steps:
            _require_state(state, jax.eval_shape(model.init, key, batches(int(state.step))))
        state = parallel.placed(state, mesh, shard_state)  # the loop donates its buffers; two leaves may share one
        step = first = int(state.step)
        if step > num_steps:
            raise ValueError(
                f"num_steps counts from the initial state: the state given is at step {step} > {num_steps}"
            )
        if step == num_steps:
            return state, History()
        fresh = empty_window(model, key, state, batches(step))
        running = fresh if window is None else jax.tree.map(jnp.asarray, window)
        if mesh is not None:
            fresh, running = spread((fresh, running), parallel.replicated(mesh))
            batches = batches.on(mesh)

        advance = program(model.step, mesh, shard_state)
        begin = time.perf_counter()
        first_feed, told = None, False
        if signal() is None:
            with activity("compiling", enabled=progress, log=False):
                # Zero steps compile the program and leave everything as it is.
                first_feed, _ = processes.together(lambda: batches.feed(step, 1))
                state, running = jax.block_until_ready(advance(key, state, running, first_feed, 0))
        history = History(compile_seconds=time.perf_counter() - begin)
        calls = Calls([*hooks, Hook(call=_nothing, every=log_every, at_end=False)], at_record, processes)
        clock = _Clock(step)
        size = chunk_steps or 1

        def look(end: int, window: Window) -> None:
            """Wait for a chunk; raise if it failed, record if a record is due."""
            failed = int(window.failed)
            if failed >= 0:
                metric = next(name for name, value in window.last.items() if not np.isfinite(value))
                raise NonFiniteError(failed, metric, float(window.last[metric]))
            if end % log_every == 0 or end == num_steps:
                record = {"step": end, **window.means(), "steps_per_second": clock.rate(end)}
                history.records.append(record)
                calls.log(loggers, record)
                bar.record(record)
            bar.advance(end)

        def fed(step: int, size: int) -> tuple[Any, int]:
            """The feed of the next chunk and where it ends."""
            end = min([num_steps, step + size, step + batches.reach(step), *calls.next(step)])
            feed = batches.feed(step, end - step) if end > step else None
            return feed, min(end, step + batches.reach(step))  # an iterator may have come to its end

        with Bar(first, num_steps, enabled=progress, compile_seconds=history.compile_seconds) as bar:
            try:
                calls([hook for hook in hooks if step == 0 and 0 in hook.steps], 0, state, running)
                clock.resume(step)
                in_flight: tuple[int, Window] | None = None
                while step < num_steps and signal() is None and calls.stopped is None:
                    begin = time.perf_counter()
                    (feed, _), ends = processes.together(partial(fed, step, size), lambda found: found[1])
                    end = min(ends)  # clocks differ, and so do the sizes of chunks
                    if end == step:
                        calls.stopped = f"the batches came to their end after step {step}"
                        break
                    told = told or tell_of_another_feed(first_feed, feed, step)
                    state, running = advance(key, state, running, feed, end - step)
                    if in_flight is not None:
                        look(*in_flight)  # while the device works on the next chunk
                    in_flight, recorded = (end, running), end % log_every == 0 or end == num_steps
                    running = fresh if end % log_every == 0 else running
                    due = calls.due(end, last=end == num_steps)
                    if due or end == num_steps:
                        look(*in_flight)
                        with_metrics, in_flight = in_flight[1], None
                        clock.pause(end)
                        calls(due, end, state, running)
                        if recorded:
                            calls([Hook(call) for call in at_record], end, state, with_metrics)
                        clock.resume(end)
                    if chunk_steps is None:
                        size = _resize(size, end - step, time.perf_counter() - begin)
                    step = end
                if in_flight is not None:
                    look(*in_flight)
                clock.pause(step)
                if step < num_steps:
                    history.interrupted = signal()
                    history.stopped = history.interrupted or calls.stopped
                    calls(calls.due(step, last=True), step, state, running)
            except NonFiniteError:
                raise
            except Exception as error:
                calls.rescue(error, state, running)
                raise
    history.run_seconds, history.num_steps = clock.seconds, clock.steps
    return state, history


def _nothing(*_: Any) -> None:
    """Do nothing: the call of a hook that is due at every record, so that chunks end where records end."""


def _functions(name: str, value: Any) -> list[Callable[..., Any]]:
    """The functions of a sequence, as a list.

    Raises:
        ValueError: A single function, or an element that cannot be called.
    """
    if callable(value) or not isinstance(value, Iterable):
        raise ValueError(f"{name} must be a sequence of functions, got {value!r}")
    functions = list(value)
    for function in functions:
        if not callable(function):
            raise ValueError(f"{name} must hold functions, got {function!r}")
    return functions


def _source(batches: Any) -> data.BatchSource:
    """A source of batches by step, made from an iterable if need be.

    Raises:
        ValueError: An object without batches; the message says what to give instead.
    """
    rule = "batches must be a source of batches by step"
    if isinstance(batches, data.Dataset):
        raise ValueError(f"{rule}, got a data set: give {batches.name}.train.batches(seed=0, batch_size=128)")
    if isinstance(batches, data.Split):
        raise ValueError(f"{rule}, got a split: give its .batches(seed=0, batch_size=128)")
    if isinstance(batches, data.Examples):
        raise ValueError(f"{rule}, got examples on disk: give data.Stream(examples, seed=0, batch_size=128)")
    if all(callable(getattr(batches, name, None)) for name in ("__call__", "feed", "reach", "on")):
        return batches
    try:
        return data.from_iterator(batches)
    except ValueError as error:
        raise ValueError(f"{rule} (data.BatchSource), or an iterable for data.from_iterator: {error}") from None


def _divisible(batches: data.BatchSource, mesh: Any) -> None:
    """Raise ValueError where the devices cannot share a batch evenly, or where mesh is not one of `parallel.mesh`."""
    if mesh is None:
        return
    if not isinstance(mesh, Mesh) or mesh.axis_names != (parallel.AXIS,):
        raise ValueError(f"mesh must be as train.parallel.mesh(num_devices) makes it, or None, got {mesh!r}")
    if batches.batch_size % mesh.devices.size:
        raise ValueError(f"batch_size must be a multiple of the {mesh.devices.size} devices, got {batches.batch_size}")


def _require_state(state: Any, like: Any) -> None:
    """Raise ValueError where a state has other arrays than a state of the model."""
    expected, given = described(like), described(state)
    differing = [path for path in sorted({*given, *expected}) if given.get(path) != expected.get(path)]
    if differing:
        path = differing[0]
        raise ValueError(
            f"state must be a state of this model, got another one: {len(differing)} arrays differ, first {path}: "
            f"given {given.get(path, 'absent')}, expected {expected.get(path, 'absent')}"
        )


class _Clock:
    """A clock of seconds and steps that leaves out the time of hooks."""

    def __init__(self, step: int):
        self.seconds, self.steps = 0.0, 0
        self.resume(step)

    def resume(self, step: int) -> None:
        self._begin, self._first = time.perf_counter(), step

    def pause(self, step: int) -> None:
        self.seconds += time.perf_counter() - self._begin
        self.steps += step - self._first

    def rate(self, step: int) -> float:
        seconds = self.seconds + time.perf_counter() - self._begin
        return (self.steps + step - self._first) / seconds


def _resize(size: int, chunk: int, seconds: float) -> int:
    """The next chunk's length, by at most a factor of two: records and hooks cut chunks short, and clocks jitter."""
    if seconds > 2 * CHUNK_SECONDS:
        return max(size // 2, 1)
    return 2 * size if seconds < CHUNK_SECONDS and chunk == size else size
