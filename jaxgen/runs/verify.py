"""Training again from the manifest, and comparing to the bit: digests, checkpoints, records and results."""

import signal
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from jaxgen.runs import environment, hosts, inspection, outside
from jaxgen.runs.again import again, elsewhere
from jaxgen.runs.belonging import built, other_experiment, same_experiment
from jaxgen.runs.config import difference
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.stages import stages
from jaxgen.train import digest
from jaxgen.train.hosts import Processes, everyone


class Report(NamedTuple):
    """Result of a verification.

    Attributes:
        equal: Steps up to the first difference whose digests are equal.
        parted: The first step with another digest, None if all are equal.
        differences: Differences in data, versions, device and flags, one line each.
        wrong: Checkpoints, records and results that are not the run's, one line each.
        unseen: Parts that were not looked at, one line each.
        interrupted: Name of the signal that ended it early, or None.
        near: On fewer devices than the run had, or in another number of processes, where the last bits may differ: by
            step of a checkpoint, how far what was learned again is from it, relative to its norm. Empty otherwise.
    """

    equal: list[int]
    parted: int | None
    differences: list[str]
    wrong: list[str] = []  # noqa: RUF012
    unseen: list[str] = []  # noqa: RUF012
    interrupted: str | None = None
    near: Mapping[int, float] = MappingProxyType({})

    @property
    def passed(self) -> bool:
        """Whether all that was to be looked at was, and is the run's."""
        return self.parted is None and self.interrupted is None and bool(self.equal) and not self.wrong

    @property
    def code(self) -> int:
        """The exit status of `jaxgen verify`: 0 verified, 1 not the same, 130 or 143 interrupted."""
        if self.interrupted and self.parted is None and not self.wrong:
            return 128 + signal.Signals[self.interrupted]
        return 0 if self.passed else 1

    def __str__(self) -> str:
        since = f"equal until step {self.equal[-1]}" if self.equal else "never equal"
        if self.passed:
            head = f"verified: the state is the same to the bit at steps {', '.join(map(str, self.equal))}"
        elif self.parted is not None and self.near:
            head = f"not verified to the bit, which takes the devices that the run had: parted at step {self.parted}"
        elif self.parted is not None:
            head = f"NOT the same: parted at step {self.parted} ({since})"
        elif self.wrong:
            head = f"NOT the same: the states are ({since}), but not all that lies in the folder is the run's"
        elif self.interrupted:
            head = f"not verified: interrupted by {self.interrupted} ({since})"
        else:
            head = "not verified: the manifest has no digests"
        lines = [head]
        lines += [
            f"  step {step}: what was learned is {d:.1e} away, relative to its norm" for step, d in self.near.items()
        ]
        for name, found in (("wrong", self.wrong), ("differs", self.differences), ("not looked at", self.unseen)):
            lines += [f"  {name}: {line}" for line in found]
        return "\n".join(lines)


class _Parted(Exception):
    pass


def verify(
    path: Path | str,
    *,
    experiment: outside.Source | None = None,
    accept_changed: bool = False,
    progress: bool = True,
) -> Report:
    """Train again from a run's manifest, in memory, and compare with what lies in its folder.

    A run of several processes has the bits of as many: start this in each of them, after `jax.distributed.initialize`.
    They train together, as they do in `train`; the first one alone reads checkpoints, records and results.

    States are compared by their digests at all steps that the manifest has one of, and at those of the checkpoints. The
    bytes of the checkpoints, the records and the results are compared too, timing left out; the report says what of
    these was not looked at.

    Args:
        path: The run's folder; nothing in it is changed.
        experiment: Experiment outside jaxgen that the run is of: its file, the name of its module, or its Config.
        accept_changed: Train with an experiment outside jaxgen whose text has changed since: the report says so, and
            whether the bits are the same.
        progress: Whether to show progress.

    Returns:
        The report, the same in every process; training ends at the first difference, or at Ctrl-C.

    Raises:
        FileNotFoundError: There is no run, or its data are gone.
        ValueError: The manifest is damaged, the experiment has changed, or the processes differ in code, run or data.
        HostError: Another process has failed or ended.
    """
    processes = everyone()
    with processes.agreeing():
        return _verified(path, experiment, accept_changed, progress and processes.leads, processes)


def _verified(
    path: Path | str, experiment: outside.Source | None, accept_changed: bool, progress: bool, processes: Processes
) -> Report:
    hosts.begun(processes, path)
    folder = RunFolder(path, experiment)
    config = folder.config
    same_experiment(folder, config, accept_changed, "verify")
    hosts.same_program(processes, config)
    changed = other_experiment(folder, config, since_the_start=True)
    differences = [changed] if changed else []
    whole = built(folder, config)
    hosts.same_data(processes, whole.dataset)
    if whole.dataset.fingerprint != folder.data["fingerprint"]:
        differences.append(
            f"data: fingerprint {str(folder.manifest['data']['fingerprint'])[:16]} -> {whole.dataset.fingerprint[:16]}"
        )
    for stage in stages(folder.manifest):
        since = f" (from step {stage['first']} on)" if stage["first"] else ""
        differences += [line + since for line in difference(stage["environment"], environment.describe())]
    found, wrong = processes.first(lambda: inspection.checkpoint_digests(folder, config, whole))
    found = {int(step): value for step, value in found.items()}
    if not all(step.isdecimal() for step in folder.manifest["digests"]):
        raise ValueError(f"{folder.path / 'manifest.json'} is damaged: digests must be by step")
    expected = {**found, **{int(step): value for step, value in folder.manifest["digests"].items()}}
    equal: list[int] = []
    others: list[int] = []
    near: dict[int, float] = {}
    fewer = any(elsewhere(stage) for stage in stages(folder.manifest))

    def compare(step: int, state: Any, _window: Any = None) -> None:
        seen = processes.own(state)
        if processes.first(lambda: digest(seen) == expected[step]):
            equal.extend([] if others else [step])
            return
        if not fewer:
            raise _Parted(step)
        others.append(step)
        if step in found:
            near[step] = processes.first(lambda: inspection.distance(folder, config, whole, step, seen))

    records: list[dict[str, Any]] = []
    parted = interrupted = state = None
    end = max(expected, default=0)
    if expected:
        try:
            state, interrupted = again(folder, config, whole, expected, compare, records, progress, processes)
        except _Parted as difference_found:
            parted = difference_found.args[0]
        parted = others[0] if others else parted
    seen = processes.own(state)

    def concluded() -> Report:
        last = equal[-1] if equal else -1
        with warnings.catch_warnings(record=True) as damage:
            warnings.simplefilter("always")
            kept = folder.records()
        mistaken = [str(warning.message) for warning in damage] + inspection.other_records(kept, records, last)
        unseen = inspection.unseen(folder, kept, last)
        if interrupted:
            unseen.append(f"steps after {last}: {interrupted} came")
        if seen is not None and not interrupted and parted is None and end == config.steps:
            others, passed_over = inspection.other_results(folder, config, whole, seen, progress)
            mistaken, unseen = mistaken + others, unseen + passed_over
        elif folder.manifest.get("results"):
            unseen.append("the results, which are of another state than training again came to")
        return Report(equal, parted, differences, wrong + mistaken, unseen, interrupted, near)

    report = processes.first(concluded)
    if processes.leads:
        return report
    told = Report(*report)  # as JSON brought it
    return told._replace(near={int(step): distance for step, distance in told.near.items()})
