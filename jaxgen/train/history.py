"""The history of a run: its records and its time, and the error for metrics that are not finite."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np


class NonFiniteError(FloatingPointError):
    """A metric became NaN or infinite.

    Attributes:
        step: Step that returned the metric.
        metric: Name of the metric.
        value: Value of the metric.
    """

    def __init__(self, step: int, metric: str, value: float, remark: str = ""):
        super().__init__(f"metric {metric!r} is {value} at step {step}{remark}")
        self.step, self.metric, self.value = step, metric, value


@dataclass
class History:
    """The records of a run and the time that it took.

    Attributes:
        records: One mapping per record: "step", the exact mean of every metric since the record before, and
            "steps_per_second".
        compile_seconds: Time until the step was compiled.
        run_seconds: Time of the steps, without hooks.
        num_steps: Steps made in that time.
        interrupted: Name of the signal that ended the run early, or None.
        stopped: Reason why the run ended early: that signal, the reason of a `Stop`, or batches that came to their end.
            None where all steps were made.
    """

    records: list[dict[str, Any]] = field(default_factory=list)
    compile_seconds: float = 0.0
    run_seconds: float = 0.0
    num_steps: int = 0
    interrupted: str | None = None
    stopped: str | None = None

    @property
    def steps_per_second(self) -> float:
        """Mean speed, without compilation and hooks."""
        return self.num_steps / self.run_seconds if self.run_seconds > 0 else float("nan")

    def __repr__(self) -> str:
        last = self.records[-1] if self.records else {}
        metrics = ", ".join(f"{k} {v:.4g}" for k, v in last.items() if isinstance(v, float) and k != "steps_per_second")
        said = [f"{len(self.records)} records"]
        if last:
            said.append(f"the last of step {last['step']}: {metrics[:120]}")
        if self.num_steps:
            said.append(f"{self.num_steps} steps at {self.steps_per_second:.3g} steps/s")
        if self.stopped:
            said.append(f"stopped: {self.stopped}")
        return f"History({'; '.join(said)})"

    def __getitem__(self, name: str) -> np.ndarray:
        """One column of the records, for those records that have it."""
        column = [record[name] for record in self.records if name in record]
        if not column:
            names = sorted({name for record in self.records for name in record})
            raise KeyError(f"no record has {name!r}; there are {names}")
        return np.array(column)
