"""Training again from the manifest, and comparing to the bit."""

from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxgen.runs import environment
from jaxgen.runs.belonging import built
from jaxgen.runs.config import difference
from jaxgen.runs.folder import RunFolder
from jaxgen.train import Hook, digest, fit, parallel


class Report(NamedTuple):
    """What verification found.

    Attributes:
        equal: Steps up to the first difference whose digests are equal.
        parted: The first step with another digest, None if all are equal.
        differences: What differs in data, versions, device and flags, one line each.
    """

    equal: list[int]
    parted: int | None
    differences: list[str]

    @property
    def passed(self) -> bool:
        return self.parted is None and bool(self.equal)

    def __str__(self) -> str:
        if self.passed:
            head = f"verified: the state is the same to the bit at steps {', '.join(map(str, self.equal))}"
        elif self.parted is None:
            head = "not verified: the manifest has no digests"
        else:
            since = f"equal until step {self.equal[-1]}" if self.equal else "never equal"
            head = f"NOT the same: parted at step {self.parted} ({since})"
        return "\n".join([head, *(f"  differs: {line}" for line in self.differences)])


class _Parted(Exception):
    pass


def verify(path: Path | str, *, progress: bool = True) -> Report:
    """Train again from a run's manifest, in memory, and compare the digests step by step.

    Args:
        path: The run's folder; nothing in it is changed.
        progress: Whether to show progress.

    Returns:
        The report; training ends at the first difference.

    Raises:
        FileNotFoundError: There is no run.
        ValueError: The manifest is damaged.
    """
    folder = RunFolder(path)
    config = folder.config
    experiment = built(folder, config)
    differences = []
    if experiment.dataset.fingerprint != folder.manifest["data"]["fingerprint"]:
        differences.append(
            f"data: fingerprint {folder.manifest['data']['fingerprint'][:16]} -> {experiment.dataset.fingerprint[:16]}"
        )
    differences += difference(folder.manifest["environment"], environment.describe())
    expected = {int(step): value for step, value in folder.manifest["digests"].items()}
    equal: list[int] = []
    train = experiment.dataset.train

    def compare(step: int, state: Any, _window: Any) -> None:
        if digest(state) != expected[step]:
            raise _Parted(step)
        equal.append(step)

    try:
        fit(
            experiment.model,
            train.batches(seed=config.seed, batch_size=config.batch_size_for(len(train))),
            jax.random.key(config.seed),
            max(expected, default=0),
            hooks=[Hook(compare, steps=tuple(sorted(expected)), at_end=False)],
            log_every=config.log_every,
            mesh=parallel.mesh(config.devices) if config.devices > 1 else None,
            progress=progress,
        )
    except _Parted as parted:
        return Report(equal, parted.args[0], differences)
    return Report(equal, None, differences)
