"""Parts that the experiments in continuous time share."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxgen import evaluate, flow, plot
from jaxgen.core import Estimate, GenerativeModel, PRNGKey
from jaxgen.experiments import _ddpm, _images
from jaxgen.rehearsal import host, rehearsing
from jaxgen.runs import Experiment, pictures

Sampler = flow.AnySampler

estimates = _ddpm.estimates
"""(model, dataset) -> the function of the bound and its three terms, of discrete data in bits/dim as well."""


def named(sampler: Any) -> str:
    """A sampler in a few words: "Heun, 25 steps"."""
    steps = f"{sampler.num_steps} step{'s' * (sampler.num_steps != 1)}"
    order = f" of order {sampler.order}" if isinstance(sampler, flow.DPMSolver) else ""
    return f"{type(sampler).__name__}{order}, {steps}"


def calls(sampler: Any) -> int:
    """Calls of the network that a sampler makes for one sample."""
    twice = isinstance(sampler, flow.Heun | flow.Churned)
    return 2 * sampler.num_steps - 1 if twice else sampler.num_steps


def film_strip(model: GenerativeModel, dataset: Any, sampler: Sampler, **options: Any) -> Callable[[PRNGKey, Any], Any]:
    """(key, state) -> a figure of the way from noise to data: a row for each sample, of points a panel for each
    moment."""

    def figure(key: PRNGKey, state: Any) -> Any:
        event = dataset.spec.event_shape
        grid = len(event) > 1
        drawn = 8 if grid else 400
        chosen, said = _images.labels(dataset, options.get("conditional", False), drawn, drawn)
        chain = host(model.parts.chain(key, state.variables, drawn, sampler=sampler, **chosen))
        rows = np.unique(np.linspace(0, len(chain) - 1, min(12, len(chain))).round().astype(int))
        chain = chain[rows]
        title = f"{dataset.name}: from noise (left) to data, k = 0 .. {drawn - 1}{said.replace('columns', 'rows')}, "
        title += named(sampler)
        if grid:
            groups = {"": np.swapaxes(chain, 0, 1).reshape(-1, *event)}
        else:
            groups = {f"after step {i}": x for i, x in zip(rows, chain, strict=True)}
        return pictures.examples(groups, dataset.spec, title=title, columns=len(chain))

    return figure


def uncurated(
    model: GenerativeModel, dataset: Any, seed: int, samplers: Sequence[Sampler], *, conditional: bool = False
) -> Callable[[PRNGKey, Any], Any]:
    """(key, state) -> a figure of the samples k = 0 .. by each of the samplers, all from the same noise."""

    def figure(key: PRNGKey, state: Any) -> Any:
        num = 60 if len(samplers) < 3 else 40
        chosen, said = _images.labels(dataset, conditional, num, 20)
        return pictures.examples(
            {
                f"{named(sampler)}{said}": model.sample(key, state.variables, num, sampler=sampler, **chosen)
                for sampler in samplers
            },
            dataset.spec,
            title=f"{dataset.name} after {int(state.step)} steps of training, seed {seed}: samples k = 0 .. {num - 1}, "
            "as they come",
            columns=20,
        )

    return figure


def steps_against_error(model: GenerativeModel, dataset: Any, num: int = 64) -> Callable[[PRNGKey, Any], Any]:
    """(key, state) -> how far the samples of a few steps are from those of many, from the same noise."""

    def figure(key: PRNGKey, state: Any) -> Any:
        def drawn(sampler: Sampler) -> np.ndarray:
            return host(model.sample(key, state.variables, num, sampler=sampler))

        exact = drawn(flow.Heun(200, flow.Karras()))
        kinds: Mapping[str, Callable[[int], Sampler]] = {
            "Euler": lambda n: flow.Euler(n, flow.Karras()),
            "Heun": lambda n: flow.Heun(n, flow.Karras()),
            "DPM-Solver++ of order 2": lambda n: flow.DPMSolver(n, order=2),
            "DPM-Solver++ of order 3": lambda n: flow.DPMSolver(n, order=3),
        }
        lines = {}
        for name, kind in kinds.items():
            samplers = [kind(n) for n in (4, 8, 16, 32)]
            errors = [float(np.sqrt(np.mean(np.square(drawn(sampler) - exact)))) for sampler in samplers]
            lines[name] = (np.array([calls(sampler) for sampler in samplers]), np.array(errors))
        return plot.lines(
            {"": lines},
            title=f"{dataset.name}: error of few steps against {named(flow.Heun(200))}, {num} samples",
            x_label="calls of the network",
            y_label="root mean square difference",
            log=("x", "y"),
        )

    return figure


def frechet(
    model: GenerativeModel,
    dataset: Any,
    key: PRNGKey,
    variables: Any,
    split: str,
    samplers: Sequence[Sampler],
    num: int,
    **options: Any,
) -> dict[str, Estimate]:
    """Fréchet distance of the samples by each sampler, in the features of the library's own classifier.

    Images without labels, which have no classifier, are compared by their pixels; what is no image is not compared.

    Args:
        model: The model.
        dataset: Its data.
        key: Key of the draws, the same for all samplers.
        variables: Variables of the model.
        split: Name of the split that samples are compared with.
        samplers: Ways from noise to the data.
        num: Number of samples, and of real images; no more than the split has.
        options: Further arguments of the model's `sample`.

    Returns:
        The distances by sampler, and that of as many other real images, "frechet/real images".
    """
    spec = dataset.spec
    if rehearsing() or len(spec.event_shape) != 3:
        return {}
    judge = None if spec.num_classes is None else evaluate.trained_judge(dataset)
    features = evaluate.pixel_features(spec) if judge is None else evaluate.classifier_features(judge)
    real = evaluate.reference(dataset, features, judge=judge, num=num, split=split)
    unit = f"{num} samples, {split} split, features {features.digest[:12]}"

    def distance(moments: Any, calls: str) -> Estimate:
        return Estimate(evaluate.frechet_distance(moments, real.real.moments), None, f"{unit}{calls}")

    found = {"frechet/real images": distance(real.floor.moments, "")}
    for sampler in samplers:
        x = evaluate.samples(model, key, variables, num, sampler=sampler, **options)
        num_calls = calls(sampler)
        said = f", {num_calls} call{'s' * (num_calls != 1)} of the network"
        found[f"frechet/{named(sampler)}"] = distance(evaluate.moments(features(x)), said)
    return found


def experiment(
    model: GenerativeModel,
    dataset: Any,
    seed: int,
    report: Callable[[PRNGKey, Any, Any], Mapping[str, Estimate]] | None = None,
    sampler: Sampler | None = None,
    *,
    tried: Sequence[Sampler] = (),
    conditional: bool = False,
    name: str = "flow",
) -> Experiment:
    """A model in continuous time on examples of any kind: what is measured, and what is drawn, whatever the network.

    Args:
        model: The model.
        dataset: Its data.
        seed: Seed to name in the pictures.
        report: Measurements at the end of the run; None for the bound alone.
        sampler: Sampler of the samples that are measured and shown; None for the model's own.
        tried: Samplers that are shown beside it.
        conditional: Whether the model takes labels.
        name: Name of the kind of model in the pictures.
    """
    used = model.parts.sampler if sampler is None else sampler
    return Experiment(
        model=model,
        dataset=dataset,
        evaluate=estimates(model, dataset),
        picture=_images.beside_neighbours(
            model,
            dataset,
            name,
            seed,
            label=f"sampled, as they come, {named(used)}",
            conditional=conditional,
            sampler=used,
        ),
        samples=_images.samples(dataset.spec),
        report=report,
        sampling={} if sampler is None else {"sampler": sampler},
        pictures={
            "samples": uncurated(model, dataset, seed, [used, *tried], conditional=conditional),
            "chain": film_strip(model, dataset, used, conditional=conditional),
        },
    )
