"""A rehearsal, before the first step, of all that a run needs in its last minute.

Every picture and every report is walked through on shapes alone (`jaxgen.rehearsal`): nothing is compiled or computed,
no key is used up, and a run of hours does not end in an error that was there from the start.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from jaxgen.core import PRNGKey, Variables
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
    if not hasattr(like, "variables"):
        raise ValueError(
            f"the state of a model must have variables, what inference reads of it, such as core.TrainState, got "
            f"{type(like).__name__}"
        )
    two = test.rows(np.arange(min(2, len(test))))

    def sampled(key: PRNGKey, variables: Variables) -> Any:
        x = model.sample(key, variables, _SHOWN, **experiment.sampling)
        return experiment.samples(host(x), "")

    parts: dict[str, tuple[Callable[..., Any], Any]] = {
        "a step": (lambda key, state: model.step(key, state, batch), like),
        "the evaluation": (lambda key, variables: experiment.evaluate(key, variables, two), like.variables),
        "the picture": (experiment.picture, like),
        **{f"the picture {name!r}": (draw, like) for name, draw in experiment.pictures.items()},
        "samples": (sampled, like.variables),
    }
    if experiment.report is not None:
        report = experiment.report
        parts["the report"] = (lambda key, variables: report(key, variables, two), like.variables)
    with figures.put_away(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the zeros; what is true is said again at its time
        for name, (part, given) in parts.items():
            try:
                rehearse(part, key, given)
            except _FAULTS as error:
                raise ValueError(f"this run would fail in {name}: {error}") from error
            except (ArithmeticError, OSError, RuntimeError):
                continue
