"""The small files of a checkpoint, and the digests that show damage to them.

<step>/meta/metadata         JSON: digest and structure of the state, the metrics, the caller's entries, and a digest
                             of them all
<step>/metrics/metrics       JSON: the metrics measured at this step, if any
<step>/_CHECKPOINT_METADATA  and others: JSON that orbax writes for itself
"""

import hashlib
import json
from pathlib import Path
from typing import Any

_META, _METRICS = "meta/metadata", "metrics/metrics"
_OF_ORBAX = ("_CHECKPOINT_METADATA", "state/_METADATA", "state/_sharding", "state/array_metadatas/process_0")
"""JSON files of orbax, any of which may be absent."""


def sealed(meta: dict[str, Any]) -> dict[str, Any]:
    """JSON as it comes back from a file, with its digest.

    Raises:
        TypeError: A value that JSON cannot hold.
    """
    meta = json.loads(json.dumps(meta))
    return {**meta, "meta_digest": _digest(meta)}


def read(checkpoint: Path) -> dict[str, Any]:
    """The JSON of a checkpoint, "metrics" among it (None if nothing was measured).

    Args:
        checkpoint: The folder of one step.

    Raises:
        ValueError: A damaged file; the message says which one, and how.
    """
    for name in _OF_ORBAX:
        if (checkpoint / name).exists():
            _json(checkpoint, name)
    meta = _json(checkpoint, _META)
    if not isinstance(meta.get("digest"), str) or not isinstance(meta.get("structure"), dict):
        raise ValueError(f"{_META} lacks the digest or the structure of the state")
    # Checkpoints of earlier versions have no digest of their JSON.
    if "meta_digest" in meta and meta["meta_digest"] != _digest(meta):
        raise ValueError(f"{_META} is not what was saved (digest differs)")
    metrics = _json(checkpoint, _METRICS) if (checkpoint / "metrics").exists() else None
    if "metrics" in meta and json.dumps(metrics) != json.dumps(meta["metrics"]):  # as text: NaN is not equal to itself
        raise ValueError(f"{_METRICS} is not what was saved: {metrics} instead of {meta['metrics']}")
    return {**meta, "metrics": metrics}


def _json(checkpoint: Path, name: str) -> dict[str, Any]:
    """The JSON object in one file."""
    try:
        content = json.loads((checkpoint / name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{name} is missing") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{name} must hold a JSON object, got {str(content)[:40]}")
    return content


def _digest(meta: dict[str, Any]) -> str:
    """SHA-256 of all entries but the config, in hex.

    The config is compared field by field by the caller, because new fields may have been added since it was written.
    """
    entries = {name: value for name, value in meta.items() if name not in ("config", "meta_digest")}
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()
