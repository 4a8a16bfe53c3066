"""What the experiments with GANs share."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxgen import data, evaluate, plot
from jaxgen.core import Estimate, GenerativeModel, PRNGKey
from jaxgen.experiments import _images
from jaxgen.runs import Experiment

LEVELS = {
    "value": ("-log 4, where D cannot tell", -math.log(4)),
    "d_real": ("1/2", 0.5),
    "d_fake": ("1/2", 0.5),
    "diversity": ("as the data", 1.0),
}
"""What the curves of a GAN are held against."""


def estimates(model: GenerativeModel) -> Callable[[PRNGKey, Any, Any], dict[str, Estimate]]:
    """(key, state, split) -> V(D, G) and what D says of data and samples."""

    def found(key: PRNGKey, state: Any, split: Any) -> dict[str, Estimate]:
        values = evaluate.per_example(model, key, state, split)
        units = {"value": "nats; -1.386 where D cannot tell", "d_real": "probability", "d_fake": "probability"}
        return {name: evaluate.estimate(column, units[name]) for name, column in values.items()}

    return found


def film(frames: Mapping[str, Any], title: str) -> Any:
    """The same z over the run, a row for each moment."""
    return plot.rows(frames, title=title, columns=max(len(x) for x in frames.values()))


def latent_path(model: GenerativeModel, dataset: Any, seed: int) -> Callable[[PRNGKey, Any], Any]:
    """(key, state) -> a figure of paths in z, and of test images beside the images of the z found for them."""

    def figure(key: PRNGKey, state: Any) -> Any:
        z = model.parts.prior(key, jnp.arange(6, dtype=jnp.int32))
        path = np.asarray(model.parts.interpolate(state, z[:3], z[3:], 10)).swapaxes(0, 1)
        x = data.to_unit(dataset.test.x[:10], dataset.spec)
        _, x_hat, _ = model.parts.invert(key, state, x)
        return plot.rows(
            {
                "on the way from one z to another, three times": path.reshape(-1, *path.shape[2:]),
                "test images": x,
                "G(z) of the z found for them": x_hat,
            },
            title=f"GAN on {dataset.name} after {int(state.step)} steps, seed {seed}: the space of z",
            columns=10,
        )

    return figure


def experiment(
    model: GenerativeModel,
    dataset: Any,
    seed: int,
    report: Callable[[PRNGKey, Any, Any], Mapping[str, Estimate]] | None = None,
) -> Experiment:
    """A GAN on images: what is measured, and what is drawn, whatever the network."""
    return Experiment(
        model=model,
        dataset=dataset,
        evaluate=estimates(model),
        picture=_images.beside_neighbours(model, dataset, "GAN", seed),
        samples=lambda x, title: plot.images(x, title=title),
        report=report,
        film=film,
        levels=LEVELS,
        pictures={"latent": latent_path(model, dataset, seed)},
    )
