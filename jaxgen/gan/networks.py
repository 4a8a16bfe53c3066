"""The two neural networks of a GAN: the architectures to choose from, and the interface that they share.

    MLP         dense layers: toys, and Goodfellow et al. 2014
    DCGAN       convolutions of stride 2: Radford et al. 2016
    SNResNet    residual blocks: Miyato et al. 2018

An architecture is a frozen dataclass of numbers, a choice of the config, that builds both networks for given data.

No discriminator uses batch normalisation: it mixes examples, so that D(x) would not be a function of x, an example's
value would depend on its batch, and a penalty on the gradient at one example would see its neighbours too (Gulrajani
et al. 2017, section 4). Spectral and group normalisation mix none.
"""

from collections.abc import Hashable
from typing import Any, Protocol

import flax.linen as nn

from jaxgen.core import Spec
from jaxgen.gan.networks_dcgan import DCGAN
from jaxgen.gan.networks_mlp import MLP
from jaxgen.gan.networks_resnet import SNResNet
from jaxgen.nn.conditions import NO_CONDITIONS, Conditions

__all__ = ["DCGAN", "MLP", "Architecture", "SNResNet"]


class Architecture(Protocol):
    """The interface of an architecture.

    `num_classes` is None for networks that do not see labels, and counts the label that stands for "no label" too where
    it may be withheld. `conditions` are those besides the label, and `forms` what comes in for them
    (`jaxgen.nn.conditions.given`); an architecture of the user's own may do without the argument where there are none.
    """

    def check(self, spec: Spec) -> None:
        """Raise ValueError where the networks cannot make such data."""
        ...

    def generator(
        self,
        spec: Spec,
        num_classes: int | None,
        axis_name: Hashable,
        dtype: Any,
        conditions: Conditions = NO_CONDITIONS,
    ) -> nn.Module:
        """G: (z [B, latent_dim], label [B] or None, train, forms) -> x [B, *event] in model space, float32.

        With `train`, batch normalisation uses the moments of the batch, over `axis_name` where that is a mapped
        axis, and updates its averages (collection "batch_stats"); without `train`, it uses the averages.
        """
        ...

    def discriminator(
        self,
        spec: Spec,
        num_classes: int | None,
        axis_name: Hashable,
        dtype: Any,
        conditions: Conditions = NO_CONDITIONS,
    ) -> nn.Module:
        """D: (x [B, *event] in model space, label [B] or None, train, forms) -> logits [B], float32.

        With `train`, there is dropout, if any (random stream "dropout"). Where the collection "spectral" is mutable,
        spectral normalisation takes a step of its power iteration (see `jaxgen.nn.spectral`).
        """
        ...
