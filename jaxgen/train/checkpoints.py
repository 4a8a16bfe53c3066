"""Checkpoints by orbax: atomic, asynchronous, verified.

A checkpoint is a state, flat by path, and JSON beside it (see `checkpoint_meta`) with the digest of the state, which is
verified on restore, so that a damaged checkpoint is noticed and the one before it is taken. Nothing is unpickled.

orbax writes the files and reads the state (`orbax_files`). This module decides which checkpoints there are, which
are kept and which is the best, because a damaged small file must cost no more than its own checkpoint.
"""

import contextlib
import errno
import functools
import math
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxgen import require
from jaxgen.atomic import disk_is_full
from jaxgen.digest import digest, flatten, structure
from jaxgen.train import checkpoint_meta, orbax_files
from jaxgen.train.hosts import ALONE, LostHostError, Processes
from jaxgen.train.writing import Writing

_LEFTOVERS = ("*.orbax-checkpoint-tmp*", "*.deleted")


class DamagedCheckpointWarning(UserWarning):
    """A checkpoint could not be read or is not what was saved; an earlier one was taken."""


class OtherRunError(ValueError):
    """A checkpoint is whole but belongs to another model or run."""


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: Folder of the checkpoints, with one folder per step.
        keep: Number of the latest checkpoints to keep; the best is kept as well.
        best: Name of the metric whose smallest value marks the best; None for no best.
        read_only: Whether nothing in the folder may change.
        processes: Processes that share the folder and all call `save`, `wait` and `close`: each writes its part of a
            state on the devices of all, and the first one alone deletes. By default this process alone.

    Raises:
        ValueError: keep below 1.
    """

    def __init__(
        self,
        folder: Path,
        *,
        keep: int = 3,
        best: str | None = None,
        read_only: bool = False,
        processes: Processes = ALONE,
    ):
        if require.integer("keep", keep) < 1:
            raise ValueError(f"keep must be at least 1, got {keep}")
        self.folder, self._keep, self._best, self._read_only = Path(folder).absolute(), keep, best, read_only
        self._processes = processes
        self._saver: Any = None
        self._writing = False
        self._together: Writing | None = None
        self._silence = contextlib.ExitStack()
        if not read_only:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._clean()

    def steps(self) -> list[int]:
        """Steps of the checkpoints, ascending; one that is being written is waited for.

        Raises:
            OSError: A checkpoint could not be written.
        """
        self.wait()
        return self._complete()

    def best_step(self) -> int | None:
        """Step of the best checkpoint, None if no checkpoint carries the metric.

        A checkpoint with a damaged small file is passed over with a warning.
        """
        self.wait()
        return next(iter(self._ranked(warn=True)), None)

    def save(self, step: int, state: Any, meta: dict[str, Any], metrics: dict[str, float] | None = None) -> str:
        """Save a checkpoint; the files are written in the background.

        Args:
            step: Step of the state, the number of the checkpoint.
            state: Any pytree of arrays; copied to the host before this returns.
            meta: JSON to save beside the state.
            metrics: Metrics evaluated at this step, for the choice of the best.

        Returns:
            The digest of the state.

        Raises:
            FloatingPointError: The state holds a value that is not finite; nothing is saved.
            OSError: A save before this one could not be written.
        """
        # What one process refuses is refused by all before they write together.
        (leaves, whole), _ = self._processes.together(lambda: self._prepared(step, state, meta, metrics))
        import orbax.checkpoint as ocp  # here: it takes longer to import than the rest of the library

        args: dict[str, Any] = {} if metrics is None else {"metrics": ocp.args.JsonSave(whole["metrics"])}
        with self._written():
            saver = self._orbax()
            write = functools.partial(
                saver.save,
                self.folder / str(step),
                args=ocp.args.Composite(
                    state=ocp.args.StandardSave(leaves),
                    meta=ocp.args.JsonSave(whole),
                    **args,
                ),
            )
            self._writing = True
            if self._processes.count == 1:
                write()
            else:
                self._together = Writing(self._processes)
                self._together.telling(write)
                self._together.begin(saver.wait_until_finished)
        return whole["digest"]

    def _prepared(
        self, step: int, state: Any, meta: dict[str, Any], metrics: dict[str, float] | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arrays of a state by path and the JSON beside them, both ready to be written."""
        if self._read_only:
            raise PermissionError(f"the checkpoints in {self.folder} were opened to be read only")
        # A copy: the training loop reuses the buffers while the files are still being written.
        leaves = {path: np.array(leaf) for path, leaf in flatten(self._processes.own(state)).items()}
        for path, leaf in leaves.items():
            if np.issubdtype(leaf.dtype, np.floating) and not np.isfinite(leaf).all():
                raise FloatingPointError(f"{path} holds values that are not finite at step {step}; not saved")
        described = {**meta, "digest": digest(leaves), "structure": structure(leaves), "metrics": metrics}
        if step in self.steps():
            raise ValueError(f"step must be a new one, got {step}, of which there is a checkpoint in {self.folder}")
        if self._processes.count > 1:
            leaves = {path: jnp.copy(leaf) for path, leaf in flatten(state).items()}
        return leaves, checkpoint_meta.sealed(described)

    def restore(
        self,
        like: Any,
        step: int | None = None,
        *,
        best: bool = False,
        check: Callable[[dict[str, Any]], object] | None = None,
    ) -> tuple[Any, dict[str, Any]]:
        """Restore the newest checkpoint that is whole, the best one, or that of a given step.

        Args:
            like: A state of the same structure, or its `jax.eval_shape`.
            step: Step of the checkpoint; None takes the newest, and the one before it where the newest is damaged.
            best: Whether to take the best by the metric, or the next best where that is damaged; not with `step`.
            check: Function called with the JSON of a checkpoint. If it raises, the checkpoint counts as damaged;
                `OtherRunError` is raised here as well unless an older checkpoint passes.

        Returns:
            The state (numpy arrays) and the JSON that was saved with it.

        Raises:
            FileNotFoundError: No checkpoint is whole, or there is none at `step`.
            ValueError: The checkpoint is of another model.
        """
        candidates = self.steps()[::-1]
        if best:
            candidates = self._ranked(warn=True)
        if step is not None:
            if step not in candidates:
                raise FileNotFoundError(f"no checkpoint of step {step} in {self.folder}; there are {candidates[::-1]}")
            candidates = [step]
        others: list[tuple[int, OtherRunError]] = []
        for candidate in candidates:
            try:
                meta = self.meta(candidate)
                self._same_model(candidate, meta["structure"], structure(like))
                if check is not None:
                    check(meta)
                state = self._state(candidate, meta, like)
            except OtherRunError as error:
                others.append((candidate, error))
            except Exception as error:
                self._damaged(candidate, error)
            else:
                # Another checkpoint is of this run, so the one that seemed to be of another run was damaged.
                for other, error in others:
                    self._damaged(other, error)
                return state, meta
        if others:
            raise others[0][1]
        raise FileNotFoundError(f"no whole checkpoint in {self.folder}")

    def meta(self, step: int) -> dict[str, Any]:
        """The JSON saved with a checkpoint, its "metrics" among it (None if nothing was measured).

        Raises:
            ValueError: A damaged small file of the checkpoint; the message says which one, and how.
        """
        return checkpoint_meta.read(self.folder / str(step))

    def set_aside(self, after: int) -> None:
        """Move checkpoints later than `after` out of the way (they are damaged): nothing is deleted."""
        for step in [s for s in self.steps() if s > after]:
            damaged = self.folder.parent / "damaged"
            damaged.mkdir(exist_ok=True)
            place, others = damaged / str(step), 0
            while place.exists():
                others += 1
                place = damaged / f"{step}.{others}"
            (self.folder / str(step)).rename(place)

    def wait(self) -> None:
        """Return when all files are written, and delete the checkpoints that are no longer kept.

        Raises:
            OSError: A checkpoint could not be written; ENOSPC where the disk is full.
        """
        if self._writing:
            self._writing = False
            with self._written():
                if self._together is None:
                    self._saver.wait_until_finished()
                else:
                    self._together.wait()
            self._prune()

    def close(self) -> None:
        """Wait, then release the resources of orbax.

        Raises:
            OSError: A checkpoint could not be written; ENOSPC where the disk is full.
        """
        try:
            self.wait()
        finally:
            saver, self._saver = self._saver, None
            if saver is not None:
                with self._silence, self._written():
                    saver.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, LostHostError):  # what is being written together will never be complete
            return
        try:
            self.close()
        except OSError as other:
            if error is None:
                raise
            error.add_note(str(other))

    def _orbax(self) -> Any:
        """The writer of checkpoints in the background, made when it is first needed."""
        if self._saver is None:
            self._silence.enter_context(orbax_files.quiet())  # until the last thread has ended
            together = self._processes.count > 1
            self._saver = orbax_files.writer(
                (lambda **given: cast(Writing, self._together).meet(**given)) if together else None
            )
        return self._saver

    @contextlib.contextmanager
    def _written(self) -> Iterator[None]:
        """Turn every error of orbax, also from its threads, into an OSError."""
        try:
            yield
        except Exception as error:
            if self._processes.count > 1:  # its threads may still wait for those of a process that has failed
                self._saver = None
            self._clean()
            if disk_is_full(error):
                raise OSError(errno.ENOSPC, f"no space left for a checkpoint in {self.folder}") from error
            raise OSError(f"a checkpoint in {self.folder} could not be written: {_reason(error)}") from error

    def _complete(self) -> list[int]:
        if not self.folder.is_dir():
            return []
        # orbax moves a checkpoint to its number when it is complete.
        return sorted(int(p.name) for p in self.folder.iterdir() if p.name.isdecimal() and p.is_dir())

    def _clean(self) -> None:
        """Delete checkpoints that were not completely written, or not completely deleted."""
        if not self._processes.leads:
            return
        for pattern in _LEFTOVERS:
            for path in self.folder.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)

    def _prune(self) -> None:
        """Delete all but the latest and the best."""
        if not self._processes.leads:
            return
        steps = self._complete()
        kept = {*steps[-self._keep :], *self._ranked(warn=False)[:1]}
        for step in [s for s in steps if s not in kept]:
            # Renamed first, so that no half-deleted checkpoint has a number if the process is killed.
            (self.folder / str(step)).rename(self.folder / f"{step}.deleted")
        self._clean()

    def _ranked(self, *, warn: bool) -> list[int]:
        """Steps of the checkpoints that carry the metric, the best first."""
        values = {}
        for step in self._complete() if self._best is not None else ():
            try:
                metrics = self.meta(step)["metrics"]
                if metrics is not None and not isinstance(metrics.get(self._best), int | float):
                    raise ValueError(f"metrics/metrics has no number {self._best!r}")
            except Exception as error:
                if warn:
                    self._damaged(step, error)
                continue
            if metrics is not None and math.isfinite(metrics[self._best]):
                values[step] = metrics[self._best]
        return sorted(values, key=lambda step: values[step])

    def _state(self, step: int, meta: dict[str, Any], like: Any) -> Any:
        target = {path: np.zeros(leaf.shape, leaf.dtype) for path, leaf in flatten(like).items()}
        leaves = orbax_files.read(self.folder / str(step) / "state", target)
        if digest(leaves) != meta["digest"]:
            raise ValueError("the bytes of its state are not those that were saved (digest differs)")
        return jax.tree.unflatten(jax.tree.structure(like), [leaves[path] for path in flatten(like)])

    def _damaged(self, step: int, error: Exception) -> None:
        warnings.warn(
            f"checkpoint {step} in {self.folder} is damaged ({_reason(error)}); trying another",
            DamagedCheckpointWarning,
            stacklevel=3,
        )

    def _same_model(self, step: int, saved: dict[str, str], expected: dict[str, str]) -> None:
        if saved == expected:
            return
        differing = [p for p in sorted({*saved, *expected}) if saved.get(p) != expected.get(p)]
        path = differing[0]
        raise OtherRunError(
            f"checkpoint {step} in {self.folder} is of another model: {len(differing)} arrays differ, first {path}: "
            f"saved {saved.get(path, 'absent')}, expected {expected.get(path, 'absent')}"
        )


def _reason(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200] if text else type(error).__name__
