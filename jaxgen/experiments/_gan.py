"""Parts that the experiments with GANs share."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from jaxgen import data, evaluate
from jaxgen.core import Estimate, GenerativeModel, PRNGKey
from jaxgen.experiments import _images
from jaxgen.runs import Experiment, pictures

LEVELS = {
    "value": ("-log 4, where D cannot tell", -math.log(4)),
    "d_real": ("1/2", 0.5),
    "d_fake": ("1/2", 0.5),
    "diversity": ("as the data", 1.0),
}
"""Reference lines for the curves of a GAN: name and height, by metric."""


def estimates(model: GenerativeModel) -> Callable[[PRNGKey, Any, Any], dict[str, Estimate]]:
    """(key, variables, split) -> V(D, G) and what D says of data and samples."""

    def found(key: PRNGKey, variables: Any, split: Any) -> dict[str, Estimate]:
        values = evaluate.per_example(model, key, variables, split)
        units = {"value": "nats; -1.386 where D cannot tell", "d_real": "probability", "d_fake": "probability"}
        return {name: evaluate.estimate(column, units[name]) for name, column in values.items()}

    return found


def film(dataset: Any) -> Callable[[Mapping[str, Any], str], Any]:
    """(frames, title) -> a figure of the same z over the run, a row for each moment; points stand beside the data."""

    def figure(frames: Mapping[str, Any], title: str) -> Any:
        columns = max(len(x) for x in frames.values())
        beside = {"data": dataset.test.x[:columns]} if dataset.spec.event_shape == (2,) else {}
        return pictures.examples({**beside, **frames}, dataset.spec, title=title, columns=columns)

    return figure


def latent_path(
    model: GenerativeModel, dataset: Any, seed: int, conditional: bool = False
) -> Callable[[PRNGKey, Any], Any]:
    """(key, state) -> a figure of paths in z, and of test examples beside those of the z found for them.

    With labels each path is one of a class, and z is sought for the label of the test example.
    """

    def figure(key: PRNGKey, state: Any) -> Any:
        z = model.parts.prior(key, jnp.arange(6, dtype=jnp.int32))
        num = min(10, len(dataset.test))
        chosen, _ = _images.labels(dataset, conditional, 3, 3)
        said = ", classes " + ", ".join(map(dataset.spec.class_name, chosen["label"].tolist())) if conditional else ""
        path = model.parts.interpolate(state.variables, z[:3], z[3:], 10, **chosen)
        x = jnp.asarray(data.to_unit(dataset.test.x[:num], dataset.spec))
        own = {"label": jnp.asarray(dataset.test.label[:num])} if conditional else {}
        _, x_hat, _ = model.parts.invert(key, state.variables, x, **own)
        return pictures.examples(
            {
                f"on the way from one z to another, three times{said}": jnp.swapaxes(path, 0, 1).reshape(
                    -1, *x.shape[1:]
                ),
                "test examples": x,
                "G(z) of the z found for them": x_hat,
            },
            dataset.spec,
            title=f"GAN on {dataset.name} after {int(state.step)} steps, seed {seed}: the space of z",
            columns=10,
        )

    return figure


def experiment(
    model: GenerativeModel,
    dataset: Any,
    seed: int,
    report: Callable[[PRNGKey, Any, Any], Mapping[str, Estimate]] | None = None,
    *,
    conditional: bool = False,
) -> Experiment:
    """A GAN on examples of any kind: what is measured, and what is drawn, whatever the network."""
    return Experiment(
        model=model,
        dataset=dataset,
        evaluate=estimates(model),
        picture=_images.beside_neighbours(model, dataset, "GAN", seed, conditional=conditional),
        samples=_images.samples(dataset.spec),
        report=report,
        film=film(dataset),
        film_samples=500 if dataset.spec.event_shape == (2,) else 10,
        levels=LEVELS,
        pictures={"latent": latent_path(model, dataset, seed, conditional)},
    )
