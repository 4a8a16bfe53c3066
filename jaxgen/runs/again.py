"""Training again, in memory, as a run was trained: stage by stage, with the settings of each."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax

from jaxgen.runs import start
from jaxgen.runs.config import from_json
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.names import home_of
from jaxgen.runs.settings import EVALUATE, Experiment, Settings
from jaxgen.runs.stages import at_hand, rescheduled, stages
from jaxgen.train import Hook, Window, fit, parallel
from jaxgen.train.hosts import ALONE, Processes
from jaxgen.train.program import model_of_its_own


def again(
    folder: RunFolder,
    config: Settings,
    experiment: Experiment,
    expected: dict[int, str],
    compare: Callable[..., None],
    records: list[dict[str, Any]],
    progress: bool,
    processes: Processes = ALONE,
) -> tuple[Any, str | None]:
    """Train stage by stage as a run was trained.

    Args:
        folder: The run.
        config: Its config.
        experiment: Its experiment.
        expected: Digests by step; training ends at the last of these steps.
        compare: (step, state, window) -> None, called at each of these steps, in every process.
        records: List to which the records are added, as metrics.jsonl has them; those of evaluations in the first
            process alone.
        progress: Whether to show progress.
        processes: Processes that train together.

    Returns:
        The state at the end, and the name of the signal that came, if one did.
    """
    root, dataset = jax.random.key(config.seed), experiment.dataset
    batches = dataset.train.batches(seed=config.seed, batch_size=config.batch_size_for(len(dataset.train)))
    plan = stages(folder.manifest)
    ends = [*(stage["first"] for stage in plan[1:]), max(expected)]
    state = start.kept(folder, jax.eval_shape(experiment.model.init, root, batches(0)))  # or None, for `fit` to make it
    windows: list[Window | None] = [None]
    for stage, end in zip(plan, ends, strict=True):
        then = at_hand(dataclasses.replace(from_json(stage["config"], home_of(type(config))), **_place(config)))
        model = _model(then, experiment) if rescheduled(config, then) else experiment.model

        def validate(step: int, state: Any, _window: Any) -> None:
            if experiment.best is None or dataset.valid is None:
                return
            variables = parallel.gathered(processes.own(state)).variables  # in all: it may have to be brought together
            if processes.leads:
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
    if max(expected) == 0:  # of no step, no hook is called
        compare(0, state)
    return state, None


def elsewhere(stage: Mapping[str, Any]) -> bool:
    """Whether a stage of a run had devices, or processes that summed over them, other than those that will be used.

    Args:
        stage: A stage of the manifest.
    """
    device, devices = stage["environment"].get("device"), stage["config"].get("devices", 1)
    processes = device.get("processes", 1) if isinstance(device, dict) else 1
    if processes != jax.process_count():
        return True
    return devices != jax.device_count() if processes > 1 else devices > jax.device_count()


def _regular(step: int, config: Settings) -> bool:
    return step % config.log_every == 0 or step == config.steps


def _place(config: Settings) -> dict[str, Any]:
    """Where the data lie by now."""
    return {"data": getattr(config, "data")} if hasattr(config, "data") else {}  # noqa: B009


def _model(config: Settings, experiment: Experiment) -> Any:
    """The model of a stage, whose schedules may be others."""
    model = config.model_for(experiment.dataset.spec)
    return config.build().model if model is None else model
