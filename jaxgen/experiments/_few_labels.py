"""Parts that the experiments with few labels share: data, members, report and pictures.

Each draw of the labels is a member of an ensemble, and all members are trained side by side: they see the same examples
without labels, and labelled ones of their own. Labels of the validation and test sets are read by the evaluation alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxgen import data, evaluate, train
from jaxgen.core import Estimate, GenerativeModel, PRNGKey, Spec
from jaxgen.data import Dataset
from jaxgen.data.labelled import of_draws
from jaxgen.rehearsal import host, rehearsing
from jaxgen.runs import Experiment, Settings, pictures
from jaxgen.train.ensemble import member

_CHECKED = 2000  # examples that checkpoints are evaluated on


@dataclass(frozen=True)
class Config(Settings):
    """Settings of the experiments with few labels.

    Args:
        data: Name of a data set of images with labels: "digits", which scikit-learn carries, or "mnist".
        per_class: Labelled examples of each class; the labels of all others are not used.
        draws: Draws of the labelled examples, a model for each; all of them are trained at once.
    """

    data: str = "digits"
    per_class: int = 10
    draws: int = 1
    batch_size: int = 100

    def __post_init__(self):
        super().__post_init__()
        self.require(per_class=1, draws=1)

    def dataset(self) -> Dataset:
        """The data with few labels, drawn from the seed."""
        return data.few_labels(self.loaded(), self.root(), self.per_class, self.draws)

    def loaded(self) -> Any:
        """The data with all labels."""
        return data.load(self.data, seed=self.seed)

    def root(self) -> PRNGKey:
        """Key of the draws of the labels, the same on every machine."""
        return jax.random.key(self.seed, impl="threefry2x32")


def members(model: GenerativeModel, draws: int) -> GenerativeModel:
    """A model for each draw of the labels, as one model."""
    return train.ensemble(model, draws, parts_of=partial(of_draws, draws=draws))


def errors(model: GenerativeModel, key: PRNGKey, variables: Any, split: Any, draws: int) -> dict[str, np.ndarray]:
    """Metrics of each draw's member on a split, each [draws, n].

    Args:
        model: The model of one draw.
        key: Root of the draws of the evaluation.
        variables: Variables of all members, stacked.
        split: Examples with labels.
        draws: Number of members.
    """
    each = [evaluate.per_example(model, key, member(variables, s), split) for s in range(draws)]
    return {name: np.stack([values[name] for values in each]) for name in each[0]}


def over_draws(values: np.ndarray, unit: str) -> Estimate:
    """The mean over draws with its standard error; over examples where there is one draw.

    Args:
        values: One value per draw and example, [draws, n].
        unit: Unit of the values.
    """
    return evaluate.estimate(values.mean(axis=1) if len(values) > 1 else values[0], unit)


def estimates(model: GenerativeModel, config: Config, units: Mapping[str, str]) -> Callable[..., dict[str, Estimate]]:
    """(key, variables, split) -> error and other metrics, the mean over the draws; quick, on the first examples."""

    def found(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
        some = split.rows(np.arange(min(_CHECKED, len(split))))
        values = errors(model, key, variables, some, config.draws)
        return {name: over_draws(column, units.get(name, "nats")) for name, column in values.items()}

    return found


def report(
    model: GenerativeModel, config: Config, dataset: Dataset, units: Mapping[str, str]
) -> Callable[[PRNGKey, Any, Any], dict[str, Estimate]]:
    """(key, variables, split) -> metrics as means over the draws, the error of every draw, and that of pixels."""
    few: Any = dataset.train

    def found(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
        values = errors(model, key, variables, split, config.draws)
        of = f"share wrong, {config.draws} draw(s) of {len(few.known())} labels"
        results = {
            name: over_draws(column, of if name == "error" else units.get(name, "nats"))
            for name, column in values.items()
        }
        results |= {f"error/draw_{s}": evaluate.estimate(row, "share wrong") for s, row in enumerate(values["error"])}
        if split is dataset.test and not rehearsing():
            results["error/pixels"] = probed(lambda x: x.reshape(len(x), -1), few, split, config.draws)
        return results

    return found


def probed(features: Callable[[np.ndarray], Any], few: Any, split: Any, draws: int) -> Estimate:
    """Error of a logistic regression on features, of every draw's labelled examples, as a mean over the draws.

    Args:
        features: Function (x in storage dtype) -> features [n, f].
        few: Training examples with few labels.
        split: Examples with labels.
        draws: Number of draws.
    """
    known = [few.known(s) for s in range(draws)]
    wrong = 1 - evaluate.few_label_probe(features, known, split)
    error = float(np.std(wrong, ddof=1) / np.sqrt(draws)) if draws > 1 else None
    return Estimate(float(wrong.mean()), error, f"share wrong, {draws} draw(s)")


def classes_of_samples(model: GenerativeModel, spec: Spec, title: str, rows: int = 6) -> Callable[[PRNGKey, Any], Any]:
    """(key, state) -> a figure of samples of the first member, a column for each class; a row has one z.

    Args:
        model: The model of one draw, whose `sample` takes labels.
        spec: Description of the data.
        title: First words of the title.
        rows: Number of rows.
    """
    num_classes = spec.num_classes or 0

    def figure(key: PRNGKey, state: Any) -> Any:
        variables = member(state.variables, 0)
        columns = [host(model.sample(key, variables, rows, label=y)) for y in range(num_classes)]
        x = np.stack(columns, axis=1).reshape(-1, *spec.event_shape)
        said = f"{title} after {int(state.step)} steps: columns are labels, rows are z"
        return pictures.examples({"": x}, spec, title=said, columns=num_classes)

    return figure


def mistakes(
    classify: Callable[[Any, Any], Any], dataset: Dataset, title: str, num: int = 20
) -> Callable[[PRNGKey, Any], Any]:
    """(key, state) -> a figure of the labelled examples of the first draw, and of test examples that are misread.

    Args:
        classify: Function (variables of one member, x) -> log-probabilities of the labels.
        dataset: The data.
        title: First words of the title.
        num: Number of misread examples, the first of the test set.
    """
    few: Any = dataset.train

    def figure(key: PRNGKey, state: Any) -> Any:
        del key
        variables = member(state.variables, 0)
        some: Any = dataset.test.rows(np.arange(min(_CHECKED, len(dataset.test))))
        says = host(classify(variables, some.x)).argmax(axis=1)
        wrong = np.flatnonzero(says != some.label)[:num]
        name = dataset.spec.class_name
        read = ", ".join(f"{name(int(some.label[i]))} as {name(int(says[i]))}" for i in wrong)
        known = few.known().rows(np.argsort(few.known().label, kind="stable")).x
        groups = {f"all {len(known)} labelled examples of draw 0": data.to_unit(known, dataset.spec)}
        if len(wrong):
            groups[f"misread test examples, the first there are: {read}"] = data.to_unit(some.x[wrong], dataset.spec)
        said = f"{title} after {int(state.step)} steps: {(says != some.label).mean():.2%} of {len(some)} are misread"
        return pictures.examples(groups, dataset.spec, title=said, columns=20)

    return figure


def experiment(config: Config, model: GenerativeModel, dataset: Dataset, name: str, picture: Any, **units: str) -> Any:
    """The experiment of a model of one draw.

    Args:
        config: Settings of the experiment.
        model: The model of one draw.
        dataset: The data with few labels.
        name: Name of the model in titles.
        picture: Function (key, state) -> the main figure.
        units: Units of the metrics, by name.
    """
    units = {"error": "share wrong", "error_by_bound": "share wrong, by the bound", **units}
    title = f"{name} on {dataset.name}, seed {config.seed}"
    return Experiment(
        model=members(model, config.draws),
        dataset=dataset,
        evaluate=estimates(model, config, units),
        picture=picture,
        samples=lambda x, said: config.samples_figure(dataset.spec, x, said),
        report=report(model, config, dataset, units),
        pictures={"labels": mistakes(model.parts.classify, dataset, title)},
    )
