"""What the experiments on images share: their numbers and their picture."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxgen import evaluate, plot
from jaxgen.core import Estimate, GenerativeModel, PRNGKey


def estimates(model: GenerativeModel, dataset: Any) -> Callable[[PRNGKey, Any, Any], dict[str, Estimate]]:
    """(key, state, split) -> the bound and its terms, in bits/dim as well where the data are discrete."""

    def found(key: PRNGKey, state: Any, split: Any) -> dict[str, Estimate]:
        values = evaluate.per_example(model, key, state, split)
        rows = evaluate.estimates(values, f"nats, {model.parts.measure}")
        if model.parts.discrete:
            rows["bits_per_dim"] = evaluate.bits_per_dim(rows["negative_elbo"], dataset.spec.num_dimensions)
        return rows

    return found


def reconstructed_and_sampled(
    model: GenerativeModel, dataset: Any, name: str, seed: int, sampled: str = "sampled, z ~ N(0, I)"
) -> Callable[[PRNGKey, Any], Any]:
    """(key, state) -> a figure of real, reconstructed and sampled images."""

    def figure(key: PRNGKey, state: Any) -> Any:
        x = dataset.test.x[:20]
        real = x.astype(np.float32) / (dataset.spec.levels - 1) if dataset.spec.levels else x
        return plot.rows(
            {
                "real (test set)": real,
                "reconstructed": model.parts.reconstruct(state, x),
                sampled: model.sample(key, state, 60),
            },
            title=f"{name} on {dataset.name} after {int(state.step)} steps, seed {seed}",
            columns=20,
        )

    return figure
