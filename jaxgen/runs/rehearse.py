"""A rehearsal, before the first step, of all that a run needs in its last minute.

Every picture and every report is walked through on shapes alone (`jaxgen.rehearsal`): nothing is compiled or computed,
no key is used up, and a run of hours does not end in an error that was there from the start.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxgen.core import PRNGKey
from jaxgen.plot import figures
from jaxgen.rehearsal import host, rehearse
from jaxgen.runs.settings import Experiment

_SHOWN = 4
"""Samples that are drawn for the figure of samples."""

# Errors that a shape, a label or an option that does not fit raises. Others, of a division by the zeros that stand for
# unknown numbers or of a disk, say nothing about the end of the run.
_FAULTS = (ValueError, TypeError, LookupError, AttributeError, NotImplementedError, ImportError)


def rehearsed(experiment: Experiment, key: PRNGKey, like: Any, batch: Any) -> None:
    """Go through a step, an evaluation, the report, samples and all pictures of an experiment.

    Functions of the user's own are gone through as far as they ask for no values (see `jaxgen.rehearsal.rehearse`).

    Args:
        experiment: The experiment.
        key: Any key; only its type matters.
        like: Shapes of the state.
        batch: A batch, for the step.

    Raises:
        ValueError: Something would fail: its name, and why.
    """
    model, test = experiment.model, experiment.dataset.test
    two = test.rows(np.arange(min(2, len(test))))

    def sampled(key: PRNGKey, state: Any) -> Any:
        x = model.sample(key, state, _SHOWN, **experiment.sampling)
        return experiment.samples(host(x), "")

    parts: dict[str, Callable[..., Any]] = {
        "a step": lambda key, state: model.step(key, state, batch),
        "the evaluation": lambda key, state: experiment.evaluate(key, state, two),
        "the picture": experiment.picture,
        **{f"the picture {name!r}": draw for name, draw in experiment.pictures.items()},
        "samples": sampled,
    }
    if experiment.report is not None:
        report = experiment.report
        parts["the report"] = lambda key, state: report(key, state, two)
    with figures.put_away(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the zeros; what is true is said again at its time
        for name, part in parts.items():
            try:
                rehearse(part, key, like)
            except _FAULTS as error:
                raise ValueError(f"this run would fail in {name}: {error}") from error
            except (ArithmeticError, OSError, RuntimeError):
                continue
