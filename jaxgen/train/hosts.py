"""Several hosts: one training run in several processes, each with devices of its own.

Every process runs the same program. Device programs meet in their collectives; what the hosts do in between (read a
batch, save, draw a picture) can fail in one process alone, and the others would wait for it in the next collective. So
each such step is followed by an exchange: every process says how it went, and an error of one is raised in all. The
exchange goes through the coordinator of `jax.distributed`, not through devices, and every wait ends: when all have
come, after `patience`, or when the coordinator misses the heartbeat of a process.
"""

import contextlib
import itertools
import json
import socket
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

R = TypeVar("R")

PATIENCE_SECONDS = 1800
"""Time that a process waits for the others: longer than any picture, report or compilation takes."""

_PATIENCE: ContextVar[int] = ContextVar("patience", default=PATIENCE_SECONDS)
_NUMBERS = itertools.count()
"""Numbers of the exchanges: all processes make the same ones in the same order."""


class HostError(OSError):
    """Another process has failed, with its message; the run has ended in all of them."""


class LostHostError(HostError):
    """Another process has ended, does not answer or cannot be reached. Nothing can be agreed on any more."""


@contextlib.contextmanager
def patience(seconds: int) -> Iterator[None]:
    """Set how long a process waits for the others inside.

    Args:
        seconds: Seconds of one wait. It must be longer than a picture, the report and a compilation take.
    """
    token = _PATIENCE.set(seconds)
    try:
        yield
    finally:
        _PATIENCE.reset(token)


class Processes(NamedTuple):
    """The processes of a run, seen from one of them; alone, every method is a plain call.

    All processes must call the same methods in the same order.

    Attributes:
        count: Number of processes.
        index: Number of this one.
    """

    count: int = 1
    index: int = 0

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes the run's folder."""
        return self.index == 0

    def together(self, call: Callable[[], R], tell: Callable[[R], Any] = lambda _: None) -> tuple[R, list[Any]]:
        """Call a function in every process, wait for all, and raise in all where it fails in one.

        Args:
            call: A function that runs no program on devices of several processes, or the same ones in all processes.
            tell: (result) -> JSON for the other processes.

        Returns:
            The result of this process, and what each process told.

        Raises:
            Exception: The error of this process.
            HostError: The error of another process.
            LostHostError: Another process has ended or does not answer.
        """
        if self.count == 1:
            result = call()
            return result, [tell(result)]
        with self.agreeing():
            result = call()
            said = {"told": tell(result)}
        return result, [answer["told"] for answer in self._exchange(said)]

    @contextlib.contextmanager
    def agreeing(self) -> Iterator[None]:
        """Pass an error that is raised inside to all other processes, at the next point where they meet this one."""
        try:
            yield
        except Exception as error:
            if self.count == 1 or agreed(error) or _is_lost(error):
                raise
            if isinstance(error, jax.errors.JaxRuntimeError):
                # The others wait on their devices and cannot be told; they notice when this process ends.
                if _of_another(error):
                    raise LostHostError(_lost(str(error))) from error
                raise
            vars(error)["agreed"] = True
            self._exchange({"error": f"{type(error).__name__}: {error}"})
            raise

    def first(self, call: Callable[[], Any]) -> Any:
        """The result of a function that the first process alone calls: JSON.

        Raises:
            Exception: Its error in that process; see `together`.
        """
        own, told = self.together(lambda: call() if self.leads else None, lambda result: result)
        return own if self.leads else told[0]

    def any(self, value: str | None) -> str | None:
        """The value of the first process that has one, None where none has."""
        told = self.together(lambda: value, lambda value: value)[1]
        return next((value for value in told if value is not None), None)

    def same(self, values: dict[str, Any], difference: Callable[[Any, Any], list[str]]) -> None:
        """Raise ValueError, in every process, unless all have the same values.

        Args:
            values: JSON by name.
            difference: (values of the first process, of another) -> differences, one line each.
        """
        host = socket.gethostname()
        _, told = self.together(lambda: None, lambda _: {"host": host, "values": values})
        for number, other in enumerate(told):
            if lines := difference(told[0]["values"], other["values"]):
                error = ValueError(
                    f"all processes of a run must run the same code, config and data: process {number} on "
                    f"{other['host']} differs from process 0 on {told[0]['host']} ({'; '.join(lines[:5])})"
                )
                vars(error)["agreed"] = True  # all have found it
                raise error

    def own(self, tree: Any) -> Any:
        """Arrays that lie on the devices of all processes, as arrays of this process; all must call it.

        Others, and all arrays where there is one process, are returned as they are.
        """
        return tree if self.count == 1 else jax.tree.map(_own, tree)

    def _exchange(self, said: dict[str, Any]) -> list[dict[str, Any]]:
        """Messages of all processes, in their order; raise where one said that it failed."""
        coordinator, wait = client(), _PATIENCE.get() * 1000
        number = next(_NUMBERS)
        place = f"jaxgen/{number}/"
        try:
            coordinator.key_value_set(f"{place}{self.index:06}", json.dumps(said))
            coordinator.wait_at_barrier(f"jaxgen-{number}-said", wait)
            answers = [json.loads(text) for _, text in sorted(coordinator.key_value_dir_get(place))]
            if number > 0:  # all have read what was said before: they are here
                coordinator.key_value_delete(f"jaxgen/{number - 1}/{self.index:06}")
            failed = [index for index, answer in enumerate(answers) if "error" in answer]
            if failed:
                # No process leaves, and with the first one the coordinator, before all know why.
                coordinator.wait_at_barrier(f"jaxgen-{number}-known", wait)
        except jax.errors.JaxRuntimeError as error:
            raise LostHostError(_lost(str(error), _PATIENCE.get())) from error
        if failed and "error" not in said:
            raise HostError(f"process {failed[0]} of {self.count}: {answers[failed[0]]['error']}")
        return answers


ALONE = Processes()


def everyone() -> Processes:
    """All processes that `jax.distributed` has brought together; one where it is not initialised."""
    return Processes(jax.process_count(), jax.process_index())


def of(mesh: Mesh | None) -> Processes:
    """The processes whose devices a mesh has.

    Args:
        mesh: Devices to train on; None for one of this process.

    Raises:
        ValueError: Devices of several processes, but not of all.
    """
    if mesh is None:
        return Processes()
    indices = {device.process_index for device in mesh.devices.flat}
    if indices == {jax.process_index()}:
        return Processes()
    if len(indices) < jax.process_count():
        raise ValueError(
            f"mesh must have devices of this process alone or of all {jax.process_count()} processes, got those of "
            f"{sorted(indices)}"
        )
    return everyone()


def agreed(error: BaseException) -> bool:
    """Whether all processes know of an error and have stopped at the same point."""
    known = any(isinstance(one, HostError) or vars(one).get("agreed", False) for one in _chain(error))
    return known and not _is_lost(error)


def _is_lost(error: BaseException) -> bool:
    return any(isinstance(one, LostHostError) for one in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those that led to it: raised anew in other words, it is known as before."""
    met = set()
    while error is not None and id(error) not in met:
        met.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _own(leaf: Any) -> Any:
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
        return leaf
    if not leaf.is_fully_replicated:
        mesh = leaf.sharding.mesh  # pyright: ignore[reportAttributeAccessIssue]
        leaf = jax.device_put(leaf, NamedSharding(mesh, PartitionSpec()))
    return jax.device_put(np.array(leaf.addressable_data(0)))


def client() -> Any:
    """The connection of this process to the coordinator of `jax.distributed`.

    Raises:
        LostHostError: There is none any more.
    """
    # The client of the coordinator has no public name. orbax and others use it in this way too.
    from jax._src.distributed import global_state

    if global_state.client is None:
        raise LostHostError("the processes of the run are no longer connected: jax.distributed was shut down")
    return global_state.client


def _of_another(error: Exception) -> bool:
    """Whether an error of a device program tells of a connection to another process."""
    said = str(error).lower()
    return any(word in said for word in ("gloo", "nccl", "connection", "unavailable", "heartbeat"))


def _lost(said: str, waited: int | None = None) -> str:
    reason = " ".join(said.split())[:300]
    if waited is not None and "deadline" in reason.lower():
        reason = f"no answer within {waited} s; {reason}"
    return (
        "another process of the run has ended or cannot be reached, and this one stops: start all of them again, and "
        f"the run goes on from its last checkpoint ({reason})"
    )
