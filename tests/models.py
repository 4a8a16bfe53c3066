"""The models on which the protocol is tested. A new model is one line in `MODELS`."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from jaxgen import autoencoder, data, ddpm, flow, gan, train, vae
from jaxgen.core import GenerativeModel


def tiny_vae(axis_name: str | None = None, **changes: Any) -> tuple[GenerativeModel, Any]:
    digits = data.load("digits")
    config = vae.Config(latent_dim=3, hidden=(16,), axis_name=axis_name, **changes)
    return vae.model(config, digits.spec), digits


def tiny_autoencoder(axis_name: str | None = None, **changes: Any) -> tuple[GenerativeModel, Any]:
    digits = data.load("digits")
    config = autoencoder.Config(latent_dim=3, hidden=(16,), axis_name=axis_name, **changes)
    return autoencoder.model(config, digits.spec), digits


def tiny_gan(axis_name: str | None = None, **changes: Any) -> tuple[GenerativeModel, Any]:
    digits = data.load("digits")
    small = {"network": gan.MLP((16,), (16,)), "latent_dim": 3, "n_critic": 2, "penalty": gan.ZeroCentred(0.1)}
    return gan.model(gan.Config(axis_name=axis_name, **{**small, **changes}), digits.spec), digits


def tiny_dcgan(axis_name: str | None = None) -> tuple[GenerativeModel, Any]:
    """With all that has a memory: batch and spectral normalisation."""
    network, disturbed = gan.DCGAN(features=8, num_groups=4), gan.Augmentation(0.1, 0.2, 0.1)
    return tiny_gan(axis_name, network=network, conditional=True, n_critic=1, augmentation=disturbed)


def tiny_ddpm(axis_name: str | None = None, **changes: Any) -> tuple[GenerativeModel, Any]:
    digits = data.load("digits")
    small = {
        "network": ddpm.UNet(features=4, multipliers=(1,), num_groups=2, attention=(), dropout=0.1),
        "schedule": ddpm.Cosine(12),
        "num_draws": 3,
    }
    return ddpm.model(ddpm.Config(axis_name=axis_name, **{**small, **changes}), digits.spec), digits


def learned_ddpm(axis_name: str | None = None) -> tuple[GenerativeModel, Any]:
    """With all that the plain one leaves out."""
    return tiny_ddpm(
        axis_name,
        network=ddpm.MLP((16,), time_features=8),
        variance=ddpm.LearnedVariance(),
        weighting=ddpm.MinSNR(),
        prediction=ddpm.V(),
        conditional=True,
        flip=True,
    )


def tiny_flow(axis_name: str | None = None, **changes: Any) -> tuple[GenerativeModel, Any]:
    digits = data.load("digits")
    small = {"network": flow.MLP((16,), time_features=8), "num_draws": 3}
    return flow.model(flow.Config(axis_name=axis_name, **{**small, **changes}), digits.spec), digits


def likelihood_flow(axis_name: str | None = None) -> tuple[GenerativeModel, Any]:
    """With all that the plain one leaves out."""
    return tiny_flow(
        axis_name,
        network=flow.MLP((8,), time_features=4),
        path=flow.LearnedLogSNR(num_features=16),
        prediction=flow.Mixture(),
        weighting=flow.Likelihood(),
        fourier=(6, 7),
        conditional=True,
        flip=True,
    )


def pair(made: tuple[GenerativeModel, Any]) -> tuple[GenerativeModel, Any]:
    model, dataset = made
    return train.ensemble(model, 2), dataset


MODELS: dict[str, Callable[..., tuple[GenerativeModel, Any]]] = {
    "autoencoder": tiny_autoencoder,
    "vae-bernoulli": tiny_vae,
    "vae-normal": lambda axis_name=None: tiny_vae(axis_name, likelihood=vae.Normal(learn=True)),
    "vae-discretized": lambda axis_name=None: tiny_vae(axis_name, likelihood=vae.DiscretizedNormal()),
    "vae-convolutional": lambda axis_name=None: tiny_vae(axis_name, features=(8, 16)),
    "vae-importance": lambda axis_name=None: tiny_vae(axis_name, num_samples=3, warmup_steps=5),
    "vae-path": lambda axis_name=None: tiny_vae(axis_name, path_gradient=True, warmup_steps=5),
    "vae-bfloat16": lambda axis_name=None: tiny_vae(axis_name, dtype="bfloat16"),
    "gan": tiny_gan,
    "gan-convolutional": tiny_dcgan,
    "ddpm": tiny_ddpm,
    "ddpm-learned-variance": learned_ddpm,
    "flow": tiny_flow,
    "flow-learned-path": likelihood_flow,
    "flow-average": lambda axis_name=None: tiny_flow(axis_name, average=flow.Average(ratio=0.5)),
    "ensemble-of-vaes": lambda axis_name=None: pair(tiny_vae(axis_name)),
    "vae-accumulate-clip": lambda axis_name=None: tiny_vae(
        axis_name, optimizer=dataclasses.replace(vae.Config().optimizer, accumulate=2, clip_norm=1.0)
    ),
}


COARSE = {"vae-bfloat16"}
"""Models that compute in bfloat16, whose sums depend on their order in the third digit."""


VARIANTS = {
    "ddpm",
    "vae-bfloat16",
    "gan-convolutional",
    "vae-normal",
    "vae-discretized",
    "vae-convolutional",
    "vae-importance",
    "vae-path",
    "vae-accumulate-clip",
    "flow-learned-path",
    "flow-average",
}
"""Models that take the same way through the loop as another one above, or longest: `make test-all` has them too."""


def num_parameters(params: Any) -> int:
    return sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params))
