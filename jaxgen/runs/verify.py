"""Training again from the manifest, and comparing to the bit: digests, checkpoints, records and results."""

import dataclasses
import signal
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import jax

from jaxgen.runs import environment, inspection, outside, start
from jaxgen.runs.belonging import built, other_experiment, same_experiment
from jaxgen.runs.config import difference, from_json
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.names import home_of
from jaxgen.runs.settings import EVALUATE, Experiment, Settings
from jaxgen.runs.stages import at_hand, rescheduled, stages
from jaxgen.train import Hook, Window, digest, fit, parallel
from jaxgen.train.fit import INIT
from jaxgen.train.program import model_of_its_own


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
        The report; training ends at the first difference, or at Ctrl-C.

    Raises:
        FileNotFoundError: There is no run, or its data are gone.
        ValueError: The manifest is damaged, or the experiment has changed.
    """
    folder = RunFolder(path, experiment)
    config = folder.config
    same_experiment(folder, config, accept_changed, "verify")
    changed = other_experiment(folder, config, since_the_start=True)
    differences = [changed] if changed else []
    whole = built(folder, config)
    if whole.dataset.fingerprint != folder.data["fingerprint"]:
        differences.append(
            f"data: fingerprint {str(folder.manifest['data']['fingerprint'])[:16]} -> {whole.dataset.fingerprint[:16]}"
        )
    for stage in stages(folder.manifest):
        since = f" (from step {stage['first']} on)" if stage["first"] else ""
        differences += [line + since for line in difference(stage["environment"], environment.describe())]
    found, wrong = inspection.checkpoint_digests(folder, config, whole)
    if not all(step.isdecimal() for step in folder.manifest["digests"]):
        raise ValueError(f"{folder.path / 'manifest.json'} is damaged: digests must be by step")
    expected = {**found, **{int(step): value for step, value in folder.manifest["digests"].items()}}
    equal: list[int] = []
    others: list[int] = []
    near: dict[int, float] = {}
    fewer = any(_elsewhere(stage) for stage in stages(folder.manifest))

    def compare(step: int, state: Any, _window: Any = None) -> None:
        if digest(state) == expected[step]:
            equal.extend([] if others else [step])
            return
        if not fewer:
            raise _Parted(step)
        others.append(step)
        if step in found:
            near[step] = inspection.distance(folder, config, whole, step, state)

    records: list[dict[str, Any]] = []
    parted = interrupted = state = None
    end = max(expected, default=0)
    if expected:
        try:
            state, interrupted = _again(folder, config, whole, expected, compare, records, progress)
        except _Parted as difference_found:
            parted = difference_found.args[0]
        parted = others[0] if others else parted
    last = equal[-1] if equal else -1
    with warnings.catch_warnings(record=True) as damage:
        warnings.simplefilter("always")
        kept = folder.records()
    wrong += [str(warning.message) for warning in damage] + inspection.other_records(kept, records, last)
    unseen = inspection.unseen(folder, kept, last)
    if interrupted:
        unseen.append(f"steps after {last}: {interrupted} came")
    if state is not None and not interrupted and parted is None and end == config.steps:
        mistaken, passed_over = inspection.other_results(folder, config, whole, state, progress)
        wrong, unseen = wrong + mistaken, unseen + passed_over
    elif folder.manifest.get("results"):
        unseen.append("the results, which are of another state than training again came to")
    return Report(equal, parted, differences, wrong, unseen, interrupted, near)


def _again(
    folder: RunFolder,
    config: Settings,
    experiment: Experiment,
    expected: dict[int, str],
    compare: Callable[..., None],
    records: list[dict[str, Any]],
    progress: bool,
) -> tuple[Any, str | None]:
    """Train stage by stage as the run was trained; the state at the end and the signal that came, if one did."""
    root, dataset = jax.random.key(config.seed), experiment.dataset
    batches = dataset.train.batches(seed=config.seed, batch_size=config.batch_size_for(len(dataset.train)))
    plan = stages(folder.manifest)
    ends = [*(stage["first"] for stage in plan[1:]), max(expected)]
    state = start.kept(folder, jax.eval_shape(experiment.model.init, root, batches(0)))
    if state is None:
        state = experiment.model.init(jax.random.fold_in(root, INIT), batches(0))
    windows: list[Window | None] = [None]
    if max(expected) == 0:
        compare(0, state)
    for stage, end in zip(plan, ends, strict=True):
        then = at_hand(dataclasses.replace(from_json(stage["config"], home_of(type(config))), **_place(config)))
        model = _model(then, experiment) if rescheduled(config, then) else experiment.model

        def validate(step: int, state: Any, _window: Any) -> None:
            if experiment.best is not None and dataset.valid is not None:
                variables = parallel.gathered(state).variables
                values = experiment.evaluate(jax.random.fold_in(root, EVALUATE), variables, dataset.valid)
                records.append({"step": step, **{f"valid/{name}": v.value for name, v in values.items()}})

        with model_of_its_own():
            state, history = fit(
                model,
                batches,
                root,
                min(end, max(expected)),
                state=state,
                window=windows[-1],
                hooks=[
                    Hook(compare, steps=tuple(sorted(expected)), at_end=False),
                    Hook(validate, every=then.checkpoint_every, steps=(then.steps,), at_end=False),
                    Hook(lambda _step, _state, window: windows.append(window)),
                ],
                # Training ends where a stage does, which need not be where the run wrote a record.
                loggers=[lambda r, then=then: records.append(r) if _regular(r["step"], then) else None],
                log_every=then.log_every,
                mesh=parallel.mesh(then.devices) if then.devices > 1 else None,
                shard_state=then.shard_state,
                progress=progress,
            )
        if history.interrupted:
            return state, history.interrupted
    return state, None


def _elsewhere(stage: Mapping[str, Any]) -> bool:
    """Whether a stage had devices, or processes that summed over them, which there are not here."""
    device = stage["environment"].get("device")
    processes = device.get("processes", 1) if isinstance(device, dict) else 1
    return stage["config"].get("devices", 1) > jax.device_count() or processes != jax.process_count()


def _regular(step: int, config: Settings) -> bool:
    return step % config.log_every == 0 or step == config.steps


def _place(config: Settings) -> dict[str, Any]:
    """Where the data lie by now."""
    return {"data": getattr(config, "data")} if hasattr(config, "data") else {}  # noqa: B009


def _model(config: Settings, experiment: Experiment) -> Any:
    """The model of a stage, whose schedules may be others."""
    model = config.model_for(experiment.dataset.spec)
    return config.build().model if model is None else model
