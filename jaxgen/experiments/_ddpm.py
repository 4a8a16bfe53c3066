"""What the experiments with diffusion models share."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from jaxgen import ddpm, evaluate, plot
from jaxgen.core import Estimate, GenerativeModel, PRNGKey
from jaxgen.experiments import _images
from jaxgen.runs import Experiment

QUICK = ddpm.DDIM(num_steps=50)
"""For pictures on the way."""


def estimates(model: GenerativeModel, dataset: Any) -> Callable[[PRNGKey, Any, Any], dict[str, Estimate]]:
    """(key, state, split) -> the bound and its three terms, in bits/dim as well where the data are discrete."""

    def found(key: PRNGKey, state: Any, split: Any) -> dict[str, Estimate]:
        rows = evaluate.estimates(evaluate.per_example(model, key, state, split), f"nats, {model.parts.measure}")
        if model.parts.discrete:
            bits = {
                f"{name}/bits_per_dim": evaluate.bits_per_dim(row, dataset.spec.num_dimensions)
                for name, row in rows.items()
            }
            rows |= {"bits_per_dim": bits.pop("negative_bound/bits_per_dim"), **bits}
        return rows

    return found


def uncurated(model: GenerativeModel, dataset: Any, seed: int) -> Callable[[PRNGKey, Any], Any]:
    """(key, state) -> a figure of the samples k = 0 .. 99, by the whole generative process."""

    def figure(key: PRNGKey, state: Any) -> Any:
        return plot.images(
            model.sample(key, state, 100),
            title=f"DDPM on {dataset.name} after {int(state.step)} steps, seed {seed}: samples k = 0 .. 99, "
            f"{model.parts.schedule.num_timesteps} steps each",
            columns=10,
        )

    return figure


def film_strip(model: GenerativeModel, dataset: Any, num: int = 8, moments: int = 12) -> Callable[[PRNGKey, Any], Any]:
    """(key, state) -> a figure of the way down, a row for each sample."""

    def figure(key: PRNGKey, state: Any) -> Any:
        num_timesteps = model.parts.schedule.num_timesteps
        chain = np.asarray(model.parts.chain(key, state, num, keep=-(-num_timesteps // moments)))
        return plot.images(
            chain.swapaxes(0, 1).reshape(-1, *chain.shape[2:]),
            title=f"DDPM on {dataset.name}: from x_T, t = {num_timesteps} (left), to x_0, k = 0 .. {num - 1}",
            columns=len(chain),
        )

    return figure


def terms(model: GenerativeModel, dataset: Any, num: int = 32) -> Callable[[PRNGKey, Any], Any]:
    """(key, state) -> what each step costs, and the sum from T down to it: all t, on the first test images."""

    shown = min(num, len(dataset.test))

    def figure(key: PRNGKey, state: Any) -> Any:
        bound = model.parts.bound(key, state, dataset.test.rows(np.arange(shown)).arrays)
        costs = np.asarray(bound.per_t).mean(axis=1)
        scale, unit = 1.0, f"nats, {model.parts.measure}"
        if model.parts.discrete:
            scale, unit = 1 / (np.log(2) * dataset.spec.num_dimensions), "bits/dim"
        t = np.arange(1, len(costs) + 1)
        below = scale * (np.cumsum(costs[::-1])[::-1] + float(np.mean(bound.prior)))
        return plot.lines(
            {
                f"what step t costs ({unit})": {
                    "denoising": (t[1:], scale * costs[1:]),
                    "reconstruction": (t[:1], scale * costs[:1]),
                },
                f"prior and all steps from T down to t ({unit})": {"": (t, below)},
            },
            title=f"DDPM on {dataset.name} after {int(state.step)} steps: the terms of the bound, {shown} test images",
            x_label="t",
            log=("x", "y"),
        )

    return figure


def experiment(
    model: GenerativeModel,
    dataset: Any,
    seed: int,
    report: Callable[[PRNGKey, Any, Any], Mapping[str, Estimate]] | None = None,
    sampler: ddpm.Ancestral | ddpm.DDIM | ddpm.DPMSolver | None = None,
) -> Experiment:
    """A diffusion model on images: what is measured, and what is drawn, whatever the network.

    Args:
        model: The model.
        dataset: Its data.
        seed: Named in the pictures.
        report: What is measured at the end; None for the bound alone.
        sampler: That draws thousands to be measured; None for the whole generative process.
    """
    quick = _at_most(model, QUICK)
    return Experiment(
        model=model,
        dataset=dataset,
        evaluate=estimates(model, dataset),
        picture=_images.beside_neighbours(
            model, dataset, "DDPM", seed, label=f"sampled, as they come, {quick}", sampler=quick
        ),
        samples=lambda x, title: plot.images(x, title=title),
        report=report,
        sampling={} if sampler is None else {"sampler": sampler},
        pictures={
            "samples": uncurated(model, dataset, seed),
            "chain": film_strip(model, dataset),
            "terms": terms(model, dataset),
        },
    )


def _at_most(model: GenerativeModel, sampler: ddpm.DDIM) -> ddpm.DDIM:
    """A sampler with no more steps than there are."""
    most = model.parts.schedule.num_timesteps
    return ddpm.DDIM(min(sampler.num_steps or most, most), sampler.eta)
