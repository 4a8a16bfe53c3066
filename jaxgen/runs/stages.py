"""The stages of a run: which config, on which machine, made which steps.

Most runs have one stage. A run that goes on for more steps than it was meant to, or on another number of devices, has
more: the manifest then lists them, so that `verify` can train again as the run was trained.

    "stages": [{"first": 0, "config": {...}, "environment": {...}}, {"first": 30, ...}]
"""

import dataclasses
import warnings
from collections.abc import Mapping
from typing import Any

import jax

from jaxgen.runs import environment, outside
from jaxgen.runs.config import completed, difference, from_json
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.names import home_of
from jaxgen.runs.settings import Settings

_TRAINING = ("steps", "devices", "shard_state", "log_every", "checkpoint_every")
"""Fields that may change in a run and without which it cannot be trained again as it was."""


def stages(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The stages of a run, in order, each with "first", "config", "environment", and "experiment" outside jaxgen."""
    whole = {
        "first": 0,
        **{name: manifest[name] for name in ("config", "environment", "experiment") if name in manifest},
    }
    return manifest.get("stages") or [whole]


def at_hand(config: Settings) -> Settings:
    """The config for the machine at hand: with fewer devices where it has fewer than the run had.

    Args:
        config: Config of a run that was begun, perhaps elsewhere.
    """
    available = jax.device_count()
    if jax.process_count() > 1:  # all of them take part
        return dataclasses.replace(config, devices=available)
    if config.devices <= available:
        return config
    devices = max(count for count in range(1, available + 1) if config.batch_size % count == 0)
    warnings.warn(
        f"the run was trained on {config.devices} devices and there are {available} here: {devices} will be used, "
        "and the last bits may differ",
        stacklevel=3,
    )
    return dataclasses.replace(config, devices=devices)


def rescheduled(old: Any, new: Settings) -> list[str]:
    """Parts of a config whose schedule is another because the run lasts another number of steps, by name.

    Args:
        old: The config that the run had.
        new: The config that it goes on with.
    """
    before, after = _schedules(old, old.steps), _schedules(new, new.steps)
    return [name for name, schedule in after.items() if before.get(name) != schedule]


def go_on(folder: RunFolder, config: Settings, step: int) -> None:
    """Write into the manifest that the run goes on from a step with this config, and warn of what that changes.

    Args:
        folder: The run.
        config: The config that it goes on with; its fixed fields are those of the run.
        step: The step that it goes on from.
    """
    manifest, new, here = folder.manifest, config.described(), environment.describe()
    before = stages(manifest)
    measured = {name for name in config.at_hand if name not in Settings.at_hand}
    entries: dict[str, Any] = {"config": new}
    if step < config.steps or any(manifest["config"].get(name) != new[name] for name in measured):
        entries |= {"results": {}, "finished": None}
    if step >= config.steps:  # nothing is trained any more, and what trained it remains as it was
        now = before
    else:
        was = [stage for stage in before if stage["first"] <= step][-1]
        moved = rescheduled(_rebuilt(was["config"], config), config)
        _warn(folder, was["config"], new, step, moved)
        now = [stage for stage in before if stage["first"] < step]
        own = outside.entry_of(type(config))
        changed = own is not None and outside.differ(was.get("experiment"), own)
        if not now or changed or _training(now[-1]["config"]) != _training(new) or now[-1]["environment"] != here:
            now.append(
                {"first": step, "config": new, "environment": here} | ({} if own is None else {"experiment": own})
            )
        devices = _devices(was["config"]) != _devices(new)
        if (
            moved or devices or changed or before[-1]["first"] > step
        ):  # of steps that will not be made again in this way
            entries["digests"] = {at: value for at, value in manifest["digests"].items() if int(at) <= step}
    alone = len(now) == 1 and _training(now[0]["config"]) == _training(new)
    entries |= {name: now[0][name] for name in ("environment", "experiment") if name in now[0]}
    entries["stages"] = [] if alone else now
    # The names of today are no change.
    kept = {**manifest, "config": completed(manifest["config"], home_of(type(config)))}
    if any((kept.get(name) or None) != (value or None) for name, value in entries.items()):
        folder.update(**entries)


def _training(tree: dict[str, Any]) -> dict[str, Any]:
    # What is left out is as where a config of before that field had been written.
    return {name: tree[name] for name in _TRAINING if tree.get(name, False) is not False}


def _devices(tree: dict[str, Any]) -> tuple[Any, bool]:
    """Settings that the order of sums depends on: number of devices, and whether they share the state."""
    return tree.get("devices"), bool(tree.get("shard_state")) and tree.get("devices") != 1


def _warn(folder: RunFolder, old: dict[str, Any], new: dict[str, Any], step: int, moved: list[str]) -> None:
    changes = difference(_training(old), _training(new))
    if step == 0:
        return
    devices, shorter = _devices(old) != _devices(new), new["steps"] < old.get("steps", 0)
    if not moved and not devices and not shorter:
        return
    text = f"the run in {folder.path} goes on from step {step} with another setting ({'; '.join(changes)})"
    if moved:
        text += (
            f": {', '.join(moved)} was set up for {old.get('steps')} steps and is for {new['steps']} from now on, so "
            "that the rest differs from a run that was begun with these steps"
        )
    if devices:
        text += "; on another number of devices, or with the state divided otherwise, the last bits may differ"
    warnings.warn(text, stacklevel=8)


def _rebuilt(tree: dict[str, Any], config: Settings) -> Any:
    try:
        return from_json(tree, home_of(type(config)))
    except (TypeError, ValueError):  # a config of a notebook: its fixed fields are those of the run
        return dataclasses.replace(config, steps=tree.get("steps", config.steps))


def _schedules(part: Any, num_steps: int, at: str = "") -> dict[str, Any]:
    """Parts of a config that are to last so many steps, by their place in it."""
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        return {}
    lasting = getattr(part, "lasting", None)
    if lasting is not None:
        lasted = lasting(num_steps)
        # A model's config lasts by its optimizers and schedules, which are named one by one.
        values = {field.name: getattr(lasted, field.name) for field in dataclasses.fields(lasted)}
        if any(hasattr(value, "transformation") for value in values.values()):
            return {f"{at}.{name}": value for name, value in values.items() if hasattr(value, "lasting")}
        return {at: lasted}
    found: dict[str, Any] = {}
    for field in dataclasses.fields(part):
        found |= _schedules(getattr(part, field.name), num_steps, f"{at}.{field.name}" if at else field.name)
    return found
