"""Paired translation by a GAN: the colour of a picture given its luminance, by a game with a distance beside it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen import gan, require
from jaxgen.core import Aux, Batch, GenerativeModel, PRNGKey, Spec, Variables
from jaxgen.data import space
from jaxgen.events import sum_event
from jaxgen.experiments import _gan, _translation
from jaxgen.nn import Concat, UNet
from jaxgen.nn.conditions import Conditions
from jaxgen.optimizers import Adam
from jaxgen.runs import Experiment


@dataclass(frozen=True)
class Config(_translation.Config):
    """pix2pix: both players are given the luminance, and the generator's loss has the L1 distance to the truth beside
    the game. In the place of dropout the generator has noise, an image of it, in the place where the network of
    translation_ddpm has the noisy colour: the two networks are the same.

    Args:
        l1: Weight of the L1 distance, mean over values of unit deviation; 0 for the game alone.
        generator: Network of the generator.
        model: Configuration of the GAN; `generator` stands in the place of its network's.
    """

    l1: float = 10.0
    generator: UNet = UNet(features=32, multipliers=(1, 2), attention=(), patch=2)
    model: gan.Config = gan.Config(
        latent_dim=2048,
        network=gan.DCGAN(features=32, levels=3),
        condition={"luminance": Concat(dropout=0.0)},
        generator_optimizer=Adam(4e-4, b1=0.5),
        discriminator_optimizer=Adam(4e-4, b1=0.5),
        ema_decay=0.998,
    )
    steps: int = 2000

    def __post_init__(self):
        super().__post_init__()
        require.number("l1", self.l1, 0)

    def model_for(self, spec: Spec) -> GenerativeModel:
        config = self.model.lasting(self.steps)
        if config.latent_dim != spec.num_dimensions:
            raise ValueError(
                f"model.latent_dim must be {spec.num_dimensions}, an image of noise {spec.event_shape}, got "
                f"{config.latent_dim}"
            )
        self.generator.check(spec)
        network = {"generator": Generator(self.generator, spec, config.conditions)}
        game = gan.model(config, spec, network=network).objective

        def generator_loss(
            variables: Variables, key: PRNGKey, batch: Batch, step: Any
        ) -> tuple[Float[Array, " b"], Aux]:
            """The game's loss of G, and the distance of G(z) from the truth."""
            del step
            x, given = batch["x"], {name: batch[name] for name in config.conditions}
            key_z, _ = jax.random.split(key)
            x_hat = game.parts.generate(variables, config.prior(key_z, (len(x), config.latent_dim)), condition=given)
            logits_fake = game.parts.discriminate(variables, x_hat, condition=given)
            logits_real = game.parts.discriminate(variables, x, condition=given) if config.loss.paired else logits_fake
            played = config.loss.generator(logits_real, logits_fake)
            error = space.to_model(x, spec) - space.data_to_model(x_hat, spec)
            distance = sum_event(jnp.abs(error)) / spec.num_dimensions
            return played + self.l1 * distance, Aux({"generator_loss": played, "l1": distance}, {})

        return gan.model_of(game.replace(generator_loss=generator_loss), config, spec)

    def build(self) -> Experiment:
        dataset = self.dataset()
        model = self.model_for(dataset.spec)
        levels = {name: level for name, level in _gan.LEVELS.items() if name != "diversity"}
        return _translation.experiment(self, model, dataset, "GAN", _gan.estimates(model), levels=levels)


class Generator(nn.Module):
    """G(z, luminance): a U-Net that is given z as an image.

    Attributes:
        config: Sizes of the U-Net.
        spec: Description of the data.
        conditions: Conditions by name.
    """

    config: UNet
    spec: Spec
    conditions: Conditions

    @nn.compact
    def __call__(self, z: Float[Array, "b z"], forms: Mapping[str, Array], train: bool) -> Float[Array, "b *event"]:
        network = self.config.network(self.spec, 1, None, jnp.float32, self.conditions)
        noise = z.reshape(len(z), *self.spec.event_shape)
        return network(noise, jnp.zeros(len(z), jnp.float32), None, train, forms)[0]
