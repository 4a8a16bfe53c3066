"""A GAN that learns a classifier from few labels by matching features: composed of the public parts of a GAN.

    model = gan.feature_matching.model(config, spec)

The game is that of `gan.objective`, with networks and two losses of its own; rounds, optimizers, average, samples and
the values of D are the GAN's. Batches are those of `jaxgen.data.FewLabels`.

Source: Salimans et al. 2016, "Improved Techniques for Training GANs", sections 3.1 and 5.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxgen import require
from jaxgen.core import Aux, Batch, GenerativeModel, Metrics, PRNGKey, Spec, Variables
from jaxgen.data import space
from jaxgen.data.labelled import known
from jaxgen.distributions import categorical_log_prob
from jaxgen.gan.config import Config as GAN
from jaxgen.gan.game import Game, State
from jaxgen.gan.labels import feature_matching_loss, real_logit
from jaxgen.gan.latent import Uniform
from jaxgen.gan.model import model_of
from jaxgen.gan.model import objective as game_of
from jaxgen.gan.networks_ends import model_space
from jaxgen.gan.objective import discriminator_loss
from jaxgen.inputs import checked_batch
from jaxgen.nn.network import of_linen
from jaxgen.nn.normalisation import BatchNorm
from jaxgen.optimizers import Adam, Cosine


@dataclass(frozen=True)
class Config:
    """Configuration of a feature-matching GAN; the sizes are those of Salimans et al. for MNIST.

    Args:
        gan: Configuration of the rounds: z, optimizers, moving average. Its networks, losses and conditions are not
            used.
        generator: Widths of the generator's hidden layers.
        classifier: Widths of the classifier's hidden layers; the last one has the features.
        noise_input: Standard deviation of the noise that training adds to the classifier's input, in [-1, 1].
        noise_hidden: Standard deviation of the noise that training adds to its hidden layers but the last.
        unlabelled: Weight of the examples without labels and of the samples in the discriminator's loss.

    Raises:
        ValueError: A number out of its range, several updates of the discriminator in a round, or conditions.
    """

    gan: GAN = GAN(
        latent_dim=100,
        prior=Uniform(),
        generator_optimizer=Adam(3e-3, Cosine(), b1=0.5),
        discriminator_optimizer=Adam(3e-3, Cosine(), b1=0.5),
    )
    generator: tuple[int, ...] = (500, 500)
    classifier: tuple[int, ...] = (1000, 500, 250, 250, 250)
    noise_input: float = 0.3
    noise_hidden: float = 0.5
    unlabelled: float = 1.0

    def __post_init__(self):
        require.sizes("generator", self.generator)
        require.sizes("classifier", self.classifier, fewest=1)
        for name in ("noise_input", "noise_hidden", "unlabelled"):
            require.number(name, getattr(self, name), 0)
        require.fields(self)
        if self.gan.n_critic != 1:
            raise ValueError(f"gan.n_critic must be 1: one update of each player in turn, got {self.gan.n_critic}")
        if self.gan.conditions:
            raise ValueError(f"gan must have no conditions, got {', '.join(self.gan.conditions)}")

    def lasting(self, num_steps: int) -> "Config":
        """This config, with schedules of open end set to last `num_steps` steps."""
        return dataclasses.replace(self, gan=self.gan.lasting(num_steps))


class Parts(NamedTuple):
    """Functions of the model beyond the contract.

    Attributes:
        classify: (variables, x in storage dtype) -> log p(y|x, real), [B, K].
        gan: Parts of the GAN: generate, discriminate, ...
    """

    classify: Callable[..., Array]
    gan: Any


class Classifier(nn.Module):
    """Logits of D(x); the classes and features by the method `classes`.

    Attributes:
        num_classes: Number of classes.
        config: Configuration of the model.
    """

    num_classes: int
    config: Config

    def setup(self):
        # The length of each weight vector is a parameter of its own, as Salimans & Kingma 2016 have it.
        self.layers = [nn.WeightNorm(nn.Dense(width)) for width in self.config.classifier]
        self.head = nn.WeightNorm(nn.Dense(self.num_classes))

    def classes(self, x: Float[Array, "b *event"], train: bool) -> tuple[Float[Array, "b k"], Float[Array, "b f"]]:
        """Logits of the classes, and features."""

        def noisy(h: Array, scale: float) -> Array:
            if not train or scale == 0:
                return h
            return h + jnp.float32(scale) * jax.random.normal(self.make_rng("dropout"), h.shape, jnp.float32)

        h = noisy(x.reshape(x.shape[0], -1), self.config.noise_input)
        for layer in self.layers[:-1]:
            h = noisy(nn.relu(layer(h)), self.config.noise_hidden)
        features = nn.relu(self.layers[-1](h))
        return self.head(noisy(features, self.config.noise_hidden)), features

    def __call__(self, x: Float[Array, "b *event"], train: bool) -> Float[Array, " b"]:
        return real_logit(self.classes(x, train)[0])


class Generator(nn.Module):
    """G(z) in model space, with batch normalisation.

    Attributes:
        config: Configuration of the model.
        spec: Description of the data.
    """

    config: Config
    spec: Spec

    @nn.compact
    def __call__(self, z: Float[Array, "b z"], train: bool) -> Float[Array, "b *event"]:
        h = z
        for width in self.config.generator:
            h = nn.softplus(BatchNorm(self.config.gan.axis_name)(nn.Dense(width, use_bias=False)(h), train))
        x = nn.WeightNorm(nn.Dense(self.spec.num_dimensions))(h)
        return model_space(x.reshape(z.shape[0], *self.spec.event_shape), self.spec)


def model(config: Config, spec: Spec) -> GenerativeModel[State, Parts]:
    """A model of data of this spec, which plays its `objective`."""
    return model_of(objective(config, spec), config.gan, spec, beside=("known_x", "known_label"))


def objective(config: Config, spec: Spec) -> Game[Parts]:
    """The game of a feature-matching GAN for data of this spec.

        D    -log p(y'|x') - unlabelled/2 (log D(x) + log(1 - D(G(z)))),     (x', y') the labelled example beside x
        G    || E f(x) - E f(G(z)) ||^2

    Args:
        config: Configuration of the model.
        spec: Description of the data, with labels.

    Raises:
        ValueError: Data without labels.
    """
    if spec.num_classes is None:
        raise ValueError("spec must have labels, got num_classes=None")
    judge, maker = Classifier(spec.num_classes, config), of_linen(Generator(config, spec))
    game = game_of(config.gan, spec, network={"generator": Generator(config, spec), "discriminator": judge})
    latent = config.gan.latent_dim

    def classes(variables: Variables, x: Array, key: PRNGKey | None = None) -> tuple[Array, Array]:
        """Logits of the classes and features of x in model space; with a key in training."""
        rngs = {} if key is None else {"dropout": key}
        own: Any = variables["discriminator"]
        return judge.apply(own, x, key is not None, rngs=rngs, method="classes")  # pyright: ignore[reportReturnType]

    def generated(variables: Variables, key: PRNGKey, num: int, learn: bool) -> tuple[Array, Any]:
        z = config.gan.prior(key, (num, latent))
        return maker.apply(variables["generator"], z, train=True, key=key, learn=learn)

    def of_discriminator(variables: Variables, key: PRNGKey, batch: Batch, step: Any) -> tuple[Float[Array, " b"], Aux]:
        del step
        x, (x_known, label) = space.to_model(checked_batch(batch, spec)["x"], spec), known(batch, spec)
        key_z, *keys = jax.random.split(key, 4)
        x_fake, _ = generated(variables, key_z, len(x), learn=False)
        inputs = (x, x_fake, space.to_model(x_known, spec))
        logits, logits_fake, logits_known = (
            classes(variables, each, own)[0] for each, own in zip(inputs, keys, strict=True)
        )
        told_apart = discriminator_loss(real_logit(logits), real_logit(logits_fake))
        cross_entropy = -categorical_log_prob(label, logits_known)
        metrics = {
            "cross_entropy": cross_entropy,
            "known_right": (logits_known.argmax(axis=1) == label).astype(jnp.float32),
            "d_real": jax.nn.sigmoid(real_logit(logits)),
            "d_fake": jax.nn.sigmoid(real_logit(logits_fake)),
        }
        return cross_entropy + config.unlabelled * told_apart / 2, Aux(metrics)

    def of_generator(variables: Variables, key: PRNGKey, batch: Batch, step: Any) -> tuple[Float[Array, " b"], Aux]:
        del step
        x = space.to_model(checked_batch(batch, spec)["x"], spec)
        key_z, key_real, key_fake = jax.random.split(key, 3)
        x_fake, changed = generated(variables, key_z, len(x), learn=True)
        loss = feature_matching_loss(classes(variables, x, key_real)[1], classes(variables, x_fake, key_fake)[1])
        return jnp.broadcast_to(loss[None], (len(x),)), Aux({}, changed)

    @jax.jit
    def classify(variables: Variables, x: Array) -> Float[Array, "b k"]:
        fields = checked_batch({"x": x}, spec)
        return jax.nn.log_softmax(classes(variables, space.to_model(fields["x"], spec))[0])

    @jax.jit
    def evaluate(key: PRNGKey, variables: Variables, batch: Batch) -> Metrics:
        """The GAN's values and, where the label is known, whether it is found."""
        values = game.evaluate(key, variables, batch)
        if batch.get("label") is None:
            return values
        wrong = classify(variables, batch["x"]).argmax(axis=1) != jnp.asarray(batch["label"])
        return {**values, "error": wrong.astype(jnp.float32)}

    return Game(game.init, of_discriminator, of_generator, evaluate, game.sample, Parts(classify, game.parts))
