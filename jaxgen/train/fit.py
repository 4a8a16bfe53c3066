"""The training loop: one compiled function, many steps per call, no host in between.

The program advances a traced number of steps in a while loop, so that the length of a chunk changes no bit of the
result. The host looks in between chunks only: it keeps one chunk in flight while it reads the metrics of the chunk
before, and sizes the chunks to about half a second, so that a signal is answered soon.
"""

import functools
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int

from jaxgen.core import GenerativeModel, Metrics, PRNGKey
from jaxgen.train import parallel
from jaxgen.train.history import History, NonFiniteError
from jaxgen.train.interruption import interruption
from jaxgen.train.progress import Bar

INIT = 2**32 - 1
"""What is folded into the root key for `init`; the steps fold in their own number, which never gets there."""

CHUNK_SECONDS = 0.5


@flax.struct.dataclass
class Window:
    """The metrics since the last record, kept on the device.

    Attributes:
        count: Steps in the window, int32 [].
        sums: Sum of each metric over them, float32 [].
        last: Each metric of the last step, float32 [].
        failed: int32 [], the first step with a metric that is not finite, -1 if there is none. The loop stops there.
    """

    count: Any
    sums: Any
    last: Any
    failed: Any

    def add(self, metrics: Metrics, step: Int[Array, ""]) -> "Window":
        # Whatever a model returns (integers, bfloat16, float64 under JAX_ENABLE_X64), the loop carries float32.
        metrics = {name: jnp.asarray(value, jnp.float32) for name, value in metrics.items()}
        finite = jnp.array(True)
        for value in metrics.values():
            finite = finite & jnp.isfinite(value)
        return Window(
            count=self.count + 1,
            sums={name: self.sums[name] + value for name, value in metrics.items()},
            last=metrics,
            failed=jnp.where(finite, self.failed, step),
        )

    def means(self) -> dict[str, float]:
        """The mean of each metric over the window, computed on the host."""
        count = max(int(self.count), 1)
        return {name: float(np.float64(value) / count) for name, value in self.sums.items()}


def empty_window(model: GenerativeModel, key: PRNGKey, state: Any, batch: Any) -> Window:
    """A window without steps, for the metrics that the model's step returns."""
    _, metrics = jax.eval_shape(model.step, key, state, batch)
    zeros = {name: np.zeros((), np.float32) for name in sorted(metrics)}
    return Window(count=np.int32(0), sums=zeros, last=dict(zeros), failed=np.int32(-1))


class Hook(NamedTuple):
    """Something to do between steps.

    Attributes:
        call: (step, state, window) -> None. The state's buffers are reused by the next step: copy what is kept.
        every: Called after each multiple of this many steps; 0 for never.
        steps: Called after each of these steps too.
        at_end: Called when training ends as well, also when a signal ends it.
    """

    call: Callable[[int, Any, Window], None]
    every: int = 0
    steps: tuple[int, ...] = ()
    at_end: bool = True

    def due(self, step: int) -> bool:
        return step in self.steps or (self.every > 0 and step % self.every == 0 and step > 0)

    def next(self, step: int) -> int:
        """The first step after `step` at which the hook is due, -1 if it never is."""
        later = [s for s in self.steps if s > step]
        if self.every > 0:
            later.append((step // self.every + 1) * self.every)
        return min(later, default=-1)


@functools.lru_cache(maxsize=32)
def _advance(step_fn: Callable[..., Any], over: Mesh | None) -> Callable[..., tuple[Any, Window]]:
    """The compiled program, one per step function and mesh, so that a second `fit` does not compile again."""

    def advance(key: PRNGKey, state: Any, window: Window, feed: Any, num: Array) -> tuple[Any, Window]:
        end = state.step + num

        def running(carry: tuple[Any, Window]) -> Array:
            state, window = carry
            return (state.step < end) & (window.failed < 0)

        def body(carry: tuple[Any, Window]) -> tuple[Any, Window]:
            state, window = carry
            batch = feed(state.step)
            if over is not None:
                batch = jax.lax.with_sharding_constraint(batch, parallel.sharded(over))
            after, metrics = step_fn(jax.random.fold_in(key, state.step), state, batch)
            return after, window.add(metrics, state.step)

        return jax.lax.while_loop(running, body, (state, window))

    return jax.jit(advance, donate_argnums=1)


def fit(
    model: GenerativeModel,
    batches: Any,
    key: PRNGKey,
    num_steps: int,
    *,
    state: Any = None,
    window: Window | None = None,
    hooks: Sequence[Hook] = (),
    loggers: Iterable[Callable[[dict[str, Any]], None]] = (),
    log_every: int = 50,
    mesh: Mesh | None = None,
    progress: bool = True,
    chunk_steps: int | None = None,
) -> tuple[Any, History]:
    """Train until the state has made `num_steps` steps.

    The key of step i is `fold_in(key, i)` and its batch `batches(i)`, so that training that continues from a state
    equals training that never stopped, bit for bit. Ctrl-C and SIGTERM end it after the chunk in flight; what was
    reached is returned.

    Args:
        model: Any model of the contract.
        batches: What maps a step to a batch: `jaxgen.data.Batches`, or a `Stream` for what does not fit into memory.
        key: Root of all randomness of the steps (and of the initial state, if none is given).
        num_steps: Number of steps, counted from the initial state.
        state: Where to continue; None initialises. It is copied, not consumed.
        window: Metrics since the last record, of the run that is continued.
        hooks: What to do between steps.
        loggers: Each is called with every record.
        log_every: Steps per record.
        mesh: Devices to train on, see `parallel.mesh`; None leaves it to jax's default device.
        progress: Whether to show a progress bar.
        chunk_steps: Steps per call of the compiled program; None adapts to half a second. It changes no bit.

    Returns:
        The state and the history.

    Raises:
        ValueError: A negative number of steps, a state beyond it, or a batch that the devices cannot share evenly.
        NonFiniteError: A metric became NaN or infinite.
    """
    if num_steps < 0:
        raise ValueError(f"num_steps must not be negative, got {num_steps}")
    if log_every < 1:
        raise ValueError(f"log_every must be at least 1, got {log_every}")
    if chunk_steps is not None and chunk_steps < 1:
        raise ValueError(f"chunk_steps must be at least 1, got {chunk_steps}")
    if mesh is not None and batches.batch_size % mesh.devices.size:
        raise ValueError(f"batch_size must be a multiple of the {mesh.devices.size} devices, got {batches.batch_size}")
    if state is None:
        state = model.init(jax.random.fold_in(key, INIT), batches(0))
    state = jax.tree.map(jnp.copy, state)  # the loop donates its buffers; two leaves may share one
    step = first = int(state.step)
    if step > num_steps:
        raise ValueError(f"num_steps counts from the initial state: the state given is at step {step} > {num_steps}")
    if step == num_steps:
        return state, History()
    fresh = empty_window(model, key, state, batches(step))
    running = fresh if window is None else window
    if mesh is not None:
        key, state, running, fresh = jax.device_put((key, state, running, fresh), parallel.replicated(mesh))
        batches = batches.on(mesh)

    advance = _advance(model.step, mesh)
    begin = time.perf_counter()
    # Zero steps compile the program and leave everything as it is.
    state, running = jax.block_until_ready(advance(key, state, running, batches.feed(step, 1), 0))
    history = History(compile_seconds=time.perf_counter() - begin)
    loggers, clock = list(loggers), _Clock(step)
    hooks = [*hooks, Hook(call=lambda *_: None, every=log_every, at_end=False)]  # chunks end where records end

    def look(end: int, window: Window) -> None:
        """Wait for a chunk; raise if it failed, record if a record is due."""
        failed = int(window.failed)
        if failed >= 0:
            metric = next(name for name, value in window.last.items() if not np.isfinite(value))
            raise NonFiniteError(failed, metric, float(window.last[metric]))
        if end % log_every == 0 or end == num_steps:
            record = {"step": end, **window.means(), "steps_per_second": clock.rate(end)}
            history.records.append(record)
            for log in loggers:
                log(record)
            bar.record(record)
        bar.advance(end)

    with (
        Bar(first, num_steps, enabled=progress, compile_seconds=history.compile_seconds) as bar,
        interruption() as signal,
    ):
        for hook in hooks:
            if step == 0 and 0 in hook.steps:
                hook.call(0, state, running)
        clock.resume(step)
        size = chunk_steps or 1
        in_flight: tuple[int, Window] | None = None
        while step < num_steps and signal() is None:
            begin = time.perf_counter()
            end = min(
                [
                    num_steps,
                    step + size,
                    step + batches.reach(step),
                    *(s for hook in hooks if (s := hook.next(step)) > 0),
                ]
            )
            state, running = advance(key, state, running, batches.feed(step, end - step), end - step)
            if in_flight is not None:
                look(*in_flight)  # while the device works on the next chunk
            in_flight = (end, running)
            running = fresh if end % log_every == 0 else running
            due = [hook for hook in hooks if hook.due(end) or (hook.at_end and end == num_steps)]
            if due or end == num_steps:
                look(*in_flight)
                in_flight = None
                clock.pause(end)
                for hook in due:
                    hook.call(end, state, running)
                clock.resume(end)
            if chunk_steps is None:
                size = _resize(size, end - step, time.perf_counter() - begin)
            step = end
        if in_flight is not None:
            look(*in_flight)
        clock.pause(step)
        if step < num_steps:
            history.interrupted = signal()
            for hook in hooks:
                if hook.at_end and not hook.due(step):
                    hook.call(step, state, running)
    history.run_seconds, history.num_steps = clock.seconds, clock.steps
    return state, history


class _Clock:
    """Seconds and steps, without the time that hooks take."""

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
