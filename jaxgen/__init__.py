"""jaxgen: generative models in JAX, equation by equation.

    import jaxgen as jg

    digits = jg.data.load("digits")
    model = jg.vae.model(jg.vae.Config(latent_dim=8), digits.spec)

A room is imported when its name is first used, so that importing jaxgen costs little more than importing jax.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxgen import (
        autoencoder,
        codec,
        core,
        data,
        ddpm,
        distributions,
        evaluate,
        flow,
        gan,
        nn,
        optimizers,
        paths,
        plot,
        runs,
        train,
        vae,
    )

__version__ = "0.1.0"

__all__ = [
    "autoencoder",
    "codec",
    "core",
    "data",
    "ddpm",
    "distributions",
    "evaluate",
    "flow",
    "gan",
    "nn",
    "optimizers",
    "paths",
    "plot",
    "runs",
    "train",
    "vae",
]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'jaxgen' has no attribute {name!r}; there are {', '.join(__all__)}")
    return importlib.import_module(f"jaxgen.{name}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
