"""Checkpoints by orbax: atomic, asynchronous, verified.

A checkpoint is a state, flat by path, and a JSON text beside it: the digest of the state, its structure and
whatever the caller adds. The digest is verified on restore, so that a damaged checkpoint is noticed; then the one
before is taken. Nothing is unpickled.
"""

import contextlib
import logging
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxgen.digest import digest, flatten, structure


class DamagedCheckpointWarning(UserWarning):
    """A checkpoint could not be read or is not what was saved; an earlier one was taken."""


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without orbax's warnings of what is meant: opening read-only, saving without metrics after a signal."""
    absl = logging.getLogger("absl")
    level = absl.level
    absl.setLevel(logging.ERROR)
    try:
        yield
    finally:
        absl.setLevel(level)


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: Where they lie, one folder per step.
        keep: How many of the latest to keep; the best is kept besides.
        best: Name of the metric whose smallest value marks the best; None for no best.
        read_only: Whether nothing in the folder may change.

    Raises:
        ValueError: keep below 1.
    """

    def __init__(self, folder: Path, *, keep: int = 3, best: str | None = None, read_only: bool = False):
        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep}")
        self.folder, self._best = Path(folder).absolute(), best
        # Imported here: orbax takes longer to import than the rest of the library.
        import orbax.checkpoint as ocp
        from orbax.checkpoint.checkpoint_managers import AnyPreservationPolicy, BestN, LatestN

        policies: list[Any] = [LatestN(keep)]
        if best is not None:
            policies.append(
                BestN(get_metric_fn=lambda m: m[best], reverse=True, n=1, keep_checkpoints_without_metrics=False)
            )
        self._ocp = ocp
        with _quiet():
            self._manager = ocp.CheckpointManager(
                self.folder,
                item_names=("state", "meta"),
                options=ocp.CheckpointManagerOptions(
                    preservation_policy=AnyPreservationPolicy(policies),
                    best_fn=None if best is None else lambda m: m[best],  # without it orbax writes no metrics
                    best_mode="min",
                    cleanup_tmp_directories=not read_only,
                    read_only=read_only,
                    create=not read_only,
                    enable_async_checkpointing=True,
                ),
            )

    def steps(self) -> list[int]:
        """Steps of the complete checkpoints, ascending."""
        return sorted(self._manager.all_steps())

    def best_step(self) -> int | None:
        """Step of the best checkpoint, None if no checkpoint carries the metric."""
        return None if self._best is None else self._manager.best_step()

    def save(self, step: int, state: Any, meta: dict[str, Any], metrics: dict[str, float] | None = None) -> str:
        """Save; the files are written in the background.

        Args:
            step: Number under which it is found again.
            state: Any pytree of arrays; copied to the host before this returns.
            meta: What belongs to it, as JSON.
            metrics: Evaluated at this step, for the choice of the best.

        Returns:
            The digest of the state.

        Raises:
            FloatingPointError: The state holds a value that is not finite; nothing is saved.
            OSError: A save before this one could not be written.
        """
        # A copy of our own: the training loop reuses the buffers while the files are still being written.
        leaves = {path: np.array(leaf) for path, leaf in flatten(state).items()}
        for path, leaf in leaves.items():
            if np.issubdtype(leaf.dtype, np.floating) and not np.isfinite(leaf).all():
                raise FloatingPointError(f"{path} holds values that are not finite at step {step}; not saved")
        identity = digest(leaves)
        with _quiet():
            self._manager.save(
                step,
                args=self._ocp.args.Composite(
                    state=self._ocp.args.StandardSave(leaves),
                    meta=self._ocp.args.JsonSave({**meta, "digest": identity, "structure": structure(leaves)}),
                ),
                metrics=metrics,
                force=True,
            )
        return identity

    def restore(self, like: Any, step: int | None = None) -> tuple[Any, dict[str, Any]]:
        """The newest checkpoint that is whole, or that of a given step.

        Args:
            like: A state of the same structure, or its `jax.eval_shape`.
            step: Which one; None takes the newest, and the one before it where the newest is damaged.

        Returns:
            The state (numpy arrays) and the JSON that was saved with it.

        Raises:
            FileNotFoundError: No checkpoint is whole, or there is none at `step`.
            ValueError: The checkpoint is of another model.
        """
        candidates = self.steps()[::-1]
        if step is not None:
            if step not in candidates:
                raise FileNotFoundError(f"no checkpoint of step {step} in {self.folder}; there are {candidates[::-1]}")
            candidates = [step]
        for candidate in candidates:
            try:
                meta = self._meta(candidate)
            except Exception as error:
                self._damaged(candidate, error)
                continue
            self._same_model(candidate, meta["structure"], structure(like))
            try:
                return self._state(candidate, meta, like), meta
            except Exception as error:
                self._damaged(candidate, error)
        raise FileNotFoundError(f"no whole checkpoint in {self.folder}")

    def meta(self, step: int) -> dict[str, Any]:
        """The JSON saved with a checkpoint."""
        return self._meta(step)

    def set_aside(self, after: int) -> None:
        """Move checkpoints later than `after` out of the way (they are damaged): nothing is deleted."""
        for step in [s for s in self.steps() if s > after]:
            place = self.folder.parent / "damaged" / str(step)
            place.parent.mkdir(exist_ok=True)
            if place.exists():
                shutil.rmtree(place)
            (self.folder / str(step)).rename(place)
        self._manager.reload()

    def wait(self) -> None:
        """Return when all files are written."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait, then release what orbax holds."""
        self._manager.close()

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _meta(self, step: int) -> dict[str, Any]:
        args = self._ocp.args.Composite(meta=self._ocp.args.JsonRestore())
        return self._manager.restore(step, args=args)["meta"]

    def _state(self, step: int, meta: dict[str, Any], like: Any) -> Any:
        target = {path: np.zeros(leaf.shape, leaf.dtype) for path, leaf in flatten(like).items()}
        args = self._ocp.args.Composite(state=self._ocp.args.StandardRestore(target))
        leaves = self._manager.restore(step, args=args)["state"]
        if digest(leaves) != meta["digest"]:
            raise ValueError("its bytes are not those that were saved (digest differs)")
        return jax.tree.unflatten(jax.tree.structure(like), [leaves[path] for path in flatten(like)])

    def _damaged(self, step: int, error: Exception) -> None:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        warnings.warn(
            f"checkpoint {step} in {self.folder} is damaged ({reason[:200]}); trying the one before",
            DamagedCheckpointWarning,
            stacklevel=3,
        )

    def _same_model(self, step: int, saved: dict[str, str], expected: dict[str, str]) -> None:
        if saved == expected:
            return
        differing = [p for p in sorted({*saved, *expected}) if saved.get(p) != expected.get(p)]
        path = differing[0]
        raise ValueError(
            f"checkpoint {step} in {self.folder} is of another model: {len(differing)} arrays differ, first {path}: "
            f"saved {saved.get(path, 'absent')}, expected {expected.get(path, 'absent')}"
        )
