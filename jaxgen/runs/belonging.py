"""Whether what lies in a run's folder belongs together: data, config, checkpoints and digests.

Another run's checkpoints have the right shapes, and with one picture deleted from a folder the split is drawn anew
and training images become test images. Neither may go by without a word, whether a run is resumed or looked at.
"""

from pathlib import Path
from typing import Any

from jaxgen import data
from jaxgen.data.names import keys_in_name
from jaxgen.runs import outside
from jaxgen.runs.config import completed, difference, without
from jaxgen.runs.folder import RunFolder
from jaxgen.runs.names import home_of
from jaxgen.runs.settings import Experiment, Settings
from jaxgen.runs.stages import stages
from jaxgen.train.checkpoints import OtherRunError

FREE = ("steps", "data")
"""Fields of any config that may change without making another run: a run may last longer, and its data, known by their
fingerprint, may have moved."""


def fixed(tree: Any, config: Settings) -> Any:
    """A config's JSON, completed, without what may change in a run.

    Args:
        tree: JSON of a config.
        config: The run's config, which knows what may change.
    """
    return without(completed(tree, home_of(type(config))), (*FREE, *config.at_hand))


def belongs(
    folder: RunFolder,
    config: Settings,
    *,
    fingerprint: str | None = None,
    checkpoint: tuple[int, dict[str, Any]] | None = None,
) -> None:
    """Raise unless data and checkpoint are those of the run; what is not given is not looked at.

    Args:
        folder: The run.
        config: The config that the run is used with.
        fingerprint: Fingerprint of the data.
        checkpoint: Step and meta of a checkpoint whose bytes are those of the digest in its meta.

    Raises:
        ValueError: The config, the data or the checkpoint are not the run's; the message says in what they differ.
    """
    manifest = folder.manifest
    changes = difference(fixed(manifest["config"], config), fixed(config.described(), config))
    if changes:
        raise ValueError(
            f"{folder.path} holds a run with another config ({'; '.join(changes)}); "
            "resume it as it was, give a new folder, or start a new run from its state"
        )
    if fingerprint is not None and fingerprint != folder.data["fingerprint"]:
        now = getattr(config, "data", None)
        raise ValueError(
            f"the data have changed since the run in {folder.path} was started (fingerprint differs): it was on "
            f"{manifest['data']['name']} ({str(manifest['data']['fingerprint'])[:12]}), "
            f"the data{'' if now is None else f' {now!r}'} are {fingerprint[:12]}"
        )
    if checkpoint is None:
        return
    step, meta = checkpoint
    same_config(folder, config, meta)
    # A checkpoint that a signal asked for has no digest in the manifest.
    known = manifest["digests"].get(str(step), meta["digest"])
    if known != meta["digest"]:
        raise ValueError(
            f"checkpoint {step} in {folder.path} is not of this run: its state has the digest {meta['digest'][:16]}, "
            f"the manifest says {str(known)[:16]}"
        )


def same_config(folder: RunFolder, config: Settings, meta: dict[str, Any]) -> None:
    """Raise unless a checkpoint was saved with the config of the run.

    Args:
        folder: The run.
        config: The config that the run is used with.
        meta: JSON of a checkpoint.

    Raises:
        OtherRunError: The configs differ; the message says in what.
    """
    changes = difference(fixed(meta["config"], config), fixed(folder.manifest["config"], config))
    if changes:
        raise OtherRunError(f"the config in {folder.path} is not that of its checkpoints ({'; '.join(changes)})")


def other_experiment(folder: RunFolder, config: Settings, *, since_the_start: bool = False) -> str:
    """Message that the text of a run's experiment outside jaxgen has changed since it was trained; "" if it has not.

    Args:
        folder: The run.
        config: The config that the run is used with.
        since_the_start: Whether to compare with the texts of all stages, not of the last alone.
    """
    own = outside.entry_of(type(config))
    kept = [stage.get("experiment") for stage in stages(folder.manifest)]
    changed = [entry for entry in (kept if since_the_start else kept[-1:]) if outside.differ(entry, own)]
    if own is None or not changed or changed[0] is None:
        return ""
    before, now = changed[0]["sha256"][:12], own["sha256"][:12]
    return f"{own['name']} has changed since the run in {folder.path} was trained by it (SHA-256 {before} -> {now})"


def same_experiment(folder: RunFolder, config: Settings, accept_changed: bool, verb: str) -> None:
    """Refuse an experiment outside jaxgen whose text has changed since, unless the user accepts that.

    Args:
        folder: The run.
        config: The config that the run is used with.
        accept_changed: Whether the user accepts it.
        verb: "resume" or "verify".

    Raises:
        ValueError: It has changed.
    """
    changed = other_experiment(folder, config, since_the_start=verb == "verify")
    if changed and not accept_changed:
        raise ValueError(
            f"{changed}; take the file as it was, or accept it: jaxgen {verb} {folder.path} --experiment FILE "
            "--accept-changed"
        )


def built(folder: RunFolder, config: Settings) -> Experiment:
    """The experiment of a run; where its data are missing, the message names the run.

    Args:
        folder: The run.
        config: The config that the run is used with.

    Raises:
        FileNotFoundError: The data are not where the run had them.
        ValueError: The data or the config are refused.
        ImportError: Reading the data needs a package that is not installed.
        ConnectionError: The data could not be downloaded.
    """
    place = getattr(config, "data", None)
    path = Path(keys_in_name(place)[0]) if isinstance(place, str) else None
    if path is not None and path.is_absolute() and not path.exists():
        raise FileNotFoundError(
            f"the data of the run in {folder.path} are no longer at {path}; "
            f"if they have moved, say where to: jaxgen resume {folder.path} --data PLACE"
        )
    try:
        return config.build()
    except (FileNotFoundError, ValueError, ImportError, ConnectionError) as error:
        kinds = (FileNotFoundError, ConnectionError, ImportError)
        kind = next((kind for kind in kinds if isinstance(error, kind)), ValueError)
        hint = ""
        known = place in data.names() or Path(str(place)).is_absolute() or str(place).startswith("tfds:")
        if isinstance(place, str) and not known:
            hint = f"; if {place!r} is a path, use the run in the folder where it was started"
        raise kind(f"the run in {folder.path} cannot be built: {error}{hint}") from error
