"""The folder of a run.

    manifest.json   config, experiment (outside jaxgen), versions, device, flags, data, digests by step, results
    metrics.jsonl   one record per line
    checkpoints/    by orbax
    pictures/       PNG
    samples/        those of `jaxgen sample` that no picture shows, .npy
    frames/         samples of the same draws over the run, one .npy for each moment
    start/          the state of another run from which this one started, if it did
    profile/        traces of some steps, of `jaxgen train --profile`
    damaged/        checkpoints that could not be read, set aside

The manifest comes first. Every file appears whole or not at all (metrics.jsonl grows by whole lines), and one process
trains at a time, under the lock, so that a run that was killed at any moment can be resumed.
"""

import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from jaxgen import atomic
from jaxgen.runs import outside
from jaxgen.runs.config import from_json
from jaxgen.runs.names import home_of, name_of


class RunFolder:
    """A run's folder, open for reading.

    Args:
        path: The folder.
        experiment: Experiment outside jaxgen that the run is of: its file, the name of its module, or its Config.

    Raises:
        FileNotFoundError: There is no run.
        ValueError: Its manifest is no JSON, or not a manifest.
    """

    def __init__(self, path: Path | str, experiment: outside.Source | None = None):
        self.path = Path(path)
        self._experiment = experiment
        name = self.path / "manifest.json"
        try:
            text = name.read_text(encoding="utf-8")
        except (FileNotFoundError, NotADirectoryError):
            lost = f"; it has been lost, {self.path / 'checkpoints'} is there" if self.checkpoints.is_dir() else ""
            raise FileNotFoundError(f"no run in {self.path}: it has no manifest.json{lost}") from None
        except UnicodeDecodeError as error:
            raise ValueError(f"{name} is not JSON: {error}") from None
        try:
            manifest = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{name} is not JSON: {error}") from None
        entries = manifest if isinstance(manifest, dict) else {}
        needed = ("config", "environment", "data", "digests")
        missing = [entry for entry in needed if entry not in entries]
        if missing:
            raise ValueError(f"{name} is not a run's manifest: it lacks {', '.join(missing)}")
        # "experiment" is there only where it is outside jaxgen.
        wrong = [entry for entry in (*needed, "experiment") if not isinstance(entries.get(entry, {}), dict)]
        if wrong:
            raise ValueError(f"{name} is not a run's manifest: {', '.join(wrong)} must be a JSON object")
        self.manifest: dict[str, Any] = entries

    @classmethod
    def create(cls, path: Path | str, manifest: dict[str, Any]) -> "RunFolder":
        """Write the manifest of a new run; `lock` first."""
        _write(Path(path) / "manifest.json", manifest)
        return cls(path)

    @property
    def data(self) -> dict[str, Any]:
        """Name and fingerprint of the data, and their spec where the run is not older than that.

        Raises:
            ValueError: Name or fingerprint is missing.
        """
        data = self.manifest["data"]
        unnamed = [word for word in ("name", "fingerprint") if not isinstance(data.get(word), str)]
        if unnamed:
            raise ValueError(f"the data in {self.path / 'manifest.json'} must have a {' and a '.join(unnamed)}")
        return data

    @property
    def kind(self) -> str:
        """Name of the run's experiment, as `jaxgen train` takes it."""
        own = self.manifest.get("experiment", {}).get("name")
        name = str(own or self.manifest["config"].get("type", ""))
        return name.removeprefix("jaxgen.experiments.").removesuffix(".Config")

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def pictures(self) -> Path:
        return self.path / "pictures"

    @property
    def _frames(self) -> Path:
        return self.path / "frames"

    def add_frame(self, step: int, samples: np.ndarray) -> None:
        """Keep the samples of one moment."""
        self._frames.mkdir(exist_ok=True)
        atomic.write_array(self._frame(step), samples)

    def frames(self) -> dict[str, np.ndarray]:
        """Samples by moment ("step 100"), in order; one that cannot be read is left out with a warning."""
        frames = {}
        for step in self._frame_steps():
            try:
                # Opened here: numpy would leave a file open that is no whole array.
                with self._frame(step).open("rb") as file:
                    frames[f"step {step}"] = np.load(file, allow_pickle=False)
            except Exception as error:  # a flipped byte in the header of an array raises nearly anything
                warnings.warn(f"{self._frame(step)} is damaged and left out: {error}", stacklevel=2)
        return frames

    def has_frame(self, step: int) -> bool:
        """Whether the samples of a moment are kept."""
        return self._frame(step).exists()

    def _frame(self, step: int) -> Path:
        return self._frames / f"step_{step:010d}.npy"

    def _frame_steps(self) -> list[int]:
        names = (re.fullmatch(r"step_(\d{10,})\.npy", path.name) for path in self._frames.glob("step_*.npy"))
        return sorted(int(name[1]) for name in names if name)

    @property
    def config(self) -> Any:
        """The config of the run, rebuilt from the manifest.

        Raises:
            FileNotFoundError: There is no such experiment.
            ValueError: The config is damaged, or the experiment is not given, or given to a run that needs none.
        """
        own = self.manifest.get("experiment")
        if own is not None and self._experiment is None:
            raise ValueError(
                f"the run in {self.path} is of an experiment outside jaxgen, which is imported only where you name it: "
                f"give it, as --experiment {own.get('name')} or experiment=Config"
            )
        home = None if self._experiment is None else home_of(outside.load(self._experiment))
        try:
            config = from_json(self.manifest["config"], home)
        except (TypeError, ValueError) as error:
            raise ValueError(f"the config in {self.path / 'manifest.json'} is not valid: {error}") from None
        if home is not None and home_of(type(config)) is None:
            raise ValueError(
                f"the run in {self.path} is of jaxgen's own {name_of(type(config))}; leave --experiment out"
            )
        return config

    def update(self, **entries: Any) -> None:
        """Change entries of the manifest, on disk as well."""
        self.manifest = {**self.manifest, **entries}
        _write(self.path / "manifest.json", self.manifest)

    def records(self) -> list[dict[str, Any]]:
        """The records of metrics.jsonl.

        Blank lines are passed over and a last line that was cut off is left out; any other line that is no record is
        left out with a warning.
        """
        return self._read_records()[0]

    def rewind(self, step: int) -> None:
        """Drop the records and frames after a step: they will be made again.

        Where a line is no record, the file is kept as metrics.jsonl.damaged as well.
        """
        for frame in self._frame_steps():
            if frame > step:
                self._frame(frame).unlink()
        path = self.path / "metrics.jsonl"
        records, damaged, cut = self._read_records()
        kept = [record for record in records if record["step"] <= step]
        if len(kept) == len(records) and not damaged and not cut:
            return
        if damaged:
            others = 0
            while (aside := path.with_name(f"{path.name}.damaged{f'.{others}' if others else ''}")).exists():
                others += 1
            atomic.write_bytes(aside, path.read_bytes())
        atomic.write_text(path, "".join(json.dumps(record) + "\n" for record in kept))

    def append(self, record: dict[str, Any]) -> None:
        """Add a record to metrics.jsonl."""
        with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def _read_records(self) -> tuple[list[dict[str, Any]], bool, bool]:
        """The records, whether there are lines that are none, and whether the end of the file was cut off."""
        path = self.path / "metrics.jsonl"
        lines = path.read_bytes().split(b"\n") if path.exists() else [b""]
        records, damaged = [], {}
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                records.append(_record(line))
            except ValueError as error:
                damaged[number] = str(error)
        # Every line ends in a line feed: what comes behind the last one was cut off by whatever ended the process.
        cut = lines[-1] != b""
        damaged.pop(len(lines), None)
        if damaged:
            which = "; ".join(f"line {number}: {reason}" for number, reason in list(damaged.items())[:3])
            which += f"; and {len(damaged) - 3} more" if len(damaged) > 3 else ""
            warnings.warn(f"{path} is damaged, not every line is a record ({which}); all others are kept", stacklevel=3)
        return records, bool(damaged), cut


def _record(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line.decode())
    except (ValueError, RecursionError):
        raise ValueError("not JSON") from None
    if not isinstance(record, dict):
        raise ValueError("no JSON object")
    step = record.get("step")
    if not isinstance(step, int) or isinstance(step, bool) or step < 0:
        raise ValueError('no "step"' if "step" not in record else f'"step" is {step!r}')
    return record


def _write(path: Path, tree: dict[str, Any]) -> None:
    atomic.write_text(path, json.dumps(tree, indent=2) + "\n")
