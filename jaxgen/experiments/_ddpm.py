"""Parts that the experiments with diffusion models share."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

import jax.numpy as jnp
import numpy as np

from jaxgen import ddpm, evaluate, plot
from jaxgen.core import Estimate, GenerativeModel, PRNGKey
from jaxgen.experiments import _images
from jaxgen.rehearsal import host
from jaxgen.runs import Experiment, pictures

Sampler: TypeAlias = ddpm.Ancestral | ddpm.DDIM | ddpm.DPMSolver
S = TypeVar("S", bound=Sampler)

QUICK = ddpm.DDIM(num_steps=50)
"""For pictures on the way."""


def estimates(model: GenerativeModel, dataset: Any) -> Callable[[PRNGKey, Any, Any], dict[str, Estimate]]:
    """(key, variables, split) -> the bound and its three terms, in bits/dim as well where the data are discrete."""

    def found(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
        rows = evaluate.estimates(evaluate.per_example(model, key, variables, split), f"nats, {model.parts.measure}")
        if model.parts.discrete:
            bits = {
                f"{name}/bits_per_dim": evaluate.bits_per_dim(row, dataset.spec.num_dimensions)
                for name, row in rows.items()
            }
            rows |= {"bits_per_dim": bits.pop("negative_bound/bits_per_dim"), **bits}
        return rows

    return found


def uncurated(
    model: GenerativeModel, dataset: Any, seed: int, conditional: bool = False
) -> Callable[[PRNGKey, Any], Any]:
    """(key, state) -> a figure of the samples k = 0 .. 99, by the whole generative process."""

    def figure(key: PRNGKey, state: Any) -> Any:
        chosen, said = _images.labels(dataset, conditional, 100, 10)
        return pictures.examples(
            {"": model.sample(key, state.variables, 100, **chosen)},
            dataset.spec,
            title=f"DDPM on {dataset.name} after {int(state.step)} steps, seed {seed}: samples k = 0 .. 99{said}, "
            f"{model.parts.schedule.num_timesteps} steps each",
            columns=10,
        )

    return figure


def film_strip(
    model: GenerativeModel, dataset: Any, num: int = 8, moments: int = 12, conditional: bool = False
) -> Callable[[PRNGKey, Any], Any]:
    """(key, state) -> a figure of the way down: a row for each sample, of points a panel for each moment."""

    def figure(key: PRNGKey, state: Any) -> Any:
        num_timesteps, event = model.parts.schedule.num_timesteps, dataset.spec.event_shape
        grid = len(event) > 1
        drawn = num if grid else 50 * num
        chosen, said = _images.labels(dataset, conditional, drawn, drawn)
        said = said.replace("columns", "rows")
        chain = model.parts.chain(key, state.variables, drawn, keep=-(-num_timesteps // moments), **chosen)
        title = f"DDPM on {dataset.name}: from x_T, t = {num_timesteps} (left), to x_0, k = 0 .. {drawn - 1}{said}"
        if grid:
            groups = {"": jnp.swapaxes(chain, 0, 1).reshape(-1, *event)}
        else:
            groups = {f"moment {i} of {len(chain) - 1}": x for i, x in enumerate(chain)}
            title = title.replace("(left)", "(moment 0)")
        return pictures.examples(groups, dataset.spec, title=title, columns=len(chain))

    return figure


def terms(model: GenerativeModel, dataset: Any, num: int = 32) -> Callable[[PRNGKey, Any], Any]:
    """(key, variables) -> what each step costs, and the sum from T down to it: all t, on the first test examples."""

    shown = min(num, len(dataset.test))

    def figure(key: PRNGKey, state: Any) -> Any:
        bound = model.parts.bound(key, state.variables, dataset.test.rows(np.arange(shown)).arrays)
        costs = host(bound.per_t).mean(axis=1)
        scale, unit = 1.0, f"nats, {model.parts.measure}"
        if model.parts.discrete:
            scale, unit = 1 / (np.log(2) * dataset.spec.num_dimensions), "bits/dim"
        t = np.arange(1, len(costs) + 1)
        below = scale * (np.cumsum(costs[::-1])[::-1] + host(bound.prior).mean())
        return plot.lines(
            {
                "the cost of step t": {
                    "denoising": (t[1:], scale * costs[1:]),
                    "reconstruction": (t[:1], scale * costs[:1]),
                },
                "prior and all steps from T down to t": {"": (t, below)},
            },
            title=f"DDPM on {dataset.name} after {int(state.step)} steps: the terms of the bound, "
            f"{shown} test examples",
            x_label="t",
            y_label=unit,
            log=("x", "y"),
        )

    return figure


def experiment(
    model: GenerativeModel,
    dataset: Any,
    seed: int,
    report: Callable[[PRNGKey, Any, Any], Mapping[str, Estimate]] | None = None,
    sampler: Sampler | None = None,
    *,
    conditional: bool = False,
) -> Experiment:
    """A diffusion model on examples of any kind: what is measured, and what is drawn, whatever the network.

    Args:
        model: The model.
        dataset: Its data.
        seed: Seed to name in the pictures.
        report: Measurements at the end of the run; None for the bound alone.
        sampler: Sampler of the thousands of samples that are measured; None for the whole generative process.
        conditional: Whether the model takes labels.
    """
    quick = at_most(model, QUICK)
    return Experiment(
        model=model,
        dataset=dataset,
        evaluate=estimates(model, dataset),
        picture=_images.beside_neighbours(
            model,
            dataset,
            "DDPM",
            seed,
            label=f"sampled, as they come, {quick}",
            conditional=conditional,
            sampler=quick,
        ),
        samples=_images.samples(dataset.spec),
        report=report,
        sampling={} if sampler is None else {"sampler": sampler},
        pictures={
            "samples": uncurated(model, dataset, seed, conditional),
            "chain": film_strip(model, dataset, conditional=conditional),
            "terms": terms(model, dataset),
        },
    )


def at_most(model: GenerativeModel, sampler: S) -> S:
    """A sampler with no more steps than there are."""
    most = model.parts.schedule.num_timesteps
    return sampler if sampler.num_steps is None else replace(sampler, num_steps=min(sampler.num_steps, most))
