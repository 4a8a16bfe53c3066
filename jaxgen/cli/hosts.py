"""The flags by which several processes, perhaps on several hosts, train together."""

import contextlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from jaxgen import require

_START_SECONDS = 300

_LARGEST = 2**31 - 1


@dataclass(frozen=True)
class Hosts:
    """Processes that train together, on one host or several; every one is started with the same command.

    Args:
        coordinator: Address and port of process 0, HOST:PORT, any port that is free there. None for this process alone;
            by default the variable JAX_COORDINATOR_ADDRESS of the environment.
        num_processes: Number of processes; by default the variable JAX_NUM_PROCESSES.
        process_id: Number of this process, from 0; by default the variable JAX_PROCESS_ID.
        cluster: Take all of these from the cluster that started the processes: Slurm, Open MPI, Kubernetes, a TPU pod.
        heartbeat: Seconds after which a process that gives no sign of life is taken for dead, and all others stop.
        patience: Seconds that a process waits for the others to come to the same point; longer than the slowest
            picture, report or compilation takes.
    """

    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None
    cluster: bool = False
    heartbeat: int = 30
    patience: int = 1800

    def __post_init__(self):
        require.fields(self)
        for name, low in (("num_processes", 1), ("process_id", 0), ("heartbeat", 2), ("patience", 1)):
            if (value := getattr(self, name)) is not None:
                require.integer(f"hosts.{name}", value, low, _LARGEST)

    @property
    def several(self) -> bool:
        """Whether this process is meant to train together with others."""
        given = (self.coordinator, self.num_processes, self.process_id)
        return self.cluster or any(value is not None for value in given) or "JAX_COORDINATOR_ADDRESS" in os.environ


@contextlib.contextmanager
def joined(hosts: Hosts) -> Iterator[None]:
    """Bring the processes together while the block runs; nothing where there is this one alone.

    Args:
        hosts: Flags about the processes.

    Raises:
        ValueError: A flag that is missing or cannot be.
        ConnectionError: The processes do not find each other.
    """
    if not hosts.several:
        yield
        return
    import jax

    from jaxgen.train.hosts import LostHostError, patience

    given: dict[str, Any] = {} if hosts.cluster else _given(hosts)
    # SIGTERM is heard by the training loop, which agrees with the others on the step to stop at.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            **given,
            heartbeat_timeout_seconds=hosts.heartbeat,
            initialization_timeout=_START_SECONDS,
            shutdown_timeout_seconds=hosts.heartbeat,
        )
    except ValueError as error:
        raise ValueError(
            f"hosts.cluster needs processes that Slurm, Open MPI, Kubernetes or a TPU pod has started: {error}"
        ) from None
    except jax.errors.JaxRuntimeError as error:
        said = " ".join(str(error).split())[:200]
        raise ConnectionError(f"the processes of the run do not find each other: {said}") from None
    try:
        with patience(hosts.patience):
            yield
    except LostHostError:
        raise  # there is nobody to take leave of; see `process.leave`
    except BaseException:
        _take_leave()
        raise
    else:
        _take_leave()


def by_first(hosts: Hosts, call: Callable[[], int]) -> int:
    """The exit code of what the first process alone does, in every process; the others wait for it.

    Args:
        hosts: Flags about the processes.
        call: Function of the first process.

    Raises:
        Exception: Its error, in that process.
        HostError: The same in all others.
    """
    if not hosts.several:
        return call()
    with joined(hosts):
        from jaxgen.train.hosts import everyone

        return everyone().first(call)


def among(arguments: Sequence[str]) -> Hosts:
    """The flags about processes among the words of a command whose other flags are not known yet.

    Args:
        arguments: The words after the command.

    Raises:
        ValueError: A value that cannot be.
    """
    import tyro

    def flags(hosts: Hosts = Hosts()) -> Hosts:
        return hosts

    words = [word for word in arguments if word not in ("-h", "--help", "--help-all")]
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            return tyro.cli(flags, args=words, return_unknown_args=True)[0]
    except SystemExit:  # the command itself will say what is wrong
        return Hosts()


def _given(hosts: Hosts) -> dict[str, str | int]:
    """Numbers and addresses of the processes from the flags, or from the environment in their place."""
    found = {
        "coordinator_address": (hosts.coordinator, "coordinator", "JAX_COORDINATOR_ADDRESS"),
        "num_processes": (hosts.num_processes, "num-processes", "JAX_NUM_PROCESSES"),
        "process_id": (hosts.process_id, "process-id", "JAX_PROCESS_ID"),
    }
    values = {
        name: os.environ.get(variable) if value is None else value for name, (value, _, variable) in found.items()
    }
    missing = [f"--hosts.{flag}" for name, (_, flag, _) in found.items() if values[name] is None]
    if missing:
        raise ValueError(f"several processes need {', '.join(missing)} too, or --hosts.cluster")
    address = str(values["coordinator_address"])
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(f"hosts.coordinator must be HOST:PORT, got {address!r}")
    count = _integer("hosts.num_processes", values["num_processes"], 1, _LARGEST)
    index = _integer("hosts.process_id", values["process_id"], 0, count - 1)
    return {"coordinator_address": address, "num_processes": count, "process_id": index}


def _integer(name: str, value: str | int | None, low: int, high: int) -> int:
    if isinstance(value, str):
        if not value.isdecimal():
            raise ValueError(f"{name} must be an integer, got {value!r}")
        value = int(value)
    return require.integer(name, value, low, high)


def _take_leave() -> None:
    """End the connection when all processes do: none is taken for dead, and the first one waits for the others."""
    import jax

    with contextlib.suppress(jax.errors.JaxRuntimeError):
        jax.distributed.shutdown()
