"""Reading and writing by orbax: files that appear whole or not at all, written in the background.

By one process, or by several together, each of which writes its part of arrays that lie on the devices of all. orbax is
imported where it is used: it takes longer to import than the rest of the library.
"""

import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax

from jaxgen.train.hosts import PATIENCE_SECONDS

_SECONDS = 5 * 10**9
"""Time that orbax may take to write: it is measured by the wall clock, which may be set forward or back meanwhile, by
decades where a machine starts in 1970 and then asks the network. A lock waits for 9e9 seconds at most."""

_SECONDS_TOGETHER = PATIENCE_SECONDS
"""The same where several processes write: so long each waits for one that neither writes nor fails."""


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence the log of orbax: its threads print tracebacks of errors that are raised anyway."""
    absl = logging.getLogger("absl")
    absl.addFilter(_not_of_orbax)
    try:
        yield
    finally:
        absl.removeFilter(_not_of_orbax)


def writer(meet: Callable[..., None] | None) -> Any:
    """A writer of a state and JSON beside it, `orbax.checkpoint.AsyncCheckpointer`.

    Args:
        meet: Function by which the threads of several processes wait for each other; None where this process writes
            alone.
    """
    import orbax.checkpoint as ocp
    from orbax.checkpoint.options import AsyncOptions

    among = _alone() if meet is None else ocp.options.MultiprocessingOptions()
    handler = ocp.CompositeCheckpointHandler(
        composite_options=ocp.CompositeOptions(multiprocessing_options=among),
        state=ocp.StandardCheckpointHandler(multiprocessing_options=among),
        meta=ocp.JsonCheckpointHandler(multiprocessing_options=among),
        metrics=ocp.JsonCheckpointHandler(filename="metrics", multiprocessing_options=among),
    )
    return ocp.AsyncCheckpointer(
        handler,
        async_options=AsyncOptions(timeout_secs=_SECONDS if meet is None else _SECONDS_TOGETHER, barrier_sync_fn=meet),
        multiprocessing_options=among,
    )


def read(folder: Path, like: Any) -> Any:
    """The arrays in a folder, by this process alone.

    Args:
        folder: Folder of a state.
        like: Pytree of arrays of the shapes and dtypes that are expected.
    """
    import orbax.checkpoint as ocp

    with quiet(), ocp.StandardCheckpointer(multiprocessing_options=_alone()) as reader:
        return reader.restore(folder, like)


def _alone() -> Any:
    """Options of orbax by which this process waits for no other."""
    import orbax.checkpoint as ocp

    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process_{own}"
    )


def _not_of_orbax(record: logging.LogRecord) -> bool:
    return "orbax" not in record.pathname
