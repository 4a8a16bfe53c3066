"""Hooks: calls between steps, and how they end training."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from jaxgen import require
from jaxgen.train.hosts import ALONE, Processes, agreed
from jaxgen.train.window import Window


class Stop(Exception):
    """Raised or returned by a hook or a logger: training ends here, as if this were its last step.

    Args:
        reason: Reason, for `History.stopped`.
    """

    def __init__(self, reason: str = "a hook said so"):
        super().__init__(reason)
        self.reason = reason


class Hook(NamedTuple):
    """A call between steps.

    Attributes:
        call: (step, state, window) -> None, or `Stop` to end training. The next step reuses the state's buffers: copy
            arrays to keep. The window holds the metrics since the last record, none where one was just made.
        every: Number of steps between calls: the hook is called after each multiple of it; 0 for never.
        steps: Further steps after which it is called.
        at_end: Whether it is also called when training ends, even by a signal or another hook.
    """

    call: Callable[[int, Any, Window], Any]
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


class Calls:
    """Caller of hooks and loggers in their order, with a note of what ended training.

    Args:
        hooks: Hooks, called when they are due.
        at_record: Plain functions, called after each record with its metrics in the window.
        processes: Processes that call together; each call of a hook fails or ends training in all or in none.
    """

    def __init__(self, hooks: Sequence[Hook], at_record: Sequence[Callable[..., Any]], processes: Processes = ALONE):
        self.hooks, self.at_record, self._processes = hooks, at_record, processes
        self.stopped: str | None = None
        self._step, self._called = -1, list[Hook]()

    def next(self, step: int) -> list[int]:
        """Steps after `step` at which a hook is due."""
        return [s for hook in self.hooks if (s := hook.next(step)) > 0]

    def due(self, step: int, *, last: bool = False) -> list[Hook]:
        """Hooks to be called at a step; at the last one, also those for the end."""
        if step != self._step:
            self._step, self._called = step, []
        due = (hook for hook in self.hooks if hook.due(step) or (last and hook.at_end))
        return [hook for hook in due if not any(hook is called for called in self._called)]

    def __call__(self, hooks: Iterable[Hook], step: int, state: Any, window: Window) -> None:
        for hook in hooks:
            self._called.append(hook)
            self._heed([hook.call], step, state, window)

    def log(self, loggers: Sequence[Callable[..., Any]], record: dict[str, Any]) -> None:
        """Call the loggers with a record; each process has its own."""
        self._heed(loggers, record)

    def _heed(self, functions: Sequence[Callable[..., Any]], *arguments: Any) -> None:
        """Call functions that may end training."""

        def call() -> str | None:
            reasons = [_reason(function, *arguments) for function in functions]
            return next((reason for reason in reasons if reason is not None), None)

        _, reasons = self._processes.together(call, lambda reason: reason)
        self.stopped = self.stopped or next((reason for reason in reasons if reason is not None), None)

    def rescue(self, error: Exception, state: Any, window: Window) -> None:
        """Call the hooks for the end before an error is passed on: a picture that fails costs no checkpoint."""
        step = -1
        if self._processes.count > 1 and not agreed(error):  # the others do not know: nothing can be saved together
            return
        try:
            if int(window.failed) >= 0:
                return
            step = int(state.step)
            for hook in self.due(step, last=True):
                try:
                    self._processes.together(lambda hook=hook: hook.call(step, state, window))
                except Exception as another:
                    error.add_note(f"another hook failed as well: {type(another).__name__}: {another}")
        except Exception as another:  # the device itself has failed: there is no state any more
            error.add_note(f"the state is lost: {another}")
        else:
            error.add_note(f"training ended by this error at step {step}; the hooks for the end have been called")


def _reason(function: Callable[..., Any], *arguments: Any) -> str | None:
    """Call a function; the reason why it ends training, None where it does not."""
    try:
        found = function(*arguments)
    except Stop as stop:
        found = stop
    if found is Stop:
        found = Stop()
    return found.reason if isinstance(found, Stop) else None


def sorted_out(hooks: Any) -> tuple[list[Hook], list[Callable[..., Any]]]:
    """The hooks and the plain functions of a sequence, apart.

    Raises:
        ValueError: An element that is neither; a hook whose call is not a function or whose steps are not integers.
    """
    if isinstance(hooks, Hook) or not isinstance(hooks, Iterable):
        raise ValueError(f"hooks must be a sequence of hooks and functions, got {hooks!r}")
    proper, plain = [], []
    for hook in hooks:
        if isinstance(hook, Hook):
            if not callable(hook.call):
                raise ValueError(f"the call of a hook must be a function of (step, state, window), got {hook.call!r}")
            require.integer("every of a hook", hook.every, 0)
            for step in hook.steps:
                require.integer("steps of a hook", step, 0)
            proper.append(hook)
        elif callable(hook) and not isinstance(hook, type):
            plain.append(hook)
        else:
            raise ValueError(f"hooks must hold train.Hook(...) or functions of (step, state, window), got {hook!r}")
    return proper, plain
